/* What lowering refuses, word for word: a distillation's mistakes with file, line and a hint. */
#include "check.h"

#include "layers/sections.h"

#include "darknet_plugin/lowering/lower.h"

#include <unistd.h>

#define NET "[net]\nbatch=8\nwidth=16\nheight=16\nchannels=3\n"
#define TEACHER "[teacher]\ncfg=t.cfg\n"
#define CONV(filters, stride) "[convolutional]\nfilters=" #filters "\nsize=3\nstride=" #stride "\npad=1\nactivation=relu\n"
#define TRIPLE "[projector]\n[feature_l2]\n[reused_classifier]\n"
#define STUDENT CONV(4, 2) CONV(4, 2)

/* 4x4x8 at layer 1, the tap. */
static const char teacher[] = NET CONV(8, 2) CONV(8, 2) "[avgpool]\n[connected]\noutput=10\n[softmax]\n[cost]\n";

/* All messages as diag_print shows them; the caller frees. */
static char *messages(const diag *d)
{
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);
    diag_print(d, f);
    fclose(f);
    return text;
}

static char *lower_messages(const char *student, const char *teacher_text, lower_mode mode, int refused)
{
    diag *d = diag_new();
    check_write("t.cfg", teacher_text, strlen(teacher_text));
    check_write("s.cfg", student, strlen(student));
    lowered *l = lower_read("s.cfg", mode, d);
    char *got = messages(d);
    if (refused != !l) fail_msg("%s, and said: %s", l ? "accepted" : "refused", got);
    lower_free(l);
    diag_free(d);
    return got;
}

static void check_refused(const char *student, const char *teacher_text, const char *expected)
{
    char *got = lower_messages(student, teacher_text, LOWER_TRAIN, 1);
    assert_string_equal(got, expected);
    free(got);
}

static void triples_out_of_order(void **state)
{
    (void)state;
    check_refused(NET TEACHER STUDENT "[projector]\n", teacher,
                  "s.cfg:20: [projector] expected [feature_l2] after it, not nothing\n"
                  "hint: [feature_l2] is the loss that trains it\n");
    check_refused(NET TEACHER STUDENT "[feature_l2]\n[reused_classifier]\n", teacher,
                  "s.cfg:20: [feature_l2] expected [projector] before it, not [convolutional]\n"
                  "hint: a triple is [projector], [feature_l2], [reused_classifier]; without layers of its own the first is [projector] stack=none\n");
    check_refused(NET TEACHER STUDENT "[projector]\n[feature_l2]\n[softmax]\n", teacher,
                  "s.cfg:21: [feature_l2] expected [reused_classifier] after it, not [softmax]\n"
                  "hint: a triple is [projector], [feature_l2], [reused_classifier]; without layers of its own the first is [projector] stack=none\n");
    check_refused(NET TEACHER STUDENT "[projector]\n[reused_classifier]\n", teacher,
                  "s.cfg:20: [projector] expected [feature_l2] after it, not [reused_classifier]\n"
                  "hint: [feature_l2] is the loss that trains it\n"
                  "s.cfg:21: [reused_classifier] expected [feature_l2] before it, not [projector]\n"
                  "hint: the order is [projector], [feature_l2], [reused_classifier]\n");
}

static void teacher_and_triples_need_each_other(void **state)
{
    (void)state;
    check_refused(NET STUDENT TRIPLE, teacher,
                  "s.cfg:18: [projector] there is no [teacher] section to learn from\n"
                  "hint: add [teacher] with cfg= and weights= after [net]\n");
    check_refused(NET TEACHER STUDENT, teacher,
                  "s.cfg:6: [teacher] nothing is learnt from it: [projector], [feature_l2] and [reused_classifier] are missing\n"
                  "hint: they stand at the end of the student, in this order\n");
    check_refused(NET TEACHER TRIPLE, teacher,
                  "s.cfg:8: [projector] no student layer before it\n"
                  "hint: the student's encoder comes first, then [projector], [feature_l2] and [reused_classifier]\n");
}

static void taps_and_triples_differ(void **state)
{
    (void)state;
    check_refused(NET "[teacher]\ncfg=t.cfg\ntap=0,1\n" STUDENT CONV(4, 2) TRIPLE, teacher,
                  "s.cfg:8: [teacher] 2 taps for 1 triples of [projector], [feature_l2] and [reused_classifier]: layers 0, 1 of t.cfg\n"
                  "hint: each tap needs a triple of its own; [teacher] tap= names those to keep\n");
    check_refused(NET TEACHER STUDENT TRIPLE "[route]\nlayers=0\n" TRIPLE, teacher,
                  "s.cfg:6: [teacher] 1 taps for 2 triples of [projector], [feature_l2] and [reused_classifier]: layers 1 of t.cfg\n"
                  "hint: each triple needs a tap of its own; [teacher] tap= names 2 layers\n");
    check_refused(NET "[teacher]\ncfg=t.cfg\ntap=1,6\n" STUDENT TRIPLE, teacher,
                  "s.cfg:8: [teacher] tap=6 is out of range: t.cfg has 6 layers, 0 to 5\n");
    check_refused(NET "[teacher]\ncfg=t.cfg\ntap=0,1\n" STUDENT "[projector]\ntap=1\n[feature_l2]\n[reused_classifier]\n"
                  "[route]\nlayers=1\n[projector]\n[feature_l2]\n[reused_classifier]\ntap=1\n", teacher,
                  "s.cfg:30: [reused_classifier] tap 1 (teacher layer 1) is used twice\n"
                  "hint: tap=N is the N-th of [teacher] tap=, counted from 0; without it triples take them in order\n");
    check_refused(NET TEACHER STUDENT "[projector]\ntap=1\n[feature_l2]\n[reused_classifier]\n", teacher,
                  "s.cfg:21: [projector] tap=1 is out of range: [teacher] has 1, 0 to 0\n"
                  "hint: tap=N is the N-th of [teacher] tap=, counted from 0; without it triples take them in order\n");
    check_refused(NET TEACHER STUDENT "[projector]\ntap=0\n[feature_l2]\ntap=1\n[reused_classifier]\n", teacher,
                  "s.cfg:21: [projector] this triple's sections name different taps\n"
                  "hint: tap=N is the N-th of [teacher] tap=, counted from 0; without it triples take them in order\n");
}

/* Heads of three strides, the smallest first, for a student of two, the largest first. */
static void taps_of_the_triples_strides(void **state)
{
    (void)state;
#define EYE CONV(7, 1) "[yolo]\nmask=0\nanchors=4,4\nclasses=2\nnum=1\n"
    static const char three[] = NET CONV(8, 2) EYE "[route]\nlayers=0\n" CONV(10, 2) EYE "[route]\nlayers=4\n" CONV(12, 2) EYE;
    static const char student[] = NET TEACHER CONV(4, 2) CONV(5, 2) CONV(6, 2) TRIPLE "[route]\nlayers=0\n" TRIPLE;
    static const char said[] = "s.cfg:6: warning: [teacher] 3 taps for 2 triples: each takes the one of its own stride, "
                               "layers 8 (stride 8), 0 (stride 2)\n";
    diag *d = diag_new();
    check_write("t.cfg", three, strlen(three));
    check_write("s.cfg", student, strlen(student));
    lowered *low = lower_read("s.cfg", LOWER_TRAIN, d);
    assert_non_null(low);
    char *got = messages(d);
    assert_string_equal(got, said);
    assert_true(low->heads == 2 && low->head[0].tap == 8 && low->head[1].tap == 0 && low->teacher->taps == 2);
    assert_true(low->head[0].tap_index == 0 && low->head[1].tap_index == 1 && low->teacher->cut == 9);
    assert_int_equal(low->shape->layer[low->head[0].tail].in_c, 12);
    lower_free(low);
    free(got);
    diag_free(d);
    /* One of them has no stride of its own; one says which. */
    check_refused(NET TEACHER CONV(4, 1) TRIPLE "[route]\nlayers=0\n" CONV(4, 2) TRIPLE, three,
                  "s.cfg:6: [teacher] 3 taps for 2 triples of [projector], [feature_l2] and [reused_classifier]: layers 0, 4, 8 of t.cfg\n"
                  "hint: each tap needs a triple of its own; [teacher] tap= names those to keep\n");
    check_refused(NET TEACHER CONV(4, 2) TRIPLE "tap=0\n", three,
                  "s.cfg:6: [teacher] 3 taps for 1 triples of [projector], [feature_l2] and [reused_classifier]: layers 0, 4, 8 of t.cfg\n"
                  "hint: each tap needs a triple of its own; [teacher] tap= names those to keep\n");
}

static const char counted[] = "hint: layers are counted from 0, [net], [teacher] and [augment] not among them\n";

static void references_out_of_range(void **state)
{
    (void)state;
    static const struct { const char *layer, *error; } wrong[] = {
        { "[route]\nlayers=-3\n", "s.cfg:21: [route] layers=-3 is layer -1: expected one before this, which is layer 2\n" },
        { "[route]\nlayers=2\n", "s.cfg:21: [route] layers=2 is layer 2: expected one before this, which is layer 2\n" },
        { "[shortcut]\nfrom=5\n", "s.cfg:21: [shortcut] from=5 is layer 5: expected one before this, which is layer 2\n" },
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; ++i) {
        char *student = mem_printf(NET TEACHER STUDENT "%s" TRIPLE, wrong[i].layer);
        char *expected = mem_printf("%s%s", wrong[i].error, counted);
        check_refused(student, teacher, expected);
        free(student);
        free(expected);
    }
    check_refused(NET STUDENT "[shortcut]\nfrom=2\n", teacher,
                  "s.cfg:19: [shortcut] from=2 is layer 2: expected one before this, which is layer 2\n"
                  "hint: layers are counted from 0, [net], [teacher] and [augment] not among them\n");
}

#define TWO_TAPS "[teacher]\ncfg=t.cfg\ntap=0,1\n"
#define READ_HINT "hint: read the [projector] or a layer before it; after a [reused_classifier] a student goes on with [route]\n"

static void nothing_trained_reads_the_classifier(void **state)
{
    (void)state;
    static const struct { const char *layer, *error; } wrong[] = {
        { "[route]\nlayers=0,-1\n", "s.cfg:25: [route] reads layer 4, a [reused_classifier] (line 23): it is frozen, nothing trained may read it\n" },
        { "[convolutional]\n", "s.cfg:24: [convolutional] reads layer 4, a [reused_classifier] (line 23): it is frozen, nothing trained may read it\n" },
        { "", "s.cfg:24: [projector] reads layer 4, a [reused_classifier] (line 23): it is frozen, nothing trained may read it\n" },
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; ++i) {
        char *student = mem_printf(NET TWO_TAPS STUDENT TRIPLE "%s" TRIPLE, wrong[i].layer);
        char *expected = mem_printf("%s" READ_HINT, wrong[i].error);
        check_refused(student, teacher, expected);
        free(student);
        free(expected);
    }
}

static void maps_that_do_not_divide(void **state)
{
    (void)state;
    static const char same_hint[] = "hint: both sides must differ by the same whole factor; change a stride of the student or [teacher] width= height=\n";
    char *expected = mem_printf("s.cfg:14: [projector] map sizes do not divide: teacher's is 4x4 (layer 1), student's 6x6 (layer 0)\n%s", same_hint);
    check_refused(NET TEACHER CONV(4, 3) TRIPLE, teacher, expected);
    free(expected);
    check_refused(NET TEACHER STUDENT "[softmax]\n" TRIPLE, teacher,
                  "s.cfg:20: warning: [softmax] the student's own output is trained by nothing: losses of a triple do not reach it\n"
                  "hint: leave out the student's classifier, the teacher's is reused\n"
                  "s.cfg:21: [projector] the layer before, [softmax], has no feature map\n");
}

static void projector_mistakes_come_through(void **state)
{
    (void)state;
    check_refused(NET TEACHER STUDENT "[projector]\nstack=none\n[feature_l2]\n[reused_classifier]\n", teacher,
                  "s.cfg:21: [projector] stack=none needs the teacher's channels: expected 8, not 4\n"
                  "hint: stack=1x1 brings 4 channels to 8\n");
}

static void student_shapes_are_blamed_once(void **state)
{
    (void)state;
    check_refused(NET TEACHER STUDENT "[convolutional]\nfilters=3\ngroups=2\n" TRIPLE, teacher,
                  "s.cfg:22: [convolutional] 'groups' is 2, which does not divide the 3 filters\n");
}

/* A wrong layer does not keep the rest from being checked, nor is it blamed again through what follows it. */
static void mistakes_of_two_heads(void **state)
{
    (void)state;
    check_refused(NET TWO_TAPS STUDENT "[route]\nlayers=9\n" TRIPLE "[route]\nlayers=-4,-1\n" TRIPLE, teacher,
                  "s.cfg:22: [route] layers=9 is layer 9: expected one before this, which is layer 2\n"
                  "hint: layers are counted from 0, [net], [teacher] and [augment] not among them\n"
                  "s.cfg:27: warning: [route] layers=-4 counts back over a triple, [reused_classifier] (line 25), to layer 2, [route] (line 21)\n"
                  "hint: a triple is three sections where a stock head is two; if that layer is meant, write 2\n"
                  "s.cfg:27: [route] reads layer 5, a [reused_classifier] (line 25): it is frozen, nothing trained may read it\n" READ_HINT);
}

/* ---- what is no mistake ---- */

/* Layers 0 and 1, a triple in 2 to 4, [route] in 5. */
static void relative_numbers_over_a_triple(void **state)
{
    (void)state;
    static const struct { const char *layers, *said; } routes[] = {
        { "layers=-5", "s.cfg:25: warning: [route] layers=-5 counts back over a triple, [reused_classifier] (line 23), to layer 0, "
                       "[convolutional] (line 9)\n"
                       "hint: a triple is three sections where a stock head is two; if that layer is meant, write 0\n" },
        { "layers=-3", "s.cfg:25: warning: [route] layers=-3 counts back over a triple, [reused_classifier] (line 23), to layer 2, "
                       "[projector] (line 21)\n"
                       "hint: a triple is three sections where a stock head is two; if that layer is meant, write 2\n" },
        { "layers=0", "" },
        { "layers=2", "" },
    };
    for (size_t i = 0; i < sizeof routes / sizeof *routes; ++i) {
        char *student = mem_printf(NET TWO_TAPS STUDENT TRIPLE "[route]\n%s\n" CONV(4, 1) "[shortcut]\nfrom=-1\n" TRIPLE, routes[i].layers);
        char *got = lower_messages(student, NET CONV(8, 2) CONV(8, 2) "[avgpool]\n[connected]\noutput=10\n[softmax]\n", LOWER_TRAIN, 0);
        assert_string_equal(got, routes[i].said);
        free(got);
        free(student);
    }
}

/* [augment] jitter= of a classifier did nothing, in silence; a detector cannot be cropped. */
static void keys_of_another_kind(void **state)
{
    (void)state;
    static const char net[] = NET CONV(8, 2) "[convolutional]\nfilters=8\nsize=1\nactivation=linear\n[yolo]\nclasses=3\nnum=1\n";
    char *got = lower_messages(NET TEACHER "[augment]\njitter=.2\nrandom=1\nfit=crop\n" STUDENT TRIPLE, teacher, LOWER_TRAIN, 0);
    assert_string_equal(got, "s.cfg:9: warning: [augment] jitter=.2 is for detectors and does nothing here\n"
                             "s.cfg:10: warning: [augment] random=1 is for detectors and does nothing here\n");
    free(got);
    got = lower_messages(NET TEACHER "[augment]\njitter=.2\nrandom=1\nfit=crop\n" CONV(4, 2) TRIPLE, net, LOWER_TRAIN, 0);
    assert_string_equal(got, "s.cfg:11: warning: [augment] fit=crop is for classifiers: boxes would be cut off, images are not cropped\n");
    free(got);
}

static void means_of_bytes(void **state)
{
    (void)state;
    char *got = lower_messages(NET TEACHER "mean=123.675,116.28,103.53\nstd=58.395,57.12,57.375\n" STUDENT TRIPLE, teacher, LOWER_TRAIN, 0);
    assert_string_equal(got, "s.cfg:8: warning: [teacher] mean=123.675 is of pixels from 0 to 255: here they are from 0 to 1\n"
                             "hint: divide by 255: mean=0.485,0.456,0.406\n"
                             "s.cfg:9: warning: [teacher] std=58.395 is of pixels from 0 to 255: here they are from 0 to 1\n"
                             "hint: divide by 255: std=0.229,0.224,0.225\n");
    free(got);
    got = lower_messages(NET TEACHER "mean=.485,.456,.406\nstd=.229,.224,.225\n" STUDENT TRIPLE, teacher, LOWER_TRAIN, 0);
    assert_string_equal(got, "");
    free(got);
}

/* What is said of a cfg as `check` and `train` say it. */
static char *advice(const char *student, int warn, int *failed)
{
    diag *d = diag_new();
    check_write("t.cfg", teacher, strlen(teacher));
    check_write("s.cfg", student, strlen(student));
    lowered *low = lower_read_alone("s.cfg", d);
    assert_non_null(low);
    *failed = lower_check_loss(low, warn, d);
    lower_warn_training(low, d);
    lower_warn_projector(low, d);
    char *got = messages(d);
    lower_free(low);
    diag_free(d);
    return got;
}

static void advised(const char *student, int warn, int fails, const char *expected)
{
    int failed;
    char *got = advice(student, warn, &failed);
    assert_string_equal(got, expected);
    assert_int_equal(!!failed, fails);
    free(got);
}

static void nothing_has_a_loss(void **state)
{
    (void)state;
    advised(NET STUDENT "[avgpool]\n[connected]\noutput=3\n", 0, 1,
            "s.cfg:19: [connected] nothing in this network has a loss: training would change nothing\n"
            "hint: [softmax] at the end makes a classifier of it\n");
    advised(NET STUDENT "[avgpool]\n[connected]\noutput=3\n", 1, 0,
            "s.cfg:19: warning: [connected] nothing in this network has a loss: training would change nothing\n"
            "hint: [softmax] at the end makes a classifier of it\n");
    advised(NET STUDENT "[avgpool]\n[softmax]\nnoloss=1\n", 0, 1,
            "s.cfg:20: [softmax] noloss=1, and nothing else has a loss: training would change nothing\n"
            "hint: leave out noloss=1\n");
    advised(NET STUDENT "[avgpool]\n[softmax]\nnoloss=1\n[cost]\n", 0, 0, "");
    advised(NET STUDENT "[avgpool]\n[softmax]\n", 0, 0, "");
    advised(NET TEACHER STUDENT "[avgpool]\n[connected]\noutput=10\n[kd]\n[softmax]\nnoloss=1\n", 0, 0, "");
}

static void heads_that_learn_nothing_from_labels(void **state)
{
    (void)state;
    static const char gaussian[] = NET "letter_box=1\n" CONV(11, 1) "[Gaussian_yolo]\nmask=0\nanchors=4,4\nclasses=2\nnum=1\n";
    static const char hint[] = "hint: train it in AlexeyAB's Darknet, and distil from it here: that needs no labels\n";
    static const char what[] = "cannot be trained from labels here: it runs, is measured and is distilled\n";
    for (int warn = 0; warn < 2; ++warn) {
        char *uncertain = mem_printf("s.cfg:13: %s[Gaussian_yolo] %s%s", warn ? "warning: " : "", what, hint);
        advised(gaussian, warn, !warn, uncertain);
        free(uncertain);
    }
}

static void new_coords_want_probabilities(void **state)
{
    (void)state;
#define COORDS(activation) NET "letter_box=1\n[convolutional]\nfilters=7\nsize=1\nactivation=" activation "\n" \
        "[yolo]\nnew_coords=1\nmask=0\nanchors=4,4\nclasses=2\nnum=1\n"
    static const char what[] = "[yolo] new_coords=1 learns from labels where the layer before has activation=logistic\n";
    char *refused = mem_printf("s.cfg:12: %s", what), *warned = mem_printf("s.cfg:12: warning: %s", what);
    advised(COORDS("linear"), 0, 1, refused);
    advised(COORDS("linear"), 1, 0, warned);
    advised(COORDS("logistic"), 0, 0, "");
    free(refused);
    free(warned);
}

/* How a detector's images fill its input: as its cfg says, as the Darknet does whose cfg it is, as the stock one does. */
static void fits(const char *net_keys, const char *sections, const char *head_keys, image_fit fit, const char *expected)
{
    diag *d = diag_new();
    char *text = mem_printf(NET "%s%s" CONV(7, 1) "[yolo]\nmask=0\nanchors=4,4\nclasses=2\nnum=1\n%s", net_keys, sections, head_keys);
    lowered *low = lower_cfg(cfg_parse("s.cfg", text, strlen(text), d), LOWER_TRAIN, d);
    assert_non_null(low);
    assert_int_equal(low->augment.fit, fit);
    char *got = messages(d);
    if (!strstr(got, expected) || (!*expected && strstr(got, "stretch"))) fail_msg("'%s' does not say '%s'", got, expected);
    free(got), lower_free(low), diag_free(d), free(text);
}

static void detectors_of_another_darknet(void **state)
{
    (void)state;
    static const char hint[] = "hint: [net] letter_box=1 or -fit letterbox letterboxes them\n";
    char *head = mem_printf("s.cfg:17: warning: [yolo] scale_x_y= is of AlexeyAB's Darknet: images are stretched to the input, as it does\n%s", hint);
    char *net = mem_printf("s.cfg:6: warning: [net] mosaic= is of AlexeyAB's Darknet: images are stretched to the input, as it does\n%s", hint);
    fits("", "", "", FIT_LETTERBOX, "");
    fits("", "", "scale_x_y=1.1\n", FIT_STRETCH, head);
    fits("mosaic=1\n", "", "scale_x_y=1.1\n", FIT_STRETCH, net);
    fits("", "", "stopbackward=1\n", FIT_LETTERBOX, "");
    fits("letter_box=1\n", "", "scale_x_y=1.1\n", FIT_LETTERBOX, "");
    fits("letter_box=0\n", "", "", FIT_STRETCH, "");
    fits("", "[augment]\nfit=letterbox\n", "scale_x_y=1.1\n", FIT_LETTERBOX, "");
    free(head);
    free(net);
}

/* A teacher's images may have been brought to its input otherwise: the student's fit counts, and it is said. */
static void teachers_of_another_darknet(void **state)
{
    (void)state;
#define HEAD CONV(7, 1) "[yolo]\nmask=0\nanchors=4,4\nclasses=2\nnum=1\n"
    static const char stock[] = NET CONV(8, 2) CONV(8, 2) HEAD, forks[] = NET CONV(8, 2) CONV(8, 2) HEAD "iou_loss=ciou\n";
    static const struct { const char *teacher_keys, *augment, *teacher, *expected; } cases[] = {
        { "", "", stock, "" },
        { "", "", forks, "s.cfg:7: warning: [teacher] [yolo] iou_loss= in t.cfg, which is of AlexeyAB's Darknet: its images were "
          "stretched: whole, sides out of proportion, here they are letterboxed: whole, within grey\nhint: [augment] fit=stretch\n" },
        { "", "[augment]\nfit=stretch\n", forks, "" },
        { "fit=letterbox\n", "", forks, "" },
        { "fit=letterbox\n", "[augment]\nfit=stretch\n", forks, "s.cfg:8: warning: [teacher] fit=letterbox: its images were letterboxed: "
          "whole, within grey, here they are stretched: whole, sides out of proportion\nhint: [augment] fit=letterbox\n" },
        { "fit=stretch\n", "", stock, "s.cfg:8: warning: [teacher] fit=stretch: its images were stretched: whole, sides out of "
          "proportion, here they are letterboxed: whole, within grey\nhint: [augment] fit=stretch\n" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        char *student = mem_printf(NET TEACHER "%s%s" STUDENT TRIPLE, cases[i].teacher_keys, cases[i].augment);
        char *got = lower_messages(student, cases[i].teacher, LOWER_TRAIN, 0);
        const char *told = strstr(got, "s.cfg");
        assert_string_equal(told ? told : "", cases[i].expected);
        free(got);
        free(student);
    }
}

#define ONE "[net]\nbatch=4\nsubdivisions=4\nwidth=16\nheight=16\nchannels=3\n"
#define NORMAL(stride) "[convolutional]\nbatch_normalize=1\nfilters=4\nsize=3\nstride=" #stride "\npad=1\n"

static void one_image_at_a_time(void **state)
{
    (void)state;
    static const char hint[] = "hint: batch norm wants some images together: batch / subdivisions of 8 or more\n";
    char *expected = mem_printf("s.cfg:2: warning: [net] batch=4 subdivisions=4 is one image at a time: batch norm sees the mean and "
                                "variance of that alone\n%s", hint);
    advised(ONE NORMAL(2) "[softmax]\n", 0, 0, expected);
    free(expected);
    expected = mem_printf("s.cfg:2: warning: [net] batch=4 subdivisions=4 is one image at a time: batch norm makes its biases of the "
                          "1x1 map of [convolutional] (line 13), whatever the image\n%s", hint);
    advised(ONE NORMAL(2) NORMAL(16) "[softmax]\n", 0, 0, expected);
    free(expected);
    advised(ONE CONV(4, 2) "[softmax]\n", 0, 0, "");
    advised(ONE "learning_rate=0\n" CONV(4, 2) "[softmax]\n", 0, 0,
            "s.cfg:7: warning: [net] learning_rate=0: no weight will change\n");
    advised("[net]\nbatch=8\nsubdivisions=4\nwidth=16\nheight=16\nchannels=3\n" NORMAL(2) "[softmax]\n", 0, 0, "");
}

static void heavy_projectors(void **state)
{
    (void)state;
    advised(NET TEACHER STUDENT TRIPLE, 0, 0, "");
    advised(NET TEACHER CONV(6, 2) CONV(6, 2) TRIPLE, 0, 0,
            "s.cfg:20: warning: [projector] the projector has 232 parameters, 26 % of the teacher's 898\n"
            "hint: reduction=8 or stack=depthwise is smaller, stack=linear costs nothing once merged\n");
    advised(NET TEACHER STUDENT "[projector]\nreduction=1\n[feature_l2]\n[reused_classifier]\n", 0, 0,
            "s.cfg:20: warning: [projector] the projector has 720 parameters: student, projector and classifier have 1070, more than "
            "the teacher's 898\nhint: reduction=8 or stack=depthwise is smaller, stack=linear costs nothing once merged\n");
    advised(NET TEACHER STUDENT "[projector]\nstack=linear\n[feature_l2]\n[reused_classifier]\n", 0, 0, "");
}

/* Behind the pooling the map is 1x1. */
static void projectors_of_a_point(void **state)
{
    (void)state;
    advised(NET "[teacher]\ncfg=t.cfg\ntap=2\n" STUDENT "[avgpool]\n[projector]\nreduction=4\n[feature_l2]\n[reused_classifier]\n", 0, 0,
            "s.cfg:22: warning: [projector] 84 parameters, of which a 3x3 convolution sees nothing but padding beside its 1x1 map\n"
            "hint: stack=1x1-1x1 does the same on a 1x1 map, with 44 parameters\n");
    advised(NET "[teacher]\ncfg=t.cfg\ntap=2\n" STUDENT "[avgpool]\n[projector]\nstack=1x1-1x1\nreduction=4\n[feature_l2]\n"
            "[reused_classifier]\n", 0, 0, "");
}

static void teachers_without_files(void **state)
{
    (void)state;
    diag *d = diag_new();
    static const char student[] = NET TEACHER "weights=gone.weights\n" STUDENT TRIPLE;
    check_write("t.cfg", teacher, strlen(teacher));
    check_write("s.cfg", student, strlen(student));
    assert_null(lower_read("s.cfg", LOWER_TRAIN, d));
    diag_free(d);
    d = diag_new();
    lowered *low = lower_read_alone("s.cfg", d);
    assert_non_null(low);
    assert_int_equal(diag_count(d), 0);
    lower_free(low);
    diag_free(d);
}

static void crop_is_refused(void **state)
{
    (void)state;
    check_refused(NET TEACHER "[crop]\ncrop_width=16\ncrop_height=16\n" STUDENT TRIPLE, teacher,
                  "s.cfg:8: [crop] not supported in a student, its random crop is hidden from the teacher\n"
                  "hint: [augment] pad= crops at random, for both alike\n");
}

static void own_head_is_warned_of(void **state)
{
    (void)state;
    char *got = lower_messages(NET TEACHER STUDENT "[connected]\noutput=3\n[softmax]\n[cost]\n[route]\nlayers=1\n" TRIPLE, teacher, LOWER_TRAIN, 0);
    assert_string_equal(got, "s.cfg:22: warning: [softmax] the student's own output is trained by nothing: losses of a triple do not reach it\n"
                             "hint: leave out the student's classifier, the teacher's is reused\n"
                             "s.cfg:23: warning: [cost] the student's own output is trained by nothing: losses of a triple do not reach it\n"
                             "hint: leave out the student's classifier, the teacher's is reused\n");
    free(got);
}

/* ---- [reused_classifier] ---- */

static void tail_without_an_output(void **state)
{
    (void)state;
    check_refused(NET "[teacher]\ncfg=t.cfg\ntap=1\n" STUDENT TRIPLE, NET CONV(8, 2) CONV(8, 2) "[avgpool]\n[connected]\n",
                  "s.cfg:23: [reused_classifier] no [softmax], [yolo] or [region] in t.cfg after the tap, layer 1\n"
                  "hint: layers= says which of the teacher's layers to reuse\n");
}

static void tail_reaches_back(void **state)
{
    (void)state;
    static const char net[] = NET CONV(8, 4) CONV(8, 1) "[shortcut]\nfrom=0\n[avgpool]\n[connected]\n[softmax]\n";
    check_refused(NET "[teacher]\ncfg=t.cfg\ntap=1\n" STUDENT TRIPLE, net,
                  "t.cfg:19: [shortcut] tail reaches back before the tap: layer 2 reads layer 0, the tap is layer 1\n"
                  "hint: choose a later tap, or layers= that do not need it\n");
}

static void chosen_layers_are_checked(void **state)
{
    (void)state;
    static const struct { const char *layers, *error; } wrong[] = {
        { "1,2", "s.cfg:23: [reused_classifier] layers: teacher layer 1 is not among 2 to 5, in rising order\n"
                 "hint: the tap is layer 1, only what follows can be reused\n" },
        { "2,6", "s.cfg:23: [reused_classifier] layers: teacher layer 6 is not among 3 to 5, in rising order\n" },
        { "3,2", "s.cfg:23: [reused_classifier] layers: teacher layer 2 is not among 4 to 5, in rising order\n" },
        { "2,4", "t.cfg:21: [softmax] layer 4 is reused but layer 3, which it reads, is not\n"
                 "hint: [reused_classifier] layers= must name it too\n" },
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; ++i) {
        char *student = mem_printf(NET TEACHER STUDENT TRIPLE "layers=%s\n", wrong[i].layers);
        check_refused(student, teacher, wrong[i].error);
        free(student);
    }
}

/* A [connected] on the map itself: twice the map is four times the weights. */
static void tail_keeps_parameter_shapes(void **state)
{
    (void)state;
    static const char net[] = NET CONV(8, 4) CONV(8, 1) "[maxpool]\nsize=2\nstride=2\n[connected]\noutput=10\n[softmax]\n";
    check_refused(NET "[teacher]\ncfg=t.cfg\ntap=1\n" CONV(4, 4) CONV(4, 2) TRIPLE, net,
                  "s.cfg:23: [reused_classifier] teacher layer 3 [connected] (t.cfg:21) has 32 inputs, 10 outputs and 330 weights there, "
                  "but 8, 10 and 90 here\n"
                  "hint: it needs the teacher's map size: give the student the same stride, or a tap further down\n");
}

/* ---- [augment] ---- */

#define FOR_DETECTORS "hint: jitter=, random= and [net] hue=, saturation= and exposure= augment for detectors\n"
#define HALF "hint: mixup=1 mixes a detector's images, half and half\n"

static void augment_for_classifiers_only(void **state)
{
    (void)state;
    static const char yolo[] = "[convolutional]\nfilters=14\nsize=1\nactivation=linear\n"
                               "[yolo]\nmask=0,1\nanchors=1,2, 3,4\nclasses=2\nnum=2\n";
    char *detector = mem_printf(NET CONV(8, 2) CONV(8, 2) "%s", yolo);
    char *plain = mem_printf(NET "[augment]\nmixup=.2\ncutout=4\nlabel_smoothing=0.1\n" CONV(8, 2) "%s", yolo);
    check_refused(NET TEACHER "[augment]\nflip=1\nmixup=0.4\n" STUDENT TRIPLE, detector,
                  "s.cfg:10: [augment] mixup=0.4 is for classifiers, this network has [yolo]\n" HALF);
    check_refused(plain, teacher,
                  "s.cfg:7: [augment] mixup=.2 is for classifiers, this network has [yolo]\n" HALF
                  "s.cfg:8: [augment] cutout=4 is for classifiers, this network has [yolo]\n" FOR_DETECTORS
                  "s.cfg:9: [augment] label_smoothing=0.1 is for classifiers, this network has [yolo]\n" FOR_DETECTORS);
    free(detector);
    free(plain);
}

/* AlexeyAB's [net] keys, and [augment]'s, which come before them; of a detector. */
static void mosaic_and_mixup(void **state)
{
    (void)state;
    static const struct { const char *net, *augment; int mosaic, mixup; } cases[] = {
        { "", "", 0, 0 }, { "mosaic=1\n", "", 1, 0 }, { "mixup=1\n", "", 0, 1 }, { "", "[augment]\nmosaic=1\nmixup=1\n", 1, 1 },
        { "mosaic=1\nmixup=1\n", "[augment]\nflip=1\n", 1, 1 }, { "mosaic=1\nmixup=1\n", "[augment]\nmosaic=0\nmixup=0\n", 0, 0 },
        { "mixup=4\n", "", 0, 0 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        char *text = mem_printf("[net]\nbatch=1\nwidth=16\nheight=16\nchannels=3\n%s%s" CONV(14, 8)
                                "[yolo]\nmask=0,1\nanchors=1,2, 3,4\nclasses=2\nnum=2\n", cases[i].net, cases[i].augment);
        diag *d = diag_new();
        lowered *low = lower_cfg(cfg_parse("s.cfg", text, strlen(text), d), LOWER_TRAIN, d);
        check_no_errors(d);
        diag_free(d);
        assert_int_equal(low->augment.mosaic, cases[i].mosaic);
        assert_true(low->augment.mixup == (float)cases[i].mixup);
        lower_free(low);
        free(text);
    }
    char *got = lower_messages("[net]\nbatch=1\nwidth=16\nheight=16\nchannels=3\nmosaic=1\nmixup=1\n" TEACHER "[augment]\nmosaic=1\n" STUDENT TRIPLE,
                               teacher, LOWER_TRAIN, 0);
    assert_string_equal(got, "s.cfg:6: warning: [net] mosaic=1 is for detectors and does nothing here\n"
                             "s.cfg:7: warning: [net] mixup=1 is for detectors and does nothing here\n"
                             "s.cfg:11: warning: [augment] mosaic=1 is for detectors and does nothing here\n");
    free(got);
}

static void augment_takes_what_is_possible(void **state)
{
    (void)state;
    check_refused(NET TEACHER "[augment]\ncutout=31\n" STUDENT TRIPLE, teacher,
                  "s.cfg:9: [augment] cutout=31 hides all of every 16x16 image\nhint: a side of half of the image or less leaves something to see\n");
    check_refused(NET TEACHER "[augment]\ncutout=2147483647\n" STUDENT TRIPLE, teacher,
                  "s.cfg:9: [augment] cutout=2147483647 hides all of every 16x16 image\nhint: a side of half of the image or less leaves something to see\n");
    check_refused(NET TEACHER "[augment]\nmixup=-1\ncutout=-1\nlabel_smoothing=1\n" STUDENT TRIPLE, teacher,
                  "s.cfg:9: [augment] 'mixup' is -1, expected 0 to 1000\n"
                  "s.cfg:10: [augment] 'cutout' is -1, expected at least 0\n"
                  "s.cfg:11: [augment] 'label_smoothing' is 1, expected 0 to 0.999\n");
    char *got = lower_messages("[net]\nbatch=1\nwidth=16\nheight=16\nchannels=3\n" TEACHER "[augment]\nmixup=1\ncutout=30\n" STUDENT TRIPLE,
                               teacher, LOWER_DEPLOY, 0);
    assert_string_equal(got, "");
    free(got);
}

/* ---- several at once ---- */

static void all_mistakes_at_once(void **state)
{
    (void)state;
    check_refused(NET "[teacher]\ncfg=t.cfg\nweights=gone.weights\ntap=9\n" STUDENT "[projector]\n[feature_l2]\n", teacher,
                  "s.cfg:8: [teacher] cannot read the teacher's weights gone.weights: No such file or directory\n"
                  "s.cfg:9: [teacher] tap=9 is out of range: t.cfg has 6 layers, 0 to 5\n"
                  "s.cfg:23: [feature_l2] expected [reused_classifier] after it, not nothing\n"
                  "hint: a triple is [projector], [feature_l2], [reused_classifier]; without layers of its own the first is [projector] stack=none\n");
    check_refused(NET "[teacher]\ncfg=gone.cfg\n" STUDENT "[projector]\nstak=1x1\n[feature_l2]\n[reused_classifier]\n", teacher,
                  "s.cfg:7: [teacher] cannot read the teacher's cfg gone.cfg: No such file or directory\n"
                  "s.cfg:21: [projector] unknown key 'stak'\nhint: did you mean 'stack'?\n");
}

static void nothing_to_read(void **state)
{
    (void)state;
    diag *d = diag_new();
    assert_null(lower_read("no such.cfg", LOWER_TRAIN, d));
    assert_int_equal(diag_errors(d), 1);
    diag_free(d);
    static const char *const empty[] = { "", "# nothing\n", "width=3\n", "[convolutional]\n", "[projector]\n", "[\n" };
    for (size_t i = 0; i < sizeof empty / sizeof *empty; ++i) free(lower_messages(empty[i], teacher, LOWER_TRAIN, 1));
}

int main(void)
{
    sections_register();
    if (chdir(check_folder())) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(triples_out_of_order), cmocka_unit_test(teacher_and_triples_need_each_other),
        cmocka_unit_test(taps_and_triples_differ), cmocka_unit_test(taps_of_the_triples_strides), cmocka_unit_test(references_out_of_range),
        cmocka_unit_test(nothing_trained_reads_the_classifier), cmocka_unit_test(maps_that_do_not_divide),
        cmocka_unit_test(projector_mistakes_come_through), cmocka_unit_test(student_shapes_are_blamed_once),
        cmocka_unit_test(mistakes_of_two_heads), cmocka_unit_test(crop_is_refused),
        cmocka_unit_test(relative_numbers_over_a_triple), cmocka_unit_test(keys_of_another_kind), cmocka_unit_test(means_of_bytes), cmocka_unit_test(nothing_has_a_loss),
        cmocka_unit_test(heads_that_learn_nothing_from_labels),
        cmocka_unit_test(new_coords_want_probabilities),
        cmocka_unit_test(detectors_of_another_darknet),
        cmocka_unit_test(teachers_of_another_darknet),
        cmocka_unit_test(one_image_at_a_time), cmocka_unit_test(heavy_projectors), cmocka_unit_test(projectors_of_a_point),
        cmocka_unit_test(teachers_without_files), cmocka_unit_test(own_head_is_warned_of), cmocka_unit_test(tail_without_an_output),
        cmocka_unit_test(tail_reaches_back), cmocka_unit_test(chosen_layers_are_checked),
        cmocka_unit_test(augment_for_classifiers_only), cmocka_unit_test(mosaic_and_mixup), cmocka_unit_test(augment_takes_what_is_possible),
        cmocka_unit_test(tail_keeps_parameter_shapes), cmocka_unit_test(all_mistakes_at_once), cmocka_unit_test(nothing_to_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
