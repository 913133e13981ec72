/* Merging a linear projector with the reused classifier: the merged network answers as the unmerged one, has a layer less and
 * the multiply-adds of a student with a classifier of its own; what cannot be merged is said, with the layer that forbids it. */
#include "layers/network.h"
#include "check_nets.h"

#include <unistd.h>

#define NET "[net]\nbatch=2\nsubdivisions=1\nwidth=16\nheight=16\nchannels=3\n"
#define CONV(filters, stride) "[convolutional]\nfilters=" #filters "\nsize=3\nstride=" #stride "\npad=1\nactivation=relu\n"
#define BODY NET CONV(8, 2) CONV(12, 2)
#define POINT(filters) "[convolutional]\nfilters=" #filters "\nsize=1\nstride=1\npad=1\nactivation=linear\n"
#define TEACHER(tap) NET "[teacher]\ncfg=t.cfg\nweights=t.weights\n" tap
#define TRIPLE(stack) "[projector]\n" stack "\n[feature_l2]\n[reused_classifier]\n"
#define STUDENT CONV(4, 2) CONV(6, 2)

typedef struct merge_case {
    const char *name, *teacher, *student;
    int layers;              /* of the merged network */
    double macs;             /* of the student with a classifier of its own: encoder (6912 + 3456) and classifier */
} merge_case;
enum { ENCODER = 64 * 27 * 4 + 16 * 9 * 4 * 6 };

static const merge_case cases[] = {
    { "avgpool, 1x1 convolution", BODY "[avgpool]\n" POINT(10) "[softmax]\n", TEACHER("") STUDENT TRIPLE("stack=linear"), 5, ENCODER + 60 },
    { "1x1 convolution, avgpool", BODY POINT(10) "[avgpool]\n[softmax]\n", TEACHER("") STUDENT TRIPLE("stack=linear"), 5, ENCODER + 960 },
    { "avgpool, connected", BODY "[avgpool]\n[connected]\noutput=10\nactivation=linear\n[softmax]\n",
      TEACHER("") STUDENT TRIPLE("stack=linear"), 5, ENCODER + 60 },
    { "connected on the map", BODY "[connected]\noutput=10\nactivation=linear\n[softmax]\n", TEACHER("") STUDENT TRIPLE("stack=linear"), 4,
      ENCODER + 960 },
    { "batch norm in the classifier", BODY "[avgpool]\n[convolutional]\nbatch_normalize=1\nfilters=10\nsize=1\nactivation=leaky\n[softmax]\n",
      TEACHER("") STUDENT TRIPLE("stack=linear"), 5, ENCODER + 60 },
    { "batch norm in a connected classifier", BODY "[avgpool]\n[connected]\nbatch_normalize=1\noutput=10\nactivation=relu\n[softmax]\n",
      TEACHER("") STUDENT TRIPLE("stack=linear"), 5, ENCODER + 60 },
    { "batch norm in the projector", BODY "[avgpool]\n" POINT(10) "[softmax]\n", TEACHER("") STUDENT TRIPLE("stack=1x1\nactivation=linear"), 5,
      ENCODER + 60 },
    { "unpadded 3x3 classifier", BODY "[convolutional]\nfilters=10\nsize=3\nactivation=linear\n[avgpool]\n[softmax]\n",
      TEACHER("") STUDENT TRIPLE("stack=linear"), 5, ENCODER + 4 * 9 * 60 },
    { "two layers behind the tap", BODY "[avgpool]\n[connected]\noutput=9\nactivation=relu\n[dropout]\n[connected]\noutput=10\nactivation=linear\n[softmax]\n",
      TEACHER("tap=1\n") STUDENT TRIPLE("stack=linear"), 6, ENCODER + 54 + 90 },
    { "a pooled student, averaged", BODY "[avgpool]\n" POINT(10) "[softmax]\n", TEACHER("") CONV(4, 2) CONV(6, 1) TRIPLE("stack=linear"), 5,
      64 * 27 * 4 + 64 * 9 * 4 * 6 + 60 },
    { "a pooled student, not averaged", BODY "[connected]\noutput=10\nactivation=linear\n[softmax]\n",
      TEACHER("") CONV(4, 2) CONV(6, 1) TRIPLE("stack=linear"), 5, 64 * 27 * 4 + 64 * 9 * 4 * 6 + 16 * 4 * 6 + 960 },
    { "every second pixel", BODY "[maxpool]\nsize=1\nstride=2\n[connected]\noutput=10\nactivation=linear\n[softmax]\n",
      TEACHER("tap=1\n") STUDENT TRIPLE("stack=linear"), 5, ENCODER + 240 },
    { "every second pixel of a pooled student", BODY "[maxpool]\nsize=1\nstride=2\n[connected]\noutput=10\nactivation=linear\n[softmax]\n",
      TEACHER("tap=1\n") CONV(4, 2) CONV(6, 1) TRIPLE("stack=linear"), 6, 64 * 27 * 4 + 64 * 9 * 4 * 6 + 16 * 4 * 6 + 240 },
    { "a route in the student", BODY "[avgpool]\n" POINT(10) "[softmax]\n", TEACHER("") STUDENT "[route]\nlayers=-1,1\n" TRIPLE("stack=linear"), 6,
      ENCODER + 120 },
};

static deployed *open_deployed(const model *m, diag *d)
{
    deployed *p = deploy_open(m, "s.cfg", d);
    check_no_errors(d);
    assert_non_null(p);
    return p;
}

/* Layers that say they compute the same must do so. */
static void check_layers_alike(const deployed *p, const network *training, const char *name)
{
    for (int i = 0; i < p->net->n; ++i)
        if (p->from[i] >= 0)
            check_close_n(p->net->layers[i].output, training->layers[p->from[i]].output, (size_t)p->net->layers[i].outputs, 1e-5, name);
}

static void check_case(const merge_case *k, uint64_t stream)
{
    diag *d = diag_new();
    float x[2 * 3 * 16 * 16];
    check_fill(x, sizeof x / sizeof *x, 9);
    check_write_network("t", k->teacher, stream);
    model *m = check_model("s", k->student, stream + 50);
    deployed *p = open_deployed(m, d), *plain = open_deployed(m, d);
    assert_int_equal(deploy_merge(p, d), 1);
    check_no_errors(d);
    assert_int_equal(p->net->n, k->layers);
    check_close(p->low->shape->macs, k->macs, 1e-12, k->name, 0);
    model_predict(m, x);
    float *want = network_predict(plain->net, x), *got = network_predict(p->net, x);
    check_close_n(got, want, (size_t)p->net->outputs, 1e-5, k->name);
    check_layers_alike(p, m->net, k->name);
    check_layers_alike(plain, m->net, k->name);
    assert_int_equal(deploy_fold(p, d) >= 0, 1);
    check_close_n(network_predict(p->net, x), network_predict(plain->net, x), (size_t)p->net->outputs, 1e-5, k->name);
    deploy_close(plain);
    deploy_close(p);
    model_close(m);
    diag_free(d);
}

static void merged_net_answers_the_same(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) check_case(&cases[i], 1000 * (i + 1));
}

/* ---- detectors: a head each ---- */

#define YOLO(mask) "[convolutional]\nfilters=14\nsize=1\nactivation=linear\n" \
                   "[yolo]\nmask=" mask "\nanchors=1,2, 3,4, 5,6, 7,8\nclasses=2\nnum=4\n"
static const char detector[] = NET CONV(8, 2) CONV(16, 2) CONV(16, 2) YOLO("2,3")
    "[route]\nlayers=-3,2\n[upsample]\nstride=2\n" CONV(12, 1) YOLO("0,1");
#define TWO_HEADS(one, two) TEACHER("") CONV(4, 2) CONV(4, 2) CONV(8, 2) TRIPLE(one) \
    "[route]\nlayers=-4\n[upsample]\nstride=2\n[route]\nlayers=-1,1\n" CONV(6, 1) TRIPLE(two)

static void check_detector(const char *student, int merged, int warnings)
{
    diag *d = diag_new();
    float x[2 * 3 * 16 * 16];
    check_fill(x, sizeof x / sizeof *x, 9);
    check_write_network("t", detector, 77);
    model *m = check_model("s", student, 99);
    deployed *p = open_deployed(m, d);
    int layers = p->net->n;
    assert_int_equal(p->outputs, 2);
    assert_int_equal(deploy_merge(p, d), merged);
    check_no_errors(d);
    assert_int_equal(diag_warnings(d), warnings);
    assert_int_equal(p->net->n, layers - merged);
    model_predict(m, x);
    network_predict(p->net, x);
    check_layers_alike(p, m->net, "detector");
    for (int i = 0; i < p->outputs; ++i) assert_true(p->from[p->output[i]] >= 0);
    deploy_close(p);
    model_close(m);
    diag_free(d);
}

static void detector_heads(void **state)
{
    (void)state;
    check_detector(TWO_HEADS("stack=linear", "stack=linear"), 2, 0);
    check_detector(TWO_HEADS("stack=bottleneck", "stack=linear"), 1, 1);
}

/* ---- what cannot be merged ---- */

static const struct { const char *name, *teacher, *student, *section, *says, *hint; int line; } refused[] = {
    { "bottleneck", BODY "[avgpool]\n" POINT(10) "[softmax]\n", TEACHER("") STUDENT TRIPLE("stack=bottleneck"), "projector",
      "stack=bottleneck is not one linear 1x1 convolution", "stack=linear", 22 },
    { "relu", BODY "[avgpool]\n" POINT(10) "[softmax]\n", TEACHER("") STUDENT TRIPLE("stack=1x1"), "projector", "stack=1x1", "stack=linear", 22 },
    { "none", BODY "[avgpool]\n" POINT(10) "[softmax]\n", TEACHER("") CONV(4, 2) CONV(12, 2) TRIPLE("stack=none"), "projector",
      "nothing to merge", "", 22 },
    { "maxpool", BODY "[maxpool]\nsize=2\nstride=2\n[connected]\noutput=10\nactivation=linear\n[softmax]\n",
      TEACHER("tap=1\n") STUDENT TRIPLE("stack=linear"), "maxpool", "a maximum of sums", "tap=2", 19 },
    { "activation", BODY "[activation]\nactivation=relu\n[connected]\noutput=10\nactivation=linear\n[softmax]\n",
      TEACHER("tap=1\n") STUDENT TRIPLE("stack=linear"), "activation", "not linear", "tap=2", 19 },
    { "padded classifier", BODY CONV(10, 1) "[avgpool]\n[softmax]\n", TEACHER("tap=1\n") STUDENT TRIPLE("stack=linear"), "convolutional",
      "it pads", "1x1 convolution or [connected]", 19 },
    { "grouped classifier", BODY "[convolutional]\nfilters=10\nsize=1\ngroups=2\nactivation=linear\n[avgpool]\n[softmax]\n",
      TEACHER("") STUDENT TRIPLE("stack=linear"), "convolutional", "groups", "", 19 },
    { "another reader", BODY POINT(10) "[route]\nlayers=-1,1\n[avgpool]\n[softmax]\n", TEACHER("tap=1\n") STUDENT TRIPLE("stack=linear"),
      "route", "reads layer 2", "", 25 },
    { "another reader further on", BODY POINT(10) POINT(10) "[route]\nlayers=-1,1\n[avgpool]\n[softmax]\n",
      TEACHER("tap=1\n") STUDENT TRIPLE("stack=linear"), "route", "reads layer 2", "", 31 },
    { "no weights reused", BODY "[avgpool]\n" POINT(10) "[softmax]\n",
      TEACHER("tap=1\n") STUDENT "[projector]\nstack=linear\n[feature_l2]\n[reused_classifier]\nlayers=2\n", "projector",
      "only average", "", 23 },
    { "a plain cfg", BODY, BODY, NULL, "no [projector]", "", 0 },
};

static void refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; ++i) {
        diag *d = diag_new();
        check_write_network("t", refused[i].teacher, 3);
        model *m = check_model("s", refused[i].student, 5);
        deployed *p = open_deployed(m, d);
        assert_int_equal(deploy_merge(p, d), -1);
        if (diag_errors(d) != 1) fail_msg("%s: %d errors", refused[i].name, diag_errors(d));
        const diag_message *e = diag_get(d, 0);
        if (!strstr(e->text, refused[i].says)) fail_msg("%s: %s", refused[i].name, e->text);
        if (!strstr(check_hint(d, 0), refused[i].hint)) fail_msg("%s: %s", refused[i].name, check_hint(d, 0));
        if (refused[i].section) assert_string_equal(e->section, refused[i].section);
        if (e->line != refused[i].line) fail_msg("%s: line %d, expected %d", refused[i].name, e->line, refused[i].line);
        deploy_close(p);
        model_close(m);
        diag_free(d);
    }
}

int main(void)
{
    network_init();
    if (chdir(check_folder())) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merged_net_answers_the_same), cmocka_unit_test(detector_heads), cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
