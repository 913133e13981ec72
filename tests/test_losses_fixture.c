/* Every loss against PyTorch (tests/fixtures/make_losses_fixture.py): values and gradients, live targets and stored ones;
 * and against central differences, by the student's map and by a loss's own parameters. */
#include "layers/network.h"
#include "check.h"

#include "layers/cpu/cpu.h"
#include "layers/map_loss.h"

typedef struct record {
    char section[24];
    int32_t batch, c, h, w, teacher_c, teacher_h, teacher_w;
    float scale;
    float *student, *teacher, *offset;           /* owned; offset NULL: it has none */
    double loss, *gradient, *offset_gradient;    /* owned */
} record;

static void read_exactly(void *to, size_t size, size_t n, FILE *file) { assert_int_equal(fread(to, size, n, file), n); }

static void *read_array(size_t size, size_t n, FILE *file)
{
    void *to = mem_calloc(n, size);
    read_exactly(to, size, n, file);
    return to;
}

static size_t student_size(const record *r) { return (size_t)(r->c * r->h * r->w); }
static size_t teacher_size(const record *r) { return (size_t)(r->teacher_c * r->teacher_h * r->teacher_w); }

static record read_record(FILE *file)
{
    record r = { .offset = NULL };
    read_exactly(r.section, 1, sizeof r.section, file);
    read_exactly(&r.batch, sizeof r.batch, 7, file);
    read_exactly(&r.scale, sizeof r.scale, 1, file);
    size_t batch = (size_t)r.batch, learnt = !strcmp(r.section, "variational") ? (size_t)r.c : 0;
    r.student = read_array(sizeof(float), batch * student_size(&r), file);
    r.teacher = read_array(sizeof(float), batch * teacher_size(&r), file);
    if (learnt) r.offset = read_array(sizeof(float), learnt, file);
    read_exactly(&r.loss, sizeof r.loss, 1, file);
    r.gradient = read_array(sizeof(double), batch * student_size(&r), file);
    if (learnt) r.offset_gradient = read_array(sizeof(double), learnt, file);
    return r;
}

static void free_record(record *r)
{
    free(r->student);
    free(r->teacher);
    free(r->offset);
    free(r->gradient);
    free(r->offset_gradient);
}

static const section_type *row_of(const record *r) { return section_type_named(r->section); }

/* A layer that passes its input on, and the loss on the second, made as the model makes it. */
static network *open_loss(const record *r)
{
    diag *d = diag_new();
    char *text = mem_printf("[net]\nbatch=%d\nchannels=%d\nheight=%d\nwidth=%d\nlearning_rate=.1\nmomentum=.9\ndecay=.1\n[activation]\nactivation=linear\n"
                            "stopbackward=1\n", r->batch, r->c, r->h, r->w);
    char *section = mem_printf("[net]\ninputs=1\n[%s]\nscale=%.9g\n", r->section, r->scale);
    cfg_file *cfg = cfg_parse("net.cfg", text, strlen(text), d), *asked = cfg_parse("loss.cfg", section, strlen(section), d);
    const section_type *row = row_of(r);
    if (row->append) row->append(cfg, cfg_first(asked, r->section), r->c);
    else cfg_set(cfg_append(cfg, "activation", "net.cfg", 9), "activation", "linear");
    char *lowered = cfg_text(cfg, NULL);
    network *net = check_parse(lowered);
    loss_place place = { .c = r->c, .h = r->h, .w = r->w, .teacher_c = r->teacher_c, .teacher_h = r->teacher_h, .teacher_w = r->teacher_w,
                         .classes = r->c };
    if (row->check) assert_int_equal(row->check(cfg_first(asked, r->section), &place, d), 0);
    assert_int_equal(row->make(&net->layers[1], cfg_first(asked, r->section), &place, d), 0);
    assert_int_equal(cpu_bind(net, &(cpu_options){ .backend = BACKEND_REFERENCE }, d), 0);
    check_no_errors(d);
    assert_ptr_equal(section_type_of_layer(&net->layers[1]), row);
    if (r->offset) memcpy(net->layers[1].biases, r->offset, (size_t)r->c * sizeof(float));
    free(lowered);
    free(section);
    free(text);
    cfg_free(cfg);
    cfg_free(asked);
    diag_free(d);
    return net;
}

static void close_loss(network *net)
{
    section_type_of_layer(&net->layers[1])->free(&net->layers[1]);
    cpu_unbind(net);
    host_free(net);
}

/* The loss, mean over the batch, of student x. */
static double loss_of(network *net, const record *r, const float *x)
{
    memcpy(net->input, x, (size_t)r->batch * student_size(r) * sizeof *x);
    network_forward(net, 2, 1);
    return (double)*net->layers[1].cost / r->batch;
}

/* Ours is minus the gradient of the sum over the batch. */
static void check_gradient(const float *delta, const double *gradient, size_t n, int batch, const char *what)
{
    double most = 0;
    for (size_t i = 0; i < n; ++i) most = fmax(most, fabs(gradient[i]));
    assert_true(most > 0 || batch == 1);
    for (size_t i = 0; i < n; ++i) check_close(-(double)delta[i] / batch, gradient[i], 2e-6 * most, what, i);
}

static void check_run(network *net, const record *r, const char *what)
{
    layer *l = &net->layers[1];
    size_t n = (size_t)r->batch * student_size(r);
    double loss = loss_of(net, r, r->student);
    check_close(loss, r->loss, 1e-6 * fabs(r->loss), what, 0);
    assert_memory_equal(l->output, r->student, n * sizeof(float));
    if (r->offset) memset(l->bias_updates, 0, (size_t)r->c * sizeof(float));
    network_backward(net, 2);
    check_gradient(net->layers[0].delta, r->gradient, n, r->batch, what);
    if (r->offset) check_gradient(l->bias_updates, r->offset_gradient, (size_t)r->c, r->batch, "offset");
}

/* Targets as a cache holds them. */
static void check_stored(network *net, const record *r)
{
    feature_map maps[16];
    size_t pixels = (size_t)(r->teacher_h * r->teacher_w), bytes = feature_bytes(FEATURE_F32, r->teacher_c, pixels);
    char *store = mem_aligned((size_t)r->batch, bytes);
    for (int b = 0; b < r->batch; ++b) {
        assert_int_equal(feature_store(FEATURE_F32, r->teacher + (size_t)b * teacher_size(r), r->teacher_c, pixels, store + (size_t)b * bytes), 0);
        maps[b] = feature_stored(FEATURE_F32, r->teacher_c, store + (size_t)b * bytes);
    }
    row_of(r)->set_target(&net->layers[1], &(teaching){ .stored = maps });
    check_run(net, r, "stored");
    free(store);
}

/* In inference it passes on what it gets, whatever it was taught. */
static void check_inference(network *net, const record *r)
{
    size_t n = (size_t)r->batch * student_size(r);
    *net->layers[1].cost = 42;
    memcpy(net->input, r->student, n * sizeof(float));
    network_forward(net, 2, 0);
    assert_memory_equal(net->layers[1].output, r->student, n * sizeof(float));
    assert_true(*net->layers[1].cost == 42);
}

/* What comes from above is added. */
static void check_above(network *net, const record *r)
{
    size_t n = (size_t)r->batch * student_size(r);
    loss_of(net, r, r->student);
    network_backward(net, 2);
    float *alone = mem_calloc(n, sizeof *alone);
    memcpy(alone, net->layers[0].delta, n * sizeof *alone);
    loss_of(net, r, r->student);
    check_fill(net->layers[1].delta, n, 9);
    float *above = net->layers[1].delta;
    network_backward(net, 2);
    for (size_t i = 0; i < n; ++i) check_close(net->layers[0].delta[i], (double)alone[i] + above[i], 1e-5 * fmax(1, fabs(alone[i])), "above", i);
    free(alone);
}

/* By differences of 2^-7 up and down; the loss is a float, which bounds how exact they are. */
static double slope(network *net, const record *r, float *x, size_t i, const float *student)
{
    const float step = 1.f / 128, keep = x[i];
    x[i] = keep + step;
    double up = loss_of(net, r, student);
    x[i] = keep - step;
    double down = loss_of(net, r, student);
    x[i] = keep;
    return (up - down) / (2 * step);
}

static void check_differences(network *net, const record *r)
{
    size_t n = (size_t)r->batch * student_size(r);
    float *x = mem_calloc(n, sizeof *x);
    double most = 0;
    memcpy(x, r->student, n * sizeof *x);
    for (size_t i = 0; i < n; ++i) most = fmax(most, fabs(r->gradient[i]));
    double fault = 1e-3 * most + 6e-8 * fabs(r->loss) * 128;
    for (size_t i = 0; i < n; ++i) check_close(slope(net, r, x, i, x), r->gradient[i], fault, r->section, i);
    for (int c = 0; r->offset && c < r->c; ++c)
        check_close(slope(net, r, net->layers[1].biases, (size_t)c, x), r->offset_gradient[c], 1e-4, "offset", (size_t)c);
    free(x);
}

/* A step moves a loss's own parameters as any layer's biases: no decay, momentum. */
static void check_update(network *net, const record *r)
{
    layer *l = &net->layers[1];
    loss_of(net, r, r->student);
    memset(l->bias_updates, 0, (size_t)r->c * sizeof(float));
    network_backward(net, 2);
    network_update(net, 2);
    for (int c = 0; c < r->c; ++c) check_close(l->biases[c], (double)r->offset[c] - .1 * r->offset_gradient[c], 1e-6, "moved", (size_t)c);
}

static void test_fixture(void **state)
{
    (void)state;
    FILE *file = fopen("tests/fixtures/losses.bin", "rb");
    char magic[8];
    int32_t records;
    assert_non_null(file);
    read_exactly(magic, 1, 8, file);
    assert_memory_equal(magic, "losses1\n", 8);
    read_exactly(&records, sizeof records, 1, file);
    assert_int_equal(records, 10);
    for (int i = 0; i < records; ++i) {
        record r = read_record(file);
        network *net = open_loss(&r);
        row_of(&r)->set_target(&net->layers[1], &(teaching){ .live = r.teacher });
        check_run(net, &r, r.section);
        check_above(net, &r);
        check_inference(net, &r);
        check_differences(net, &r);
        if (row_of(&r)->asks == TEACH_MAP) check_stored(net, &r);
        if (r.offset) check_update(net, &r);
        close_loss(net);
        free_record(&r);
    }
    assert_int_equal(fgetc(file), EOF);
    fclose(file);
}

/* A map of zeros has no direction: the loss is that of a map that points nowhere, its gradient is 0, neither is NaN. */
static void test_nothing(void **state)
{
    (void)state;
    static const char *const name[] = { "attention_transfer", "similarity" };
    for (int i = 0; i < 2; ++i) {
        float zero[24] = { 0 }, t[24];
        check_fill(t, 24, 3);
        record r = { .batch = 2, .c = 3, .h = 2, .w = 2, .teacher_c = 3, .teacher_h = 2, .teacher_w = 2, .scale = 1, .student = zero, .teacher = t };
        snprintf(r.section, sizeof r.section, "%s", name[i]);
        network *net = open_loss(&r);
        row_of(&r)->set_target(&net->layers[1], &(teaching){ .live = t });
        double loss = loss_of(net, &r, zero);
        network_backward(net, 2);
        check_close(loss, i ? .5 : .25, 1e-6, name[i], 0);   /* unit vectors: 2 rows / 2^2, 1 an image / 4 pixels */
        for (int k = 0; k < 24; ++k) assert_true(net->layers[0].delta[k] == 0);
        row_of(&r)->set_target(&net->layers[1], &(teaching){ .live = zero });
        assert_true(isfinite(loss_of(net, &r, t)));
        close_loss(net);
    }
}

int main(void)
{
    network_init();
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_fixture), cmocka_unit_test(test_nothing) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
