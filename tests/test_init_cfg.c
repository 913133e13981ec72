/* What `init` writes, line by line, on small networks: heads in any order, layer numbers, what is reused; and how a teacher
 * is made narrower and shallower. */
#include "check_nets.h"

#include "darknet_plugin/init/init.h"
#include "layers/network.h"

#include <unistd.h>

#define NET(c) "[net]\nbatch=16\nwidth=64\nheight=64\nchannels=" #c "\nlearning_rate=.1\nmax_batches=100\n"
#define CONV(f, s, t) "[convolutional]\nbatch_normalize=1\nfilters=" #f "\nsize=" #s "\nstride=" #t "\npad=1\nactivation=relu\n"
#define LAST(f) "[convolutional]\nfilters=" #f "\nsize=1\nstride=1\nactivation=linear\n"
#define YOLO(mask, classes) "[yolo]\nmask=" mask "\nanchors=1,1,2,2,3,3\nclasses=" #classes "\nnum=3\njitter=.1\n"
#define ROUTE(l) "[route]\nlayers=" #l "\n"
#define SHORTCUT(n) "[shortcut]\nfrom=" #n "\nactivation=relu\n"
#define ANSWER(n) "[avgpool]\n" LAST(n) "[softmax]\n[cost]\n"
/* 0 to 4: to a stride of 32; 5 6 the head there; 7 to 9 that of 16; 10 to 12 that of 8 */
#define TEACHER_HEADS(c32, c16, c8) NET(3) CONV(8, 3, 2) CONV(8, 3, 2) CONV(16, 3, 2) CONV(16, 3, 2) CONV(32, 3, 2) \
    LAST(7) YOLO("0", c32) ROUTE(3) LAST(7) YOLO("1", c16) ROUTE(2) LAST(7) YOLO("2", c8)

static void write_cfg(const char *name, const char *text) { check_write(name, text, strlen(text)); }

/* What init makes; `d` has what it says. */
static init_cfg *made_of(const char *student, const char *teacher, double width, double depth, diag *d)
{
    init_job job = { .student = student ? "student.cfg" : NULL, .teacher = "teacher.cfg", .out = "new.cfg",
                     .width = width, .depth = depth };
    if (student) write_cfg("student.cfg", student);
    write_cfg("teacher.cfg", teacher);
    return init_make(&job, d);
}

/* Without an error. */
static init_cfg *made(const char *student, const char *teacher)
{
    diag *d = diag_new();
    init_cfg *made = made_of(student, teacher, 1, 1, d);
    check_no_errors(d);
    diag_free(d);
    return made;
}

static init_cfg *smaller(const char *teacher, double width, double depth)
{
    diag *d = diag_new();
    init_cfg *made = made_of(NULL, teacher, width, depth, d);
    check_no_errors(d);
    diag_free(d);
    return made;
}

static void check_key(const init_cfg *made, int layer, const char *name, const char *key, const char *value)
{
    const cfg_section *section = cfg_layer(made->cfg, layer);
    assert_non_null(section);
    assert_string_equal(section->name, name);
    if (key) assert_string_equal(cfg_str(section, key, ""), value);
}

/* What batch norm wants together divides the batch; images are stretched where the teacher's were, unless [augment]
 * says how. */
static void batches_and_fit(void **unused)
{
    (void)unused;
    const char *odd = "[net]\nbatch=17\nsubdivisions=17\nwidth=64\nheight=64\nchannels=3\nlearning_rate=.1\nmax_batches=9\n"
                      "[augment]\nflip=0\n" CONV(8, 3, 2) LAST(6) YOLO("0", 1);
    const char *stretched = NET(3) CONV(8, 3, 2) CONV(8, 1, 1) LAST(6) YOLO("0", 1) "scale_x_y=1.1\n";
    init_cfg *of = made(odd, stretched);
    assert_int_equal(cfg_int(cfg_net(of->cfg), "batch", 0), 17);
    assert_int_equal(cfg_int(cfg_net(of->cfg), "subdivisions", 0), 1);
    const cfg_section *augment = cfg_first(of->cfg, "augment");
    assert_string_equal(cfg_str(augment, "fit", ""), "stretch");
    assert_string_equal(cfg_str(augment, "flip", ""), "0");
    init_free(of);
}

static void refused(const char *student, const char *teacher, const char *expected)
{
    diag *d = diag_new();
    assert_null(made_of(student, teacher, 1, 1, d));
    int said = 0;
    for (int i = 0; i < diag_count(d); ++i) {
        const diag_message *message = diag_get(d, i);
        char *text = mem_printf("%s:%d: [%s] %s", message->file ? message->file : "", message->line,
                                message->section ? message->section : "", message->text);
        said |= message->level == DIAG_ERROR && strstr(text, expected) && message->hint;
        free(text);
    }
    if (!said) diag_print(d, stderr);
    assert_true(said);
    diag_free(d);
}

/* The student's heads come the other way round, and the teacher has one more. */
static void heads_in_any_order(void **unused)
{
    (void)unused;
    const char student[] = NET(3) CONV(8, 3, 2) CONV(8, 3, 2) CONV(8, 3, 2) CONV(8, 3, 2) LAST(7) YOLO("0", 2) ROUTE(-3)
        CONV(24, 3, 2) ROUTE(7) LAST(7) YOLO("1", 2);
    init_cfg *m = made(student, TEACHER_HEADS(2, 2, 2));
    const cfg_section *teacher = cfg_first(m->cfg, "teacher");
    assert_string_equal(cfg_str(teacher, "tap", ""), "7,4");
    check_key(m, 4, "projector", "stack", "1x1");
    check_key(m, 5, "feature_l2", "scale", "2.4");
    check_key(m, 5, "feature_l2", "fade", "1");
    check_key(m, 6, "reused_classifier", "labels", ".3");
    check_key(m, 7, "kd", "scale", ".3");
    check_key(m, 7, "kd", "iou_normalizer", "10");
    check_key(m, 8, "route", "layers", "3");       /* counted over a head: written as a number from the front */
    check_key(m, 10, "route", "layers", "9");
    check_key(m, 11, "projector", NULL, NULL);
    check_key(m, 14, "kd", NULL, NULL);
    assert_null(cfg_layer(m->cfg, 15));
    const cfg_section *augment = cfg_first(m->cfg, "augment");
    assert_string_equal(cfg_str(augment, "jitter", ""), ".1");
    init_free(m);
}

/* Boxes that no loss compares are left to the map. */
static void odd_boxes(void **unused)
{
    (void)unused;
    const char teacher[] = NET(3) CONV(8, 3, 2) CONV(8, 3, 2) LAST(21) YOLO("0,1,2", 2) "new_coords=1\n";
    init_cfg *m = made(teacher, teacher);
    assert_null(cfg_first(m->cfg, "kd"));
    check_key(m, 3, "feature_l2", "fade", "");
    check_key(m, 4, "reused_classifier", "labels", "");
    init_free(m);
}

/* Where all heads are there and in order nothing has to be said. */
static void heads_in_order(void **unused)
{
    (void)unused;
    init_cfg *m = made(TEACHER_HEADS(2, 2, 2), TEACHER_HEADS(2, 2, 2));
    assert_null(cfg_find(cfg_first(m->cfg, "teacher"), "tap"));
    init_free(m);
}

/* Two heads of one stride: the one of as many classes. */
static void heads_by_classes(void **unused)
{
    (void)unused;
    const char teacher[] = NET(3) CONV(8, 3, 2) CONV(8, 3, 2) LAST(21) YOLO("0,1,2", 2) ROUTE(-3) CONV(16, 3, 1) LAST(24)
        YOLO("0,1,2", 3);
    const char student[] = NET(3) CONV(8, 3, 2) CONV(8, 3, 2) LAST(24) YOLO("0,1,2", 3);
    init_cfg *m = made(student, teacher);
    assert_string_equal(cfg_str(cfg_first(m->cfg, "teacher"), "tap", ""), "5");
    init_free(m);
}

/* Numbers from the front, relative ones, several of them. */
static void numbers(void **unused)
{
    (void)unused;
    const char student[] = NET(3) CONV(8, 3, 2) CONV(8, 3, 2) CONV(8, 3, 2) CONV(8, 3, 2) CONV(8, 3, 2) LAST(7) YOLO("0", 2)
        ROUTE(4) CONV(8, 1, 1) "[upsample]\nstride=2\n" "[route]\nlayers=-1,3\n" CONV(8, 3, 1) CONV(8, 3, 1) SHORTCUT(-2)
        "[shortcut]\nfrom=3\n" LAST(7) YOLO("1", 2);
    init_cfg *m = made(student, TEACHER_HEADS(2, 2, 2));
    check_key(m, 9, "route", "layers", "4");
    check_key(m, 12, "route", "layers", "-1,3");
    check_key(m, 15, "shortcut", "from", "-2");
    check_key(m, 16, "shortcut", "from", "3");
    check_key(m, 17, "projector", NULL, NULL);
    init_free(m);
}

static void reads_of_a_head(void **unused)
{
    (void)unused;
    const char through[] = NET(3) CONV(8, 3, 2) CONV(8, 3, 2) CONV(8, 3, 2) CONV(8, 3, 2) LAST(7) YOLO("0", 2) ROUTE(4)
        CONV(8, 3, 2) LAST(7) YOLO("1", 2);
    refused(through, TEACHER_HEADS(2, 2, 2), "reads layer 4 [convolutional], line");
    const char next[] = NET(3) CONV(8, 3, 2) CONV(8, 3, 2) CONV(8, 3, 2) CONV(8, 3, 2) LAST(7) YOLO("0", 2)
        CONV(8, 3, 2) LAST(7) YOLO("1", 2);
    refused(next, TEACHER_HEADS(2, 2, 2), "reads layer 5 [yolo], line");
}

static void refusals(void **unused)
{
    (void)unused;
    const char classifier[] = NET(3) CONV(8, 3, 2) ANSWER(3), grey[] = NET(1) CONV(8, 3, 2) ANSWER(3);
    const char third[] = "[net]\nwidth=66\nheight=66\nchannels=3\n" CONV(8, 3, 2) CONV(8, 3, 3) ANSWER(3);
    const char half[] = "[net]\nwidth=66\nheight=66\nchannels=3\n" CONV(8, 3, 2) CONV(8, 3, 2) CONV(8, 3, 2) ANSWER(3);
    const char four[] = NET(3) CONV(8, 3, 2) CONV(8, 3, 2) LAST(7) YOLO("0", 2);
    refused(classifier, TEACHER_HEADS(2, 2, 2), "student.cfg:21: [softmax] the student is a classifier, the teacher a detector ([yolo], teacher.cfg:");
    refused(TEACHER_HEADS(2, 2, 2), classifier, "the student is a detector, the teacher a classifier");
    refused(grey, classifier, "student.cfg:5: [net] the student's input has 1 channels, the teacher's 3 (teacher.cfg:5)");
    refused(third, half, "map sizes do not divide: the student's last map is 11x11, the teacher's 9x9 (layer 2");
    refused(four, TEACHER_HEADS(2, 2, 2), "student.cfg:27: [yolo] the map of 16x16 (stride 4) has no head of the teacher's to learn from: those of teacher.cfg have stride 32, 16 and 8");
    refused(NET(3) CONV(8, 3, 2) "[connected]\noutput=5\n[detection]\nclasses=3\nside=1\nnum=1\n", classifier, "the network ends on [detection]");
    diag *d = diag_new();
    assert_null(made_of(NET(3), classifier, 1, 1, d));
    assert_true(diag_errors(d) == 1 && strstr(diag_get(d, 0)->text, "no layers"));
    diag_free(d);
    refused(classifier, NET(3) CONV(8, 3, 2), "teacher.cfg:8: [convolutional] the network ends on [convolutional], not on [softmax]");
    refused(NET(3) "[teacher]\ncfg=x\n" CONV(8, 3, 2), classifier, "student.cfg:8: [teacher] this is a distillation already");
}

/* A classifier's triple has labels and answers; small images are moved and mirrored. */
static void classifier(void **unused)
{
    (void)unused;
    init_cfg *m = made(NET(3) CONV(16, 3, 2) CONV(16, 3, 2) "[dropout]\n" ANSWER(5), NET(3) CONV(16, 3, 2) CONV(32, 3, 2)
                       CONV(64, 3, 1) CONV(64, 3, 1) ANSWER(5));
    check_key(m, 2, "projector", "stack", "1x1");          /* a bottleneck would be larger than this student */
    check_key(m, 4, "reused_classifier", "labels", "1");
    check_key(m, 5, "kd", "temperature", "4");
    assert_null(cfg_layer(m->cfg, 6));
    assert_string_equal(cfg_str(cfg_first(m->cfg, "augment"), "pad", ""), "8");
    init_free(m);
    m = made(NET(3) CONV(8, 3, 2) ANSWER(5), NET(3) CONV(16, 3, 2) CONV(32, 3, 1) CONV(64, 3, 1) ANSWER(5));
    check_key(m, 1, "projector", "stack", "linear");       /* any other is */
    init_free(m);
    m = made(NET(3) CONV(64, 3, 2) CONV(64, 3, 2) CONV(64, 3, 1) CONV(64, 3, 1) ANSWER(5), NET(3) CONV(96, 3, 2) CONV(96, 3, 2)
             CONV(96, 3, 1) CONV(96, 3, 1) CONV(64, 3, 1) ANSWER(5));
    check_key(m, 4, "projector", "stack", "1x1");
    init_free(m);
}

/* What is no answer of its own is an encoder as a whole; [crop] goes, and the numbers with it. */
static void encoders_and_crops(void **unused)
{
    (void)unused;
    const char teacher[] = NET(3) CONV(16, 3, 2) CONV(32, 3, 2) CONV(64, 3, 1) ANSWER(5);
    init_cfg *m = made(NET(3) CONV(16, 3, 2) CONV(16, 3, 2) "[avgpool]\n", teacher);
    check_key(m, 2, "projector", NULL, NULL);
    init_free(m);
    const char cropped[] = NET(3) "[crop]\ncrop_width=32\ncrop_height=32\n" CONV(16, 3, 2) CONV(16, 3, 1) SHORTCUT(1)
        ANSWER(5);
    m = made(cropped, teacher);
    assert_int_equal(cfg_int(cfg_net(m->cfg), "width", 0), 32);
    check_key(m, 2, "shortcut", "from", "0");
    check_key(m, 3, "projector", NULL, NULL);
    init_free(m);
}

/* What [connected] gives is a map of 1x1: the student's is pooled to that, and a 3x3 convolution would see padding. */
static void connected(void **unused)
{
    (void)unused;
    const char teacher[] = NET(3) CONV(16, 3, 2) CONV(16, 3, 2) CONV(32, 3, 2) "[connected]\noutput=20\nactivation=relu\n[dropout]\n"
        "[connected]\noutput=5\nactivation=linear\n[softmax]\n";
    init_cfg *m = made(NET(3) CONV(16, 3, 2) CONV(16, 3, 2) CONV(16, 3, 2) ANSWER(5), teacher);
    check_key(m, 3, "projector", "stack", "1x1-1x1");
    init_free(m);
    const char places[] = NET(3) CONV(16, 3, 2) CONV(16, 3, 2) "[connected]\noutput=5\nactivation=linear\n[softmax]\n";
    init_free(made(NET(3) CONV(16, 3, 2) ANSWER(5), places));
    refused(NET(3) CONV(16, 3, 2) CONV(16, 3, 2) CONV(16, 3, 2) ANSWER(5), places,
            "the teacher's [connected] classifier reads every place of its map: the student's last map is 8x8, the teacher's 16x16");
}

/* Scores of a tree of classes are no distribution over all of them: the map alone is learnt. */
static void parted_scores(void **unused)
{
    (void)unused;
    const char teacher[] = NET(3) CONV(16, 3, 2) CONV(16, 3, 2) "[avgpool]\n" LAST(4) "[softmax]\ngroups=2\n";
    init_cfg *m = made(NET(3) CONV(16, 3, 2) CONV(16, 3, 2) ANSWER(4), teacher);
    assert_null(cfg_find(cfg_layer(m->cfg, 4), "labels"));
    assert_null(cfg_layer(m->cfg, 5));
    init_free(m);
}

/* Multiples of 8, at least 8, at most the teacher's; depthwise stays so, groups divide, joined maps are alike. */
static void narrower(void **unused)
{
    (void)unused;
    const char teacher[] = NET(3) CONV(6, 3, 2) CONV(40, 1, 1)
        "[convolutional]\nbatch_normalize=1\nfilters=40\ngroups=40\nsize=3\nstride=1\npad=1\nactivation=relu\n"
        "[avgpool]\n" LAST(12) LAST(40) "[scale_channels]\nfrom=2\n" CONV(96, 1, 1)
        "[convolutional]\nbatch_normalize=1\nfilters=96\ngroups=32\nsize=3\nstride=1\npad=1\nactivation=relu\n"
        CONV(20, 1, 1) ROUTE(-3) CONV(36, 1, 1) "[route]\nlayers=-1,-3\n" CONV(56, 1, 1) SHORTCUT(-2) ANSWER(5);
    init_cfg *m = smaller(teacher, .5, 1);
    static const struct { int layer; const char *key, *value; } expected[] = {
        { 0, "filters", "6" }, { 1, "filters", "24" }, { 2, "filters", "24" }, { 2, "groups", "24" }, { 4, "filters", "8" },
        { 5, "filters", "24" }, { 7, "filters", "48" }, { 8, "filters", "48" }, { 8, "groups", "16" }, { 9, "filters", "8" },
        { 11, "filters", "16" }, { 13, "filters", "24" },   /* as many as the route before */
    };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; ++i)
        assert_string_equal(cfg_str(cfg_layer(m->cfg, expected[i].layer), expected[i].key, ""), expected[i].value);
    check_key(m, 15, "projector", NULL, NULL);
    init_free(m);
    m = smaller(teacher, 1, 1);
    check_key(m, 7, "convolutional", "filters", "96");
    init_free(m);
}

/* Three residual blocks become two, five one-layer ones three; who read one that goes reads the last that stays. */
static void shallower(void **unused)
{
    (void)unused;
    const char teacher[] = NET(3) CONV(16, 3, 2) CONV(8, 1, 1) CONV(16, 3, 1) SHORTCUT(-3) CONV(8, 1, 1) CONV(16, 3, 1) SHORTCUT(-3)
        CONV(8, 1, 1) CONV(16, 3, 1) SHORTCUT(-3) CONV(32, 3, 2) CONV(32, 3, 1) CONV(32, 3, 1) CONV(32, 3, 1) CONV(32, 3, 1)
        CONV(32, 3, 1) "[upsample]\nstride=2\n" "[route]\nlayers=-1,9\n" "[route]\nlayers=-1,-10\n" CONV(32, 3, 1) ANSWER(5);
    init_cfg *m = smaller(teacher, 1, .5);
    check_key(m, 3, "shortcut", "from", "-3");
    check_key(m, 6, "shortcut", "from", "-3");
    check_key(m, 7, "convolutional", "stride", "2");
    check_key(m, 10, "convolutional", "filters", "32");
    check_key(m, 11, "upsample", NULL, NULL);
    check_key(m, 12, "route", "layers", "-1,6");    /* 9, of the third block */
    check_key(m, 13, "route", "layers", "-1,-8");   /* 8, of the third block, the one before its end */
    check_key(m, 14, "convolutional", NULL, NULL);
    check_key(m, 15, "projector", NULL, NULL);
    init_free(m);
    diag *d = diag_new();
    m = made_of(NULL, NET(3) CONV(16, 3, 2) CONV(32, 3, 2) ANSWER(5), 1, .5, d);
    assert_int_equal(diag_warnings(d), 1);
    assert_non_null(strstr(diag_get(d, 0)->text, "no repeated blocks"));
    init_free(m);
    diag_free(d);
}

/* Sizes get smaller, and the largest that fits is chosen. */
static void sizes(void **unused)
{
    (void)unused;
    init_job job = { .teacher = "teacher.cfg", .out = "new.cfg" };
    init_size size[INIT_SIZES];
    init_target target;
    diag *d = diag_new();
    write_cfg("teacher.cfg", NET(3) CONV(64, 3, 2) CONV(64, 3, 2) CONV(64, 3, 1) CONV(64, 3, 1) ANSWER(5));
    assert_int_equal(init_sizes(&job, 0, size, d), 0);
    for (int i = 1; i < INIT_SIZES; ++i) assert_true(size[i].params < size[i - 1].params && size[i].macs < size[i - 1].macs);
    char *between = mem_printf("%zu.5k", size[1].params / 1000);
    assert_int_equal(init_read_target("500k", &target, d), 0);
    assert_int_equal(init_choose(size, &target, d), 0);
    assert_int_equal(init_read_target(between, &target, d), 0);
    target.params = (double)size[1].params;
    assert_int_equal(init_choose(size, &target, d), 1);
    check_no_errors(d);
    assert_int_equal(init_read_target("1k", &target, d), 0);
    assert_int_equal(init_choose(size, &target, d), -1);
    for (int i = 0; i < INIT_SIZES; ++i) size[i].seconds = .008 - .001 * i;
    assert_int_equal(init_read_target("6.5ms", &target, d), 0);
    assert_int_equal(init_choose(size, &target, d), 2);
    static const char *const bad[] = { "", "5", "ms", "-1M", "nanM", "infms", "1e9M", "5 ms", "0x1M", "0M", "5mss" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; ++i) assert_int_equal(init_read_target(bad[i], &target, d), -1);
    free(between);
    diag_free(d);
}

int main(void)
{
    network_init();
    if (chdir(check_folder())) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_in_any_order), cmocka_unit_test(odd_boxes), cmocka_unit_test(heads_in_order),
        cmocka_unit_test(heads_by_classes), cmocka_unit_test(batches_and_fit),
        cmocka_unit_test(numbers), cmocka_unit_test(reads_of_a_head), cmocka_unit_test(refusals),
        cmocka_unit_test(classifier), cmocka_unit_test(encoders_and_crops), cmocka_unit_test(connected), cmocka_unit_test(parted_scores),
        cmocka_unit_test(narrower), cmocka_unit_test(shallower), cmocka_unit_test(sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
