/* [feature_l2] with pooled=1, normalise=channel and metric=head: costs, gradients and what is measured before step 1
 * against numpy's (fixtures/make_feature_l2.py), gradients against central differences of the layer's own cost, the
 * same bits whatever the threads, what costs 1, what the classifier's weights are taken from, and every refusal. */
#include "layers/network.h"
#include "check_data.h"
#include "check_nets.h"

#include "darknet_plugin/data/loader.h"
#include "darknet_plugin/model/run_state.h"
#include "layers/cpu/parallel.h"
#include "layers/feature_l2.h"

#include <unistd.h>

enum { B = 2, VIEWS = 5, C = 3, H = 2, W = 3, D = C * H * W, N = B * D, ROWS = 4, HEADS = 4 };

/* The first layer only holds the input and receives the gradient. */
static const char cfg[] = "[net]\nbatch=2\nheight=2\nwidth=3\nchannels=3\nlearning_rate=0.1\n"
                          "[activation]\nactivation=linear\nstopbackward=1\n[activation]\nactivation=linear\n";

static network *bound(feature_l2_params p)
{
    network *net = check_parse(cfg);
    diag *d = diag_new();
    p.c = C;
    p.h = H;
    p.w = W;
    assert_int_equal(make_feature_l2_layer(&net->layers[1], p, d), 0);
    check_no_errors(d);
    diag_free(d);
    return net;
}

static void drop(network *net)
{
    free_feature_l2_layer(&net->layers[1]);
    host_free(net);
}

/* Shows n maps of `size` numbers, a batch at a time. Returns what was said; the caller frees. */
static char *look_at(layer *l, const float *views, int n, size_t size, int fails)
{
    diag *d = diag_new();
    char *said;
    size_t len;
    FILE *out = open_memstream(&said, &len);
    float *last = mem_calloc(B * size, sizeof *last);
    for (int i = 0; i < n; i += B) {
        int images = n - i < B ? n - i : B;
        memcpy(last, views + (size_t)i * size, (size_t)images * size * sizeof *last);
        feature_l2_look(l, &(teaching){ .live = last }, images);
    }
    assert_int_equal(feature_l2_looked(l, out, d), fails ? -1 : 0);
    assert_int_equal(diag_errors(d), fails);
    fclose(out);
    free(last);
    diag_free(d);
    return said;
}

/* ---- against numpy ---- */

static const char *const head_name[HEADS] = { "none", "places", "means", "map" };

typedef struct fixture {
    FILE *file;
    float *views, *target, *student;   /* of the present set, owned */
    float *head[HEADS];                /* owned */
    size_t width[HEADS];
} fixture;

static float *numbers(FILE *file, const char *name, size_t n)
{
    char word[16];
    float *x = mem_calloc(n + 1, sizeof *x);
    assert_int_equal(fscanf(file, "%15s", word), 1);
    assert_string_equal(word, name);
    for (size_t i = 0; i < n; ++i) assert_int_equal(fscanf(file, "%f", &x[i]), 1);
    return x;
}

static void forget_set(fixture *f)
{
    free(f->views);
    free(f->target);
    free(f->student);
}

static void check_fixture_case(const fixture *f, int k, int pooled, int channel, int sum, int head)
{
    network *net = bound((feature_l2_params){ .scale = 1.5f, .mean = !sum, .target_pool = k, .pooled = pooled,
                                              .channel = channel, .head = (feature_l2_head)head });
    layer *l = &net->layers[1];
    if (head) set_feature_l2_head(l, f->head[head], ROWS, f->width[head]);
    loss_facts *facts = feature_l2_facts(l);
    size_t n = facts ? facts->n : 0;
    float *known = numbers(f->file, "facts", n), *cost = numbers(f->file, "cost", 1),
        *delta = numbers(f->file, "delta", N);
    if (facts) free(look_at(l, f->views, VIEWS, (size_t)(D * k * k), 0));
    for (size_t i = 0; i < n; ++i) check_close(facts->value[i], known[i], 1e-6, "what is known", i);
    memcpy(net->input, f->student, N * sizeof *f->student);
    set_feature_l2_target(l, f->target);
    network_forward(net, 2, 1);
    network_backward(net, 2);
    assert_memory_equal(l->output, f->student, N * sizeof *f->student);
    check_close(*l->cost / *cost, 1, 1e-6, "cost", 0);
    check_close_n(net->layers[0].delta, delta, N, 2e-6, "delta");
    free(known);
    free(cost);
    free(delta);
    drop(net);
}

static void test_numpy(void **state)
{
    (void)state;
    fixture f = { .file = fopen("tests/fixtures/feature_l2.txt", "r") };
    char word[16], name[16];
    int k = 0, cases = 0, pooled, channel, sum, of;
    size_t rows;
    assert_non_null(f.file);
    assert_int_equal(fscanf(f.file, "# written by %*s "), 0);
    while (fscanf(f.file, "%15s", word) == 1) {
        if (!strcmp(word, "set")) {
            assert_int_equal(fscanf(f.file, "%d", &k), 1);
            if (k > 1) forget_set(&f);
            f.views = numbers(f.file, "views", (size_t)(VIEWS * D * k * k));
            f.target = numbers(f.file, "target", (size_t)(N * k * k));
            f.student = numbers(f.file, "student", N);
        } else if (!strcmp(word, "head")) {
            int h = 1;
            assert_int_equal(fscanf(f.file, "%15s %zu", name, &rows), 2);
            while (strcmp(head_name[h], name)) ++h;
            f.width[h] = h == HEAD_MAP ? D : C;
            snprintf(word, sizeof word, "%zu", f.width[h]);
            f.head[h] = numbers(f.file, word, rows * f.width[h]);
        } else {
            int h = 0;
            assert_int_equal(fscanf(f.file, "%d %d %d %d %15s", &of, &pooled, &channel, &sum, name), 5);
            while (strcmp(head_name[h], name)) ++h;
            check_fixture_case(&f, of, pooled, channel, sum, h);
            ++cases;
        }
    }
    assert_int_equal(cases, 24);
    fclose(f.file);
    forget_set(&f);
    for (int h = 1; h < HEADS; ++h) free(f.head[h]);
}

/* ---- its own gradient ---- */

static double cost_at(network *net, size_t i, float value)
{
    float keep = net->input[i];
    net->input[i] = value;
    network_forward(net, 2, 1);
    net->input[i] = keep;
    return *net->layers[1].cost;
}

static network *prepared(feature_l2_params p, float *target)
{
    float head[ROWS * D], views[VIEWS * D];
    network *net = bound(p);
    layer *l = &net->layers[1];
    check_fill(head, ROWS * D, 1);
    check_fill(views, VIEWS * D, 2);
    check_fill(target, N, 3);
    check_fill(net->input, N, 4);
    if (p.head) set_feature_l2_head(l, head, ROWS, p.head == HEAD_MAP ? D : C);
    if (feature_l2_facts(l)) free(look_at(l, views, VIEWS, D, 0));
    set_feature_l2_target(l, target);
    return net;
}

/* It adds to what is there and passes on what comes from above. */
static void test_gradients(void **state)
{
    (void)state;
    for (int all = 0; all < 16; ++all) {
        feature_l2_params p = { .scale = 2, .mean = 1, .target_pool = 1, .pooled = all & 1, .channel = all >> 1 & 1,
                                .head = (feature_l2_head)(all >> 2) };
        if (p.pooled && (p.head == HEAD_PLACES || p.head == HEAD_MAP)) continue;
        float target[N], above[N], want[N], *below;
        network *net = prepared(p, target);
        layer *l = &net->layers[1];
        for (size_t i = 0; i < N; ++i) {
            float x = net->input[i];
            want[i] = -(float)((cost_at(net, i, x + .5f) - cost_at(net, i, x - .5f)) / 1);
        }
        network_forward(net, 2, 1);
        check_fill(above, N, 5);
        memcpy(l->delta, above, sizeof above);
        network at = *net;
        at.input = net->layers[0].output;
        at.delta = below = net->layers[0].delta;
        for (int i = 0; i < N; ++i) below[i] = 10;
        l->backward(*l, at);
        for (size_t i = 0; i < N; ++i) check_close(below[i], 10 + above[i] + want[i], 1e-5, "delta", i);
        at.delta = NULL;
        l->backward(*l, at);
        drop(net);
    }
}

static void test_threads(void **state)
{
    (void)state;
    static const int threads[] = { 1, 2, 5 };
    enum { C2 = 40, S = 20, N2 = 7 * C2 * S * S };
    char *text = mem_printf("[net]\nbatch=7\nheight=%d\nwidth=%d\nchannels=%d\n[activation]\nactivation=linear\n"
                            "stopbackward=1\n[activation]\nactivation=linear\n", S, S, C2);
    float *target = mem_calloc(N2, sizeof *target), *first = NULL, cost = 0, head[ROWS * C2];
    check_fill(target, N2, 2);
    check_fill(head, ROWS * C2, 3);
    for (size_t t = 0; t < sizeof threads / sizeof *threads; ++t) {
        feature_l2_params p = { .scale = 1, .mean = 1, .target_pool = 1, .channel = 1, .head = HEAD_PLACES, .c = C2,
                                .h = S, .w = S };
        network *net = check_parse(text);
        layer *l = &net->layers[1];
        diag *d = diag_new();
        assert_int_equal(make_feature_l2_layer(l, p, d), 0);
        parallel_set_threads(threads[t]);
        set_feature_l2_head(l, head, ROWS, C2);
        feature_l2_look(l, &(teaching){ .live = target }, 7);
        assert_int_equal(feature_l2_looked(l, stdout, d), 0);
        check_fill(net->input, N2, 1);
        set_feature_l2_target(l, target);
        network_forward(net, 2, 1);
        network_backward(net, 2);
        if (first) assert_memory_equal(first, net->layers[0].delta, N2 * sizeof *first);
        else memcpy(first = mem_calloc(N2, sizeof *first), net->layers[0].delta, N2 * sizeof *first);
        if (t) assert_true(cost == *l->cost);
        cost = *l->cost;
        diag_free(d);
        drop(net);
    }
    parallel_set_threads(0);
    free(text);
    free(target);
    free(first);
}

/* ---- what it means ---- */

/* Answers with each channel's mean, whatever the image: an error that normalise=channel makes 1 (with the head's rest a
 * twentieth more), times how much the hundredth of the mean variance takes off. */
static void check_means_cost(int pooled, int head)
{
    enum { MANY = 400 };
    feature_l2_params p = { .scale = 1, .mean = 1, .target_pool = 1, .channel = 1, .pooled = pooled,
                            .head = (feature_l2_head)head };
    network *net = bound(p);
    layer *l = &net->layers[1];
    float *x = mem_calloc(MANY * D, sizeof *x), matrix[ROWS * D];
    double sum = 0, mean[C] = { 0 };
    check_fill(x, MANY * D, 1);
    check_fill(matrix, ROWS * D, 2);
    for (size_t i = 0; i < MANY * D; ++i) {
        size_t c = i / (H * W) % C;
        /* unlike sizes; channels have a part in common */
        x[i] = x[i] * (float)(1 + c) + 3 * (float)c + (c ? x[i - i % D] : 0);
        mean[c] += x[i] / (MANY * H * W);
    }
    if (head) set_feature_l2_head(l, matrix, ROWS, head == HEAD_MAP ? D : C);
    free(look_at(l, x, MANY, D, 0));
    for (size_t i = 0; i < N; ++i) net->input[i] = (float)mean[i / (H * W) % C];
    for (int i = 0; i < MANY; i += B) {
        set_feature_l2_target(l, x + (size_t)i * D);
        network_forward(net, 2, 1);
        sum += *l->cost;
    }
    double want = head ? 1.05 : 1;
    if (!(sum / MANY > .94 * want && sum / MANY < 1.01 * want)) fail_msg("costs %g, not %g", sum / MANY, want);
    free(x);
    drop(net);
}

static void test_one_is_the_mean(void **state)
{
    (void)state;
    check_means_cost(0, HEAD_NONE);
    check_means_cost(1, HEAD_NONE);
    check_means_cost(0, HEAD_PLACES);
    check_means_cost(0, HEAD_MEANS);
    check_means_cost(1, HEAD_MEANS);
}

/* An error as large everywhere and without correlation costs with metric=head what it costs without, but for the
 * rest. */
static void test_white_errors(void **state)
{
    (void)state;
    double sum[2] = { 0 };
    for (int head = 0; head < 2; ++head) {
        float target[N];
        network *net = prepared((feature_l2_params){ .scale = 1, .mean = 1, .target_pool = 1,
                                                     .head = head ? HEAD_PLACES : HEAD_NONE }, target);
        for (uint64_t i = 0; i < 2000; ++i) {
            check_fill(net->input, N, 10 + i);
            for (int k = 0; k < N; ++k) net->input[k] += target[k];
            network_forward(net, 2, 1);
            sum[head] += *net->layers[1].cost;
        }
        drop(net);
    }
    if (!(sum[1] / sum[0] > 1.02 && sum[1] / sum[0] < 1.1)) fail_msg("costs %g times as much", sum[1] / sum[0]);
}

static void test_what_is_said(void **state)
{
    (void)state;
    feature_l2_params p = { .scale = 1, .mean = 1, .target_pool = 1, .channel = 1 };
    network *net = bound(p);
    float views[VIEWS * D];
    for (int i = 0; i < VIEWS * D; ++i) {
        int c = i / (H * W) % C;
        views[i] = c == 1 ? 0.1f : (float)(i % 2 * 2 * (c + 1));
    }
    char *said = look_at(&net->layers[1], views, VIEWS, D, 0);
    assert_string_equal(said, "teacher's channel variances from 5 views: least 0, median 1, largest 9; "
                        "1 dead channel\n");
    assert_true(feature_l2_facts(&net->layers[1])->value[1] == 0);
    free(said);
    drop(net);
    net = bound(p);
    for (int i = 0; i < VIEWS * D; ++i) views[i] = .1f;
    free(look_at(&net->layers[1], views, VIEWS, D, 1));
    drop(net);
}

/* ---- out of a cfg ---- */

#define NET "[net]\nbatch=4\nsubdivisions=1\nheight=8\nwidth=8\nchannels=3\nmax_batches=10\nlearning_rate=.01\n"
#define CONV(n, size, stride) \
    "[convolutional]\nfilters=" #n "\nsize=" #size "\nstride=" #stride "\npad=1\nactivation=relu\n"
#define BN(n, size, stride) "[convolutional]\nbatch_normalize=1\nfilters=" #n "\nsize=" #size "\nstride=" #stride \
    "\npad=1\nactivation=linear\n"
#define CONNECTED(n) "[connected]\noutput=" #n "\nactivation=linear\n"
#define STUDENT NET "[teacher]\ncfg=t.cfg\nweights=t.weights\ntap=1\n[augment]\npad=1\nflip=1\n" CONV(4, 3, 2) \
    "[projector]\n[feature_l2]\n"
#define NO_MATRIX(what, line, layer) "metric=head: what reads the map first, [" what "] (t.cfg:" line \
    "), teacher's layer " layer ", is no matrix of its channels"

static void check_refused(const char *keys, const char *tail, const char *want)
{
    diag *d = diag_new();
    char *teacher = mem_printf(NET CONV(8, 3, 2) CONV(6, 3, 1) "%s[softmax]\n", tail);
    char *student = mem_printf(STUDENT "%s\n[reused_classifier]\n", keys);
    check_write_network("t", teacher, 1);
    check_write("s.cfg", student, strlen(student));
    lowered *low = lower_read("s.cfg", LOWER_TRAIN, d);
    if (!want) check_no_errors(d);
    else if (low || diag_errors(d) != 1) fail_msg("%s: %d errors", keys, diag_errors(d));
    else if (strcmp(diag_get(d, 0)->text, want)) fail_msg("says '%s', not '%s'", diag_get(d, 0)->text, want);
    else assert_string_equal(diag_get(d, 0)->section, "feature_l2");
    lower_free(low);
    diag_free(d);
    free(teacher);
    free(student);
}

static void test_refusals(void **state)
{
    (void)state;
    check_refused("metric=head", "[avgpool]\n" CONNECTED(5), NULL);
    check_refused("metric=head", "[dropout]\nprobability=.5\n[avgpool]\n" CONV(5, 1, 1), NULL);
    check_refused("metric=head\nnormalise=channel\npooled=1", "[avgpool]\n" CONNECTED(5), NULL);
    check_refused("metric=head", CONNECTED(5), NULL);
    check_refused("metric=head", CONV(5, 1, 1) "[avgpool]\n", NULL);
    check_refused("pooled=1\nnormalise=channel", CONV(5, 3, 1) "[avgpool]\n", NULL);
    check_refused("metric=head", CONV(5, 3, 1) "[avgpool]\n",
                  NO_MATRIX("convolutional", "21", "2"));
    check_refused("metric=head", CONV(6, 1, 1) "groups=2\n[avgpool]\n",
                  NO_MATRIX("convolutional", "21", "2"));
    check_refused("metric=head", "[maxpool]\nsize=2\nstride=2\n" CONNECTED(5),
                  NO_MATRIX("maxpool", "21", "2"));
    check_refused("metric=head", "[avgpool]\n[activation]\nactivation=relu\n" CONNECTED(5),
                  NO_MATRIX("activation", "22", "3"));
    check_refused("metric=head", "[avgpool]\n", NO_MATRIX("softmax", "22", "3"));
    check_refused("metric=head\npooled=1", CONNECTED(5), "pooled=1 compares means over places, but the classifier that "
                  "metric=head asks reads each place");
}

static model *open_model(const char *tail, const char *keys)
{
    char *teacher = mem_printf(NET CONV(8, 3, 2) CONV(6, 3, 1) "%s[softmax]\n", tail);
    char *student = mem_printf(STUDENT "%s\n[reused_classifier]\n", keys);
    diag *d = diag_new();
    check_write_network("t", teacher, 1);
    check_write("s.cfg", student, strlen(student));
    model *m = model_open("s.cfg", &(model_options){ .seed = 1, .threads = 1 }, d);
    check_no_errors(d);
    diag_free(d);
    free(teacher);
    free(student);
    return m;
}

static layer *loss_of(const model *m) { return &m->net->layers[m->low->loss[0].layer]; }

/* With the teacher's batch norm folded into its weights: the cost of an error along one channel. */
static void test_teacher_weights(void **state)
{
    (void)state;
    model *m = open_model("[avgpool]\n" BN(5, 1, 1), "metric=head\npooled=1\nreduction=sum");
    layer *l = loss_of(m);
    const layer *head = &m->teacher[0]->net->layers[3];
    loss_facts *facts = feature_l2_facts(l);
    assert_int_equal(facts->n, 6);
    for (size_t c = 0; c < 6; ++c) facts->value[c] = 1 + (double)c;
    facts->known = 1;
    float *target = mem_calloc((size_t)l->outputs * 4, sizeof *target);
    double all = 0, column[6] = { 0 };
    for (int i = 0; i < 30; ++i) {
        double w = head->weights[i] * head->scales[i / 6] / (sqrt(head->rolling_variance[i / 6]) + 1e-6);
        all += w * w;
        column[i % 6] += w * w;
    }
    network at = *m->net;
    at.train = 1;
    at.input = mem_calloc((size_t)l->outputs * 4, sizeof(float));
    set_feature_l2_target(l, target);
    for (int c = 0; c < 6; ++c) {
        memset(at.input, 0, (size_t)l->outputs * 4 * sizeof(float));
        for (int i = 0; i < 16; ++i) at.input[l->outputs + c * 16 + i] = i % 2 ? 3 : 1;   /* 2 on average */
        l->forward(*l, at);
        check_close(*l->cost, 4 * (6 * column[c] / all + 3.5 / 20 / (1 + c + .035)), 1e-5, "cost", (size_t)c);
    }
    free(at.input);
    free(target);
    model_close(m);
}

/* ---- measured on a data set ---- */

enum { IMAGES = 37 };

/* Images of 8 x 8 random pixels. */
static dataset *make_images(data_file **file)
{
    uint8_t pixels[16 + IMAGES * 64] = { 0, 0, 8, 3, 0, 0, 0, IMAGES, 0, 0, 0, 8, 0, 0, 0, 8 },
        labels[8 + IMAGES] = { 0, 0, 8, 1, 0, 0, 0, IMAGES };
    float x[IMAGES * 64];
    check_fill(x, IMAGES * 64, 3);
    for (int i = 0; i < IMAGES * 64; ++i) pixels[16 + i] = (uint8_t)(127 + 120 * x[i]);
    data_put("i-images-idx3-ubyte", pixels, sizeof pixels);
    data_put("i-labels-idx1-ubyte", labels, sizeof labels);
    diag *d = diag_new();
    char *text = mem_printf("classes=5\ntrain=%s/i-images-idx3-ubyte\n", check_folder());
    *file = data_read_text(text, d);
    check_no_errors(d);
    dataset *set = dataset_open(*file, DATA_TRAIN, 0, DATA_IMAGES, d);
    check_no_errors(d);
    diag_free(d);
    free(text);
    return set;
}

/* Of a run whose seed is another than the views', on its way. */
static loader_options images_of(const model *m, const dataset *set, int threads, uint64_t start)
{
    return (loader_options){ .data = set, .how = LOAD_TRAIN, .batch = 4, .c = 3, .h = 8, .w = 8, .seed = 9,
                             .view_seed = 5, .threads = threads, .start = start, .augment = m->low->augment,
                             .views = 1 };
}

/* The first pass over the images as training sees them, in two steps: means, then variances. */
static void variances_by_hand(model *m, const dataset *set, double v[6])
{
    diag *d = diag_new();
    loader_options o = images_of(m, set, 1, 0);
    o.seed = o.view_seed;
    double mean[6] = { 0 };
    enum { MAP = 16, ALL = IMAGES * MAP };
    for (int pass = 0; pass < 2; ++pass) {
        loader *l = loader_start(&o, d);
        for (int i = 0; i < IMAGES; i += 4) {
            teacher_forward(m->teacher[0], loader_next(l, d)->x, 0);
            const float *t = teacher_feature(m->teacher[0], 1);
            for (int k = 0; k < 4 * 6 * MAP && i + k / (6 * MAP) < IMAGES; ++k) {
                int c = k / MAP % 6;
                if (pass) v[c] += pow(t[k] - mean[c], 2) / ALL;
                else mean[c] += (double)t[k] / ALL;
            }
        }
        loader_stop(l);
    }
    check_no_errors(d);
    diag_free(d);
}

static void test_prepare(void **state)
{
    (void)state;
    data_file *file;
    dataset *set = make_images(&file);
    double want[6] = { 0 }, first[7] = { 0 };
    for (int run = 0; run < 5; ++run) {   /* threads 1, 3; then a cache, filled and read */
        int threads = run == 1 ? 3 : 1, cached = run > 1;
        diag *d = diag_new();
        model *m = open_model("[avgpool]\n" CONNECTED(5), "normalise=channel\nmetric=head");
        loss_facts *facts = feature_l2_facts(loss_of(m));
        uint64_t views = 1;
        if (!run) variances_by_hand(m, set, want);
        parallel_set_threads(threads);
        model_cache cache = { .path = "p.feat", .type = "f32", .views = 1, .seed = 5, .images = IMAGES, .data = set };
        if (cached) assert_int_equal(model_open_cache(m, &cache, &views, d), 0);
        char *said;
        size_t len;
        FILE *out = open_memstream(&said, &len);
        loader_options how = images_of(m, set, threads, 12);
        assert_int_equal(model_prepare(m, &how, 0, out, d), 0);
        check_no_errors(d);
        fflush(out);
        assert_non_null(strstr(said, "variances from 37 views: "));
        size_t once = len;
        assert_int_equal(model_prepare(m, &how, 0, out, d), 0);   /* it is known */
        fclose(out);
        assert_int_equal(len, once);
        assert_true(facts->known && facts->n == 7);
        for (size_t c = 0; c < 6; ++c) check_close(facts->value[c] / want[c], 1, 1e-9, "variance", c);
        for (size_t c = 0; c < 7; ++c) assert_true(!run || facts->value[c] == first[c]);
        memcpy(first, facts->value, sizeof first);
        if (cached) assert_int_equal(model_features_counts(m).computed > 0, run == 2);
        free(said);
        diag_free(d);
        model_close(m);
    }
    dataset_free(set);
    data_file_free(file);
    parallel_set_threads(0);
}

/* What was measured comes back out of a state, and only where it is wanted. */
static void test_state(void **state)
{
    (void)state;
    model *m = open_model("[avgpool]\n" CONNECTED(5), "normalise=channel");
    model *plain = open_model("[avgpool]\n" CONNECTED(5), "");
    loss_facts *facts = feature_l2_facts(loss_of(m));
    run_progress progress = { 0 };
    diag *d = diag_new();
    int end = m->low->trained;
    for (int written = 0; written < 2; ++written) {
        for (size_t c = 0; c < facts->n; ++c) facts->value[c] = 1. / (3 + (double)c);
        facts->known = written;
        FILE *file = fopen("a.state", "wb");
        assert_int_equal(run_state_write(file, m->net, end, 7, &progress, NULL, "key", (run_images[RUN_SETS]){ 0 }), 0);
        fclose(file);
        memset(facts->value, 0, facts->n * sizeof *facts->value);
        facts->known = 0;
        run_state *s = run_state_read("a.state", d);
        assert_int_equal(run_state_apply(s, m->net, end, "a.state", d), 0);
        assert_int_equal(facts->known, written);
        for (size_t c = 0; written && c < facts->n; ++c) assert_true(facts->value[c] == 1. / (3 + (double)c));
        assert_int_equal(run_state_apply(s, plain->net, end, "a.state", d), 0);
        run_state_free(s);
    }
    check_no_errors(d);
    diag_free(d);
    model_close(plain);
    model_close(m);
}

static int in_a_folder(void **state)
{
    (void)state;
    return chdir(check_folder());
}

int main(void)
{
    network_init();
    const struct CMUnitTest plain[] = {
        cmocka_unit_test(test_numpy), cmocka_unit_test(test_gradients), cmocka_unit_test(test_threads),
        cmocka_unit_test(test_white_errors), cmocka_unit_test(test_one_is_the_mean),
        cmocka_unit_test(test_what_is_said),
    };
    const struct CMUnitTest models[] = {
        cmocka_unit_test(test_refusals), cmocka_unit_test(test_teacher_weights), cmocka_unit_test(test_prepare),
        cmocka_unit_test(test_state),
    };
    return cmocka_run_group_tests(plain, NULL, NULL) + cmocka_run_group_tests(models, in_a_folder, NULL);
}
