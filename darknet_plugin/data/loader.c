/* Batches prepared ahead of time by threads (see loader.h).
 *
 * A ring of slots, one batch each. A worker claims the next batch number under the lock and writes down there and then
 * which images it holds, so the order of the stream never depends on who is faster: claims are made in order, and one
 * permutation at a time is enough even where a batch covers several epochs. Decoding and augmenting run unlocked, each
 * image with its own random stream. loader_next hands the slots out in order and gives back the one handed out before.
 * Images that could not be read are written down in the slot and counted when it is handed out, in order again. */
#include "loader.h"

#include "darknet_plugin/host/host.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/words.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

typedef enum { SLOT_FREE, SLOT_BUSY, SLOT_READY } slot_state;

/* An image that could not be read. */
typedef struct lost_image {
    uint64_t index;
    char *why;           /* owned */
} lost_image;

typedef struct lost_list {
    lost_image *image;   /* n, owned */
    size_t n, room;
} lost_list;

typedef struct slot {
    batch b;             /* arrays owned */
    slot_state state;    /* under the lock */
    char why[1024];      /* reason of a failure, else empty */
    lost_list lost;      /* detectors */
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
    lost_list lost;              /* each image once, by index; the caller's thread only */
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

/* Which images training batch number `seq` holds, at which size. Under the lock. */
static void plan_training(loader *loader, slot *slot, uint64_t seq)
{
    uint64_t past = seq * (uint64_t)loader->o.batch, at = loader->o.start + past,
        step = (uint64_t)loader->o.step_images;
    augment_size(loader->o.seed, loader->o.start / step + past / step, loader->o.augment.random, loader->o.w,
                 loader->o.h, &slot->b.w, &slot->b.h);
    slot->b.n = loader->o.batch;
    slot->b.epoch = at / loader->count;
    for (int j = 0; j < loader->o.batch; ++j, ++at) {
        uint64_t epoch = at / loader->count;
        if (epoch != loader->order_of) shuffle(loader->order, loader->count, loader->o.seed, epoch);
        loader->order_of = epoch;
        slot->b.index[j] = loader->order[at % loader->count];
        slot->b.view[j] = loader->o.views > 0 ? epoch % (uint64_t)loader->o.views : epoch;
    }
}

/* Images `at`, at + 1, ... of views * count; the last one again where the last batch is not full. */
static void plan_views(loader *loader, slot *slot, uint64_t seq)
{
    uint64_t at = loader->o.start + seq * (uint64_t)loader->o.batch, all = (uint64_t)loader->o.views * loader->count;
    slot->b.n = all - at < (uint64_t)loader->o.batch ? (int)(all - at) : loader->o.batch;
    slot->b.epoch = at / loader->count;
    for (int j = 0; j < loader->o.batch; ++j) {
        uint64_t i = at + (uint64_t)(j < slot->b.n ? j : slot->b.n - 1);
        slot->b.index[j] = i % loader->count;
        slot->b.view[j] = i / loader->count;
    }
}

static void plan_in_order(loader *loader, slot *slot, uint64_t seq)
{
    uint64_t first = seq * (uint64_t)loader->o.batch, left = loader->count - first;
    slot->b.n = left < (uint64_t)loader->o.batch ? (int)left : loader->o.batch;
    slot->b.epoch = 0;
    for (int j = 0; j < loader->o.batch; ++j) slot->b.index[j] = first + (uint64_t)(j < slot->b.n ? j : slot->b.n - 1);
}

typedef struct picture {
    uint8_t *pixels;     /* (h, w, c), owned */
    int w, h;
} picture;

static int is_random(const loader *loader) { return loader->o.how == LOAD_TRAIN || loader->o.how == LOAD_VIEWS; }
static size_t image_floats(const loader *loader, const batch *batch)
{
    return (size_t)loader->o.c * (size_t)batch->h * (size_t)batch->w;
}
static size_t truth_floats(const loader *loader) { return 5 * (size_t)loader->o.max_boxes; }

static void add_lost(lost_list *list, uint64_t index, char *why)
{
    if (list->n == list->room) {
        list->room = list->room ? 2 * list->room : 8;
        list->image = mem_realloc(list->image, list->room, sizeof *list->image);
    }
    list->image[list->n++] = (lost_image){ index, why };
}

/* Image `i`; 0, 1 if it is a detector's and written down as lost, or -1 with the reason in slot->why. */
static int read_picture(const loader *loader, slot *slot, uint64_t i, picture *picture)
{
    char why[256] = "", name[700];
    if (!dataset_read(loader->o.data, i, loader->o.c, &picture->pixels, &picture->w, &picture->h, why, sizeof why))
        return 0;
    dataset_name(loader->o.data, i, name, sizeof name);
    if (loader->o.augment.detector) {
        add_lost(&slot->lost, i, mem_printf("%s: %s", name, why));
        return 1;
    }
    snprintf(slot->why, sizeof slot->why, "%s: %s", name, why);
    return -1;
}

/* Another image in place of j: the first readable one of those drawn by (seed, view, image). */
static int substitute(const loader *loader, slot *slot, int j, picture *picture)
{
    rng r = rng_make(loader->o.seed, slot->b.view[j], slot->b.index[j], RNG_SUBSTITUTE);
    for (int tries = 0; tries < 100; ++tries) {
        slot->b.index[j] = rng_below(&r, loader->count);
        if (!read_picture(loader, slot, slot->b.index[j], picture)) return 0;
    }
    return 1;
}

static void prepare_detector(const loader *loader, slot *slot, int j, const picture *picture, float *x)
{
    const loader_options *o = &loader->o;
    image_place *place = &slot->b.place[j];
    rng r = rng_make(o->seed, slot->b.view[j], slot->b.index[j], RNG_AUGMENT);
    if (is_random(loader)) augment_detect(picture->pixels, picture->w, picture->h, o->c, &o->augment, &r, x, slot->b.w,
                                          slot->b.h, place);
    else augment_fit(picture->pixels, picture->w, picture->h, o->c, o->augment.stretch, x, slot->b.w, slot->b.h, place);
    if (!slot->b.truth) return;
    int n;
    const data_box *box = dataset_boxes(o->data, slot->b.index[j], &n);
    augment_truth(box, n, place, is_random(loader) ? &r : NULL, slot->b.truth + (size_t)j * truth_floats(loader),
                  o->max_boxes);
}

static void prepare_classifier(const loader *loader, slot *slot, int j, const picture *picture, float *x)
{
    const loader_options *o = &loader->o;
    rng r = rng_make(o->seed, slot->b.view[j], slot->b.index[j], RNG_AUGMENT);
    if (is_random(loader)) augment_image(picture->pixels, picture->w, picture->h, o->c, &o->augment, &r, x, o->w, o->h);
    else if (o->how == LOAD_VALID) augment_centre(picture->pixels, picture->w, picture->h, o->c, x, o->w, o->h);
    else augment_letterbox(picture->pixels, picture->w, picture->h, o->c, x, o->w, o->h);
}

/* Image j of the slot: bytes -> floats. 0, 1 if it is to be left out, or -1 with the reason in slot->why. */
static int prepare_image(const loader *loader, slot *slot, int j)
{
    picture p;
    float *x = slot->b.x + (size_t)j * image_floats(loader, &slot->b);
    int status = read_picture(loader, slot, slot->b.index[j], &p);
    if (status > 0 && is_random(loader)) status = substitute(loader, slot, j, &p);
    if (status) return status;
    (loader->o.augment.detector ? prepare_detector : prepare_classifier)(loader, slot, j, &p, x);
    free(p.pixels);
    slot->b.label[j] = dataset_label(loader->o.data, slot->b.index[j]);
    return 0;
}

/* Image j is image `from` once more. */
static void repeat_image(const loader *loader, batch *batch, int j, int from)
{
    size_t image = image_floats(loader, batch), truth = truth_floats(loader);
    memcpy(batch->x + (size_t)j * image, batch->x + (size_t)from * image, image * sizeof *batch->x);
    batch->label[j] = batch->label[from];
    batch->index[j] = batch->index[from];
    batch->view[j] = batch->view[from];
    if (batch->place) batch->place[j] = batch->place[from];
    if (batch->truth) memcpy(batch->truth + (size_t)j * truth, batch->truth + (size_t)from * truth,
                             truth * sizeof *batch->truth);
}

static void prepare_batch(const loader *loader, slot *slot)
{
    int planned = slot->b.n;
    slot->why[0] = 0;
    slot->b.n = 0;
    for (int j = 0; j < planned; ++j) {
        slot->b.index[slot->b.n] = slot->b.index[j];
        slot->b.view[slot->b.n] = slot->b.view[j];
        int status = prepare_image(loader, slot, slot->b.n);
        if (status < 0) return;
        slot->b.n += !status;
    }
    for (int j = slot->b.n; slot->b.n && j < loader->o.batch; ++j) repeat_image(loader, &slot->b, j, slot->b.n - 1);
}

/* The next batch to prepare, planned; NULL when the loader stops or has no more. Under the lock. */
static slot *claim(loader *loader)
{
    while (!loader->stopping && loader->claimed < loader->batches &&
           loader->ring[loader->claimed % loader->slots].state != SLOT_FREE)
        pthread_cond_wait(&loader->claimable, &loader->lock);
    if (loader->stopping || loader->claimed >= loader->batches) return NULL;
    uint64_t seq = loader->claimed++;
    slot *s = &loader->ring[seq % loader->slots];
    s->state = SLOT_BUSY;
    if (loader->o.how == LOAD_TRAIN) plan_training(loader, s, seq);
    else if (loader->o.how == LOAD_VIEWS) plan_views(loader, s, seq);
    else plan_in_order(loader, s, seq);
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
static uint64_t count_slots(const loader_options *options, int w, int h)
{
    double bytes = 4. * options->batch * options->c * h * w;
    uint64_t most = 2 * (uint64_t)options->threads + 2, least = (uint64_t)options->threads + 1;
    return bytes * (double)most > (double)(1 << 28) ? least : most;
}

/* w, h: the largest that x must hold. */
static void make_slot(slot *slot, const loader_options *options, int w, int h)
{
    size_t n = (size_t)options->batch;
    slot->b.w = options->w;
    slot->b.h = options->h;
    slot->b.x = mem_calloc(n, (size_t)options->c * (size_t)h * (size_t)w * sizeof *slot->b.x);
    if (options->augment.detector) slot->b.place = mem_calloc(n, sizeof *slot->b.place);
    if (options->max_boxes > 0 && dataset_has_boxes(options->data))
        slot->b.truth = mem_calloc(n, 5 * (size_t)options->max_boxes * sizeof *slot->b.truth);
    slot->b.label = mem_calloc(n, sizeof *slot->b.label);
    slot->b.index = mem_calloc(n, sizeof *slot->b.index);
    slot->b.view = mem_calloc(n, sizeof *slot->b.view);
}

/* Signals are the main thread's business. */
static int start_threads(loader *loader)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (loader->threads < loader->o.threads && !pthread_create(&loader->thread[loader->threads], NULL, work, loader))
        ++loader->threads;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return loader->threads ? 0 : -1;
}

static int check_options(const loader_options *options, diag *d)
{
    int bad = diag_errors(d);
    if (options->c != 1 && options->c != 3)
        diag_error(d, NULL, 0, NULL, "the net takes %d channels, but images have 1 or 3", options->c);
    if (options->batch < 1 || options->h < 1 || options->w < 1)
        diag_error(d, NULL, 0, NULL, "no batches of %d images of %dx%d", options->batch, options->w, options->h);
    if (!dataset_count(options->data)) diag_error(d, NULL, 0, NULL, "the dataset has no images");
    return diag_errors(d) - bad;
}

loader *loader_start(const loader_options *options, diag *d)
{
    if (check_options(options, d)) return NULL;
    loader *l = mem_calloc(1, sizeof *l);
    l->o = *options;
    if (l->o.threads < 1) l->o.threads = 1;
    if (l->o.step_images < 1) l->o.step_images = options->batch;
    if (options->how != LOAD_TRAIN || !options->augment.detector) l->o.augment.random = 0;
    l->count = dataset_count(options->data);
    uint64_t batch = (uint64_t)options->batch;
    uint64_t images = options->how == LOAD_VIEWS ? l->count * (uint64_t)options->views - options->start : l->count;
    l->batches = options->how == LOAD_TRAIN ? UINT64_MAX : (images + batch - 1) / batch;
    int w, h;
    augment_largest_size(l->o.augment.random, options->w, options->h, &w, &h);
    l->slots = count_slots(&l->o, w, h);
    l->ring = mem_calloc(l->slots, sizeof *l->ring);
    for (uint64_t i = 0; i < l->slots; ++i) make_slot(&l->ring[i], options, w, h);
    l->order = mem_calloc(options->how == LOAD_TRAIN ? l->count : 1, sizeof *l->order);
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
static slot *take(loader *loader)
{
    pthread_mutex_lock(&loader->lock);
    if (loader->handed) {
        loader->ring[(loader->handed - 1) % loader->slots].state = SLOT_FREE;
        pthread_cond_signal(&loader->claimable);
    }
    slot *s = NULL;
    if (loader->handed < loader->batches) {
        s = &loader->ring[loader->handed++ % loader->slots];
        while (s->state != SLOT_READY) pthread_cond_wait(&loader->ready, &loader->lock);
    }
    pthread_mutex_unlock(&loader->lock);
    return s;
}

/* ---- images that were lost ---- */

/* The place of `index` in the list, which is sorted. */
static size_t find_lost(const lost_list *list, uint64_t index)
{
    size_t lo = 0, hi = list->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (list->image[mid].index < index) lo = mid + 1;
        else hi = mid;
    }
    return lo;
}

/* Takes what the slot has lost over to the loader's list. */
static void count_lost(loader *loader, slot *slot)
{
    for (size_t i = 0; i < slot->lost.n; ++i) {
        lost_image lost = slot->lost.image[i];
        size_t at = find_lost(&loader->lost, lost.index);
        if (at < loader->lost.n && loader->lost.image[at].index == lost.index) {
            free(lost.why);
            continue;
        }
        add_lost(&loader->lost, 0, NULL);
        memmove(loader->lost.image + at + 1, loader->lost.image + at, (loader->lost.n - 1 - at) * sizeof lost);
        loader->lost.image[at] = lost;
    }
    slot->lost.n = 0;
}

/* "a.jpg: why, b.jpg: why, ..." of the first ten, with or without those that the data set has named itself; the caller
 * frees. NULL if there are none. */
static char *lost_names(const loader *loader, int all, size_t *count)
{
    char *list = NULL;
    int words = 0;
    *count = 0;
    for (size_t i = 0; i < loader->lost.n; ++i) {
        if (!all && dataset_left_out(loader->o.data, loader->lost.image[i].index)) continue;
        words_list(&list, &words, 10, loader->lost.image[i].why);
        ++*count;
    }
    return list;
}

static void report_lost(const loader *loader, int too_many, diag *d)
{
    size_t n;
    char *names = lost_names(loader, too_many, &n);
    const char *what = too_many ? "cannot be read; up to 1 % are left out" : "could not be read and were left out";
    if (n) (too_many ? diag_error : diag_warn)(d, NULL, 0, NULL, "%zu of %zu images %s: %s", n, loader->count, what,
                                               names);
    free(names);
}

size_t loader_left_out(const loader *loader, diag *d)
{
    report_lost(loader, 0, d);
    return loader->lost.n;
}

/* Whether the batch may be used; reports why not. */
static int accept(loader *loader, slot *slot, diag *d)
{
    count_lost(loader, slot);
    int too_many = dataset_too_many_left_out(loader->o.data, loader->lost.n);
    if (too_many) report_lost(loader, 1, d);
    else if (slot->why[0]) diag_error(d, NULL, 0, NULL, "%s", slot->why);
    return !too_many && !slot->why[0];
}

const batch *loader_next(loader *loader, diag *d)
{
    while (!loader->failed) {
        slot *s = take(loader);
        if (!s) return NULL;
        loader->failed = !accept(loader, s, d);
        if (!loader->failed && s->b.n) return &s->b;
    }
    return NULL;
}

static void free_lost(lost_list *list)
{
    for (size_t i = 0; i < list->n; ++i) free(list->image[i].why);
    free(list->image);
}

static void free_slot(slot *slot)
{
    free(slot->b.x);
    free(slot->b.label);
    free(slot->b.truth);
    free(slot->b.place);
    free(slot->b.index);
    free(slot->b.view);
    free_lost(&slot->lost);
}

void loader_stop(loader *loader)
{
    if (!loader) return;
    pthread_mutex_lock(&loader->lock);
    loader->stopping = 1;
    pthread_cond_broadcast(&loader->claimable);
    pthread_mutex_unlock(&loader->lock);
    for (int i = 0; i < loader->threads; ++i) pthread_join(loader->thread[i], NULL);
    pthread_cond_destroy(&loader->ready);
    pthread_cond_destroy(&loader->claimable);
    pthread_mutex_destroy(&loader->lock);
    for (uint64_t i = 0; i < loader->slots; ++i) free_slot(&loader->ring[i]);
    free_lost(&loader->lost);
    free(loader->ring);
    free(loader->order);
    free(loader->thread);
    free(loader);
}
