/* Batches prepared ahead of time by threads (see loader.h).
 *
 * A ring of slots, one batch each. A worker claims the next batch number under the lock and writes down there and then
 * which images it holds, so the order of the stream never depends on who is faster: claims are made in order, and one
 * permutation at a time is enough even where a batch covers several epochs. Decoding and augmenting run unlocked, each
 * image with its own random stream. loader_next hands the slots out in order and gives back the one handed out before.
 * Images that could not be read are written down in the slot and counted when it is handed out, in order again. */
#include "loader.h"

#include "loader_lost.h"
#include "loader_options.h"
#include "darknet_plugin/host/host.h"
#include "darknet_plugin/base/mem.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

typedef enum { SLOT_FREE, SLOT_BUSY, SLOT_READY } slot_state;

typedef struct slot {
    batch batch;         /* arrays owned */
    slot_state state;    /* under the lock */
    char why[1024];      /* reason of a failure, else empty */
    lost_list lost;      /* detectors */
    float *partner;      /* room for an image to be mixed in, owned; NULL: none is */
    float *part_truth;   /* and for its boxes, owned; detectors with labels */
} slot;

struct loader {
    loader_options options;
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

/* Fisher and Yates: n numbers, keyed by (seed, epoch). */
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
    const loader_options *options = &loader->options;
    batch *batch = &slot->batch;
    uint64_t past = loader_images_before(options, seq), at = options->start + past;
    uint64_t step = (uint64_t)options->step_images;
    augment_size(options->view_seed, options->start / step + past / step, options->augment.random, options->w,
                 options->h, &batch->w, &batch->h);
    batch->n = options->batch;
    batch->epoch = at / loader->count;
    for (int j = 0; j < options->batch; ++j, ++at) {
        uint64_t epoch = at / loader->count;
        if (epoch != loader->order_of) shuffle(loader->order, loader->count, options->seed, epoch);
        loader->order_of = epoch;
        batch->index[j] = loader->order[at % loader->count];
        batch->view[j] = options->views > 0 ? epoch % (uint64_t)options->views : epoch;
    }
}

/* Images `at`, at + 1, ... of views * count; the last one again where the last batch is not full. */
static void plan_in_order(loader *loader, slot *slot, uint64_t seq)
{
    const loader_options *options = &loader->options;
    batch *batch = &slot->batch;
    uint64_t at = options->start + seq * (uint64_t)options->batch;
    uint64_t left = loader_images_end(options, loader->count) - at;
    batch->n = left < (uint64_t)options->batch ? (int)left : options->batch;
    batch->epoch = at / loader->count;
    for (int j = 0; j < options->batch; ++j) {
        uint64_t i = at + (uint64_t)(j < batch->n ? j : batch->n - 1);
        batch->index[j] = i % loader->count;
        batch->view[j] = i / loader->count;
    }
}

typedef struct picture {
    uint8_t *pixels;     /* (h, w, c), owned */
    int w, h;
} picture;

static int is_random(const loader_options *options)
{
    return options->how == LOAD_TRAIN || options->how == LOAD_VIEWS;
}

static size_t image_floats(const loader *loader, const batch *batch)
{
    return (size_t)loader->options.c * (size_t)batch->h * (size_t)batch->w;
}

static size_t truth_floats(const loader *loader) { return 5 * (size_t)loader->options.max_boxes; }

/* What became of an image. */
typedef enum { IMAGE_FAILED = -1, IMAGE_READ, IMAGE_LOST } image_status;

/* Image `i`: read, lost and written down as that (a detector's), or failed with the reason in slot->why. */
static image_status read_picture(const loader *loader, slot *slot, uint64_t i, picture *picture)
{
    char why[256] = "", name[700];
    int status = dataset_read(loader->options.data, i, loader->options.c, &picture->pixels, &picture->w, &picture->h,
                              why, sizeof why);
    if (!status) return IMAGE_READ;
    dataset_name(loader->options.data, i, name, sizeof name);
    if (loader->options.augment.detector && status != DATA_CHANGED) {
        lost_add(&slot->lost, i, mem_printf("%s: %s", name, why));
        return IMAGE_LOST;
    }
    snprintf(slot->why, sizeof slot->why, "%s: %s", name, why);
    return IMAGE_FAILED;
}

/* Another image in place of j: the first readable one of those drawn by (view_seed, view, image). */
static image_status substitute(const loader *loader, slot *slot, int j, picture *picture)
{
    batch *batch = &slot->batch;
    rng r = rng_make(loader->options.view_seed, batch->view[j], batch->index[j], RNG_SUBSTITUTE);
    for (int tries = 0; tries < 100; ++tries) {
        batch->index[j] = rng_below(&r, loader->count);
        image_status status = read_picture(loader, slot, batch->index[j], picture);
        if (status != IMAGE_LOST) return status;
    }
    return IMAGE_LOST;
}

/* What becomes of a detector's image: pixels, (c, h, w) of the batch, where it lies, its boxes (NULL: none). */
typedef struct prepared {
    float *x;
    image_place *place;
    float *truth;
} prepared;

/* Places the picture of image `index`, and its boxes with it. */
static void prepare_detector(const loader *loader, const batch *batch, uint64_t view, uint64_t index,
                             const picture *picture, prepared out)
{
    const loader_options *options = &loader->options;
    rng r = rng_make(options->view_seed, view, index, RNG_AUGMENT);
    if (is_random(options))
        augment_detect(picture->pixels, picture->w, picture->h, options->c, &options->augment, &r, out.x, batch->w,
                       batch->h, out.place);
    else
        augment_fit(picture->pixels, picture->w, picture->h, options->c, options->augment.fit == FIT_STRETCH, out.x,
                    batch->w, batch->h, out.place);
    if (!out.truth) return;
    int n;
    const data_box *box = dataset_boxes(options->data, index, &n);
    augment_truth(box, n, out.place, is_random(options) ? &r : NULL, out.truth, options->max_boxes);
}

/* Puts part `part` where it belongs in image j; `own` is the picture of the image itself. */
static image_status add_part(const loader *loader, slot *slot, int j, const image_collage *collage, int part,
                             const picture *own, prepared out)
{
    const batch *batch = &slot->batch;
    picture other = *own;
    image_place place;
    image_status status = part ? read_picture(loader, slot, collage->image[part], &other) : IMAGE_READ;
    if (status != IMAGE_READ) return status == IMAGE_LOST ? IMAGE_READ : status;
    prepared alone = { slot->partner, part ? &place : out.place, out.truth ? slot->part_truth : NULL };
    prepare_detector(loader, batch, batch->view[j], collage->image[part], &other, alone);
    if (part) free(other.pixels);
    augment_add_pixels(collage, part, alone.x, out.x, loader->options.c, batch->h, batch->w);
    if (out.truth)
        augment_add_truth(collage, part, alone.truth, out.truth, loader->options.max_boxes, batch->h, batch->w);
    return IMAGE_READ;
}

/* Image j of a detector: alone, or with the same view of others. */
static image_status prepare_collage(const loader *loader, slot *slot, int j, const picture *own, float *x)
{
    batch *batch = &slot->batch;
    const loader_options *options = &loader->options;
    float *truth = batch->truth ? batch->truth + (size_t)j * truth_floats(loader) : NULL;
    prepared out = { x, &batch->place[j], truth };
    rng r = rng_make(options->view_seed, batch->view[j], batch->index[j], RNG_MIX);
    image_collage collage = { .parts = 1 };
    image_status status = IMAGE_READ;
    if (slot->partner) collage = augment_draw_collage(&options->augment, &r, batch->index[j], loader->count);
    if (collage.parts == 1) {
        prepare_detector(loader, batch, batch->view[j], batch->index[j], own, out);
        return IMAGE_READ;
    }
    augment_begin_collage(&collage, x, image_floats(loader, batch), truth, options->max_boxes);
    for (int i = 0; i < collage.parts && status == IMAGE_READ; ++i)
        status = add_part(loader, slot, j, &collage, i, own, out);
    return status;
}

/* The picture of image `index` into x, (c, h, w) of the options. */
static void prepare_classifier(const loader *loader, uint64_t view, uint64_t index, const picture *picture, float *x)
{
    const loader_options *options = &loader->options;
    const uint8_t *pixels = picture->pixels;
    int w = picture->w, h = picture->h, c = options->c;
    rng r = rng_make(options->view_seed, view, index, RNG_AUGMENT);
    image_fit fit = options->augment.fit;
    if (!is_random(options)) {
        augment_still(pixels, w, h, c, fit, x, options->w, options->h);
    } else if (fit == FIT_CROP) {
        augment_image(pixels, w, h, c, &options->augment, &r, x, options->w, options->h);
    } else {
        uint8_t *fitted = augment_still_bytes(pixels, w, h, c, fit, options->w, options->h);
        augment_image(fitted, options->w, options->h, c, &options->augment, &r, x, options->w, options->h);
        free(fitted);
    }
}

/* Mixes the same view of another image into x, which is image j. */
static image_status mix_image(const loader *loader, slot *slot, int j, float *x)
{
    batch *batch = &slot->batch;
    rng r = rng_make(loader->options.view_seed, batch->view[j], batch->index[j], RNG_MIX);
    image_mix mix = augment_draw_mix(&loader->options.augment, &r, loader->count);
    picture p;
    image_status status = read_picture(loader, slot, mix.partner, &p);
    if (status != IMAGE_READ) return status;
    prepare_classifier(loader, batch->view[j], mix.partner, &p, slot->partner);
    free(p.pixels);
    augment_mix(x, slot->partner, image_floats(loader, batch), mix.factor);
    batch->label2[j] = dataset_label(loader->options.data, mix.partner);
    batch->mix[j] = mix.factor;
    return IMAGE_READ;
}

/* Image j of the slot: bytes -> floats. */
static image_status prepare_image(const loader *loader, slot *slot, int j)
{
    picture p;
    batch *batch = &slot->batch;
    float *x = batch->x + (size_t)j * image_floats(loader, batch);
    image_status status = read_picture(loader, slot, batch->index[j], &p);
    if (status == IMAGE_LOST && is_random(&loader->options)) status = substitute(loader, slot, j, &p);
    if (status != IMAGE_READ) return status;
    batch->label[j] = dataset_label(loader->options.data, batch->index[j]);
    if (loader->options.augment.detector) status = prepare_collage(loader, slot, j, &p, x);
    else prepare_classifier(loader, batch->view[j], batch->index[j], &p, x);
    free(p.pixels);
    return batch->mix ? mix_image(loader, slot, j, x) : status;
}

/* Image j is image `from` once more. */
static void repeat_image(const loader *loader, batch *batch, int j, int from)
{
    size_t image = image_floats(loader, batch), truth = truth_floats(loader);
    memcpy(batch->x + (size_t)j * image, batch->x + (size_t)from * image, image * sizeof *batch->x);
    batch->label[j] = batch->label[from];
    batch->index[j] = batch->index[from];
    batch->view[j] = batch->view[from];
    if (batch->label2) batch->label2[j] = batch->label2[from];
    if (batch->mix) batch->mix[j] = batch->mix[from];
    if (batch->place) batch->place[j] = batch->place[from];
    if (batch->truth) memcpy(batch->truth + (size_t)j * truth, batch->truth + (size_t)from * truth,
                             truth * sizeof *batch->truth);
}

/* The images planned; those that are lost move the rest up, and the last one fills the batch. */
static void prepare_batch(const loader *loader, slot *slot)
{
    batch *batch = &slot->batch;
    int planned = batch->n;
    slot->why[0] = 0;
    batch->n = 0;
    for (int j = 0; j < planned; ++j) {
        batch->index[batch->n] = batch->index[j];
        batch->view[batch->n] = batch->view[j];
        image_status status = prepare_image(loader, slot, batch->n);
        if (status == IMAGE_FAILED) return;
        batch->n += status == IMAGE_READ;
    }
    for (int j = batch->n; batch->n && j < loader->options.batch; ++j) repeat_image(loader, batch, j, batch->n - 1);
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
    if (loader->options.how == LOAD_TRAIN) plan_training(loader, s, seq);
    else plan_in_order(loader, s, seq);
    return s;
}

/* A thread's life: batch after batch. */
static void *work(void *arg)
{
    loader *loader = arg;
    host_thread_init();
    pthread_mutex_lock(&loader->lock);
    for (slot *slot; (slot = claim(loader));) {
        pthread_mutex_unlock(&loader->lock);
        prepare_batch(loader, slot);
        pthread_mutex_lock(&loader->lock);
        slot->state = SLOT_READY;
        pthread_cond_signal(&loader->ready);
    }
    pthread_mutex_unlock(&loader->lock);
    return NULL;
}

/* What mixing needs besides. */
static void make_mixing(slot *slot, const loader_options *options, size_t image)
{
    size_t n = (size_t)options->batch;
    slot->partner = mem_calloc(image, sizeof *slot->partner);
    if (slot->batch.truth) slot->part_truth = mem_calloc((size_t)options->max_boxes, 5 * sizeof *slot->part_truth);
    if (options->augment.detector) return;
    slot->batch.label2 = mem_calloc(n, sizeof *slot->batch.label2);
    slot->batch.mix = mem_calloc(n, sizeof *slot->batch.mix);
}

/* w, h: the largest that x must hold. */
static void make_slot(slot *slot, const loader_options *options, int w, int h)
{
    size_t n = (size_t)options->batch, image = (size_t)options->c * (size_t)h * (size_t)w;
    slot->batch.w = options->w;
    slot->batch.h = options->h;
    slot->batch.x = mem_calloc(n, image * sizeof *slot->batch.x);
    if (options->augment.detector) slot->batch.place = mem_calloc(n, sizeof *slot->batch.place);
    if (options->max_boxes > 0 && dataset_has_boxes(options->data))
        slot->batch.truth = mem_calloc(n, 5 * (size_t)options->max_boxes * sizeof *slot->batch.truth);
    slot->batch.label = mem_calloc(n, sizeof *slot->batch.label);
    slot->batch.index = mem_calloc(n, sizeof *slot->batch.index);
    slot->batch.view = mem_calloc(n, sizeof *slot->batch.view);
    if (is_random(options) && (augment_mixes(&options->augment) || augment_joins(&options->augment)))
        make_mixing(slot, options, image);
}

/* Signals are the main thread's business. */
static int start_threads(loader *loader)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (loader->threads < loader->options.threads) {
        if (pthread_create(&loader->thread[loader->threads], NULL, work, loader)) break;
        ++loader->threads;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return loader->threads ? 0 : -1;
}

/* How many batches there are, and room for those that are prepared ahead. */
static void make_ring(loader *loader)
{
    const loader_options *options = &loader->options;
    uint64_t batch = (uint64_t)options->batch, end = loader_images_end(options, loader->count);
    uint64_t images = end > options->start ? end - options->start : 0;
    loader->batches = options->how == LOAD_TRAIN ? UINT64_MAX : (images + batch - 1) / batch;
    int w, h;
    augment_largest_size(options->augment.random, options->w, options->h, &w, &h);
    loader->slots = loader_count_slots(options, w, h);
    loader->ring = mem_calloc(loader->slots, sizeof *loader->ring);
    for (uint64_t i = 0; i < loader->slots; ++i) make_slot(&loader->ring[i], options, w, h);
    loader->order = mem_calloc(options->how == LOAD_TRAIN ? loader->count : 1, sizeof *loader->order);
    loader->order_of = UINT64_MAX;
}

loader *loader_start(const loader_options *options, diag *d)
{
    if (loader_check_options(options, d)) return NULL;
    loader *l = mem_calloc(1, sizeof *l);
    l->options = *options;
    if (l->options.threads < 1) l->options.threads = 1;
    if (l->options.shares < 1) l->options.shares = 1;
    if (l->options.step_images < 1) l->options.step_images = options->batch * l->options.shares;
    if (options->how != LOAD_TRAIN || !options->augment.detector) l->options.augment.random = 0;
    l->count = dataset_count(options->data);
    make_ring(l);
    l->thread = mem_calloc((size_t)l->options.threads, sizeof *l->thread);
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

static void report_lost(const loader *loader, int too_many, diag *d)
{
    size_t n;
    char *names = lost_names(&loader->lost, loader->options.data, too_many, &n);
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
    lost_merge(&loader->lost, &slot->lost);
    dataset_cache_trouble(loader->options.data, d);
    size_t unlabelled = 0;
    for (size_t i = 0; i < loader->lost.n; ++i)
        unlabelled += (size_t)dataset_lacks_labels(loader->options.data, loader->lost.image[i].index);
    int too_many = dataset_too_many_left_out(loader->options.data, loader->lost.n - unlabelled, unlabelled);
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
        if (!loader->failed && s->batch.n) return &s->batch;
    }
    return NULL;
}

/* All that it owns. */
static void free_slot(slot *slot)
{
    free(slot->batch.x);
    free(slot->batch.label);
    free(slot->batch.truth);
    free(slot->batch.place);
    free(slot->batch.index);
    free(slot->batch.view);
    free(slot->batch.label2);
    free(slot->batch.mix);
    free(slot->partner);
    free(slot->part_truth);
    lost_free(&slot->lost);
}

/* Threads end after the image they are at. */
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
    lost_free(&loader->lost);
    free(loader->ring);
    free(loader->order);
    free(loader->thread);
    free(loader);
}
