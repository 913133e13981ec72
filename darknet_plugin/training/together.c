/* One step's sum over ranks, and what they tell each other (see together.h). */
#include "together.h"

#include "darknet_plugin/base/key_text.h"
#include "darknet_plugin/base/mem.h"
#include "layers/cpu/cpu.h"
#include "layers/gpu/gpu.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- the sum ---- */

struct together {
    model *model;            /* borrowed */
    ranks *ranks;
    float *flat;             /* owned */
    size_t n;
    int *before;             /* batches that statistics average before the step, a layer; owned */
};

/* A walk along all arrays of a step. */
typedef enum { WALK_COUNT, WALK_BEGIN, WALK_GET, WALK_PUT } walk_way;
typedef struct walk {
    walk_way way;
    float *flat;
    size_t n;
} walk;

/* One array, which counts so much in the sum. */
static void visit(walk *walk, float *x, size_t n, float worth)
{
    float *flat = walk->flat ? walk->flat + walk->n : NULL;
    walk->n += n;
    if (walk->way == WALK_BEGIN) memset(x, 0, n * sizeof *x);
    if (walk->way == WALK_PUT) memcpy(x, flat, n * sizeof *x);
    for (size_t i = 0; walk->way == WALK_GET && i < n; ++i) flat[i] = worth == 0 ? 0 : x[i] * worth;
}

/* Sums of gradients, running statistics (`worth` so much) and last means. */
static void walk_layer(const together *together, walk *walk, const layer *l, float worth)
{
    weights_tensor t[WEIGHTS_MAX_TENSORS];
    int n = l->update ? weights_tensors(l, t) : 0, last = together->ranks->mine == together->ranks->count - 1;
    for (int k = 0; k < n; ++k) {
        if (t[k].trained) {
            visit(walk, t[k].kept[KEPT_SUM], t[k].n, 1);
            continue;
        }
        visit(walk, t[k].data, t[k].n, worth);
        if (t[k].kept[KEPT_SUM] && walk->way != WALK_BEGIN) visit(walk, t[k].kept[KEPT_SUM], t[k].n, (float)last);
    }
}

static int own_parts(const together *together)
{
    return together->model->net->subdivisions / together->ranks->count;
}

/* What this rank's statistics of a layer are worth, which averaged `before` batches when the step began; *after is what
 * they average when it has ended. */
static double worth_of(const together *together, int before, int *after)
{
    int parts = own_parts(together), all = together->ranks->count, mine = together->ranks->mine;
    *after = before;
    (void)cpu_statistics_left(after, (mine + 1) * parts);
    return cpu_statistics_left(after, (all - 1 - mine) * parts);
}

static void walk_all(const together *together, walk *walk)
{
    const model *model = together->model;
    for (int i = 0; i < model->low->trained; ++i) {
        int after;
        walk_layer(together, walk, &model->net->layers[i], (float)worth_of(together, together->before[i], &after));
    }
}

together *together_new(model *model)
{
    if (!model->ranks) return NULL;
    together *t = mem_calloc(1, sizeof *t);
    walk count = { .way = WALK_COUNT };
    t->model = model;
    t->ranks = model->ranks;
    t->before = mem_calloc((size_t)model->net->n, sizeof *t->before);
    walk_all(t, &count);
    t->n = count.n;
    t->flat = mem_aligned(ranks_room(t->ranks, t->n), sizeof *t->flat);
    return t;
}

void together_free(together *together)
{
    if (!together) return;
    free(together->flat);
    free(together->before);
    free(together);
}

/* A first rank goes on from what it has. */
void together_begin_step(together *together)
{
    if (!together) return;
    const model *model = together->model;
    for (int i = 0; i < model->low->trained; ++i) {
        layer *l = &model->net->layers[i];
        int count = together->before[i] = cpu_statistics_count(l);
        (void)cpu_statistics_left(&count, together->ranks->mine * own_parts(together));
        cpu_set_statistics_count(l, count);
    }
    if (!together->ranks->mine) return;
    walk begin = { .way = WALK_BEGIN };
    gpu_pull(model->net);    /* the update was made there */
    walk_all(together, &begin);
    gpu_push(model->net);
}

/* The sum, and what statistics average now. */
int together_end_step(together *together, diag *d)
{
    if (!together) return 0;
    const model *model = together->model;
    walk get = { .way = WALK_GET, .flat = together->flat }, put = { .way = WALK_PUT, .flat = together->flat };
    gpu_pull(model->net);
    walk_all(together, &get);
    if (ranks_sum(together->ranks, together->flat, together->n, d)) return -1;
    walk_all(together, &put);
    for (int i = 0; i < model->low->trained; ++i) {
        int after;
        (void)worth_of(together, together->before[i], &after);
        cpu_set_statistics_count(&model->net->layers[i], after);
    }
    gpu_push(model->net);
    return 0;
}

/* ---- before the first step ---- */

/* Lines in which rank `rank` differs from rank 0. */
static int compare_lines(const char *first, const char *other, int rank, diag *d)
{
    key_difference k;
    int n = 0, more;
    while ((more = key_next_difference(&other, &first, &k)) > 0) {
        diag_error(d, NULL, 0, NULL, "rank %d has %.*s, rank 0 has %.*s", rank, k.has_length, k.has, k.want_length,
                   k.want);
        ++n;
    }
    if (more < 0) diag_error(d, NULL, 0, NULL, "rank %d is another version of this program than rank 0", rank);
    return n || more ? -1 : 0;
}

int together_compare(ranks *ranks, const char *key, diag *d)
{
    size_t total;
    char *all = ranks_gather(ranks, RANKS_COMPARE, key, strlen(key) + 1, &total, d);
    int bad = !all, rank = 0;
    for (const char *at = all; all && at < all + total; at += strlen(at) + 1) bad |= compare_lines(all, at, rank++, d);
    if (all && bad) diag_hint(d, "all ranks train one network on one data set: the same files are on every host");
    free(all);
    return bad ? -1 : 0;
}

/* Every array of every layer. */
static int share_weights(model *model, diag *d)
{
    weights_tensor t[WEIGHTS_MAX_TENSORS];
    for (int i = 0; i < model->net->n; ++i) {
        int n = weights_tensors(&model->net->layers[i], t);
        for (int k = 0; k < n; ++k)
            if (ranks_broadcast(model->ranks, t[k].data, t[k].n * sizeof *t[k].data, d)) return -1;
    }
    return 0;
}

/* Rank 0's state as the text of a file; the caller frees. */
static char *state_text(const model *model, const run_progress *progress, size_t *len)
{
    char *text;
    FILE *out = mem_stream(&text, len);
    run_images none[RUN_SETS] = { { 0 } };
    run_progress now = *progress;
    now.seen = *model->net->seen;
    now.updates = (uint64_t)*model->net->t;
    (void)run_state_write(out, model->net, model->low->trained, 0, &now, NULL, "", none);
    mem_stream_end(out);
    return text;
}

/* All that a state holds. */
static int share_state(model *model, run_progress *progress, diag *d)
{
    size_t len = 0;
    int leads = ranks_leads(model->ranks);
    char *text = leads ? state_text(model, progress, &len) : NULL;
    uint64_t bytes = len;
    int failed = ranks_broadcast(model->ranks, &bytes, sizeof bytes, d);
    if (!leads && !failed) text = mem_calloc(bytes, 1);
    failed = failed || ranks_broadcast(model->ranks, text, bytes, d);
    if (!leads && !failed) failed = run_state_take(text, bytes, model->net, model->low->trained, progress, d);
    free(text);
    return failed ? -1 : 0;
}

int together_start(model *model, run_progress *progress, int *resumed, diag *d)
{
    if (!model->ranks) return 0;
    int failed = ranks_meet(model->ranks, RANKS_BEGIN, d) ||
                 ranks_broadcast(model->ranks, resumed, sizeof *resumed, d) || share_weights(model, d) ||
                 share_state(model, progress, d);
    if (failed) return -1;
    cpu_weights_changed(model->net);
    gpu_push(model->net);
    return 0;
}

int together_introduce(const model *model, int threads, FILE *out, diag *d)
{
    struct { char host[65]; int process, threads; } mine = { .process = (int)getpid(), .threads = threads };
    const ranks *ranks = model->ranks;
    if (!ranks) return 0;
    size_t total, n = (size_t)ranks->count;
    memcpy(mine.host, ranks->host, sizeof mine.host);
    char *all = ranks_gather(model->ranks, RANKS_BEGIN, &mine, sizeof mine, &total, d);
    if (!all || total != n * sizeof mine) {
        free(all);
        return -1;
    }
    int step = model->net->batch * model->net->subdivisions;
    fprintf(out, "%zu ranks, each on %d of a step's %d images\n", n, step / (int)n, step);
    for (size_t i = 0; i < n; ++i) {
        memcpy(&mine, all + i * sizeof mine, sizeof mine);
        fprintf(out, "rank %zu: process %d on %s, threads=%d\n", i, mine.process, mine.host, mine.threads);
    }
    fflush(out);
    free(all);
    return 0;
}

/* ---- news ---- */

int together_tell(ranks *ranks, step_news *news, double *loss, int n, diag *d)
{
    size_t of_loss = (size_t)n * sizeof *loss, bytes = sizeof *news + of_loss, count = (size_t)ranks_count(ranks);
    char *mine = mem_calloc(bytes, 1), *all = mem_calloc(bytes, count);
    memcpy(mine, news, sizeof *news);
    memcpy(mine + sizeof *news, loss, of_loss);
    int failed = ranks_exchange(ranks, RANKS_STEP, mine, bytes, all, d);
    for (size_t i = 0; i < count && !failed; ++i) {
        step_news now;
        memcpy(&now, all + i * bytes, sizeof now);
        memcpy(loss + i * (size_t)n, all + i * bytes + sizeof now, of_loss);
        if (now.status > news->status) news->status = now.status;
        if (!news->stop) news->stop = now.stop;
    }
    free(mine);
    free(all);
    return failed;
}

int together_images(ranks *ranks, uint64_t *image, size_t n, diag *d)
{
    if (!ranks) return 0;
    size_t total;
    uint64_t *all = ranks_gather(ranks, RANKS_STEP, image, n * sizeof *image, &total, d);
    if (all) memcpy(image, all, total);
    free(all);
    return all ? 0 : -1;
}

int together_check(const model *model, diag *d)
{
    size_t n = (size_t)ranks_count(model->ranks);
    if (!model->ranks) return 0;
    gpu_pull(model->net);
    uint64_t mine = weights_hash(model->net, 0, model->low->trained), *all = mem_calloc(n, sizeof *all);
    int bad = ranks_exchange(model->ranks, RANKS_EPOCH, &mine, sizeof mine, all, d);
    for (size_t i = 1; i < n && !bad; ++i) {
        if (all[i] == all[0]) continue;
        diag_error(d, NULL, 0, NULL, "rank %zu has other weights than rank 0: its machine computes otherwise", i);
        diag_hint(d, "build the program on one machine, with MARCH= of the oldest, and run that on all");
        bad = -1;
    }
    free(all);
    return bad;
}
