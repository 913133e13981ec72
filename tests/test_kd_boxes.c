/* Losses that know a detector's head, as single layers: [kd] behind it and [feature_l2] weight=teacher, against PyTorch
 * (tests/fixtures/make_boxes_fixture.py), the definitions in double and central differences; live targets and stored
 * ones; extremes. */
#include "layers/network.h"
#include "check.h"

#include "layers/cpu/cpu.h"
#include "layers/feature_l2_metric_ops.h"
#include "layers/kd_boxes.h"

typedef struct record {
    int32_t kd, batch, c, h, w, anchors, classes, softmax;
    float scale, extra;                               /* extra: focal or floor */
    float *teacher, *head, *bias, *student;           /* owned */
    double loss, *gradient;                           /* owned */
} record;

static size_t rows_of(const record *r) { return (size_t)(r->anchors * (5 + r->classes)); }
static size_t places_of(const record *r) { return (size_t)(r->h * r->w); }
static size_t channels_of(const record *r) { return r->kd ? rows_of(r) : (size_t)r->c; }
static size_t size_of(const record *r) { return (size_t)r->batch * channels_of(r) * places_of(r); }

static void *read_array(size_t size, size_t n, FILE *file)
{
    void *to = mem_calloc(n, size);
    assert_int_equal(fread(to, size, n, file), n);
    return to;
}

static record read_record(FILE *file)
{
    record r = { .kd = 0 };
    assert_int_equal(fread(&r.kd, sizeof r.kd, 8, file), 8);
    assert_int_equal(fread(&r.scale, sizeof r.scale, 2, file), 2);
    r.teacher = read_array(sizeof(float), (size_t)(r.batch * r.c) * places_of(&r), file);
    r.head = read_array(sizeof(float), rows_of(&r) * (size_t)r.c, file);
    r.bias = read_array(sizeof(float), rows_of(&r), file);
    r.student = read_array(sizeof(float), size_of(&r), file);
    assert_int_equal(fread(&r.loss, sizeof r.loss, 1, file), 1);
    r.gradient = read_array(sizeof(double), size_of(&r), file);
    return r;
}

static void free_record(record *r)
{
    free(r->teacher);
    free(r->head);
    free(r->bias);
    free(r->student);
    free(r->gradient);
}

/* ---- a layer with that head behind its teacher's tap ---- */

typedef struct stand {
    cfg_file *teacher_cfg, *asked;
    network *teacher, *net;
    const section_type *row;
} stand;

static char *teacher_text(const record *r)
{
    char *boxes = r->softmax ? mem_printf("[region]\nnum=%d\nclasses=%d\nsoftmax=1\nanchors=%.*s\n", r->anchors, r->classes,
                                         4 * r->anchors - 1, "1,1,2,2,3,3")
        : mem_printf("[yolo]\nmask=%s\nnum=5\nclasses=%d\nanchors=1,1, 2,2, 3,3, 4,4, 5,5\nscale_x_y=%g\n", &"4,3,1"[6 - 2 * r->anchors], r->classes,
                     r->kd > 1 ? 1.2 : 1);
    char *text = mem_printf("[net]\nbatch=1\nchannels=%d\nheight=%d\nwidth=%d\n[activation]\nactivation=linear\n"
                            "[convolutional]\nfilters=%zu\nsize=1\nactivation=linear\n%s", r->c, r->h, r->w, rows_of(r), boxes);
    free(boxes);
    return text;
}

static stand open_stand(const record *r)
{
    static const int tail_of[] = { 1, -1, 2 };
    static const char *const kinds[] = { "iou", "giou", "diou", "ciou", "" };
    diag *d = diag_new();
    stand s = { .row = r->kd ? section_type_on_boxes("kd") : section_type_named("feature_l2") };
    char *text = teacher_text(r), *asked = r->kd
        ? mem_printf("[net]\ninputs=1\n[kd]\nscale=%g\nfocal=%g\n%s%s\n", r->scale, r->extra, r->kd > 1 ? "iou_normalizer=1.5\niou_loss=" : "",
                     kinds[r->kd > 1 ? r->kd - 2 : 4])
        : mem_printf("[net]\ninputs=1\n[feature_l2]\nscale=%g\nweight=teacher\nfloor=%g\n", r->scale, r->extra);
    char *student = mem_printf("[net]\nbatch=%d\nchannels=%zu\nheight=%d\nwidth=%d\n[activation]\nactivation=linear\nstopbackward=1\n"
                               "[activation]\nactivation=linear\n", r->batch, channels_of(r), r->h, r->w);
    s.teacher_cfg = cfg_parse("t.cfg", text, strlen(text), d);
    s.teacher = check_parse(text);
    memcpy(s.teacher->layers[1].weights, r->head, rows_of(r) * (size_t)r->c * sizeof(float));
    memcpy(s.teacher->layers[1].biases, r->bias, rows_of(r) * sizeof(float));
    s.asked = cfg_parse("s.cfg", asked, strlen(asked), d);
    s.net = check_parse(student);
    loss_place place = { .c = (int)channels_of(r), .h = r->h, .w = r->w, .teacher_c = r->c, .teacher_h = r->h, .teacher_w = r->w,
                         .teacher = s.teacher_cfg, .tail_of = tail_of, .tails = 3 };
    const cfg_section *section = cfg_layer(s.asked, 0);
    assert_int_equal(s.row->check(section, &place, d), 0);
    assert_int_equal(s.row->make(&s.net->layers[1], section, &place, d), 0);
    assert_int_equal(cpu_bind(s.net, &(cpu_options){ .backend = BACKEND_REFERENCE }, d), 0);
    s.row->see_teacher(&s.net->layers[1], s.teacher);
    check_no_errors(d);
    diag_free(d);
    free(text);
    free(asked);
    free(student);
    return s;
}

static void close_stand(stand *s)
{
    s->row->free(&s->net->layers[1]);
    cpu_unbind(s->net);
    host_free(s->net);
    host_free(s->teacher);
    cfg_free(s->asked);
    cfg_free(s->teacher_cfg);
}

/* The loss, mean over the batch. */
static double loss_of(stand *s, const record *r, const float *x)
{
    memcpy(s->net->input, x, size_of(r) * sizeof *x);
    network_forward(s->net, 2, 1);
    return (double)*s->net->layers[1].cost / r->batch;
}

static void check_run(stand *s, const record *r, const char *what)
{
    double most = 0;
    check_close(loss_of(s, r, r->student) / r->loss, 1, 2e-6, what, 0);
    network_backward(s->net, 2);
    for (size_t i = 0; i < size_of(r); ++i) most = fmax(most, fabs(r->gradient[i]));
    for (size_t i = 0; i < size_of(r); ++i)
        check_close(-(double)s->net->layers[0].delta[i] / r->batch / most, r->gradient[i] / most, 3e-6, what, i);
}

static void check_stored(stand *s, const record *r)
{
    feature_map maps[8];
    size_t bytes = feature_bytes(FEATURE_F32, r->c, places_of(r)), n = (size_t)r->c * places_of(r);
    char *store = mem_aligned((size_t)r->batch, bytes);
    loss_of(s, r, r->student);
    network_backward(s->net, 2);
    float cost = *s->net->layers[1].cost, *delta = mem_calloc(size_of(r), sizeof *delta);
    memcpy(delta, s->net->layers[0].delta, size_of(r) * sizeof *delta);
    for (int b = 0; b < r->batch; ++b) {
        assert_int_equal(feature_store(FEATURE_F32, r->teacher + (size_t)b * n, r->c, places_of(r), store + (size_t)b * bytes), 0);
        maps[b] = feature_stored(FEATURE_F32, r->c, store + (size_t)b * bytes);
    }
    s->row->set_target(&s->net->layers[1], &(teaching){ .stored = maps });
    loss_of(s, r, r->student);
    network_backward(s->net, 2);
    assert_true(cost == *s->net->layers[1].cost);
    assert_memory_equal(delta, s->net->layers[0].delta, size_of(r) * sizeof *delta);
    free(store);
    free(delta);
}

/* What comes from above is added. */
static void check_above(stand *s, const record *r)
{
    float *alone = mem_calloc(size_of(r), sizeof *alone), *above = s->net->layers[1].delta;
    memcpy(alone, s->net->layers[0].delta, size_of(r) * sizeof *alone);
    loss_of(s, r, r->student);
    check_fill(above, size_of(r), 9);
    network_backward(s->net, 2);
    for (size_t i = 0; i < size_of(r); ++i)
        check_close(s->net->layers[0].delta[i], (double)alone[i] + above[i], 1e-5 * fmax(1, fabs(alone[i])), "above", i);
    free(alone);
}

/* By differences of 2^-9 up and down; the loss is a float, which bounds how exact they are. */
static void check_differences(stand *s, const record *r)
{
    const float step = 1.f / 512;
    float *x = mem_calloc(size_of(r), sizeof *x);
    double most = 0;
    memcpy(x, r->student, size_of(r) * sizeof *x);
    for (size_t i = 0; i < size_of(r); ++i) most = fmax(most, fabs(r->gradient[i]));
    double fault = 2e-3 * most + 6e-8 * fabs(r->loss) * 512;
    for (size_t i = 0; i < size_of(r); ++i) {
        x[i] = r->student[i] + step;
        double up = loss_of(s, r, x);
        x[i] = r->student[i] - step;
        double down = loss_of(s, r, x);
        x[i] = r->student[i];
        check_close((up - down) / (2 * step), r->gradient[i], fault, "difference", i);
    }
    free(x);
}

static void check_inference(stand *s, const record *r)
{
    *s->net->layers[1].cost = 42;
    memcpy(s->net->input, r->student, size_of(r) * sizeof(float));
    network_forward(s->net, 2, 0);
    assert_memory_equal(s->net->layers[1].output, r->student, size_of(r) * sizeof(float));
    assert_true(*s->net->layers[1].cost == 42);
}

static void test_fixture(void **state)
{
    (void)state;
    FILE *file = fopen("tests/fixtures/boxes.bin", "rb");
    char magic[8];
    int32_t records;
    assert_non_null(file);
    assert_int_equal(fread(magic, 1, 8, file), 8);
    assert_memory_equal(magic, "boxes01\n", 8);
    assert_int_equal(fread(&records, sizeof records, 1, file), 1);
    assert_int_equal(records, 10);
    for (int i = 0; i < records; ++i) {
        record r = read_record(file);
        stand s = open_stand(&r);
        s.row->set_target(&s.net->layers[1], &(teaching){ .live = r.teacher });
        check_run(&s, &r, r.kd ? "kd" : "feature_l2");
        check_above(&s, &r);
        check_inference(&s, &r);
        if (r.kd < 2) check_differences(&s, &r);    /* boxes have edges: test_box_slopes */
        check_stored(&s, &r);
        close_stand(&s);
        free_record(&r);
    }
    assert_int_equal(fgetc(file), EOF);
    fclose(file);
}

/* ---- one anchor ---- */

/* By the definitions, in double. */
static double binary(double p, double q) { return p * log(p / q) + (1 - p) * log((1 - p) / (1 - q)); }
static double logistic(double z) { return 1 / (1 + exp(-z)); }

static void test_objectness(void **state)
{
    (void)state;
    static const double z[] = { -3, -.5, 0, 1, 4 };
    for (int i = 0; i < 25; ++i) {
        double s = z[i / 5], t = z[i % 5], p = logistic(s), q = logistic(t), e = 1e-5;
        check_close(kd_boxes_object_loss(s, t, 0), binary(q, p), 1e-12, "cross-entropy", (size_t)i);
        double focal = pow(fabs(p - q), 1.5) * -(q * log(p) + (1 - q) * log(1 - p));
        check_close(kd_boxes_object_loss(s, t, 1.5), focal, 1e-12, "focal", (size_t)i);
        for (double B = 0; B < 3; B += 1.5)
            check_close(kd_boxes_object_delta(s, t, B),
                        (kd_boxes_object_loss(s - e, t, B) - kd_boxes_object_loss(s + e, t, B)) / (2 * e), 1e-4, "slope", (size_t)i);
    }
    assert_true(kd_boxes_object_delta(2, 2, 1) == 0 && kd_boxes_object_loss(2, 2, 1) == 0);
}

/* One anchor, one class: x y w h objectness class. */
static double loss_and_delta(const float *s, const float *t, double focal, float *delta)
{
    static const float none[6] = { 0 };
    double part;
    kd_boxes_job job = { .student = s, .teacher = t, .above = none, .form = { .anchors = 1, .classes = 1 }, .batch = 1, .places = 1,
                         .focal = focal, .scale = 1, .kind = KD_BOXES_SQUARES, .box_weight = 1, .part = &part, .below = delta };
    memset(delta, 0, 6 * sizeof *delta);
    kd_boxes_lose(&job, 0);
    kd_boxes_pass(&job, 0);
    return part;
}

static void test_extremes(void **state)
{
    (void)state;
    static const float sure[6] = { 3e4f, -3e4f, 1, -1, 3e4f, 3e4f }, other[6] = { -3e4f, 3e4f, 2, 1, -3e4f, -3e4f };
    float delta[6];
    for (double focal = 0; focal < 3; ++focal) {
        assert_true(loss_and_delta(sure, sure, focal, delta) == 0);
        for (int i = 0; i < 6; ++i) assert_true(delta[i] == 0);
        check_close(loss_and_delta(other, sure, focal, delta), 4 * 3e4 + .5 + 2, 1e-9, "opposite", (size_t)focal);
        assert_true(delta[0] == 1 && delta[1] == -1 && delta[2] == -1 && delta[3] == -2 && delta[4] == 1 && delta[5] == 1);
    }
    /* where the teacher sees nothing only that counts */
    float nothing[6] = { 1, 2, 3, 4, -7, 5 }, student[6] = { 0, 0, 0, 0, 1, 0 };
    check_close(loss_and_delta(student, nothing, 0, delta), binary(logistic(-7), logistic(1)), 1e-6, "nothing there", 0);
    for (int i = 0; i < 6; ++i) assert_true((delta[i] != 0) == (i == 4));
    nothing[4] = -6.9f;
    loss_and_delta(student, nothing, 0, delta);
    for (int i = 0; i < 6; ++i) assert_true(delta[i] != 0);
    student[0] = NAN;
    assert_true(isnan(loss_and_delta(student, nothing, 0, delta)));
}

/* Element i of `job`, its loss with x, y, w or h of the student moved. */
static double moved(kd_boxes_job *job, size_t i, float *student, size_t k, float by)
{
    float *at = student + kd_boxes_at(job, i) + k * job->places, before = *at;
    *at = before + by;
    kd_boxes_lose(job, i);
    *at = before;
    return job->part[i];
}

/* The boxes' slopes by differences, but where an edge of one passes one of the other; equal boxes cost nothing; only where
 * the teacher sees something, and by how sure it is. */
static void test_box_slopes(void **state)
{
    (void)state;
    enum { PLACES = 6, ANCHORS = 2, ENTRIES = 6, N = PLACES * ANCHORS, ALL = N * ENTRIES };
    static const float anchor[2 * ANCHORS] = { 20, 30, 45, 25 }, none[ALL] = { 0 };
    float student[ALL], teacher[ALL], delta[ALL];
    double part[N];
    int compared = 0;
    for (int kind = IOU_PLAIN; kind <= IOU_COMPLETE; ++kind) {
        kd_boxes_job job = { .student = student, .teacher = teacher, .above = none, .form = { .anchors = ANCHORS, .classes = 1 }, .batch = 1,
                             .places = PLACES, .scale = 1, .kind = kind, .box_weight = 2, .anchor = anchor, .cells_x = 1 / 16., .cells_y = 1 / 20.,
                             .grid = 1.1, .part = part, .below = delta };
        check_fill(student, ALL, 21 + (uint64_t)kind), check_fill(teacher, ALL, 31), memset(delta, 0, sizeof delta);
        for (size_t i = 0; i < N; ++i) kd_boxes_pass(&job, i);
        for (size_t i = 0; i < N; ++i)
            for (size_t k = 0; k < 4; ++k) {
                const float e = 1 / 1024.f;
                double up = moved(&job, i, student, k, e), here = moved(&job, i, student, k, 0), down = moved(&job, i, student, k, -e);
                if (fabs((up - here) - (here - down)) > 2e-5) continue;    /* an edge */
                check_close(delta[kd_boxes_at(&job, i) + k * PLACES], (down - up) / (2 * (double)e), 2e-3, "slope", 4 * i + k);
                ++compared;
            }
        memcpy(student, teacher, sizeof student);
        for (size_t i = 0; i < N; ++i) check_close(moved(&job, i, student, 0, 0), 0, 1e-6, "equal boxes", i);
        double of[2];
        for (int there = 0; there < 2; ++there) {   /* objectness .5, and next to none */
            student[4 * PLACES] = teacher[4 * PLACES] = there ? 0 : -7;
            of[there] = moved(&job, 0, student, 2, 1);
        }
        assert_true(of[0] == 0 && of[1] > .3 && of[1] < 2);
    }
    assert_true(compared > 4 * N * 4 * 9 / 10);
}

/* An image where the teacher sees nothing weighs its places alike; one where it sees something moves the weight there. */
static void test_places(void **state)
{
    (void)state;
    float raw[2 * 6 * 4], place[4];
    feature_l2_places places = { .form = { .anchors = 2, .classes = 1 }, .floor = .25, .map = 4 };
    for (int i = 0; i < 48; ++i) raw[i] = i % 24 / 4 == 4 ? -50 : 50;
    feature_l2_weigh_places(&places, raw, place);
    for (int i = 0; i < 4; ++i) check_close(place[i], 1, 1e-6, "nothing there", (size_t)i);
    raw[24 + 4 * 4 + 2] = 50;       /* the second anchor, at place 2 */
    feature_l2_weigh_places(&places, raw, place);
    for (int i = 0; i < 4; ++i) check_close(place[i] * place[i], (i == 2 ? 1 : .25) * 4 / 1.75, 1e-6, "something there", (size_t)i);
    places.floor = 0;
    for (int i = 0; i < 48; ++i) raw[i] = -3e4f;
    feature_l2_weigh_places(&places, raw, place);
    for (int i = 0; i < 4; ++i) assert_true(place[i] == 1);
}

int main(void)
{
    network_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_objectness), cmocka_unit_test(test_extremes), cmocka_unit_test(test_box_slopes), cmocka_unit_test(test_places),
        cmocka_unit_test(test_fixture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
