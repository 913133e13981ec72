/* [kd]: loss and gradient against the formula in double, by central differences, what the temperature does, what is
 * refused; students that learn from a teacher's class scores alone, with labels, beside a triple; and deployed. */
#include "layers/network.h"
#include "check_nets.h"

#include "layers/kd.h"
#include "layers/kd_ops.h"

#include <unistd.h>

enum { B = 3, C = 10, N = B * C };

static kd_how plain(double T) { return (kd_how){ .T = T }; }
static double kl(const float *s, const float *t, size_t n, double T)
{
    kd_how how = plain(T);
    return kd_loss(s, t, n, 0, &how);
}
static void kl_delta(const float *s, const float *t, size_t n, double T, double factor, const float *above, float *below)
{
    kd_how how = plain(T);
    kd_delta(s, t, n, 0, &how, factor, above, below);
}

/* Softened by hand, without logarithms of sums. */
static void soften(const float *z, double T, double *p)
{
    double sum = 0;
    for (int i = 0; i < C; ++i) sum += p[i] = exp(z[i] / T);
    for (int i = 0; i < C; ++i) p[i] /= sum;
}

static double loss_by_hand(const float *s, const float *t, double T, double scale)
{
    double p[C], q[C], sum = 0;
    for (int b = 0; b < B; ++b) {
        soften(t + b * C, T, p);
        soften(s + b * C, T, q);
        for (int i = 0; i < C; ++i) sum += p[i] * log(p[i] / q[i]);
    }
    return scale * T * T * sum;
}

static void fill_scores(float *z, uint64_t stream)
{
    check_fill(z, N, stream);
    for (int i = 0; i < N; ++i) z[i] *= 5;
}

static void test_formula(void **state)
{
    (void)state;
    static const double temperature[] = { .5, 1, 4, 20 };
    float s[N], t[N];
    fill_scores(s, 1);
    fill_scores(t, 2);
    for (size_t k = 0; k < sizeof temperature / sizeof *temperature; ++k) {
        double T = temperature[k], got = 0, p[C], q[C];
        for (int b = 0; b < B; ++b) got += T * T * kl(s + b * C, t + b * C, C, T);
        check_close(got / loss_by_hand(s, t, T, 1), 1, 1e-12, "loss", k);
        soften(t, T, p);
        soften(s, T, q);
        float above[C] = { 1, 2, 3 }, below[C] = { 10, 20 };
        kl_delta(s, t, C, T, 1.5 * T, above, below);
        for (int i = 0; i < C; ++i)
            check_close(below[i], (i < 2 ? 10 * (i + 1) : 0) + (i < 3 ? i + 1 : 0) + 1.5 * T * (p[i] - q[i]), 1e-6, "delta", (size_t)i);
    }
}

static void test_extremes(void **state)
{
    (void)state;
    float s[2] = { 3e4f, -3e4f }, t[2] = { -3e4f, 3e4f }, zero[2] = { 0, 0 }, below[2] = { 0, 0 };
    assert_true(kl(s, s, 2, 1) == 0);
    check_close(kl(s, t, 2, 1) / 6e4, 1, 1e-12, "opposite", 0);
    kl_delta(s, t, 2, 1, 1, zero, below);
    assert_true(below[0] == -1 && below[1] == 1);
    kl_delta(s, s, 2, 1, 1, zero, below);
    assert_true(below[0] == -1 && below[1] == 1);
    s[0] = NAN;
    assert_true(isnan(kl(s, t, 2, 1)));
    /* adding the same to all scores changes nothing */
    const float a[3] = { 1, 2, 4 }, b[3] = { 101, 102, 104 }, c[3] = { 0, 3, -1 };
    check_close(kl(b, c, 3, 2), kl(a, c, 3, 2), 1e-12, "shifted", 0);
}

/* For a large T, T^2 * KL is half the mean squared difference of centred scores (the paper's section 2.1), whatever T is. */
static void test_temperature(void **state)
{
    (void)state;
    float s[N], t[N];
    fill_scores(s, 3);
    fill_scores(t, 4);
    double mean = 0, want = 0;
    for (int i = 0; i < C; ++i) mean += (t[i] - (double)s[i]) / C;
    for (int i = 0; i < C; ++i) want += pow(t[i] - (double)s[i] - mean, 2) / (2 * C);
    for (double T = 1e3; T < 1e5; T *= 10) check_close(T * T * kl(s, t, C, T) / want, 1, 2e-2 * 1e3 / T, "limit", 0);
}

/* In double, from the definitions: standardised scores, the decoupled divergence of the target and of the rest. */
static void by_definition(const float *z, size_t n, const kd_how *how, double *y)
{
    double mean = 0, squares = 0;
    for (size_t i = 0; i < n; ++i) mean += z[i] / (double)n;
    for (size_t i = 0; i < n; ++i) squares += pow(z[i] - mean, 2);
    for (size_t i = 0; i < n; ++i)
        y[i] = how->standardise ? (z[i] - mean) / (1e-7 + sqrt(squares / (double)(n - 1))) : z[i];
    double sum = 0;
    for (size_t i = 0; i < n; ++i) sum += y[i] = exp(y[i] / how->T);
    for (size_t i = 0; i < n; ++i) y[i] /= sum;
}

static double loss_by_definition(const float *s, const float *t, size_t n, size_t k, const kd_how *how)
{
    double p[C], q[C], sum = 0;
    by_definition(t, n, how, p);
    by_definition(s, n, how, q);
    if (how->beta <= 0) {
        for (size_t i = 0; i < n; ++i) sum += p[i] * log(p[i] / q[i]);
        return sum;
    }
    sum = p[k] * log(p[k] / q[k]) + (1 - p[k]) * log((1 - p[k]) / (1 - q[k]));
    for (size_t i = 0; i < n; ++i)
        if (i != k) sum += how->beta * p[i] / (1 - p[k]) * log(p[i] / (1 - p[k]) / (q[i] / (1 - q[k])));
    return sum;
}

static void check_how(kd_how how, size_t target)
{
    float s[C], t[C], zero[C] = { 0 }, delta[C] = { 0 };
    check_fill(s, C, 30 + target);
    check_fill(t, C, 40 + target);
    for (int i = 0; i < C; ++i) s[i] *= 3, t[i] *= 3;
    check_close(kd_loss(s, t, C, target, &how) / loss_by_definition(s, t, C, target, &how), 1, 1e-10, "loss", target);
    kd_delta(s, t, C, target, &how, how.T, zero, delta);
    for (int i = 0; i < C; ++i) {
        float keep = s[i];
        const float e = 1.f / 1024;
        s[i] = keep + e;
        double up = loss_by_definition(s, t, C, target, &how);
        s[i] = keep - e;
        double down = loss_by_definition(s, t, C, target, &how);
        s[i] = keep;
        check_close(delta[i], -how.T * how.T * (up - down) / (2 * e), 2e-5, "minus the gradient", (size_t)i);
    }
    assert_true(kd_loss(s, s, C, target, &how) == 0);
}

static void test_standardise_and_decouple(void **state)
{
    (void)state;
    for (size_t target = 0; target < C; target += 3) {
        check_how((kd_how){ .T = 4 }, target);
        check_how((kd_how){ .T = 2, .standardise = 1 }, target);
        check_how((kd_how){ .T = 4, .beta = 8 }, target);
        check_how((kd_how){ .T = 2, .beta = 2, .standardise = 1 }, target);
    }
    /* the whole is the target's part and (1 - p_k) times the rest's: Zhao et al., equation 5 */
    float s[C], t[C];
    double p[C];
    check_fill(s, C, 50);
    check_fill(t, C, 51);
    kd_how whole = { .T = 1 };
    by_definition(t, C, &whole, p);
    check_close(kd_loss(s, t, C, 4, &(kd_how){ .T = 1, .beta = 1 - p[4] }), kd_loss(s, t, C, 4, &whole), 1e-12, "parts", 0);
    /* equal scores of all classes have no deviation: the loss is that of equal probabilities, the gradient finite */
    float flat[C] = { 0 }, zero[C] = { 0 }, delta[C] = { 0 };
    kd_how standard = { .T = 2, .standardise = 1 };
    assert_true(isfinite(kd_loss(flat, t, C, 0, &standard)));
    kd_delta(flat, t, C, 0, &standard, 1, zero, delta);
    for (int i = 0; i < C; ++i) assert_true(isfinite(delta[i]));
}

/* A label's class where there is one, else the teacher's first. */
static void test_decoupled_target(void **state)
{
    (void)state;
    const float t[4] = { 1, 3, 2, 0 }, label[4] = { 0, 0, 0, 1 }, mixed[4] = { .7f, 0, .3f, 0 }, none[4] = { 0 };
    assert_int_equal(kd_target(NULL, t, 4), 1);
    assert_int_equal(kd_target(label, t, 4), 3);
    assert_int_equal(kd_target(mixed, t, 4), 0);
    assert_int_equal(kd_target(none, t, 4), 1);
}

/* ---- the layer ---- */

static const char cfg[] = "[net]\nbatch=3\ninputs=10\nlearning_rate=0.1\n"
                          "[activation]\nactivation=linear\nstopbackward=1\n[activation]\nactivation=linear\n";

static cfg_file *section_with(const char *keys)
{
    diag *d = diag_new();
    char *text = mem_printf("[net]\ninputs=10\n[kd]\n%s", keys);
    cfg_file *c = cfg_parse("k.cfg", text, strlen(text), d);
    check_no_errors(d);
    free(text);
    diag_free(d);
    return c;
}

static network *bound(const char *keys)
{
    network *net = check_parse(cfg);
    diag *d = diag_new();
    cfg_file *c = section_with(keys);
    loss_place place = { .c = C, .h = 1, .w = 1, .teacher_c = C, .teacher_h = 1, .teacher_w = 1 };
    assert_int_equal(check_kd_section(cfg_first(c, "kd"), &place, d), 0);
    assert_int_equal(make_kd_section(&net->layers[1], cfg_first(c, "kd"), &place, d), 0);
    assert_string_equal(section_type_of_layer(&net->layers[1])->name, "kd");
    check_no_errors(d);
    cfg_free(c);
    diag_free(d);
    return net;
}

static void check_layer(const char *keys, double T, double scale)
{
    network *net = bound(keys);
    layer *l = &net->layers[1];
    float t[N], *x = net->input;
    fill_scores(x, 5);
    fill_scores(t, 6);
    teach_kd_layer(l, &(teaching){ .live = t });
    network_forward(net, 2, 1);
    network_backward(net, 2);
    check_close(*l->cost / loss_by_hand(x, t, T, scale), 1, 1e-6, "cost", 0);
    assert_memory_equal(l->output, x, N * sizeof *x);
    for (int i = 0; i < N; ++i) {
        float keep = x[i];
        const float e = 1.f / 64;
        x[i] = keep + e;
        double up = loss_by_hand(x, t, T, scale);
        x[i] = keep - e;
        double down = loss_by_hand(x, t, T, scale);
        x[i] = keep;
        check_close(net->layers[0].delta[i], -(up - down) / (2 * e), 2e-4, "minus the gradient", (size_t)i);
    }
    *l->cost = 42;
    network_forward(net, 2, 0);
    assert_memory_equal(l->output, x, N * sizeof *x);
    assert_true(*l->cost == 42);
    free_kd_layer(l);
    host_free(net);
}

static void test_layer(void **state)
{
    (void)state;
    check_layer("", 4, 1);
    check_layer("temperature=1\n", 1, 1);
    check_layer("temperature=2.5\nscale=.3\n", 2.5, (double)(float).3);
}

/* ---- distillations ---- */

#define NET "[net]\nbatch=8\nsubdivisions=1\nheight=8\nwidth=8\nchannels=3\nlearning_rate=.02\nmomentum=.9\npolicy=constant\nmax_batches=10\n"
#define CONV(filters, size, act) "[convolutional]\nbatch_normalize=1\nfilters=" #filters "\nsize=" #size "\nstride=1\npad=1\nactivation=" #act "\n"
#define POINT(filters) "[convolutional]\nfilters=" #filters "\nsize=1\nstride=1\npad=1\nactivation=linear\n"
#define TEACHER "[teacher]\ncfg=t.cfg\nweights=t.weights\n"
#define BODY CONV(8, 3, relu) CONV(12, 3, relu)
#define HEAD "[avgpool]\n" POINT(10)

static const char teacher_cfg[] = NET BODY HEAD "[softmax]\n[cost]\n";

static void test_lowering(void **state)
{
    (void)state;
    static const char student[] = NET TEACHER CONV(4, 3, relu) HEAD "[kd]\ntemperature=3\n[softmax]\n";
    lowered *l = check_lowered(student, LOWER_TRAIN);
    assert_int_equal(l->heads, 0);
    assert_int_equal(l->losses, 1);
    assert_true(l->labels && l->trained == 5);
    const taught_loss *loss = l->loss;
    assert_true(loss->layer == 3 && loss->teacher == 0 && loss->taught == 3);
    assert_true(loss->place.c == 10 && loss->place.h == 1 && loss->place.teacher_c == 10 && loss->place.teacher_w == 1);
    assert_true(l->teacher->taps == 0 && l->teacher->answer == 3 && l->teacher->cut == 4);
    lower_free(l);
    l = check_lowered(student, LOWER_DEPLOY);
    char *got = cfg_text(l->cfg, NULL);
    assert_string_equal(got, "[net]\nbatch=1\nsubdivisions=1\nheight=8\nwidth=8\nchannels=3\n"
        "\n[convolutional]\nbatch_normalize=1\nfilters=4\nsize=3\nstride=1\npad=1\nactivation=relu\n\n[avgpool]\n"
        "\n[convolutional]\nfilters=10\nsize=1\nstride=1\npad=1\nactivation=linear\n\n[softmax]\n");
    assert_true(l->losses == 0 && l->trained == 4 && l->trained_as[3] == 4);
    free(got);
    lower_free(l);
    l = check_lowered(NET TEACHER CONV(4, 3, relu) HEAD "[kd]\n[softmax]\nnoloss=1\n", LOWER_TRAIN);
    assert_true(!l->labels && l->trained == 4);
    lower_free(l);
    l = check_lowered(NET TEACHER "[connected]\noutput=10\nactivation=linear\n[kd]\n", LOWER_TRAIN);
    assert_true(!l->labels && l->trained == 2 && l->loss->place.c == 10);
    lower_free(l);
}

static void check_refused(const char *teacher, const char *student, const char *expected)
{
    check_write("odd.cfg", teacher, strlen(teacher));
    check_not_lowered(student, LOWER_TRAIN, expected);
}

static void test_refusals(void **state)
{
    (void)state;
#define ODD "[teacher]\ncfg=odd.cfg\nweights=t.weights\n"
#define STUDENT "[connected]\noutput=10\nactivation=linear\n[kd]\n"
    check_refused(NET BODY "[avgpool]\n" POINT(7) "[softmax]\n", NET ODD STUDENT,
                  "17: [kd] the student has 10 class scores, the teacher 7");
    check_refused(NET BODY HEAD, NET ODD STUDENT, "17: [kd] odd.cfg does not end on [softmax]: it gives no class scores to learn from");
    check_refused(teacher_cfg, NET ODD POINT(10) "[kd]\n", "20: [kd] reads a map of 10x8x8, not one score a class");
    check_refused(teacher_cfg, NET ODD "[kd]\n", "14: [kd] no student layer before it");
    check_refused(teacher_cfg, NET ODD STUDENT "scale=auto\n",
                  "18: [kd] scale=auto is for losses of a triple: this one stands on the student's own output");
    check_refused(teacher_cfg, NET ODD "name=a\n" ODD "name=b\n" STUDENT, "22: [kd] which of the 2 teachers? write teacher=NAME");
    check_refused(teacher_cfg, NET ODD "name=a\n" STUDENT "teacher=c\n", "19: [kd] teacher=c: no [teacher] has this name");
    check_refused(teacher_cfg, NET STUDENT, "14: [kd] there is no [teacher] section to learn from");
    check_refused(teacher_cfg, NET ODD STUDENT "temperature=0\n", "18: [kd] 'temperature' is 0, expected 0.001 to 1000");
}

static model *open_student(const char *text, cpu_backend backend)
{
    diag *d = diag_new();
    check_write("student.cfg", text, strlen(text));
    model *m = model_open("student.cfg", &(model_options){ .backend = backend, .seed = 3 }, d);
    check_no_errors(d);
    assert_non_null(m);
    diag_free(d);
    return m;
}

static double kl_of(const model *m) { return *m->net->layers[m->low->loss[0].layer].cost / m->net->batch; }

/* Trains on one batch; *last is the divergence at the end, the result that at the beginning. */
static double train(model *m, int steps, const int *labels, double *last)
{
    float *x = mem_calloc((size_t)(m->net->inputs * m->net->batch), sizeof *x);
    double first = 0;
    check_fill(x, (size_t)(m->net->inputs * m->net->batch), 20);
    for (int i = 0; i < steps; ++i) {
        double cost = model_train_step(m, x, labels, NULL);
        if (!labels) check_close(cost, kl_of(m), 1e-6, "cost", (size_t)i);
        if (!i) first = kl_of(m);
        network_update(m->net, m->low->trained);
    }
    *last = kl_of(m);
    free(x);
    return first;
}

static void test_learns_from_scores_alone(void **state)
{
    (void)state;
    static const char student[] = NET TEACHER BODY HEAD "[kd]\n[softmax]\nnoloss=1\n";
    model *m = open_student(student, BACKEND_DNNL), *plain = open_student(student, BACKEND_REFERENCE);
    double last, other, first = train(m, 150, NULL, &last);
    check_close(train(plain, 1, NULL, &other), first, 1e-4, "the reference's", 0);
    if (!(first > 0 && last < .1 * first)) fail_msg("KL was %g and is %g", first, last);
    model_close(plain);
    model_close(m);
}

/* The teacher's scores are those its [softmax] reads, whole batch, also where it runs a few images at a time. */
static void test_target(void **state)
{
    (void)state;
    static const char big[] = "[net]\nbatch=32\nheight=8\nwidth=8\nchannels=3\nlearning_rate=.02\n" TEACHER BODY HEAD "[kd]\n";
    for (int k = 0; k < 2; ++k) {
        model *m = open_student(big, k ? BACKEND_DNNL : BACKEND_REFERENCE);
        double last;
        train(m, 1, NULL, &last);
        size_t in = (size_t)(m->net->inputs * m->net->batch);
        float *x = mem_calloc(in, sizeof *x);
        check_fill(x, in, 20);
        assert_int_equal(m->teacher[0]->parts, k ? 2 : 1);
        teacher_forward(m->teacher[0], x, 1);
        const float *z = teacher_target(m->teacher[0], 3), *p = teacher_answer(m->teacher[0]);
        assert_ptr_equal(kd_state_of(&m->net->layers[m->low->loss[0].layer])->target, z);
        for (int b = 0; b < 32; ++b) {
            double q[C];
            soften(z + b * C, 1, q);
            for (int i = 0; i < C; ++i) check_close(p[b * C + i], q[i], 1e-5, "answer", (size_t)(b * C + i));
        }
        free(x);
        model_close(m);
    }
}

/* The student's own [softmax] learns labels besides: both gradients add up. */
static void test_learns_from_labels_too(void **state)
{
    (void)state;
    static const char student[] = NET TEACHER BODY HEAD "[kd]\nscale=.5\n[softmax]\n";
    int labels[8] = { 0, 1, 2, 3, 4, 5, 6, 7 };
    model *m = open_student(student, BACKEND_REFERENCE);
    double last;
    train(m, 1, labels, &last);
    const layer *kd = &m->net->layers[m->low->loss[0].layer], *softmax = kd + 1, *scores = kd - 1;
    const float *t = teacher_target(m->teacher[0], 3);
    assert_true(softmax->cost[0] > 0);
    for (int b = 0; b < 8; ++b) {
        double p[C], q[C], own[C];
        soften(t + b * C, 4, p);
        soften(kd->output + b * C, 4, q);
        soften(kd->output + b * C, 1, own);
        for (int i = 0; i < C; ++i)
            check_close(scores->delta[b * C + i], .5 * 4 * (p[i] - q[i]) + (labels[b] == i) - own[i], 1e-5, "delta", (size_t)(b * C + i));
    }
    train(m, 300, labels, &last);
    const float *answer;
    float *x = mem_calloc((size_t)(m->net->inputs * 8), sizeof *x);
    check_fill(x, (size_t)(m->net->inputs * 8), 20);
    answer = model_predict(m, x);
    for (int b = 0; b < 8; ++b) assert_true(answer[b * C + b] > .1f);
    free(x);
    model_close(m);
}

/* A classifier of its own at a side branch, and a triple at the end. */
static void test_beside_a_triple(void **state)
{
    (void)state;
    static const char student[] = NET TEACHER BODY HEAD "[kd]\n[route]\nlayers=1\n[projector]\n[feature_l2]\n[reused_classifier]\n";
    model *m = open_student(student, BACKEND_DNNL);
    assert_true(m->low->losses == 2 && m->low->heads == 1 && !m->low->labels);
    float *x = mem_calloc((size_t)(m->net->inputs * 8), sizeof *x);
    check_fill(x, (size_t)(m->net->inputs * 8), 20);
    double first[2], last[2];
    for (int i = 0; i < 150; ++i) {
        model_train_step(m, x, NULL, NULL);
        for (int k = 0; k < 2; ++k) last[k] = *m->net->layers[m->low->loss[k].layer].cost;
        if (!i) memcpy(first, last, sizeof last);
        network_update(m->net, m->low->trained);
    }
    for (int k = 0; k < 2; ++k)
        if (!(last[k] < .3 * first[k])) fail_msg("loss %d was %g and is %g", k, first[k], last[k]);
    free(x);
    model_close(m);
}

/* A cache holds class scores, too, rounded to its type: training by it is as by a live teacher. */
static void check_cached(const char *student, const char *type, double tolerance)
{
    model *live = open_student(student, BACKEND_REFERENCE), *cached = open_student(student, BACKEND_REFERENCE);
    diag *d = diag_new();
    uint64_t views, image[8] = { 0, 1, 2, 3, 4, 5, 6, 7 }, view[8] = { 0 };
    unlink("x.feat");
    model_cache cache = { .path = "x.feat", .type = type, .images = 8 };
    assert_int_equal(model_open_cache(cached, &cache, &views, d), 0);
    float *x = mem_calloc((size_t)(live->net->inputs * 8), sizeof *x);
    check_fill(x, (size_t)(live->net->inputs * 8), 20);
    for (int i = 0; i < 3; ++i) {
        assert_int_equal(model_teach(cached, x, image, view, d), 0);
        double want = model_train_step(live, x, NULL, NULL), got = model_train_step(cached, x, NULL, NULL);
        check_close(got / want, 1, tolerance, type, (size_t)i);
        network_update(live->net, live->low->trained);
        network_update(cached->net, cached->low->trained);
    }
    assert_int_equal((int)model_features_counts(cached).computed, 8);
    assert_int_equal((int)model_features_counts(cached).read, 16);
    check_no_errors(d);
    free(x);
    diag_free(d);
    model_close(live);
    model_close(cached);
}

static void test_cache(void **state)
{
    (void)state;
    static const char own[] = NET TEACHER BODY HEAD "[kd]\n[softmax]\nnoloss=1\n";
    static const char behind[] = NET TEACHER BODY "[projector]\n[feature_l2]\n[reused_classifier]\n[kd]\n";
    check_cached(own, "f32", 1e-6);
    check_cached(behind, "f32", 1e-6);
    check_cached(own, "f16", 2e-3);
    check_cached(behind, "u8", 2e-2);
}

int main(void)
{
    network_init();
    if (chdir(check_folder())) return 1;
    check_write_network("t", teacher_cfg, 500);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formula), cmocka_unit_test(test_extremes), cmocka_unit_test(test_temperature),
        cmocka_unit_test(test_layer), cmocka_unit_test(test_lowering), cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_learns_from_scores_alone), cmocka_unit_test(test_target),
        cmocka_unit_test(test_learns_from_labels_too), cmocka_unit_test(test_beside_a_triple),
        cmocka_unit_test(test_cache), cmocka_unit_test(test_standardise_and_decouple),
        cmocka_unit_test(test_decoupled_target),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
