/* The exporter as a whole, on random weights: detectors, an exported network as a teacher, and files that appear together,
 * verified, or not at all. */
#include "layers/network.h"
#include "check_nets.h"

#include "darknet_plugin/deploying/export.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#define NET "[net]\nbatch=2\nsubdivisions=1\nwidth=16\nheight=16\nchannels=3\n"
#define CONV(filters, stride) \
    "[convolutional]\nbatch_normalize=1\nfilters=" #filters "\nsize=3\nstride=" #stride "\npad=1\nactivation=leaky\n"
#define YOLO(mask) "[convolutional]\nfilters=14\nsize=1\nactivation=linear\n" \
                   "[yolo]\nmask=" mask "\nanchors=1,2, 3,4, 5,6, 7,8\nclasses=2\nnum=4\n"
#define TRIPLE(stack) "[projector]\nstack=" stack "\n[feature_l2]\n[reused_classifier]\n"
#define TEACHER "[teacher]\ncfg=t.cfg\nweights=t.weights\n"

static const char classifier[] = NET CONV(8, 2) CONV(12, 2) "[avgpool]\n[convolutional]\nfilters=10\nsize=1\nactivation=linear\n[softmax]\n";
static const char deep_tail[] = NET CONV(8, 2) CONV(12, 2) CONV(12, 1) "[avgpool]\n[connected]\noutput=10\nactivation=linear\n[softmax]\n";
static const char detector[] = NET CONV(8, 2) CONV(16, 2) CONV(16, 2) YOLO("2,3")
    "[route]\nlayers=-3,2\n[upsample]\nstride=2\n" CONV(12, 1) YOLO("0,1");
static const char classifier_student[] = NET TEACHER CONV(4, 2) CONV(6, 2) TRIPLE("linear");
static const char deep_student[] = NET "[teacher]\ncfg=t.cfg\nweights=t.weights\ntap=1\n" CONV(4, 2) CONV(6, 2) TRIPLE("linear");
static const char detector_student[] = NET TEACHER CONV(4, 2) CONV(4, 2) CONV(8, 2) TRIPLE("linear")
    "[route]\nlayers=-4\n[upsample]\nstride=2\n[route]\nlayers=-1,1\n" CONV(6, 1) TRIPLE("linear");

#ifdef ONNX
enum { HAS_ONNX = 1 };
#else
enum { HAS_ONNX = 0 };
#endif

static const char *const files[] = { "s.cfg", "s.weights", "out" };

static void prepare(const char *teacher, const char *student)
{
    check_write_network("t", teacher, 40);
    model_close(check_model("s", student, 60));
}

/* What the export printed; the caller frees. NULL where it failed. */
static char *exported(options *o, const char *const arg[3], diag *d)
{
    char *text = NULL;
    size_t len;
    o->out = open_memstream(&text, &len);
    int failed = export_network(o, arg, LOWER_TRAIN, d);
    fclose(o->out);
    if (!failed) return text;
    free(text);
    return NULL;
}

/* No file of an export is there, half or whole. */
static void check_nothing_left(const char *name)
{
    DIR *dir = opendir(".");
    for (struct dirent *e; (e = readdir(dir));)
        if (!strncmp(e->d_name, "out", 3) || !strncmp(e->d_name, ".out", 4)) fail_msg("%s: %s is left", name, e->d_name);
    closedir(dir);
}

static void remove_files(void)
{
    unlink("out.cfg");
    unlink("out.weights");
    unlink("out.onnx");
}

/* A cfg that learns from out.cfg is accepted, and its taps are these. */
static void check_learns(const char *section, const char *student, const int *tap, int taps)
{
    diag *d = diag_new();
    char *text = mem_printf(NET "%s%s", section, student);
    check_write("next.cfg", text, strlen(text));
    lowered *l = lower_read("next.cfg", LOWER_TRAIN, d);
    check_no_errors(d);
    assert_non_null(l);
    assert_int_equal(l->teacher->taps, taps);
    for (int i = 0; i < taps; ++i) assert_int_equal(l->teacher->tap[i], tap[i]);
    lower_free(l);
    free(text);
    diag_free(d);
}

static char *check_export(options *o)
{
    diag *d = diag_new();
    char *said = exported(o, files, d);
    check_no_errors(d);
    assert_non_null(said);
    diag_free(d);
    return said;
}

static void exported_classifier_teaches(void **state)
{
    (void)state;
    static const char student[] = CONV(3, 2) CONV(5, 2) TRIPLE("linear");
    prepare(classifier, classifier_student);
    for (int k = 0; k < 4; ++k) {
        options o = { .verify = 3, .teacher = 1, .merge = k & 1, .fold = k >> 1 };
        char *said = check_export(&o), *section = strstr(said, "[teacher]");
        assert_non_null(section);
        assert_null(strstr(section, "\ntap="));
        check_learns(section, student, (int[]){ k & 1 ? 1 : 2 }, 1);
        free(said);
        remove_files();
    }
}

/* The wanted tap lies before two layers with weights: auto would find another, so the number is printed. */
static void deep_tail_names_its_tap(void **state)
{
    (void)state;
    static const char student[] = CONV(3, 2) CONV(5, 2) TRIPLE("linear");
    prepare(deep_tail, deep_student);
    options o = { .verify = 3, .teacher = 1 };
    char *said = check_export(&o), *section = strstr(said, "[teacher]");
    assert_non_null(strstr(section, "\ntap=2\n"));
    check_learns(section, student, (int[]){ 2 }, 1);
    free(said);
    remove_files();
}

static void detector_is_exported(void **state)
{
    (void)state;
    static const char student[] = CONV(3, 2) CONV(3, 2) CONV(5, 2) TRIPLE("linear")
        "[route]\nlayers=-4\n[upsample]\nstride=2\n" CONV(6, 1) TRIPLE("linear");
    prepare(detector, detector_student);
    for (int merge = 0; merge < 2; ++merge) {
        options o = { .verify = 3, .teacher = 1, .fold = 1, .merge = merge, .onnx = HAS_ONNX ? "out.onnx" : NULL };
        char *said = check_export(&o);
        assert_non_null(strstr(said, "libdarknet         largest difference"));
        assert_non_null(strstr(said, "OpenCV"));
        assert_non_null(strstr(said, "of head maps"));
        assert_true(!HAS_ONNX || strstr(said, "ONNX  largest difference"));
        assert_non_null(strstr(said, "head maps cannot be asked for"));
        if (merge) assert_non_null(strstr(said, "merged 2 of 2 projectors"));
        check_learns(strstr(said, "[teacher]"), student, merge ? (int[]){ 2, 8 } : (int[]){ 3, 10 }, 2);
        free(said);
        remove_files();
    }
}

static void plain_cfg_is_exported(void **state)
{
    (void)state;
    check_write_network("s", classifier, 7);
    options o = { .verify = 2, .fold = 1, .teacher = 1 };
    char *said = check_export(&o);
    assert_non_null(strstr(said, "folded the batch norm of 2 layers"));
    assert_non_null(strstr(said, "images of noise"));
    free(said);
    remove_files();
}

static void plain_numbers_are_not_verified(void **state)
{
    (void)state;
    diag *d = diag_new();
    check_write_network("s", "[net]\ninputs=40\n[connected]\nbatch_normalize=1\noutput=3\nactivation=linear\n[softmax]\n", 7);
    options o = { .verify = 2, .fold = 1 };
    char *said = exported(&o, files, d);
    check_no_errors(d);
    assert_non_null(strstr(said, "not verified"));
    assert_int_equal(diag_warnings(d), 1);
    free(said);
    diag_free(d);
    remove_files();
}

static void not_verified_is_said(void **state)
{
    (void)state;
    prepare(classifier, classifier_student);
    options o = { .verify = 0 };
    char *said = check_export(&o);
    assert_non_null(strstr(said, "not verified"));
    free(said);
    remove_files();
    o.json = 1;
    said = check_export(&o);
    assert_non_null(strstr(said, "\"verified\":false"));
    free(said);
    remove_files();
}

/* ---- what fails leaves nothing ---- */

static void check_failure(const char *name, options o, const char *const arg[3], const char *says)
{
    diag *d = diag_new();
    o.verify = 2;
    char *said = exported(&o, arg, d);
    if (said) fail_msg("%s: it did not fail", name);
    if (!strstr(diag_get(d, 0)->text, says)) fail_msg("%s: %s", name, diag_get(d, 0)->text);
    diag_free(d);
}

static void failures_leave_nothing(void **state)
{
    (void)state;
    prepare(classifier, NET TEACHER CONV(4, 2) CONV(6, 2) TRIPLE("bottleneck"));
    check_failure("merge", (options){ .merge = 1 }, files, "cannot be merged");
    check_failure("no folder", (options){ 0 }, (const char *[]){ "s.cfg", "s.weights", "no/such/out" }, "cannot write");
    check_failure("weights of another cfg", (options){ 0 }, (const char *[]){ "s.cfg", "t.weights", "out" }, "expected");
    check_failure("no images", (options){ .data = "none.data" }, files, "cannot be read");
    check_nothing_left("failures");
    if (!HAS_ONNX) {
        check_failure("no ONNX", (options){ .onnx = "out.onnx" }, files, "no ONNX");
        return;
    }
    check_failure("no folder for ONNX", (options){ .onnx = "no/such/out.onnx" }, files, "cannot write: No such file");
    check_failure("a name twice", (options){ .onnx = "out.cfg" }, files, "two of the files to be written");
    prepare(NET CONV(8, 2) "[reorg]\nstride=2\n[avgpool]\n[convolutional]\nfilters=10\nsize=1\nactivation=linear\n[softmax]\n",
            NET "[teacher]\ncfg=t.cfg\nweights=t.weights\ntap=0\n" CONV(4, 2) TRIPLE("linear"));
    check_failure("unknown to ONNX", (options){ .onnx = "out.onnx" }, files, "ONNX export does not know");
    check_nothing_left("failures with ONNX");
}

static void folder_in_the_way(void **state)
{
    (void)state;
    prepare(classifier, classifier_student);
    assert_int_equal(mkdir("out.cfg", 0777), 0);
    check_failure("a folder", (options){ 0 }, files, "Is a directory");
    assert_int_equal(rmdir("out.cfg"), 0);
    check_nothing_left("a folder");
}

/* OpenCV's epsilon is another: with hardly any variance it disagrees, and the layer is named. Folded, it cannot. */
static void disagreement_leaves_nothing(void **state)
{
    (void)state;
    static const char cfg[] = NET CONV(4, 2) CONV(4, 2) "[avgpool]\n[convolutional]\nfilters=10\nsize=1\nactivation=linear\n[softmax]\n";
    diag *d = diag_new();
    network *net = check_parse(cfg);
    check_fill_network(net, 5);
    for (int i = 0; i < 4; ++i) {
        net->layers[1].rolling_variance[i] = 1e-8f;
        net->layers[1].scales[i] = 1e-4f;
    }
    check_write("s.cfg", cfg, strlen(cfg));
    assert_int_equal(weights_save(net, "s.weights", d), 0);
    host_free(net);
    options o = { .verify = 2 };
    assert_null(exported(&o, files, d));
    assert_int_equal(diag_errors(d), 1);
    assert_non_null(strstr(diag_get(d, 0)->text, "OpenCV"));
    assert_non_null(strstr(check_hint(d, 0), "layer 1 [convolutional] (s.cfg:14)"));
    check_nothing_left("disagreement");
    diag_free(d);
    o.fold = 1;
    free(check_export(&o));
    remove_files();
}

/* ---- readers ---- */

/* What OpenCV is known not to take does not stop an export: it is not asked, and that is said with a remedy. */
static void known_limits_are_said(void **state)
{
    (void)state;
    static const struct { const char *cfg, *says, *remedy; } odd[] = {
        { NET CONV(8, 2) "[avgpool]\n[connected]\noutput=10\nactivation=linear\n[softmax]\ntemperature=3\n", "[softmax] temperature=", "-onnx" },
        { NET CONV(8, 2) "[avgpool]\n[connected]\nbatch_normalize=1\noutput=10\nactivation=linear\n[softmax]\n", "[connected] batch_normalize=1", "-fold" },
        { NET CONV(8, 2) "[activation]\nactivation=leaky\n[avgpool]\n[connected]\noutput=10\nactivation=linear\n[softmax]\n",
          "a section beyond", "-onnx" },
        { NET CONV(8, 1) CONV(12, 2) "[shortcut]\nfrom=-2\nactivation=relu\n[avgpool]\n[connected]\noutput=10\nactivation=linear\n[softmax]\n",
          "[shortcut] between maps of unlike sizes", "1x1 convolution" },
        { NET "[convolutional]\nfilters=4\nsize=3\nactivation=elu\n[avgpool]\n[connected]\noutput=10\nactivation=linear\n[softmax]\n", "an activation other than", "leaky" },
        { NET CONV(8, 2) CONV(8, 1) "[shortcut]\nfrom=-2\nbeta=.5\nactivation=leaky\n[avgpool]\n[connected]\noutput=10\nactivation=linear\n[softmax]\n",
          "[shortcut] alpha= or beta=", "scale a convolution" },
    };
    for (size_t i = 0; i < sizeof odd / sizeof *odd; ++i) {
        check_write_network("s", odd[i].cfg, 9);
        options o = { .verify = 2, .onnx = HAS_ONNX ? "out.onnx" : NULL };
        char *said = check_export(&o);
        char *asked = mem_printf("not asked: it does not take %s", odd[i].says), *note = mem_printf("\n%s", odd[i].says);
        if (!strstr(said, asked) || !strstr(said, note) || !strstr(strstr(said, note), odd[i].remedy)) fail_msg("%s: %s", odd[i].says, said);
        free(asked);
        free(note);
        free(said);
        remove_files();
    }
}

/* Channels that only one of two maps has are no trouble to anyone. */
static void unlike_channels(void **state)
{
    (void)state;
    check_write_network("s", NET CONV(8, 2) CONV(12, 1) "[shortcut]\nfrom=-2\nactivation=leaky\n" CONV(6, 1) "[shortcut]\nfrom=-2\nactivation=linear\n"
                        "[avgpool]\n[connected]\noutput=10\nactivation=linear\n[softmax]\n", 9);
    options o = { .verify = 2, .onnx = HAS_ONNX ? "out.onnx" : NULL };
    char *said = check_export(&o);
    assert_null(strstr(said, "does not take"));
    free(said);
    remove_files();
}

/* Cfgs that Debian ships, made small: detectors with two kinds of heads, a classifier. */
static void shipped_cfgs(void **state)
{
    (void)state;
    static const char *const shipped[] = { "yolov3-tiny", "yolov2-tiny", "tiny" };
    for (size_t i = 0; i < sizeof shipped / sizeof *shipped; ++i) {
        diag *d = diag_new();
        char *path = mem_printf("/usr/share/darknet/cfg/%s.cfg", shipped[i]);
        cfg_file *c = access(path, R_OK) ? NULL : cfg_read(path, d);
        free(path);
        if (!c) {
            diag_free(d);
            print_message("skipped: %s.cfg is not installed\n", shipped[i]);
            skip();
        }
        static const char *const net[][2] = { { "width", "64" }, { "height", "64" }, { "batch", "1" }, { "subdivisions", "1" } };
        for (size_t k = 0; k < sizeof net / sizeof *net; ++k) cfg_set(&c->section[0], net[k][0], "%s", net[k][1]);
        char *text = cfg_text(c, NULL);
        check_write_network("s", text, 5);
        options o = { .verify = 1, .fold = 1, .teacher = 1, .onnx = HAS_ONNX ? "out.onnx" : NULL };
        free(check_export(&o));
        remove_files();
        free(text);
        cfg_free(c);
        diag_free(d);
    }
}

int main(void)
{
    network_init();
    if (chdir(check_folder())) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exported_classifier_teaches), cmocka_unit_test(deep_tail_names_its_tap), cmocka_unit_test(detector_is_exported),
        cmocka_unit_test(plain_cfg_is_exported), cmocka_unit_test(plain_numbers_are_not_verified), cmocka_unit_test(not_verified_is_said), cmocka_unit_test(failures_leave_nothing),
        cmocka_unit_test(folder_in_the_way), cmocka_unit_test(disagreement_leaves_nothing),
        cmocka_unit_test(known_limits_are_said), cmocka_unit_test(unlike_channels), cmocka_unit_test(shipped_cfgs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
