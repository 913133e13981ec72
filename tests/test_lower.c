/* Lowering: the text that comes out, its layer numbers and roles, and that the host reads it with the shapes promised.
 * What is refused is in test_lower_errors.c. */
#include "layers/network.h"
#include "check.h"

#include "darknet_plugin/lowering/lower.h"
#include "layers/feature_l2_internal.h"

#include <unistd.h>

#define NET "[net]\nbatch=8\nsubdivisions=2\nwidth=16\nheight=16\nchannels=3\nlearning_rate=1e-2\nmax_batches=10\n"
#define TEACHER "[teacher]\ncfg=t.cfg\n"
#define CONV(filters, stride) "[convolutional]\nfilters=" #filters "\nsize=3\nstride=" #stride "\npad=1\nactivation=relu\n"
#define TRIPLE "[projector]\n[feature_l2]\n[reused_classifier]\n"

/* 8x8x8, 4x4x16, 4x4x16, 4x4x16 (the tap), then avgpool, dropout, connected, softmax, cost. */
static const char classifier[] =
    "[net]\nbatch=128\nsubdivisions=4\nwidth=16\nheight=16\nchannels=3\n"
    CONV(8, 2) CONV(16, 2) "[convolutional]\nfilters=16\nsize=3\npad=1\nactivation=linear\n"
    "[shortcut]\nfrom=-2\nactivation=relu\n"
    "[avgpool]\n[dropout]\nprobability=.5\n[connected]\noutput=10\nactivation=linear\nlearning_rate=2\n[softmax]\ngroups=1\n[cost]\ntype=sse\n";

static lowered *lower_text(const char *student, const char *teacher, lower_mode mode)
{
    diag *d = diag_new();
    check_write("t.cfg", teacher, strlen(teacher));
    cfg_file *c = cfg_parse("s.cfg", student, strlen(student), d);
    assert_non_null(c);
    lowered *l = lower_cfg(c, mode, d);
    check_no_errors(d);
    assert_non_null(l);
    diag_free(d);
    return l;
}

/* The host must agree layer by layer with the shapes that lowering promises. */
static void check_host(const lowered *l)
{
    char *text = cfg_text(l->cfg, NULL);
    network *net = check_parse(text);
    assert_int_equal(net->n, l->shape->n);
    assert_int_equal(net->n, cfg_layers(l->cfg));
    for (int i = 0; i < net->n; ++i) {
        assert_int_equal(net->layers[i].inputs, l->shape->layer[i].inputs);
        assert_int_equal(net->layers[i].outputs, l->shape->layer[i].outputs);
    }
    host_free(net);
    free(text);
}

static int has_output(const lowered *l)
{
    int found = 0;
    for (int i = 0; i < l->shape->n; ++i)
        found |= cfg_is(cfg_layer(l->cfg, i), "softmax") || cfg_is_boxes(cfg_layer(l->cfg, i));
    return found;
}

/* To be trained from labels: the deployed network's arrays in the same order, nothing frozen, no loss but its outputs'. */
static void check_labels(const char *student, const char *teacher, const lowered *train)
{
    lowered *labels = lower_text(student, teacher, LOWER_LABELS);
    check_host(labels);
    int k = 0;
    for (int i = 0; i < train->shape->n; ++i) {
        if (train->role[i] == ROLE_LOSS) continue;
        assert_int_equal(labels->shape->layer[k].stored, train->shape->layer[i].stored);
        assert_int_equal(labels->shape->layer[k].outputs, train->shape->layer[i].outputs);
        assert_int_equal(labels->role[k], train->role[i] == ROLE_TAIL ? ROLE_STUDENT : train->role[i]);
        assert_int_equal(labels->trained_as[k], i);
        assert_int_equal(cfg_int(cfg_layer(labels->cfg, k), "noloss", 0), 0);
        ++k;
    }
    assert_int_equal(k, labels->shape->n);
    assert_int_equal(labels->trained, k);
    assert_int_equal(labels->losses, 0);
    assert_int_equal(labels->labels, 1);
    for (int i = 0; i < labels->heads; ++i) assert_int_equal(labels->head[i].loss, -1);
    lower_free(labels);
}

/* All modes parse and hold the same weights in the same order. */
static void check_both(const char *student, const char *teacher)
{
    lowered *train = lower_text(student, teacher, LOWER_TRAIN), *deploy = lower_text(student, teacher, LOWER_DEPLOY);
    check_host(train);
    check_host(deploy);
    assert_int_equal(train->shape->stored, deploy->shape->stored);
    int k = 0;
    for (int i = 0; i < train->shape->n; ++i) {
        if (train->role[i] == ROLE_LOSS) continue;
        assert_int_equal(train->shape->layer[i].stored, deploy->shape->layer[k].stored);
        assert_int_equal(train->role[i], deploy->role[k]);
        assert_int_equal(deploy->trained_as[k], i);
        ++k;
    }
    assert_int_equal(k, deploy->shape->n);
    assert_int_equal(deploy->trained, deploy->shape->n);
    if (has_output(train)) check_labels(student, teacher, train);
    lower_free(train);
    lower_free(deploy);
}

static void check_text(const lowered *l, const char *expected)
{
    char *got = cfg_text(l->cfg, NULL);
    assert_string_equal(got, expected);
    free(got);
}

static const char joined[] = NET TEACHER "[augment]\nflip=1\n" CONV(4, 2) CONV(8, 2) "[convolutional]\nfilters=8\nsize=1\ndot=1e-3\n"
    "[shortcut]\nfrom=-2\nbeta=1\n[route]\nlayers=-1, 1,-2\n" TRIPLE;

#define JOINED_STUDENT \
    "\n[convolutional]\nfilters=4\nsize=3\nstride=2\npad=1\nactivation=relu\n" \
    "\n[convolutional]\nfilters=8\nsize=3\nstride=2\npad=1\nactivation=relu\n"
#define JOINED_PROJECTOR \
    "\n[convolutional]\nbatch_normalize=1\nfilters=8\nsize=1\nstride=1\npad=0\nactivation=relu\n" \
    "\n[convolutional]\nbatch_normalize=1\nfilters=8\nsize=3\nstride=1\npad=1\nactivation=relu\n" \
    "\n[convolutional]\nbatch_normalize=1\nfilters=16\nsize=1\nstride=1\npad=0\nactivation=relu\n"

/* What the first loss's row reads from its section and its place. */
static feature_l2_params params_of_loss(const lowered *l)
{
    diag *d = diag_new();
    char *text = cfg_text(l->cfg, NULL);
    network *net = check_parse(text);
    const taught_loss *loss = &l->loss[0];
    layer *made = &net->layers[loss->layer];
    assert_int_equal(loss->layer, l->head[0].loss);
    assert_int_equal(loss->type->make(made, loss->section, &loss->place, d), 0);
    assert_ptr_equal(section_type_of_layer(made), loss->type);
    feature_l2_params p = feature_l2_state_of(made)->p;
    assert_true(p.c == l->shape->layer[loss->layer].c && p.h == l->shape->layer[loss->layer].h && p.w == l->shape->layer[loss->layer].w);
    loss->type->free(made);
    host_free(net);
    free(text);
    diag_free(d);
    return p;
}

static void classifier_for_training(void **state)
{
    (void)state;
    static const layer_role roles[] = {
        ROLE_STUDENT, ROLE_STUDENT, ROLE_STUDENT, ROLE_STUDENT, ROLE_STUDENT, ROLE_PROJECTOR, ROLE_PROJECTOR, ROLE_PROJECTOR,
        ROLE_LOSS, ROLE_TAIL, ROLE_TAIL, ROLE_TAIL,
    };
    lowered *l = lower_text(joined, classifier, LOWER_TRAIN);
    check_text(l, NET JOINED_STUDENT "\n[convolutional]\nfilters=8\nsize=1\ndot=1e-3\n\n[shortcut]\nfrom=1\nbeta=1\n"
               "\n[route]\nlayers=3,1,2\n" JOINED_PROJECTOR "\n[activation]\nactivation=linear\n"
               "\n[avgpool]\n\n[connected]\noutput=10\nactivation=linear\n\n[softmax]\ngroups=1\nnoloss=1\n");
    assert_int_equal(l->heads, 1);
    assert_int_equal(l->trained, 9);
    assert_int_equal(cfg_layers(l->cfg), 12);
    assert_memory_equal(l->role, roles, sizeof roles);
    for (int i = 0; i < 12; ++i) {
        const section_type *type = l->type[i];
        if (roles[i] == ROLE_STUDENT) assert_null(type);
        else assert_int_equal(type->role, roles[i]);
        assert_int_equal(l->trained_as[i], i);
    }
    const lower_head *h = l->head;
    assert_int_equal(h->tap, 3);
    assert_int_equal(h->feeds, 4);
    assert_int_equal(h->pool, -1);
    assert_int_equal(h->projector, 5);
    assert_int_equal(h->projectors, 3);
    assert_int_equal(h->loss, 8);
    assert_int_equal(h->tail, 9);
    assert_int_equal(h->tails, 3);
    assert_memory_equal(h->tail_of, ((int[]){ 4, 6, 7 }), 3 * sizeof(int));
    feature_l2_params p = params_of_loss(l);
    assert_int_equal(p.target_pool, 1);
    assert_true(p.mean && p.scale == 1);
    lower_free(l);
}

static void classifier_deployed(void **state)
{
    (void)state;
    lowered *l = lower_text(joined, classifier, LOWER_DEPLOY);
    check_text(l, "[net]\nbatch=1\nsubdivisions=1\nwidth=16\nheight=16\nchannels=3\n" JOINED_STUDENT
               "\n[convolutional]\nfilters=8\nsize=1\ndot=0.001\nactivation=logistic\n\n[shortcut]\nfrom=1\nactivation=linear\n"
               "\n[route]\nlayers=3,1,2\n" JOINED_PROJECTOR
               "\n[avgpool]\n\n[connected]\noutput=10\nactivation=linear\n\n[softmax]\ngroups=1\n");
    assert_int_equal(l->head[0].loss, -1);
    assert_int_equal(l->head[0].tail, 8);
    assert_int_equal(l->trained, 11);
    lower_free(l);
    check_both(joined, classifier);
}

/* Messages about a copied layer point into the teacher's cfg, those about the rest into the user's. */
static void sections_keep_their_origin(void **state)
{
    (void)state;
    lowered *l = lower_text(joined, classifier, LOWER_TRAIN);
    assert_string_equal(cfg_layer(l->cfg, 10)->file, "t.cfg");
    assert_int_equal(cfg_layer(l->cfg, 10)->line, 30);
    assert_string_equal(cfg_layer(l->cfg, 6)->file, "s.cfg");
    assert_int_equal(cfg_layer(l->cfg, 6)->line, cfg_first(l->source, "projector")->line);
    assert_int_equal(cfg_layer(l->cfg, 8)->line, cfg_first(l->source, "feature_l2")->line);
    lower_free(l);
}

static void every_stack_lowers(void **state)
{
    (void)state;
    static const struct { const char *stack; int n; } form[] = {
        { "bottleneck", 3 }, { "1x1", 1 }, { "1x1-1x1", 2 }, { "depthwise", 3 }, { "linear", 1 }, { "none", 0 },
    };
    for (size_t i = 0; i < sizeof form / sizeof *form; ++i) {
        char *student = mem_printf(NET TEACHER CONV(4, 2) CONV(16, 2) "[projector]\nstack=%s\n[feature_l2]\n[reused_classifier]\n", form[i].stack);
        lowered *l = lower_text(student, classifier, LOWER_TRAIN);
        assert_int_equal(l->head[0].projectors, form[i].n);
        assert_int_equal(l->head[0].projector, form[i].n ? 2 : -1);
        assert_int_equal(l->head[0].loss, 2 + form[i].n);
        check_both(student, classifier);
        lower_free(l);
        free(student);
    }
}

static void loss_keys(void **state)
{
    (void)state;
    lowered *l = lower_text(NET TEACHER CONV(4, 4) "[projector]\n[feature_l2]\nscale=2.5\nreduction=sum\n[reused_classifier]\n", classifier, LOWER_TRAIN);
    assert_true(params_of_loss(l).scale == 2.5f);
    assert_false(params_of_loss(l).mean);
    lower_free(l);
}

static void larger_student_is_pooled(void **state)
{
    (void)state;
    static const char student[] = NET TEACHER CONV(4, 1) "[projector]\nstack=1x1\n[feature_l2]\n[reused_classifier]\n";
    lowered *l = lower_text(student, classifier, LOWER_TRAIN);
    check_text(l, NET "\n[convolutional]\nfilters=4\nsize=3\nstride=1\npad=1\nactivation=relu\n"
               "\n[convolutional]\nfilters=4\ngroups=4\nsize=4\nstride=4\npad=0\nactivation=linear\n"
               "\n[convolutional]\nbatch_normalize=1\nfilters=16\nsize=1\nstride=1\npad=0\nactivation=relu\n"
               "\n[activation]\nactivation=linear\n"
               "\n[avgpool]\n\n[connected]\noutput=10\nactivation=linear\n\n[softmax]\ngroups=1\nnoloss=1\n");
    assert_int_equal(l->head[0].pool, 1);
    assert_int_equal(l->role[1], ROLE_POOL);
    assert_int_equal(l->head[0].feeds, 0);
    assert_int_equal(params_of_loss(l).target_pool, 1);
    assert_int_equal(l->shape->layer[1].w, 4);
    lower_free(l);
    check_both(student, classifier);
}

static void larger_teacher_is_pooled(void **state)
{
    (void)state;
    static const char student[] = NET TEACHER CONV(4, 2) CONV(4, 2) CONV(4, 2) TRIPLE;
    lowered *l = lower_text(student, classifier, LOWER_TRAIN);
    assert_int_equal(params_of_loss(l).target_pool, 2);
    assert_int_equal(l->head[0].pool, -1);
    assert_int_equal(l->shape->layer[l->head[0].loss].w, 2);
    lower_free(l);
    check_both(student, classifier);
}

/* vgg-like: the tap is a hidden [connected] of 12, which a 1x1 map stands for. */
static void connected_tap(void **state)
{
    (void)state;
    static const char vgg[] = "[net]\nwidth=16\nheight=16\nchannels=3\n" CONV(4, 4)
        "[connected]\noutput=12\nactivation=elu\n[dropout]\n[connected]\noutput=5\n[softmax]\n";
    static const char student[] = NET TEACHER CONV(4, 4) TRIPLE;
    lowered *l = lower_text(student, vgg, LOWER_TRAIN);
    assert_int_equal(l->head[0].tap, 1);
    assert_int_equal(l->head[0].pool, 1);
    assert_string_equal(cfg_str(cfg_layer(l->cfg, 4), "activation", ""), "elu");
    assert_int_equal(l->shape->layer[l->head[0].loss].outputs, 12);
    lower_free(l);
    check_both(student, vgg);
}

/* A connected tail on the whole map: the same size works, and nothing else (test_lower_errors.c). */
static void connected_tail(void **state)
{
    (void)state;
    static const char net[] = "[net]\nwidth=16\nheight=16\nchannels=3\n" CONV(6, 4)
        "[maxpool]\nsize=2\nstride=2\n[connected]\noutput=5\n[softmax]\n";
    check_both(NET "[teacher]\ncfg=t.cfg\ntap=1\n" CONV(4, 4) CONV(4, 2) TRIPLE, net);
}

/* Routes and shortcuts inside the tail, to the tap, over a dropout and among themselves. */
static void tail_with_joins(void **state)
{
    (void)state;
    static const char net[] = "[net]\nwidth=16\nheight=16\nchannels=3\n" CONV(6, 4) "[dropout]\n" CONV(6, 1)
        "[shortcut]\nfrom=-2\n[route]\nlayers=1,-1,2\n[avgpool]\n[connected]\noutput=5\n[softmax]\n";
    static const char student[] = NET "[teacher]\ncfg=t.cfg\ntap=0\n" CONV(4, 4) TRIPLE;
    lowered *l = lower_text(student, net, LOWER_TRAIN);
    assert_memory_equal(l->head[0].tail_of, ((int[]){ 2, 3, 4, 5, 6, 7 }), 6 * sizeof(int));
    assert_string_equal(cfg_str(cfg_layer(l->cfg, 6), "from", ""), "4");
    assert_string_equal(cfg_str(cfg_layer(l->cfg, 7), "layers", ""), "4,6,5");
    lower_free(l);
    l = lower_text(student, net, LOWER_DEPLOY);
    assert_string_equal(cfg_str(cfg_layer(l->cfg, 5), "from", ""), "3");
    assert_string_equal(cfg_str(cfg_layer(l->cfg, 6), "layers", ""), "3,5,4");
    lower_free(l);
    check_both(student, net);
}

static void chosen_tail_layers(void **state)
{
    (void)state;
    static const char student[] = NET TEACHER CONV(4, 4) "[projector]\n[feature_l2]\n[reused_classifier]\nlayers=4,5,6\n";
    lowered *l = lower_text(student, classifier, LOWER_TRAIN);
    assert_int_equal(l->head[0].tails, 2);
    assert_memory_equal(l->head[0].tail_of, ((int[]){ 4, 6 }), 2 * sizeof(int));
    lower_free(l);
    check_both(student, classifier);
}

/* ---- detectors ---- */

#define YOLO(mask) "[convolutional]\nfilters=14\nsize=1\nactivation=linear\n" \
                   "[yolo]\nmask=" mask "\nanchors=1,2, 3,4, 5,6, 7,8\nclasses=2\nnum=4\n"
/* 8x8x8, 4x4x16, 2x2x16 (tap 2), its head 3 and 4, then up again: 4x4x32, 4x4x12 (tap 7), its head 8 and 9. */
static const char detector[] = "[net]\nwidth=16\nheight=16\nchannels=3\n" CONV(8, 2) CONV(16, 2) CONV(16, 2) YOLO("2,3")
    "[route]\nlayers=-3,2\n[upsample]\nstride=2\n" CONV(12, 1) YOLO("0,1");

static const char two_heads[] = NET TEACHER CONV(4, 2) CONV(4, 2) CONV(8, 2) TRIPLE
    "[route]\nlayers=-4\n[upsample]\nstride=2\n[route]\nlayers=-1,1\n" CONV(6, 1) TRIPLE;

static void detector_with_two_heads(void **state)
{
    (void)state;
    lowered *l = lower_text(two_heads, detector, LOWER_TRAIN);
    assert_int_equal(l->teacher->taps, 2);
    assert_int_equal(l->teacher->cut, 8);
    assert_int_equal(l->head[0].tap, 2);
    assert_int_equal(l->head[1].tap, 7);
    assert_int_equal(l->head[0].loss, 6);
    assert_memory_equal(l->head[0].tail_of, ((int[]){ 3, 4 }), 2 * sizeof(int));
    assert_int_equal(l->head[1].feeds, 12);
    assert_int_equal(l->head[1].loss, 16);
    assert_memory_equal(l->head[1].tail_of, ((int[]){ 8, 9 }), 2 * sizeof(int));
    assert_int_equal(l->trained, 17);
    assert_string_equal(cfg_str(cfg_layer(l->cfg, 9), "layers", ""), "2");
    assert_string_equal(cfg_str(cfg_layer(l->cfg, 11), "layers", ""), "10,1");
    assert_string_equal(cfg_str(cfg_layer(l->cfg, 18), "mask", ""), "0,1");
    lower_free(l);
    l = lower_text(two_heads, detector, LOWER_DEPLOY);
    assert_string_equal(cfg_str(cfg_layer(l->cfg, 8), "layers", ""), "2");
    assert_string_equal(cfg_str(cfg_layer(l->cfg, 10), "layers", ""), "9,1");
    lower_free(l);
    check_both(two_heads, detector);
}

/* A student that goes on from a projector reads its last convolution, from a loss what stands for it. */
static void student_reads_plugin_sections(void **state)
{
    (void)state;
    static const struct { const char *from, *train, *deploy; } read[] = { { "-3", "5", "5" }, { "-2", "6", "5" }, { "4", "6", "5" } };
    for (size_t i = 0; i < sizeof read / sizeof *read; ++i) {
        char *student = mem_printf(NET TEACHER CONV(4, 2) CONV(4, 2) CONV(8, 2) TRIPLE
                                   "[route]\nlayers=%s\n[upsample]\nstride=2\n" CONV(6, 1) TRIPLE, read[i].from);
        lowered *l = lower_text(student, detector, LOWER_TRAIN);
        assert_string_equal(cfg_str(cfg_layer(l->cfg, 9), "layers", ""), read[i].train);
        lower_free(l);
        l = lower_text(student, detector, LOWER_DEPLOY);
        assert_string_equal(cfg_str(cfg_layer(l->cfg, 8), "layers", ""), read[i].deploy);
        lower_free(l);
        check_both(student, detector);
        free(student);
    }
}

static void taps_by_number(void **state)
{
    (void)state;
    lowered *l = lower_text(NET "[teacher]\ncfg=t.cfg\ntap=7,2\n" CONV(4, 2) CONV(4, 2) CONV(8, 2)
                            "[projector]\ntap=1\n[feature_l2]\n[reused_classifier]\n"
                            "[route]\nlayers=1\n[projector]\n[feature_l2]\ntap=0\n[reused_classifier]\n", detector, LOWER_TRAIN);
    assert_int_equal(l->head[0].tap, 2);
    assert_int_equal(l->head[0].tap_index, 1);
    assert_int_equal(l->head[1].tap, 7);
    assert_int_equal(l->head[1].tap_index, 0);
    lower_free(l);
}

/* ---- plain cfgs ---- */

static void plain_cfg_stays_itself(void **state)
{
    (void)state;
    diag *d = diag_new();
    lowered *l = lower_read("/usr/share/darknet/cfg/resnet18.cfg", LOWER_TRAIN, d);
    check_no_errors(d);
    assert_int_equal(l->heads, 0);
    assert_null(l->teacher);
    assert_int_equal(l->trained, cfg_layers(l->source));
    for (int i = 0; i < l->trained; ++i) {
        assert_int_equal(l->role[i], ROLE_STUDENT);
        assert_string_equal(cfg_layer(l->cfg, i)->name, cfg_layer(l->source, i)->name);
    }
    net_shape *s = shapes_infer(l->source, d);
    assert_int_equal(s->stored, l->shape->stored);
    shapes_free(s);
    lower_free(l);
    diag_free(d);
}

/* Several processes: as many times the subdivisions, and the user's own text, which runs are compared by. */
static void shared_by_processes(void **state)
{
    (void)state;
    static const char student[] = NET TEACHER CONV(4, 4) TRIPLE;
    check_write("t.cfg", classifier, strlen(classifier));
    check_write("s.cfg", student, strlen(student));
    diag *d = diag_new();
    lowered *alone = lower_read("s.cfg", LOWER_TRAIN, d), *l = lower_read_shared("s.cfg", LOWER_TRAIN, 4, d);
    check_no_errors(d);
    assert_int_equal(l->shape->batch, 8);
    assert_int_equal(l->shape->subdivisions, 8);
    assert_int_equal(cfg_int(&l->teacher->cfg->section[0], "batch", 0), 1);
    char *text = cfg_text(l->source, NULL), *own = cfg_text(alone->source, NULL);
    assert_string_equal(text, own);
    free(text);
    free(own);
    lower_free(l);
    lower_free(alone);
    assert_null(lower_read_shared("s.cfg", LOWER_TRAIN, 3, d));
    assert_int_equal(diag_errors(d), 1);
    assert_string_equal(diag_get(d, 0)->text, "batch=8 is not divided by 3 processes times subdivisions=2");
    diag_free(d);
}

static void plain_cfg_deployed(void **state)
{
    (void)state;
    lowered *l = lower_text("[network]\nbatch=4\nwidth=8\nheight=8\nchannels=1\ndecay=1e-4\n[augment]\npad=4\n"
                            "[conv]\nfilters=2\nsize=3\ndontload=1\nlearning_rate=.5\nsome_fork_key=3\n"
                            "[max]\nsize=2\nstride=2\n[conn]\noutput=3\nbatch_normalize=1\n[soft]\ntemperature=2.5e1\n[cost]\n", "", LOWER_DEPLOY);
    check_text(l, "[net]\nbatch=1\nwidth=8\nheight=8\nchannels=1\nsubdivisions=1\n\n[convolutional]\nfilters=2\nsize=3\nactivation=logistic\n"
               "\n[maxpool]\nsize=2\nstride=2\n\n[connected]\noutput=3\nbatch_normalize=1\nactivation=logistic\n"
               "\n[softmax]\ntemperature=25\n\n[cost]\n");
    lower_free(l);
}

int main(void)
{
    network_init();
    if (chdir(check_folder())) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classifier_for_training), cmocka_unit_test(classifier_deployed), cmocka_unit_test(sections_keep_their_origin),
        cmocka_unit_test(every_stack_lowers), cmocka_unit_test(loss_keys), cmocka_unit_test(larger_student_is_pooled),
        cmocka_unit_test(larger_teacher_is_pooled), cmocka_unit_test(connected_tap), cmocka_unit_test(connected_tail),
        cmocka_unit_test(tail_with_joins), cmocka_unit_test(chosen_tail_layers), cmocka_unit_test(detector_with_two_heads),
        cmocka_unit_test(student_reads_plugin_sections), cmocka_unit_test(taps_by_number), cmocka_unit_test(plain_cfg_stays_itself),
        cmocka_unit_test(plain_cfg_deployed), cmocka_unit_test(shared_by_processes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
