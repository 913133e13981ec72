/* Verification of deployed files: it passes what is right, and of a damaged file it names the first layer that differs, plain,
 * folded and merged. */
#include "layers/network.h"
#include "check_nets.h"

#include "darknet_plugin/deploying/verify.h"

#include <unistd.h>

#define NET "[net]\nbatch=2\nsubdivisions=1\nwidth=16\nheight=16\nchannels=3\n"
#define CONV(filters, stride) \
    "[convolutional]\nbatch_normalize=1\nfilters=" #filters "\nsize=3\nstride=" #stride "\npad=1\nactivation=relu\n"
#define BODY NET CONV(8, 2) CONV(12, 2)
static const char teacher_cfg[] = BODY "[avgpool]\n[convolutional]\nfilters=10\nsize=1\nactivation=linear\n[softmax]\n";
static const char student_cfg[] = NET "[teacher]\ncfg=t.cfg\nweights=t.weights\n" CONV(4, 2) CONV(6, 2)
    "[projector]\nstack=linear\n[feature_l2]\n[reused_classifier]\n";

enum { IMAGES = 6, BYTES = 3 * 16 * 16, CLASSES = 10 };

typedef struct fixture {
    model *m;
    deployed *p;
    uint8_t pixels[IMAGES * BYTES];
    float answer[IMAGES * CLASSES];
    verify_job job;
    verify_result result[VERIFY_READERS];
    diag *d;
} fixture;

static void write_cfg(const lowered *l)
{
    size_t len;
    char *text = cfg_text(l->cfg, &len);
    check_write("x.cfg", text, len);
    free(text);
}

static void answer_all(fixture *f)
{
    float x[2 * BYTES] = { 0 };
    rng r = rng_make(3, 0, 0, RNG_TEST);
    for (int i = 0; i < IMAGES * BYTES; ++i) f->pixels[i] = (uint8_t)rng_uniform(&r, 0, 256);
    for (int i = 0; i < IMAGES; ++i) {
        verify_planar(f->pixels + i * BYTES, 3, 16, 16, x);
        model_predict(f->m, x);
        deploy_answer(f->p, f->m->net, 0, f->answer + i * CLASSES);
    }
}

static fixture *make(const char *cfg, int merge, int fold)
{
    fixture *f = mem_calloc(1, sizeof *f);
    f->d = diag_new();
    check_write_network("t", teacher_cfg, 4);
    f->m = check_model("s", cfg, 6);
    f->p = deploy_open(f->m, "s.cfg", f->d);
    if (merge) assert_int_equal(deploy_merge(f->p, f->d), 1);
    if (fold) assert_true(deploy_fold(f->p, f->d) > 0);
    write_cfg(f->p->low);
    assert_int_equal(weights_save(f->p->net, "x.weights", f->d), 0);
    check_no_errors(f->d);
    answer_all(f);
    f->job = (verify_job){ .cfg = "x.cfg", .weights = "x.weights", .n = IMAGES, .c = 3, .h = 16, .w = 16, .outputs = f->p->outputs,
                           .output = f->p->output, .values = deploy_values(f->p), .raw = f->p->raw, .pixels = f->pixels,
                           .answer = f->answer, .source = { "s.cfg", "s.weights", LOWER_TRAIN, f->p->from } };
    assert_int_equal(f->job.values, CLASSES);
    return f;
}

static void drop(fixture *f)
{
    deploy_close(f->p);
    model_close(f->m);
    diag_free(f->d);
    free(f);
}

static void write_onnx(fixture *f)
{
#ifdef ONNX
    assert_int_equal(check_write_onnx(f->p->net, f->p->low->cfg, f->p->output, f->p->outputs, "x.onnx", f->d), 0);
    f->job.onnx = "x.onnx";
#else
    (void)f;
#endif
}

static void right_files_pass(void **state)
{
    (void)state;
    for (int k = 0; k < 4; ++k) {
        fixture *f = make(student_cfg, k & 1, k & 2);
        write_onnx(f);
        int failed = verify_deployed(&f->job, f->result, f->d);
        check_no_errors(f->d);
        assert_int_equal(failed, 0);
        for (int i = 0; i < VERIFY_READERS; ++i)
            if (f->result[i].ran > 0) assert_true(f->result[i].agree == IMAGES && f->result[i].difference <= f->result[i].bound);
        assert_int_equal(f->result[VERIFY_HOST].ran, 1);
        assert_int_equal(f->result[VERIFY_OPENCV].ran, 1);
        assert_int_equal(f->result[VERIFY_ONNX].ran, f->job.onnx ? 1 : -1);
        drop(f);
    }
}

/* Writes the files again with one weight of layer i changed. */
static void damage(fixture *f, int i)
{
    f->p->net->layers[i].weights[3] += 3;
    assert_int_equal(weights_save(f->p->net, "x.weights", f->d), 0);
}

static void check_named(const fixture *f, const char *reader, const char *layer)
{
    for (int i = 0; i < diag_count(f->d); ++i) {
        const diag_message *m = diag_get(f->d, i);
        if (!strstr(m->text, reader) || strstr(m->text, "ONNX")) continue;
        if (!strstr(check_hint(f->d, i), layer)) fail_msg("%s: expected %s, the hint is: %s", reader, layer, check_hint(f->d, i));
        return;
    }
    fail_msg("nothing is said of %s", reader);
}

static void check_damage(int layer, int merge, int fold, const char *names)
{
    fixture *f = make(student_cfg, merge, fold);
    damage(f, layer);
    assert_int_equal(verify_deployed(&f->job, f->result, f->d), -1);
    check_named(f, "libdarknet differs", names);
    check_named(f, "OpenCV", names);
    assert_true(f->result[VERIFY_HOST].difference > f->result[VERIFY_HOST].bound);
    drop(f);
}

static void damaged_layer_is_named(void **state)
{
    (void)state;
    check_damage(0, 0, 0, "layer 0 [convolutional] (s.cfg:10)");
    check_damage(1, 0, 0, "layer 1 [convolutional] (s.cfg:17)");
    check_damage(2, 0, 0, "layer 2 [convolutional] (s.cfg:24)");   /* the projector */
    check_damage(4, 0, 1, "layer 4 [convolutional] (t.cfg:22)");   /* the teacher's classifier */
    check_damage(1, 1, 1, "layer 1 [convolutional] (s.cfg:17)");
    check_damage(3, 1, 0, "layer 3 [convolutional] (t.cfg:22)");   /* projector and classifier in one */
}

/* The cfg and weights are right, the ONNX file is of other weights. */
static void damaged_onnx_is_named(void **state)
{
    (void)state;
#ifndef ONNX
    print_message("skipped: this build is without ONNX (make ONNX=0)\n");
    skip();
#endif
    fixture *f = make(student_cfg, 0, 0);
    f->p->net->layers[1].weights[3] += 3;
    write_onnx(f);
    assert_int_equal(verify_deployed(&f->job, f->result, f->d), -1);
    assert_int_equal(diag_errors(f->d), 1);
    assert_non_null(strstr(diag_get(f->d, 0)->text, "ONNX differs"));
    assert_string_equal(diag_get(f->d, 0)->file, "s.cfg");
    assert_non_null(strstr(check_hint(f->d, 0), "layer 1 [convolutional] (s.cfg:17)"));
    drop(f);
}

static void nan_is_a_difference(void **state)
{
    (void)state;
    fixture *f = make(student_cfg, 0, 0);
    for (int i = 0; i < f->p->net->layers[4].n; ++i) f->p->net->layers[4].biases[i] = NAN;
    assert_int_equal(weights_save(f->p->net, "x.weights", f->d), 0);
    assert_int_equal(verify_deployed(&f->job, f->result, f->d), -1);
    assert_true(isinf(f->result[VERIFY_HOST].difference));
    drop(f);
}

int main(void)
{
    network_init();
    if (chdir(check_folder())) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(right_files_pass), cmocka_unit_test(damaged_layer_is_named), cmocka_unit_test(damaged_onnx_is_named),
        cmocka_unit_test(nan_is_a_difference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
