/* Teachers that are broken in every way that shows without labels, classifiers and detectors; and the judgement of an accuracy. */
#include "layers/network.h"
#include "check_nets.h"

#include "darknet_plugin/model/evaluate.h"
#include "darknet_plugin/data/image_io.h"
#include "darknet_plugin/training/teacher_check.h"

#include <unistd.h>

#define NET "[net]\nbatch=4\nsubdivisions=1\nwidth=16\nheight=16\nchannels=3\n"
#define CONV(filters, stride) \
    "[convolutional]\nbatch_normalize=1\nfilters=" #filters "\nsize=3\nstride=" #stride "\npad=1\nactivation=leaky\n"
#define YOLO(mask) "[convolutional]\nfilters=14\nsize=1\nactivation=linear\n" \
                   "[yolo]\nmask=" mask "\nanchors=1,2, 3,4, 5,6, 7,8\nclasses=2\nnum=4\n"
#define TEACHER "[teacher]\ncfg=t.cfg\nweights=t.weights\n"
#define TRIPLE "[projector]\n[feature_l2]\n[reused_classifier]\n"

static const char classifier[] = NET CONV(8, 2) CONV(12, 2) "[avgpool]\n[convolutional]\nfilters=10\nsize=1\nactivation=linear\n[softmax]\n";
static const char detector[] = NET CONV(8, 2) CONV(16, 2) CONV(16, 2) YOLO("2,3") "[route]\nlayers=-3,2\n[upsample]\nstride=2\n" CONV(12, 1) YOLO("0,1");
static const char classifier_student[] = NET TEACHER CONV(4, 2) CONV(6, 2) TRIPLE;
static const char detector_student[] = NET TEACHER CONV(4, 2) CONV(4, 2) CONV(8, 2) TRIPLE
    "[route]\nlayers=-4\n[upsample]\nstride=2\n[route]\nlayers=-1,1\n" CONV(6, 1) TRIPLE;

/* Sets batch norm's scales and shifts of a layer: the map is `shift` where scale is 0. */
static void map_of(network *net, int i, float scale, float shift)
{
    layer *l = &net->layers[i];
    for (int k = 0; k < l->n; ++k) {
        l->scales[k] = scale;
        l->biases[k] = shift;
    }
}

static void weights_of(network *net, int i, float value)
{
    layer *l = &net->layers[i];
    for (int k = 0; k < l->nweights; ++k) l->weights[k] = value;
}

static void sane(network *net) { (void)net; }
static void zeros(network *net) { map_of(net, 1, 0, 0); }
static void constant(network *net) { map_of(net, 1, 0, 2); }
static void overflows(network *net)
{
    map_of(net, 0, 1e20f, 0);
    map_of(net, 1, 1e30f, 0);
}
static void indifferent(network *net) { weights_of(net, 3, 0); }
static void answers_nan(network *net) { weights_of(net, 3, 3e38f); }
/* A sure one: its largest probability is exactly 1 for nearly all images. That is no fault. */
static void sure(network *net)
{
    for (int k = 0; k < net->layers[3].nweights; ++k) net->layers[3].weights[k] *= 20;
    net->layers[3].biases[0] = 60;
}
static void first_map_dead(network *net) { map_of(net, 2, 0, 0); }
static void second_head_dead(network *net) { weights_of(net, 8, 0); }
static void second_head_nan(network *net) { weights_of(net, 8, 3e38f); }

typedef struct teacher_row {
    const char *name, *says;     /* NULL: all is well */
    void (*spoil)(network *net);
} teacher_row;

static const teacher_row classifiers[] = {
    { "sane", NULL, sane }, { "sure", NULL, sure },
    { "zeros", "gives a feature map (layer 1) that is all zeros", zeros },
    { "constant", "gives the same feature map (layer 1) for every image", constant },
    { "overflows", "gives a feature map (layer 1) that is not finite", overflows },
    { "indifferent", "gives the same answer (layer 4) to every image", indifferent },
    { "NaN", "gives an answer (layer 4) that is not finite", answers_nan },
};
static const teacher_row detectors[] = {
    { "sane", NULL, sane },
    { "zeros", "gives a feature map (layer 2) that is all zeros", first_map_dead },
    { "a head", "gives the same answer (layer 9) to every image", second_head_dead },
    { "a head's NaN", "gives an answer (layer 9) that is not finite", second_head_nan },
};

/* Eight pictures, all the same or each its own, and their list. */
static dataset *open_pictures(int alike, int need, diag *d)
{
    uint8_t pixels[16 * 16 * 3];
    FILE *list = fopen("list", "w");
    for (int i = 0; i < 8; ++i) {
        char *name = mem_printf("%d.png", i);
        rng r = rng_make(1, 0, alike ? 0 : (uint64_t)i, RNG_TEST);
        for (size_t k = 0; k < sizeof pixels; ++k) pixels[k] = (uint8_t)rng_below(&r, 256);
        assert_int_equal(image_write(name, pixels, 16, 16, 3), 0);
        fprintf(list, "%s\n", name);
        free(name);
    }
    fclose(list);
    check_write("t.data", "classes=10\ntrain=list\n", 22);
    data_file *f = data_file_read("t.data", d);
    dataset *s = dataset_open(f, DATA_TRAIN, 0, need, d);
    data_file_free(f);
    assert_non_null(s);
    return s;
}

static model *open_spoilt(const char *teacher, const char *student, const teacher_row *row, diag *d)
{
    network *net = check_parse(teacher);
    model_options o = { .backend = BACKEND_DNNL };
    check_fill_network(net, 40);
    row->spoil(net);
    check_write("t.cfg", teacher, strlen(teacher));
    check_write("s.cfg", student, strlen(student));
    assert_int_equal(weights_save(net, "t.weights", d), 0);
    host_free(net);
    model *m = model_open("s.cfg", &o, d);
    check_no_errors(d);
    assert_non_null(m);
    return m;
}

static void check_teacher(const char *teacher, const char *student, const teacher_row *row, int need)
{
    diag *d = diag_new(), *forced = diag_new();
    model *m = open_spoilt(teacher, student, row, d);
    dataset *s = open_pictures(0, need, d);
    int said = diag_count(d), bad = teacher_check(m, s, 2, 1, 0, d);
    assert_int_equal(teacher_check(m, s, 2, 1, 1, forced), 0);
    check_no_errors(forced);
    assert_int_equal(diag_warnings(forced), row->says != NULL);
    if (!row->says) check_no_errors(d);
    else {
        char *text = mem_printf("this teacher %s", row->says);
        if (!bad || diag_errors(d) != 1) fail_msg("%s: it may teach", row->name);
        const diag_message *e = diag_get(d, said);
        assert_string_equal(e->text, text);
        assert_string_equal(e->file, "t.weights");
        assert_string_equal(diag_get(forced, 0)->text, text);
        free(text);
    }
    dataset_free(s);
    model_close(m);
    diag_free(d);
    diag_free(forced);
}

static void broken_classifiers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof classifiers / sizeof *classifiers; ++i) check_teacher(classifier, classifier_student, &classifiers[i], DATA_IMAGES);
}

static void broken_detectors(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof detectors / sizeof *detectors; ++i) check_teacher(detector, detector_student, &detectors[i], DATA_DETECTOR);
}

/* Pictures that are all alike say nothing about a teacher. */
static void alike_pictures_prove_nothing(void **state)
{
    (void)state;
    diag *d = diag_new();
    model *m = open_spoilt(detector, detector_student, &detectors[0], d);
    m->low->augment = (augment_spec){ .detector = 1, .fit = FIT_STRETCH, .saturation = 1, .exposure = 1, .aspect = 1 };   /* as they are */
    dataset *s = open_pictures(1, DATA_DETECTOR, d);
    assert_int_equal(teacher_check(m, s, 1, 1, 0, d), 0);
    check_no_errors(d);
    dataset_free(s);
    model_close(m);
    diag_free(d);
}

static const char chance[] = "is not better than chance", worse[] = "is worse than chance: are its classes in the order of names=?";

/* The bounds are p +- 3 sqrt(p (1 - p) / n): 10 classes, 10,000 images: 9.1 % and 10.9 %. */
static const struct { double top1, spread; size_t labelled; int classes; const char *says; } accuracies[] = {
    { 72, .9, 10000, 10, NULL }, { 11, .9, 10000, 10, NULL }, { 10.8, .9, 10000, 10, chance }, { 9.2, .9, 10000, 10, chance },
    { 9, .9, 10000, 10, worse }, { 0, .9, 10000, 10, worse },
    { 0, .9, 128, 100, chance }, { 3.6, .9, 128, 100, chance }, { 3.7, .9, 128, 100, NULL },
    { 0, .9, 4, 2, NULL }, { 50, .9, 14, 2, NULL }, { 50, .9, 15, 2, chance }, { 100, .9, 15, 2, NULL },   /* few images prove little */
    { 100, .9, 10000, 1, NULL }, { 0, .9, 0, 10, NULL },
    { 72, 1e-7, 10000, 10, "gives the same answer to every image" }, { 0, 0, 0, 10, "gives the same answer to every image" },
    { 72, (double)NAN, 10000, 10, "gives the same answer to every image" },
};

static void judges_accuracies(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof accuracies / sizeof *accuracies; ++i) {
        score s = { .top1 = accuracies[i].top1, .spread = accuracies[i].spread };
        const char *says = evaluate_suspicious(&s, accuracies[i].labelled, accuracies[i].classes), *want = accuracies[i].says;
        if (!says != !want || (says && strcmp(says, want))) fail_msg("row %zu: %s", i, says ? says : "nothing");
    }
}

static int go_there(void **state)
{
    (void)state;
    return chdir(check_folder());
}

int main(void)
{
    network_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(broken_classifiers), cmocka_unit_test(broken_detectors), cmocka_unit_test(alike_pictures_prove_nothing),
        cmocka_unit_test(judges_accuracies),
    };
    return cmocka_run_group_tests(tests, go_there, NULL);
}
