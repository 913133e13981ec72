/* A detector with two heads as a model: every head learns its own tap, answers come out where they are asked for, and all
 * networks change their input's size together. */
#include "layers/network.h"
#include "check.h"

#include "darknet_plugin/model/model.h"

#include <unistd.h>

#define NET(size) "[net]\nbatch=4\nsubdivisions=1\nwidth=" #size "\nheight=" #size "\nchannels=3\nlearning_rate=0.05\nmax_batches=10\n"
#define CONV(filters, stride) "[convolutional]\nbatch_normalize=1\nfilters=" #filters "\nsize=3\nstride=" #stride "\npad=1\nactivation=leaky\n"
#define YOLO(mask) "[convolutional]\nfilters=14\nsize=1\nstride=1\npad=0\nactivation=linear\n" \
                   "[yolo]\nmask=" mask "\nanchors=4,4, 8,8, 12,12, 16,16\nclasses=2\nnum=4\nrandom=1\n"
#define TRIPLE "[projector]\n[feature_l2]\n[reused_classifier]\n"

static const char body[] = CONV(16, 2) CONV(24, 2) "[dropout]\nprobability=.2\n" CONV(24, 1) "[dropout]\nprobability=.2\n"
    "[shortcut]\nfrom=-4\nactivation=linear\n" CONV(32, 2) YOLO("2,3") "[route]\nlayers=-3\n[upsample]\nstride=2\n[route]\nlayers=-1,5\n" CONV(20, 1)
    YOLO("0,1");
static const char encoder[] = "[teacher]\ncfg=teacher.cfg\nweights=teacher.weights\n" CONV(8, 2) CONV(16, 2) "[dropout]\nprobability=.2\n"
    CONV(16, 2) TRIPLE "[route]\nlayers=3\n[upsample]\nstride=2\n[route]\nlayers=-1,1\n" CONV(12, 1) TRIPLE;

/* net + text as a file of that name. */
static void put(const char *name, const char *net, const char *text)
{
    char *all = mem_printf("%s%s", net, text);
    check_write(name, all, strlen(all));
    free(all);
}

/* The teacher's files, the same at every size, and the student's for size 32 and 64. */
static int make_files(void **state)
{
    (void)state;
    diag *d = diag_new();
    if (chdir(check_folder())) return -1;
    put("teacher.cfg", NET(32), body);
    put("student.cfg", NET(32), encoder);
    put("larger.cfg", NET(64), encoder);
    model_options o = { .seed = 7 };
    model *m = model_open("teacher.cfg", &o, d);
    for (int i = 0; m && i < m->net->n; ++i)
        for (int k = 0; m->net->layers[i].batch_normalize && k < m->net->layers[i].n; ++k) m->net->layers[i].rolling_variance[k] = .4f + .1f * (float)(k % 5);
    int failed = !m || weights_save(m->net, "teacher.weights", d);
    diag_print(d, stderr);
    model_close(m);
    diag_free(d);
    return failed;
}

static model *open_model(const char *cfg, cpu_backend backend)
{
    diag *d = diag_new();
    model_options o = { .seed = 3, .backend = backend };
    model *m = model_open(cfg, &o, d);
    check_no_errors(d);
    assert_non_null(m);
    diag_free(d);
    return m;
}

static float *pixels(int size)
{
    float *x = mem_calloc((size_t)(4 * 3 * size * size), sizeof *x);
    check_fill(x, (size_t)(4 * 3 * size * size), 5);
    return x;
}

static void knows_its_outputs(void **state)
{
    (void)state;
    model *m = open_model("student.cfg", BACKEND_DNNL);
    assert_int_equal(m->low->outs, 2);
    assert_int_equal(m->low->teacher->outs, 2);
    assert_int_equal(m->low->teacher->out[0], 8);
    assert_int_equal(m->low->teacher->out[1], 14);
    assert_int_equal(m->net->layers[m->low->out[0]].type, YOLO);
    assert_int_equal(m->net->layers[m->low->out[1]].type, YOLO);
    model_close(m);
}

/* Heads learn both taps, whatever runs them; the frozen heads between them are not run. */
static void both_heads_learn(void **state)
{
    (void)state;
    model *m = open_model("student.cfg", BACKEND_DNNL), *plain = open_model("student.cfg", BACKEND_REFERENCE);
    float *x = pixels(32);
    double first = 0, last = 0, mse[2] = { 0, 0 };
    layer *idle = &m->net->layers[m->low->out[0]];
    memset(idle->output, 0, (size_t)(idle->outputs * idle->batch) * sizeof(float));
    for (int i = 0; i < 60; ++i) {
        last = model_train_step(m, x, NULL, NULL);
        if (!i) {
            first = last;
            check_close(model_train_step(plain, x, NULL, NULL), first, 1e-4, "loss of the reference", 0);
            for (int k = 0; k < 2; ++k) mse[k] = *m->net->layers[m->low->head[k].loss].cost;
        }
        network_update(m->net, m->low->trained);
    }
    assert_true(last < .8 * first);
    for (int k = 0; k < 2; ++k) assert_true(*m->net->layers[m->low->head[k].loss].cost < .9 * mse[k]);
    for (int i = 0; i < idle->outputs * idle->batch; ++i) assert_true(idle->output[i] == 0);
    free(x);
    model_close(m);
    model_close(plain);
}

/* What the teacher keeps in parts is what it answers in one. */
static void teacher_answers_by_head(void **state)
{
    (void)state;
    put("wide.cfg", "[net]\nbatch=32\nwidth=32\nheight=32\nchannels=3\nmax_batches=1\n", encoder);
    model *m = open_model("wide.cfg", BACKEND_DNNL), *one = open_model("wide.cfg", BACKEND_REFERENCE);
    size_t n = (size_t)(32 * 3 * 32 * 32);
    float *x = mem_calloc(n, sizeof *x);
    check_fill(x, n, 9);
    model_run_teachers(m, x, 1);
    model_run_teachers(one, x, 1);
    assert_true(m->teacher[0]->parts > 1);
    assert_int_equal(one->teacher[0]->parts, 1);
    for (int k = 0; k < 2; ++k) {
        const layer *l = &one->teacher[0]->net->layers[one->low->teacher->out[k]];
        check_close_n(teacher_detections(m->teacher[0], k), teacher_detections(one->teacher[0], k), (size_t)(32 * l->outputs), 1e-4, "detections");
    }
    free(x);
    model_close(m);
    model_close(one);
}

static void resizes_together(void **state)
{
    (void)state;
    static const cpu_backend backends[] = { BACKEND_DNNL, BACKEND_REFERENCE };
    for (int b = 0; b < 2; ++b) {
        diag *d = diag_new();
        model *m = open_model("student.cfg", backends[b]), *fresh = open_model("larger.cfg", backends[b]);
        float *small = pixels(32), *large = pixels(64);
        double before = model_train_step(m, small, NULL, NULL);
        assert_int_equal(model_resize(m, 64, 64, d), 0);
        *m->net->seen = *fresh->net->seen = 0;   /* dropout draws by it */
        double a = model_train_step(m, large, NULL, NULL), c = model_train_step(fresh, large, NULL, NULL);
        check_close(a, c, 1e-6, "loss at 64", 0);
        model_run_teachers(m, large, 1);
        model_run_teachers(fresh, large, 1);
        const layer *l = &fresh->teacher[0]->net->layers[14];
        check_close_n(teacher_detections(m->teacher[0], 1), teacher_detections(fresh->teacher[0], 1), (size_t)(4 * l->outputs), 1e-6, "teacher at 64");
        assert_int_equal(model_resize(m, 32, 32, d), 0);
        *m->net->seen = 0;
        check_close(model_train_step(m, small, NULL, NULL), before, 1e-6, "back at 32", 0);
        check_no_errors(d);
        diag_free(d);
        free(small);
        free(large);
        model_close(m);
        model_close(fresh);
    }
}

static void fixed_sizes_are_said(void **state)
{
    (void)state;
    put("fixed.cfg", NET(32), "[convolutional]\nfilters=4\nsize=3\npad=1\nactivation=relu\n[connected]\noutput=5\nactivation=linear\n[softmax]\n");
    model *m = open_model("fixed.cfg", BACKEND_DNNL);
    diag *d = diag_new();
    assert_int_equal(model_resize(m, 64, 64, d), -1);
    assert_string_equal(diag_get(d, 0)->text, "layer 1 cannot change its size, so this network's input stays 32x32");
    assert_int_equal(m->net->w, 32);
    diag_free(d);
    model_close(m);
}

int main(void)
{
    network_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(knows_its_outputs), cmocka_unit_test(both_heads_learn), cmocka_unit_test(teacher_answers_by_head),
        cmocka_unit_test(resizes_together), cmocka_unit_test(fixed_sizes_are_said),
    };
    return cmocka_run_group_tests(tests, make_files, NULL);
}
