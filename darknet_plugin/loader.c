/* Batches prepared ahead of time by threads (see loader.h).
 *
 * A ring of slots, one batch each. A worker claims the next batch number under the lock and writes down there and then
 * which images it holds, so the order of the stream never depends on who is faster: claims are made in order, and one
 * permutation at a time is enough even where a batch covers several epochs. Decoding and augmenting run unlocked, each
 * image with its own random stream. loader_next hands the slots out in order and gives back the one handed out before. */
#include "loader.h"

#include "host.h"
#include "mem.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

typedef enum { SLOT_FREE, SLOT_BUSY, SLOT_READY } slot_state;

typedef struct slot {
    batch b;             /* arrays owned */
    slot_state state;    /* under the lock */
    char why[1024];      /* reason of a failure, else empty */
} slot;

struct loader {
    loader_options o;
    size_t count;                /* images in the dataset */
    uint64_t batches;            /* of a validation; UINT64_MAX = endless */
    pthread_mutex_t lock;        /* guards all below, and the slots' states */
    pthread_cond_t claimable, ready;
    slot *ring;                  /* slots, owned */
    uint64_t slots;
    uint64_t claimed, handed;    /* batches claimed by workers, asked for by the caller */
    size_t *order;               /* permutation of epoch `order_of`, owned; training */
    uint64_t order_of;
    int stopping, failed;
    pthread_t *thread;           /* threads running, owned */
    int threads;
};

/* Fisher and Yates, keyed by (seed, epoch). */
static void shuffle(size_t *order, size_t n, uint64_t seed, uint64_t epoch)
{
    rng r = rng_make(seed, epoch, 0, RNG_SHUFFLE);
    for (size_t i = 0; i < n; ++i) order[i] = i;
    for (size_t i = n; i > 1; --i) {
        size_t j = (size_t)rng_below(&r, i), t = order[i - 1];
        order[i - 1] = order[j];
        order[j] = t;
    }
}

/* Which images training batch number `seq` holds. Under the lock. */
static void plan_training(loader *l, slot *s, uint64_t seq)
{
    uint64_t at = l->o.start + seq * (uint64_t)l->o.batch;
    s->b.n = l->o.batch;
    s->b.epoch = at / l->count;
    for (int j = 0; j < l->o.batch; ++j, ++at) {
        uint64_t epoch = at / l->count;
        if (epoch != l->order_of) shuffle(l->order, l->count, l->o.seed, epoch);
        l->order_of = epoch;
        s->b.index[j] = l->order[at % l->count];
        s->b.view[j] = l->o.views > 0 ? epoch % (uint64_t)l->o.views : epoch;
    }
}

/* Images `at`, at + 1, ... of views * count; the last one again where the last batch is not full. */
static void plan_views(loader *l, slot *s, uint64_t seq)
{
    uint64_t at = l->o.start + seq * (uint64_t)l->o.batch, all = (uint64_t)l->o.views * l->count;
    s->b.n = all - at < (uint64_t)l->o.batch ? (int)(all - at) : l->o.batch;
    s->b.epoch = at / l->count;
    for (int j = 0; j < l->o.batch; ++j) {
        uint64_t i = at + (uint64_t)(j < s->b.n ? j : s->b.n - 1);
        s->b.index[j] = i % l->count;
        s->b.view[j] = i / l->count;
    }
}

static void plan_in_order(loader *l, slot *s, uint64_t seq)
{
    uint64_t first = seq * (uint64_t)l->o.batch, left = l->count - first;
    s->b.n = left < (uint64_t)l->o.batch ? (int)left : l->o.batch;
    s->b.epoch = 0;
    for (int j = 0; j < l->o.batch; ++j) s->b.index[j] = first + (uint64_t)(j < s->b.n ? j : s->b.n - 1);
}

/* Image j of the slot: bytes -> floats. 0, or -1 with the reason in s->why. */
static int prepare_image(const loader *l, slot *s, int j)
{
    const loader_options *o = &l->o;
    uint8_t *pixels;
    int w, h;
    char why[256] = "", name[700];
    uint64_t i = s->b.index[j];
    float *x = s->b.x + (size_t)j * (size_t)o->c * (size_t)o->h * (size_t)o->w;
    if (dataset_read(o->data, i, o->c, &pixels, &w, &h, why, sizeof why)) {
        snprintf(s->why, sizeof s->why, "%s: %s", dataset_name(o->data, i, name, sizeof name), why);
        return -1;
    }
    rng r = rng_make(o->seed, s->b.view[j], i, RNG_AUGMENT);
    if (o->how == LOAD_TRAIN || o->how == LOAD_VIEWS) augment_image(pixels, w, h, o->c, &o->augment, &r, x, o->w, o->h);
    else if (o->how == LOAD_VALID) augment_centre(pixels, w, h, o->c, x, o->w, o->h);
    else augment_letterbox(pixels, w, h, o->c, x, o->w, o->h);
    free(pixels);
    s->b.label[j] = dataset_label(o->data, i);
    return 0;
}

static void prepare_batch(const loader *l, slot *s)
{
    size_t image = (size_t)l->o.c * (size_t)l->o.h * (size_t)l->o.w;
    s->why[0] = 0;
    for (int j = 0; j < s->b.n; ++j)
        if (prepare_image(l, s, j)) return;
    for (int j = s->b.n; j < l->o.batch; ++j) {
        memcpy(s->b.x + (size_t)j * image, s->b.x + (size_t)(s->b.n - 1) * image, image * sizeof *s->b.x);
        s->b.label[j] = s->b.label[s->b.n - 1];
    }
}

/* The next batch to prepare, planned; NULL when the loader stops or has no more. Under the lock. */
static slot *claim(loader *l)
{
    while (!l->stopping && l->claimed < l->batches && l->ring[l->claimed % l->slots].state != SLOT_FREE)
        pthread_cond_wait(&l->claimable, &l->lock);
    if (l->stopping || l->claimed >= l->batches) return NULL;
    uint64_t seq = l->claimed++;
    slot *s = &l->ring[seq % l->slots];
    s->state = SLOT_BUSY;
    if (l->o.how == LOAD_TRAIN) plan_training(l, s, seq);
    else if (l->o.how == LOAD_VIEWS) plan_views(l, s, seq);
    else plan_in_order(l, s, seq);
    return s;
}

static void *work(void *arg)
{
    loader *l = arg;
    host_thread_init();
    pthread_mutex_lock(&l->lock);
    for (slot *s; (s = claim(l));) {
        pthread_mutex_unlock(&l->lock);
        prepare_batch(l, s);
        pthread_mutex_lock(&l->lock);
        s->state = SLOT_READY;
        pthread_cond_signal(&l->ready);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

/* Two batches a thread and two more, fewer where that would be more than a quarter of a gigabyte. */
static uint64_t count_slots(const loader_options *o)
{
    double bytes = 4. * o->batch * o->c * o->h * o->w;
    uint64_t most = 2 * (uint64_t)o->threads + 2, least = (uint64_t)o->threads + 1;
    return bytes * (double)most > (double)(1 << 28) ? least : most;
}

static void make_slot(slot *s, const loader_options *o)
{
    size_t n = (size_t)o->batch;
    s->b.x = mem_calloc(n, (size_t)o->c * (size_t)o->h * (size_t)o->w * sizeof *s->b.x);
    s->b.label = mem_calloc(n, sizeof *s->b.label);
    s->b.index = mem_calloc(n, sizeof *s->b.index);
    s->b.view = mem_calloc(n, sizeof *s->b.view);
}

/* Signals are the main thread's business. */
static int start_threads(loader *l)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (l->threads < l->o.threads && !pthread_create(&l->thread[l->threads], NULL, work, l)) ++l->threads;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return l->threads ? 0 : -1;
}

static int check_options(const loader_options *o, diag *d)
{
    int bad = diag_errors(d);
    if (o->c != 1 && o->c != 3)
        diag_error(d, NULL, 0, NULL, "the net takes %d channels, but images have 1 or 3", o->c);
    if (o->batch < 1 || o->h < 1 || o->w < 1)
        diag_error(d, NULL, 0, NULL, "no batches of %d images of %dx%d", o->batch, o->w, o->h);
    if (!dataset_count(o->data)) diag_error(d, NULL, 0, NULL, "the dataset has no images");
    return diag_errors(d) - bad;
}

loader *loader_start(const loader_options *o, diag *d)
{
    if (check_options(o, d)) return NULL;
    loader *l = mem_calloc(1, sizeof *l);
    l->o = *o;
    if (l->o.threads < 1) l->o.threads = 1;
    l->count = dataset_count(o->data);
    uint64_t batch = (uint64_t)o->batch;
    uint64_t images = o->how == LOAD_VIEWS ? l->count * (uint64_t)o->views - o->start : l->count;
    l->batches = o->how == LOAD_TRAIN ? UINT64_MAX : (images + batch - 1) / batch;
    l->slots = count_slots(&l->o);
    l->ring = mem_calloc(l->slots, sizeof *l->ring);
    for (uint64_t i = 0; i < l->slots; ++i) make_slot(&l->ring[i], o);
    l->order = mem_calloc(o->how == LOAD_TRAIN ? l->count : 1, sizeof *l->order);
    l->order_of = UINT64_MAX;
    l->thread = mem_calloc((size_t)l->o.threads, sizeof *l->thread);
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->claimable, NULL);
    pthread_cond_init(&l->ready, NULL);
    if (!start_threads(l)) return l;
    diag_error(d, NULL, 0, NULL, "no thread can be started to load images");
    loader_stop(l);
    return NULL;
}

/* Waits for batch `handed` and gives the one before back to the workers. */
static slot *take(loader *l)
{
    pthread_mutex_lock(&l->lock);
    if (l->handed) {
        l->ring[(l->handed - 1) % l->slots].state = SLOT_FREE;
        pthread_cond_signal(&l->claimable);
    }
    slot *s = NULL;
    if (l->handed < l->batches) {
        s = &l->ring[l->handed++ % l->slots];
        while (s->state != SLOT_READY) pthread_cond_wait(&l->ready, &l->lock);
    }
    pthread_mutex_unlock(&l->lock);
    return s;
}

const batch *loader_next(loader *l, diag *d)
{
    if (l->failed) return NULL;
    slot *s = take(l);
    if (!s) return NULL;
    if (!s->why[0]) return &s->b;
    l->failed = 1;
    diag_error(d, NULL, 0, NULL, "%s", s->why);
    return NULL;
}

static void free_slot(slot *s)
{
    free(s->b.x);
    free(s->b.label);
    free(s->b.index);
    free(s->b.view);
}

void loader_stop(loader *l)
{
    if (!l) return;
    pthread_mutex_lock(&l->lock);
    l->stopping = 1;
    pthread_cond_broadcast(&l->claimable);
    pthread_mutex_unlock(&l->lock);
    for (int i = 0; i < l->threads; ++i) pthread_join(l->thread[i], NULL);
    pthread_cond_destroy(&l->ready);
    pthread_cond_destroy(&l->claimable);
    pthread_mutex_destroy(&l->lock);
    for (uint64_t i = 0; i < l->slots; ++i) free_slot(&l->ring[i]);
    free(l->ring);
    free(l->order);
    free(l->thread);
    free(l);
}
