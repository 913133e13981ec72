/* weights import: every format gives PyTorch's own answers, and tensors find their layers or are refused by name.
 * Models and answers: fixtures/make_checkpoints.py. Damaged and hostile files: test_import_hostile.c. */
#include "layers/network.h"
#include "check.h"

#include "darknet_plugin/model/model.h"
#include "weights_tools/file/fold_epsilon.h"
#include "weights_tools/import/import.h"
#include "darknet_plugin/base/options.h"

#include <unistd.h>

#define NET(side, channels) "[net]\nbatch=1\nsubdivisions=1\nwidth=" #side "\nheight=" #side "\nchannels=" #channels "\n"
#define CONV(filters, size, stride, norm) \
    "[convolutional]\nbatch_normalize=" #norm "\nfilters=" #filters "\nsize=" #size "\nstride=" #stride "\npad=1\nactivation="
#define END "[avgpool]\n[connected]\noutput=5\nactivation=linear\n[softmax]\n"

/* The fixtures' network; PyTorch defines the shortcut's convolution last, here it stands before the block. */
static const char net_cfg[] =
    NET(8, 3) CONV(4, 3, 1, 1) "relu\n[maxpool]\nsize=1\nstride=2\n" CONV(6, 1, 1, 1) "linear\n[route]\nlayers=0\n" CONV(6, 3, 2, 1)
    "relu\n" CONV(6, 3, 1, 1) "linear\n[shortcut]\nfrom=2\nactivation=relu\n" END;

extern const verb weights_import;

static char fixtures[1024];

static char *fixture(const char *name) { return mem_printf("%s/%s", fixtures, name); }

/* Runs the verb; what it printed in *text, the caller's to free. Messages stay in `d`. */
static int run_import(const char *cfg_text, const char *model, const char *map, const char *eps, char **text, diag *d)
{
    static options o;
    size_t size;
    check_write("net.cfg", cfg_text, strlen(cfg_text));
    if (map) check_write("map.txt", map, strlen(map));
    o = (options){ .n = 4, .arg = { "import", "net.cfg", model, "out.weights" }, .map = map ? "map.txt" : NULL, .eps = eps ? strtod(eps, NULL) : 1e-5 };
    *text = NULL;
    o.out = open_memstream(text, &size);
    unlink("out.weights");
    int failed = weights_import.run(&o, d);
    fclose(o.out);
    return failed;
}

/* Fails unless the import works and prints `printed` (NULL: anything). */
static void imports(const char *cfg_text, const char *model, const char *map, const char *eps, const char *printed)
{
    char *text;
    diag *d = diag_new();
    int failed = run_import(cfg_text, model, map, eps, &text, d);
    check_no_errors(d);
    assert_int_equal(failed, 0);
    if (printed && strncmp(text, printed, strlen(printed))) fail_msg("printed\n%s\nexpected\n%s", text, printed);
    free(text);
    diag_free(d);
}

/* Fails unless it is refused with `message` somewhere in what is said, and nothing was written. */
static void refuses(const char *cfg_text, const char *model, const char *map, const char *message)
{
    char *text, *said = NULL;
    size_t size;
    diag *d = diag_new();
    if (!run_import(cfg_text, model, map, NULL, &text, d)) fail_msg("%s was imported, expected: %s", model, message);
    FILE *f = open_memstream(&said, &size);
    diag_print(d, f);
    fclose(f);
    if (!strstr(said, message)) fail_msg("said\n%s\nexpected\n%s", said, message);
    assert_int_equal(access("out.weights", F_OK), -1);
    free(said);
    free(text);
    diag_free(d);
}

/* ---- formats ---- */

/* The imported network's answer, in ours and in the unmodified host, against PyTorch's. */
static void check_answer(const char *what, const float *x, const float *want)
{
    diag *d = diag_new();
    model_options mo = { .threads = 1 };
    model *m = model_open("net.cfg", &mo, d);
    check_no_errors(d);
    assert_int_equal(model_load_whole(m, "out.weights", d), 0);
    check_close_n(model_predict(m, x), want, 5, 1e-5, what);
    network *host = check_parse(net_cfg);
    host_load_weights(host, "out.weights");
    check_close_n(network_predict(host, (float *)(uintptr_t)x), want, 5, 1e-5, what);
    host_free(host);
    model_close(m);
    diag_free(d);
}

static void formats_answer_as_pytorch(void **state)
{
    (void)state;
    static const struct { const char *model, *eps; int answer; } rows[] = {
        { "net.pt", NULL, 0 }, { "legacy.pt", NULL, 0 }, { "net.safetensors", NULL, 0 }, { "net.pt", "1e-3", 1 },
#ifdef ONNX
        { "net.onnx", NULL, 1 }, { "folded.onnx", NULL, 0 },
#endif
    };
    char *path = fixture("answer.bin");
    float *answer = (float *)(void *)check_read(path, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i) {
        char *model = fixture(rows[i].model);
        imports(net_cfg, model, NULL, rows[i].eps, NULL);
        check_answer(rows[i].model, answer, answer + 192 + 5 * rows[i].answer);
        free(model);
    }
    free(answer);
    free(path);
}

/* The two answers differ: epsilon was not lost on both sides. */
static void answers_differ(void **state)
{
    (void)state;
    char *path = fixture("answer.bin");
    float *answer = (float *)(void *)check_read(path, NULL);
    double most = 0;
    for (int i = 0; i < 5; ++i) most = fmax(most, fabs((double)answer[192 + i] - (double)answer[197 + i]));
    assert_true(most > 1e-3);
    free(answer);
    free(path);
}

static void mapping_is_printed(void **state)
{
    (void)state;
    char *model = fixture("legacy.pt");
    imports(net_cfg, model, NULL, NULL,
            "module.conv1.weight -> [convolutional] #0 4x3x3x3, batch norm module.bn1\n"
            "module.block.conv1.weight -> [convolutional] #4 6x4x3x3, batch norm module.block.bn1\n"
            "module.block.conv2.weight -> [convolutional] #5 6x6x3x3, batch norm module.block.bn2\n"
            "module.block.downsample.0.weight -> [convolutional] #2 6x4x1x1, batch norm module.block.downsample.1\n"
            "module.fc.weight -> [connected] #8 5x6\nout.weights: 5 layers, 795 values, read from PyTorch checkpoint (legacy)\n");
    free(model);
}

static named_tensors *read_fixture(const char *name)
{
    diag *d = diag_new();
    char *path = fixture(name);
    named_tensors *t = named_tensors_read(path, d);
    check_no_errors(d);
    assert_non_null(t);
    free(path);
    diag_free(d);
    return t;
}

static const named_tensor *find(const named_tensors *t, const char *name)
{
    for (int i = 0; i < t->n; ++i)
        if (!strcmp(t->tensor[i].name, name)) return &t->tensor[i];
    fail_msg("no tensor '%s'", name);
    return NULL;
}

/* Number types, a transposed view, a view with an offset and steps, a parameter, a counter. base[i][j] = 6i + j - 8.5. */
static void types_and_views(void **state)
{
    (void)state;
    named_tensors *t = read_fixture("types.pt");
    static const char *const plain[] = { "half.weight", "brain.weight", "double.weight" };
    for (int k = 0; k < 3; ++k)
        for (int i = 0; i < 24; ++i) check_close(find(t, plain[k])->data[i], i - 8.5, 0, plain[k], (size_t)i);
    const named_tensor *across = find(t, "across.weight"), *part = find(t, "part.weight"), *e = find(t, "extremes.weight");
    assert_int_equal(across->dim[0], 6);
    assert_int_equal(across->dim[1], 4);
    for (int i = 0; i < 24; ++i) check_close(across->data[i], i % 4 * 6 + i / 4 - 8.5, 0, "across", (size_t)i);
    for (int i = 0; i < 6; ++i) check_close(part->data[i], (i / 3 + 1) * 6 + i % 3 * 2 - 8.5, 0, "part", (size_t)i);
    for (int i = 0; i < 6; ++i) check_close(find(t, "parameter.weight")->data[i], 2 * (i - 8.5), 0, "parameter", (size_t)i);
    check_close(e->data[0], 65504, 0, "half", 0);
    check_close(e->data[1] / ldexp(-1, -24), 1, 0, "half", 1);
    check_close(e->data[2] / 6.1e-5, 1, 1e-3, "half", 2);
    assert_int_equal(find(t, "count")->integer, 1);
    assert_int_equal(find(t, "count")->dims, 0);
    check_close(find(t, "count")->data[0], 3, 0, "count", 0);
    named_tensors_free(t);
}

static void onnx_matmul_is_turned(void **state)
{
    (void)state;
#ifndef ONNX
    skip();
#endif
    named_tensors *t = read_fixture("matmul.onnx");
    static const float w[] = { 0, 3, 1, 4, 2, 5 }, b[] = { 7, 8, 9 };
    assert_int_equal(t->n, 2);
    assert_int_equal(t->tensor[0].dim[0], 3);
    check_close_n(t->tensor[0].data, w, 6, 0, "weights");
    check_close_n(t->tensor[1].data, b, 3, 0, "bias");
    assert_int_equal(t->tensor[1].part, PART_BIAS);
    assert_int_equal(t->tensor[1].layer, t->tensor[0].layer);
    named_tensors_free(t);
}

/* ---- matching: models of safetensors, written here ---- */

/* "name:2x3 name:4": tensors of values 1, 2, 3, ... in one count. */
static void write_model(const char *path, const char *tensors)
{
    char *copy = mem_strdup(tensors), *save, *header;
    size_t size, values = 0;
    FILE *f = open_memstream(&header, &size);
    fputc('{', f);
    for (char *t = strtok_r(copy, " ", &save); t; t = strtok_r(NULL, " ", &save)) {
        char *shape = strchr(t, ':');
        size_t n = 1, begin = values * 4;
        *shape++ = 0;
        fprintf(f, "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[", begin ? "," : "", t);
        for (char *p = shape, *end; *p; p = *end ? end + 1 : end) {
            size_t k = strtoul(p, &end, 10);
            n *= k;
            fprintf(f, "%s%zu", p == shape ? "" : ",", k);
        }
        values += n;
        fprintf(f, "],\"data_offsets\":[%zu,%zu]}", begin, values * 4);
    }
    fputc('}', f);
    fclose(f);
    uint64_t length = size;
    f = fopen(path, "wb");
    assert_true(f && fwrite(&length, 8, 1, f) == 1 && fwrite(header, 1, size, f) == size);
    for (size_t i = 0; i < values; ++i) {
        float v = (float)(i + 1);
        assert_int_equal(fwrite(&v, sizeof v, 1, f), 1);
    }
    fclose(f);
    free(header);
    free(copy);
}

static float *written_floats(void) { return (float *)(void *)(check_read("out.weights", NULL) + 20); }
static void drop(float *x) { free((char *)x - 20); }

/* 1x1 convolutions 2 -> 2 and a linear layer. */
#define TWO NET(2, 2) CONV(2, 1, 1, 0) "relu\n" CONV(2, 1, 1, 0) "relu\n"
#define SAME TWO END
#define FOUR CONV(2, 1, 1, 0) "relu\n" CONV(2, 1, 1, 0) "relu\n" CONV(2, 1, 1, 0) "relu\n" CONV(2, 1, 1, 0) "relu\n"
#define TWELVE FOUR FOUR FOUR
/* The first two layers have unlike shapes, the third is like the first. */
#define PASSED NET(2, 2) CONV(2, 1, 1, 0) "relu\n" CONV(2, 3, 1, 0) "relu\n" CONV(2, 1, 1, 0) "relu\n[softmax]\n"

static void order_decides(void **state)
{
    (void)state;
    write_model("m", "z.weight:2x2x1x1 a.weight:2x2x1x1 fc.weight:5x2 fc.bias:5");
    imports(SAME, "m", NULL, NULL, "z.weight -> [convolutional] #0 2x2x1x1\na.weight -> [convolutional] #1 2x2x1x1\nfc.weight -> [connected] #3 5x2\n");
    float *x = written_floats();
    static const float want[] = { 0, 0, 1, 2, 3, 4, 0, 0, 5, 6, 7, 8, 19, 20, 21, 22, 23, 9 };   /* biases first */
    check_close_n(x, want, sizeof want / sizeof *want, 0, "file");
    drop(x);
}

/* Names in order: numbers by value, the classifier among them goes where only it fits. */
static void sorted_names_count_by_value(void **state)
{
    (void)state;
    write_model("m", "fc.weight:5x2 layer10.weight:2x2x1x1 layer9.weight:2x2x1x1");
    imports(SAME, "m", NULL, NULL, "fc.weight -> [connected] #3 5x2\nlayer9.weight -> [convolutional] #0 2x2x1x1\nlayer10.weight -> [convolutional] #1");
}

static void ambiguity_is_refused(void **state)
{
    (void)state;
    write_model("m", "wide.weight:2x2x3x3 one.weight:2x2x1x1 two.weight:2x2x1x1");
    refuses(PASSED, "m", NULL, "'one.weight' 2x2x1x1 without batch norm fits [convolutional] #0, passed over before, and [convolutional] #2");
    refuses(PASSED, "m", NULL, "'one = 0' or 'one = 2'");
    imports(PASSED, "m", "one.weight = 2   # said\n\ntwo = 0\n", NULL,
            "one.weight -> [convolutional] #2 2x2x1x1\ntwo.weight -> [convolutional] #0 2x2x1x1\nwide.weight -> [convolutional] #1 2x2x3x3\n");
    float *x = written_floats();
    static const float first[] = { 0, 0, 41, 42, 43, 44 };
    check_close_n(x, first, 6, 0, "layer 0");
    drop(x);
}

static void what_does_not_fit_is_named(void **state)
{
    (void)state;
    write_model("m", "a.weight:2x2x1x1 b.weight:3x2x1x1 fc.weight:5x2");
    refuses(SAME, "m", NULL, "'b.weight' 3x2x1x1 without batch norm fits no layer that is left: the next, [convolutional] #1 (net.cfg:14), wants 2x2x1x1 without batch norm");
    write_model("m", "a.weight:2x2x1x1 b.weight:2x2x1x1 c.weight:2x2x1x1 fc.weight:5x2");
    refuses(SAME, "m", NULL, "'c.weight' 2x2x1x1 without batch norm fits no layer that is left: the next, [connected] #3");
    write_model("m", "a.weight:2x2x1x1 b.weight:2x2x1x1 fc.weight:5x2 d.weight:2x2x1x1");
    refuses(SAME, "m", NULL, "fits no layer: all layers of net.cfg have their weights");
    imports(SAME, "m", "d = none\n", NULL, NULL);
    write_model("m", "a.weight:2x2x1x1 fc.weight:5x2");
    refuses(SAME, "m", NULL, "net.cfg:14: [convolutional] layer 1 wants 2x2x1x1 without batch norm, and nothing in m is left for it");
    write_model("m", "a.weight:2x2x1x1 n.running_mean:2 n.running_var:2 b.weight:2x2x1x1 fc.weight:5x2");
    refuses(SAME, "m", NULL, "'a.weight' 2x2x1x1 with batch norm fits no layer");
    write_model("m", "a.weight:2x2x1x1 a.bias:3");
    refuses(SAME, "m", NULL, "'a.bias' 3 belongs to no convolution");
    write_model("m", "a.weight:2x2x1x1 norm.weight:2 norm.bias:2");
    refuses(SAME, "m", NULL, "'norm.weight' 2 belongs to no convolution, linear layer or batch norm");
    write_model("m", "a.weight_g:2x2x1x1");
    refuses(SAME, "m", NULL, "tensor 'a.weight_g' 2x2x1x1 is no weight, bias or running statistic");
    refuses(NET(4, 2) "[local]\nfilters=2\nsize=1\nstride=1\npad=0\nactivation=linear\n[softmax]\n", "m", "a.weight_g = none", "no weights of a convolution");
    write_model("m", "a.weight:2x2x1x1");
    refuses(NET(4, 2) "[local]\nfilters=2\nsize=1\nstride=1\npad=0\nactivation=linear\n[softmax]\n", "m", NULL, "into [convolutional] and [connected] only");
}

static void maps_are_checked(void **state)
{
    (void)state;
    write_model("m", "a.weight:2x2x1x1 b.weight:2x2x1x1 fc.weight:5x2");
    refuses(SAME, "m", "a = 0\nb 1\n", "map.txt:2: expected 'name = layer number'");
    refuses(SAME, "m", "a = -1\n", "map.txt:1: expected");
    refuses(SAME, "m", "a = 1x\n", "map.txt:1: expected");
    refuses(SAME, "m", "\nc = 1\n", "map.txt:2: 'c' is no tensor or module of m");
    refuses(SAME, "m", "a = 9\n", "map.txt:1: layer 9 of net.cfg has no weights");
    refuses(SAME, "m", "a = 2\n", "map.txt:1: layer 2 of net.cfg has no weights");
    refuses(SAME, "m", "a = 3\n", "map.txt:1: 'a.weight' 2x2x1x1 without batch norm does not fit layer 3, which wants 5x2");
    refuses(SAME, "m", "a = 1\nb = 1\n", "map.txt:2: layer 1 is given twice");
    imports(SAME, "m", "module.a = 1\n", NULL, "a.weight -> [convolutional] #1");
}

/* Names may be beginnings, or one tensor's. */
static void maps_leave_out(void **state)
{
    (void)state;
    write_model("m", "teacher.a.weight:2x2x1x1 teacher.b.weight:7x7 a.weight:2x2x1x1 a.bias:2 b.weight:2x2x1x1 fc.weight:5x2");
    imports(SAME, "m", "teacher.* = none\n", NULL, "a.weight -> [convolutional] #0 2x2x1x1\nb.weight -> [convolutional] #1 2x2x1x1\n"
            "fc.weight -> [connected] #3 5x2\nout.weights: 3 layers, 27 values, read from safetensors\n"
            "teacher.* -> left out, as map.txt:1 says, tensors: 2\n");
    imports(SAME, "m", "teacher.* = none\na.bias = none\n", NULL, "a.weight -> [convolutional] #0 2x2x1x1\n");
    float *x = written_floats();
    static const float want[] = { 0, 0, 54, 55, 56, 57 };     /* its bias was left out, nothing else */
    check_close_n(x, want, 6, 0, "file");
    drop(x);
    imports(SAME, "m", "teacher.* = none\nb.weight = 0\n", NULL, "b.weight -> [convolutional] #0 2x2x1x1\na.weight -> [convolutional] #1");
    refuses(SAME, "m", "teacher.* = none\na.bias = 1\n", "map.txt:2: 'a.bias' is no tensor or module of m\nhint: a number is for a module");
    refuses(SAME, "m", "pupil.* = none\n", "map.txt:1: 'pupil.*' is no tensor or module of m");
    refuses(SAME, "m", "teacher.* = 1\n", "map.txt:1: 'teacher.*' are many, a layer takes one");
    refuses(SAME, "m", "a = 0\nmodule.a = 1\n", "map.txt:2: 'a' is there twice, first in line 1");
    check_write("map.txt", "a = 0\0 = 1\n", 11);
    static options o;
    diag *d = diag_new();
    o = (options){ .n = 4, .arg = { "import", "net.cfg", "m", "out.weights" }, .map = "map.txt", .out = stdout };
    assert_int_not_equal(weights_import.run(&o, d), 0);
    assert_string_equal(diag_get(d, 0)->text, "a byte of value 0, which no line of text has");
    diag_free(d);
}

/* What no Darknet layer computes is no weight to leave out: no hint says how. */
static void norms_without_statistics(void **state)
{
    (void)state;
    static const char message[] = "it is of a GroupNorm, a LayerNorm, a PReLU or a batch norm without running statistics, which no Darknet layer computes\n";
    char *text;
    diag *d = diag_new();
    write_model("m", "a.weight:2x2x1x1 gn.weight:2 gn.bias:2 b.weight:2x2x1x1 fc.weight:5x2");
    refuses(SAME, "m", NULL, message);
    write_model("m", "a.weight:2x2x1x1 act.weight:2 b.weight:2x2x1x1 fc.weight:5x2");
    refuses(SAME, "m", NULL, message);
    assert_int_equal(run_import(SAME, "m", "act = none\n", NULL, &text, d), 0);
    assert_string_equal(diag_get(d, 0)->text, "'act.weight' has the size of a normalisation: the model computes with it, the network will without");
    free(text);
    diag_free(d);
}

/* Maps of unlike channels are added in one way here and in another in ResNet's option A. */
static void unlike_shortcuts_are_told(void **state)
{
    (void)state;
    static const char cfg[] = NET(2, 2) CONV(2, 1, 1, 0) "relu\n" CONV(3, 1, 1, 0) "linear\n[shortcut]\nfrom=0\nactivation=relu\n[softmax]\n";
    char *text;
    diag *d = diag_new();
    write_model("m", "a.weight:2x2x1x1 b.weight:3x2x1x1");
    assert_int_equal(run_import(cfg, "m", NULL, NULL, &text, d), 0);
    assert_string_equal(diag_get(d, 0)->text, "1 of these add maps of unlike channels, here 2 to 3: Darknet adds to the first channels");
    free(text);
    diag_free(d);
}

/* ---- what training loops save ---- */

#define TRAINED NET(2, 2) CONV(2, 1, 1, 1) "relu\n" END

static void training_checkpoints(void **state)
{
    (void)state;
    static const char *const names[] = { "training2.pt", "training4.pt" };
    static const char printed[] = "conv.weight -> [convolutional] #0 2x2x1x1, batch norm bn\nfc.weight -> [connected] #2 5x2\n"
        "out.weights: 2 layers, 27 values, read from PyTorch checkpoint (zip)\n"
        "'model_ema' -> not taken: it is beside the model, tensors: 8\n'projector' -> not taken: it is beside the model, tensors: 1\n"
        "'optimizer' -> not taken: it is beside the model, tensors: 2\n";
    for (int i = 0; i < 2; ++i) {
        char *model = fixture(names[i]);
        imports(TRAINED, model, NULL, NULL, printed);
        float *x = written_floats();
        static const float want[] = { 200, 201, 100, 101, 300, 301 };     /* shifts, scales, means */
        static const float rest[] = { 0, 1, 2, 3, 700, 701, 702, 703, 704, 600 };
        check_close_n(x, want, 6, 0, names[i]);
        check_close_n(x + 8, rest, 10, 0, names[i]);
        drop(x);
        free(model);
    }
}

static void fractions_that_count(void **state)
{
    (void)state;
    char *model = fixture("average.pt");
    imports(TRAINED, model, NULL, NULL, "conv.weight -> [convolutional] #0 2x2x1x1, batch norm bn\n");
    imports(TRAINED, model, "bn.num_batches_tracked = none\n", NULL, "conv.weight -> [convolutional] #0 2x2x1x1, batch norm bn\n");
    free(model);
}

/* As text 10 comes before 2. */
static void sorted_checkpoints_count_by_value(void **state)
{
    (void)state;
    char *model = fixture("sorted.pt");
    imports(NET(2, 2) TWELVE "[softmax]\n", model, NULL, NULL, NULL);
    float *x = written_floats();
    for (int i = 0; i < 12; ++i) check_close(x[6 * i + 2], 100 * i, 0, "layer", (size_t)i);
    drop(x);
    free(model);
}

static void expanded_tensors(void **state)
{
    (void)state;
    char *model = fixture("expanded.pt");
    imports(NET(2, 2) CONV(4, 1, 1, 1) "relu\n[softmax]\n", model, NULL, NULL, NULL);
    float *x = written_floats(), v = fold_variance(400, 1e-5);
    for (int i = 0; i < 4; ++i) check_close(x[12 + i], v, 0, "variance", (size_t)i);
    drop(x);
    free(model);
}

/* Both norms have as many channels: their numbers tell, then their place. */
static void norms_find_their_convolutions(void **state)
{
    (void)state;
#define NORM(name) " " #name ".weight:2 " #name ".bias:2 " #name ".running_mean:2 " #name ".running_var:2"
    static const char cfg[] = NET(2, 2) CONV(2, 1, 1, 1) "relu\n" CONV(2, 1, 1, 1) "relu\n[softmax]\n";
    write_model("m", "x.conv1.weight:2x2x1x1 x.conv2.weight:2x2x1x1" NORM(x.bn1) NORM(x.bn2));
    imports(cfg, "m", NULL, NULL, "x.conv1.weight -> [convolutional] #0 2x2x1x1, batch norm x.bn1\nx.conv2.weight -> [convolutional] #1 2x2x1x1, batch norm x.bn2\n");
    write_model("m", "1.weight:2x2x1x1" NORM(2) " 0.weight:2x2x1x1" NORM(7));
    imports(cfg, "m", NULL, NULL, "1.weight -> [convolutional] #0 2x2x1x1, batch norm 2\n0.weight -> [convolutional] #1 2x2x1x1, batch norm 7\n");
    write_model("m", "p.weight:2x2x1x1 q.weight:2x2x1x1" NORM(r.u) NORM(r.v));
    refuses(cfg, "m", NULL, "batch norm 'r.v' of 2 channels: no layer of as many outputs stands before it");
    imports(cfg, "m", "r.u = 0\np = 0\n r.v = 1\nq = 1", NULL, "p.weight -> [convolutional] #0 2x2x1x1, batch norm r.u\nq.weight -> [convolutional] #1 2x2x1x1, batch norm r.v\n");
    write_model("m", "p.weight:2x2x1x1 n.running_mean:2 q.weight:2x2x1x1");
    refuses(cfg, "m", NULL, "'n.running_mean' 2 belongs to no");
    write_model("m", "p.weight:2x2x1x1 n.running_mean:3 n.running_var:3");
    refuses(cfg, "m", NULL, "batch norm 'n' of 3 channels");
}

/* Linear weights into a 1x1 convolution; a convolution that covers the map into a [connected], in the same order. */
static void linear_and_convolution(void **state)
{
    (void)state;
    write_model("m", "fc.weight:3x2 fc.bias:3");
    imports(NET(1, 2) CONV(3, 1, 1, 0) "linear\n[softmax]\n", "m", NULL, NULL, "fc.weight -> [convolutional] #0 3x2x1x1\n");
    write_model("m", "fc.weight:3x2x2x2");
    static const char connected[] = NET(2, 2) "[connected]\noutput=3\nactivation=linear\n";
    imports(connected, "m", NULL, NULL, "fc.weight -> [connected] #0 3x8\n");
    float *x = written_floats();
    for (int i = 0; i < 24; ++i) check_close(x[3 + i], i + 1, 0, "connected", (size_t)i);
    drop(x);
    network *net = check_parse(connected);
    float image[8] = { 0, 0, 0, 0, 0, 1, 0, 0 };       /* channel 1, row 0, column 1 */
    host_load_weights(net, "out.weights");
    float *y = network_predict(net, image);
    for (int i = 0; i < 3; ++i) check_close(y[i], 8 * i + 6, 1e-6, "connected", (size_t)i);
    host_free(net);
    refuses(NET(2, 2) CONV(3, 2, 1, 0) "linear\n[softmax]\n", "m", "fc = 1", "map.txt:1: layer 1 of net.cfg has no weights");
    write_model("m", "fc.weight:3x8x1x1");
    imports(connected, "m", NULL, NULL, "fc.weight -> [connected] #0 3x8\n");
    write_model("m", "fc.weight:3x2x4x1");
    refuses(connected, "m", NULL, "fits no layer");
}

/* ---- values ---- */

static void variance_is_compensated(void **state)
{
    (void)state;
    static const double v[] = { 0, 1e-12, 1e-8, 1e-5, .05, 1, 1e6 }, e[] = { 1e-5, 1e-3, 1e-8 };
    for (size_t i = 0; i < 7; ++i)
        for (size_t k = 0; k < 3; ++k) {
            double stored = (double)fold_variance(v[i], e[k]);
            assert_true(stored >= 0);
            check_close((sqrt(stored) + 1e-6) / sqrt(v[i] + e[k]), 1, 2e-7, "root", i);
        }
    check_close((double)fold_variance(0, 0), 0, 0, "below the host's epsilon", 0);
    check_close((double)fold_variance(1e-14, 0), 0, 0, "below the host's epsilon", 1);
}

/* Overwrites one float, counted from the end of the file. */
static void poke(const char *path, long from_end, float value)
{
    FILE *f = fopen(path, "r+b");
    assert_true(f && !fseek(f, -4 * from_end, SEEK_END) && fwrite(&value, sizeof value, 1, f) == 1);
    fclose(f);
}

static void odd_values_are_refused(void **state)
{
    (void)state;
    static const char cfg[] = NET(2, 2) CONV(2, 1, 1, 1) "relu\n[softmax]\n";
    write_model("m", "a.weight:2x2x1x1 n.running_mean:2 n.running_var:2");
    poke("m", 1, -1e-9f);
    refuses(cfg, "m", NULL, "'n.running_var': value 1 is -1e-09");
    poke("m", 1, 1);
    poke("m", 8, NAN);
    refuses(cfg, "m", NULL, "'a.weight': value 0 is nan");
    poke("m", 8, INFINITY);
    refuses(cfg, "m", NULL, "'a.weight': value 0 is inf");
    static options o;
    diag *d = diag_new();
    assert_int_not_equal(options_parse(&o, &weights_import, 2, (char *[]){ (char[]){ "-eps" }, (char[]){ "x" } }, d), 0);
    assert_string_equal(diag_get(d, 0)->text, "'-eps x': expected a number from 0 to 1");
    diag_free(d);
}

/* A distillation cfg: its encoder, as a file that starts a training. */
static void encoder_of_a_distillation(void **state)
{
    (void)state;
    static const char cfg[] = NET(2, 2) "[teacher]\ncfg=none.cfg\n" CONV(2, 1, 1, 0) "relu\n" CONV(2, 1, 1, 0)
                              "relu\n[projector]\n[feature_l2]\n[reused_classifier]\n";
    write_model("m", "a.weight:2x2x1x1 b.weight:2x2x1x1 fc.weight:5x2");
    imports(cfg, "m", NULL, NULL, "a.weight -> [convolutional] #0 2x2x1x1\nb.weight -> [convolutional] #1 2x2x1x1\nfc.weight -> not used\n"
            "out.weights: 2 layers, 12 values, the encoder alone, read from safetensors\n");
    size_t len;
    free(check_read("out.weights", &len));
    assert_int_equal(len, 20 + 4 * 12);
    write_model("m", "a.weight:2x2x1x1 fc.weight:5x2");
    refuses(cfg, "m", NULL, "the first tensor that fits nothing is 'fc.weight' 5x2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_answer_as_pytorch), cmocka_unit_test(answers_differ), cmocka_unit_test(mapping_is_printed),
        cmocka_unit_test(types_and_views), cmocka_unit_test(onnx_matmul_is_turned), cmocka_unit_test(order_decides),
        cmocka_unit_test(sorted_names_count_by_value), cmocka_unit_test(ambiguity_is_refused),
        cmocka_unit_test(what_does_not_fit_is_named), cmocka_unit_test(maps_are_checked),
        cmocka_unit_test(norms_find_their_convolutions), cmocka_unit_test(linear_and_convolution),
        cmocka_unit_test(variance_is_compensated), cmocka_unit_test(odd_values_are_refused),
        cmocka_unit_test(encoder_of_a_distillation), cmocka_unit_test(maps_leave_out), cmocka_unit_test(norms_without_statistics),
        cmocka_unit_test(unlike_shortcuts_are_told), cmocka_unit_test(training_checkpoints), cmocka_unit_test(fractions_that_count),
        cmocka_unit_test(sorted_checkpoints_count_by_value), cmocka_unit_test(expanded_tensors),
    };
    network_init();
    if (!realpath("tests/fixtures/import", fixtures) || chdir(check_folder())) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
