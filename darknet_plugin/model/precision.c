/* The timing behind -precision auto (see precision.h).
 *
 * Four ways: fp32, bf16 with every convolution by Winograd that can be, bf16 with all by oneDNN, and the last once more
 * with the channels of a pixel side by side, which a network has from its first layer to its last or not at all. A
 * layer's time is the shortest of TIMED_STEPS steps, forward and backward; bf16's best is each layer's better way of
 * the first two, or the third where all its layers take less, and a network takes it where it is faster than fp32 by
 * more than the clock is wrong. A way whose first step has another loss than fp32's is left out: kernels for a new
 * processor may be wrong. */
#include "precision.h"

#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/rng.h"
#include "layers/cpu/parallel.h"
#include "model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BY_FP32, BY_WINOGRAD, BY_DNNL, BY_LAST, WAYS, TIMED_STEPS = 4 };
static const char letter_of[WAYS] = { 0, CPU_PRODUCTS_WINOGRAD, CPU_PRODUCTS_DNNL, CPU_PRODUCTS_LAST };
static const char *const name_of[WAYS] = { "fp32", "Winograd", "oneDNN", "oneDNN, channels last" };
/* Of fp32's time: more is not surely less. */
static const double WORTH = .97;
/* What rounding may change of a first step's loss. */
static const double SAME_LOSS = .02;

typedef struct network_times {
    double *layer[WAYS];      /* seconds, owned; NULL: there is no such network */
    const char **who[WAYS];   /* computes it, the array owned */
    int n;
} network_times;

typedef struct timing {
    network_times network[1 + MAX_TEACHERS];   /* the student, the teachers */
    int networks;
    double loss[WAYS];        /* of the first step */
} timing;

static network *network_at(const model *model, int i) { return i ? model->teacher[i - 1]->net : model->net; }

static int networks_of(const model *model) { return 1 + (model->teacher ? model->low->teachers : 0); }

/* A batch to train on, random. */
typedef struct images {
    float *x, *boxes;         /* boxes: none, of a detector; else NULL */
    int *label;
} images;

static images make_images(const model *model)
{
    const network *net = model->net;
    size_t batch = (size_t)net->batch, inputs = batch * (size_t)net->inputs;
    images it = { .x = mem_calloc(inputs, sizeof(float)), .label = mem_calloc(batch, sizeof(int)) };
    rng r = rng_make(1, 0, 0, RNG_AUGMENT);
    for (size_t i = 0; i < inputs; ++i) it.x[i] = (float)rng_uniform(&r, 0, 1);
    for (size_t i = 0; i < batch; ++i) it.label[i] = (int)(rng_uniform(&r, 0, 1) * model->classes);
    if (model_is_detector(model)) it.boxes = mem_calloc((size_t)net->truths * batch, sizeof(float));
    return it;
}

static void free_images(images *it)
{
    free(it->x);
    free(it->boxes);
    free(it->label);
}

/* Room for the layers' times of one network, and who computes them. */
static void begin_network(const network *net, network_times *times, int way)
{
    times->n = net->n;
    times->layer[way] = mem_calloc((size_t)net->n, sizeof **times->layer);
    times->who[way] = mem_calloc((size_t)net->n, sizeof **times->who);
    for (int k = 0; k < net->n; ++k) times->who[way][k] = cpu_layer_runs_on(&net->layers[k]);
}

/* A step's seconds so far where they are fewer than any before; the next step counts from nothing. */
static void keep_shortest(double *now, double *shortest, int n, int first)
{
    for (int k = 0; k < n; ++k) {
        if (first || now[k] < shortest[k]) shortest[k] = now[k];
        now[k] = 0;
    }
}

/* Trains a few steps, teachers as they do live: the shortest times of all layers to `times`. */
static void time_steps(model *model, timing *times, int way)
{
    images batch = make_images(model);
    double *now[1 + MAX_TEACHERS];
    times->networks = networks_of(model);
    for (int i = 0; i < times->networks; ++i) {
        begin_network(network_at(model, i), &times->network[i], way);
        now[i] = mem_calloc((size_t)times->network[i].n, sizeof **now);
        cpu_time_layers(network_at(model, i), now[i]);
    }
    for (int s = 0; s < TIMED_STEPS; ++s) {
        double loss = model_train_step(model, batch.x, batch.label, batch.boxes);
        if (s == 0) times->loss[way] = loss;
        for (int i = 0; i < times->networks; ++i)
            keep_shortest(now[i], times->network[i].layer[way], times->network[i].n, s == 0);
    }
    for (int i = 0; i < times->networks; ++i) free(now[i]);   /* the model is closed next */
    free_images(&batch);
}

static cpu_precision precision_in(int way) { return way == BY_FP32 ? PRECISION_FP32 : PRECISION_BF16; }

static int time_way(const char *cfg, const model_options *options, timing *times, int way, diag *d)
{
    model_options how = *options;
    how.precision = precision_in(way);
    how.products = letter_of[way];
    model *model = model_open(cfg, &how, d);
    if (!model) return -1;
    time_steps(model, times, way);
    model_close(model);
    return 0;
}

/* Moves n bytes through a pipe, `way_out`: into it. 0, or -1 where the other end is gone. */
static int move(int pipe_end, void *bytes, size_t n, int way_out)
{
    for (char *at = bytes; n;) {
        ssize_t moved = way_out ? write(pipe_end, at, n) : read(pipe_end, at, n);
        if (moved <= 0) return -1;
        at += moved;
        n -= (size_t)moved;
    }
    return 0;
}

/* One way's times between child and parent; names of who computes are constants of the program, the same in both. */
static int move_times(int pipe_end, timing *times, int way, int way_out)
{
    int bad = move(pipe_end, &times->networks, sizeof times->networks, way_out)
           || move(pipe_end, &times->loss[way], sizeof *times->loss, way_out);
    for (int i = 0; !bad && i < times->networks; ++i) {
        network_times *of = &times->network[i];
        bad = move(pipe_end, &of->n, sizeof of->n, way_out);
        if (!bad && !way_out) of->layer[way] = mem_calloc((size_t)of->n, sizeof **of->layer);
        if (!bad && !way_out) of->who[way] = mem_calloc((size_t)of->n, sizeof **of->who);
        bad = bad || move(pipe_end, of->layer[way], (size_t)of->n * sizeof **of->layer, way_out)
           || move(pipe_end, of->who[way], (size_t)of->n * sizeof **of->who, way_out);
    }
    return bad;
}

/* In a child, as the host keeps some memory of every network that it frees. Threads do not come along through fork():
 * the child would wait for ever for those that have worked before, so these are ended first. */
static int time_apart(const char *cfg, const model_options *options, timing *times, int way, diag *d)
{
    int ends[2], status = 0;
    if (pipe(ends)) return time_way(cfg, options, times, way, d);
    fflush(NULL);
    parallel_end_threads();
    pid_t child = fork();
    if (!child) {
        int bad = time_way(cfg, options, times, way, d);
        if (bad) diag_print(d, stderr);
        _exit(bad || move_times(ends[1], times, way, 1));
    }
    close(ends[1]);
    int bad = child < 0 || move_times(ends[0], times, way, 0);
    close(ends[0]);
    if (child > 0 && waitpid(child, &status, 0) == child && status == 0 && !bad) return 0;
    diag_error(d, NULL, 0, NULL, "'-precision auto' could not time this cfg in %s",
               cpu_precision_name(precision_in(way)));
    return -1;
}

static double total(const network_times *times, int way)
{
    double sum = 0;
    for (int k = 0; k < times->n; ++k) sum += times->layer[way][k];
    return sum;
}

/* bf16's better way of each layer to letters[0 .. n), and what all together take. */
static double best_mixed(const network_times *times, char *letters)
{
    double sum = 0;
    for (int k = 0; k < times->n; ++k) {
        int faster = times->layer[BY_DNNL][k] < times->layer[BY_WINOGRAD][k] ? BY_DNNL : BY_WINOGRAD;
        int same = times->who[BY_DNNL][k] == times->who[BY_WINOGRAD][k];
        letters[k] = letter_of[same ? BY_WINOGRAD : faster];
        sum += times->layer[faster][k];
    }
    return sum;
}

/* The same of all ways. */
static double best_of(const network_times *times, char *letters)
{
    double mixed = best_mixed(times, letters), last = total(times, BY_LAST);
    if (last >= mixed) return mixed;
    memset(letters, CPU_PRODUCTS_LAST, (size_t)times->n);
    return last;
}

/* One that computes something else is no way at all. */
static void leave_out_wrong(timing *times, int way, FILE *out)
{
    double loss = times->loss[way], right = times->loss[BY_FP32];
    if (fabs(loss - right) <= SAME_LOSS * fabs(right)) return;
    if (out)
        fprintf(out, "auto: bf16 by %s is left out, its loss is %g instead of %g\n",
                name_of[way], loss, right);
    for (int i = 0; i < times->networks; ++i)
        for (int k = 0; k < times->network[i].n; ++k) times->network[i].layer[way][k] = INFINITY;
}

/* One network's entry, and what is said of it. */
static void choose(const network_times *times, const char *name, FILE *plan, FILE *out)
{
    char *letters = mem_calloc((size_t)times->n + 1, 1);
    double fp32 = total(times, BY_FP32), bf16 = best_of(times, letters);
    int chosen = bf16 < WORTH * fp32, last = *letters == CPU_PRODUCTS_LAST, dnnl = 0, either = 0;
    for (int k = 0; k < times->n; ++k) {
        dnnl += letters[k] == CPU_PRODUCTS_DNNL;
        either += times->who[BY_DNNL][k] != times->who[BY_WINOGRAD][k];
    }
    if (chosen) fprintf(plan, "bf16 %s", letters);
    else fprintf(plan, "fp32");
    if (out && chosen && last)
        fprintf(out, "auto: %s in bf16, channels last, %.2f times as fast as in fp32\n", name, fp32 / bf16);
    else if (out && chosen)
        fprintf(out, "auto: %s in bf16, %.2f times as fast as in fp32, %d of %d convolutions by oneDNN instead of "
                "Winograd\n", name, fp32 / bf16, dnnl, either);
    else if (out)
        fprintf(out, "auto: %s in fp32, bf16 would be %.2f times as fast\n", name, fp32 / bf16);
    free(letters);
}

char *precision_choose(const char *cfg, const model_options *options, FILE *out, diag *d)
{
    timing times = { 0 };
    char *text = NULL;
    size_t len;
    int bad = 0;
    for (int way = 0; way < WAYS && !bad; ++way) bad = time_apart(cfg, options, &times, way, d);
    for (int way = BY_WINOGRAD; way < WAYS && !bad; ++way) leave_out_wrong(&times, way, out);
    if (!bad) {
        FILE *plan = mem_stream(&text, &len);
        for (int i = 0; i < times.networks; ++i) {
            if (i) fputc(',', plan);
            choose(&times.network[i], i ? "the teacher" : "the student", plan, out);
        }
        mem_stream_end(plan);
    }
    for (int i = 0; i < 1 + MAX_TEACHERS; ++i)
        for (int way = 0; way < WAYS; ++way) {
            free(times.network[i].layer[way]);
            free(times.network[i].who[way]);
        }
    return text;
}
