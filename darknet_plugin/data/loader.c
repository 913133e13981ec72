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
static void plan_training(loader *l, slot *s, uint64_t seq)
{
    uint64_t past = seq * (uint64_t)l->o.batch, at = l->o.start + past, step = (uint64_t)l->o.step_images;
    augment_size(l->o.seed, l->o.start / step + past / step, l->o.augment.random, l->o.w, l->o.h, &s->b.w, &s->b.h);
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

typedef struct picture {
    uint8_t *pixels;     /* (h, w, c), owned */
    int w, h;
} picture;

static int is_random(const loader *l) { return l->o.how == LOAD_TRAIN || l->o.how == LOAD_VIEWS; }
static size_t image_floats(const loader *l, const batch *b) { return (size_t)l->o.c * (size_t)b->h * (size_t)b->w; }
static size_t truth_floats(const loader *l) { return 5 * (size_t)l->o.max_boxes; }

static void add_lost(lost_list *list, uint64_t index, char *why)
{
    if (list->n == list->room) {
        list->room = list->room ? 2 * list->room : 8;
        list->image = mem_realloc(list->image, list->room, sizeof *list->image);
    }
    list->image[list->n++] = (lost_image){ index, why };
}

/* Image `i`; 0, 1 if it is a detector's and written down as lost, or -1 with the reason in s->why. */
static int read_picture(const loader *l, slot *s, uint64_t i, picture *p)
{
    char why[256] = "", name[700];
    if (!dataset_read(l->o.data, i, l->o.c, &p->pixels, &p->w, &p->h, why, sizeof why)) return 0;
    dataset_name(l->o.data, i, name, sizeof name);
    if (l->o.augment.detector) {
        add_lost(&s->lost, i, mem_printf("%s: %s", name, why));
        return 1;
    }
    snprintf(s->why, sizeof s->why, "%s: %s", name, why);
    return -1;
}

/* Another image in place of j: the first readable one of those drawn by (seed, view, image). */
static int substitute(const loader *l, slot *s, int j, picture *p)
{
    rng r = rng_make(l->o.seed, s->b.view[j], s->b.index[j], RNG_SUBSTITUTE);
    for (int tries = 0; tries < 100; ++tries) {
        s->b.index[j] = rng_below(&r, l->count);
        if (!read_picture(l, s, s->b.index[j], p)) return 0;
    }
    return 1;
}

static void prepare_detector(const loader *l, slot *s, int j, const picture *p, float *x)
{
    const loader_options *o = &l->o;
    image_place *place = &s->b.place[j];
    rng r = rng_make(o->seed, s->b.view[j], s->b.index[j], RNG_AUGMENT);
    if (is_random(l)) augment_detect(p->pixels, p->w, p->h, o->c, &o->augment, &r, x, s->b.w, s->b.h, place);
    else augment_fit(p->pixels, p->w, p->h, o->c, o->augment.stretch, x, s->b.w, s->b.h, place);
    if (!s->b.truth) return;
    int n;
    const data_box *box = dataset_boxes(o->data, s->b.index[j], &n);
    augment_truth(box, n, place, is_random(l) ? &r : NULL, s->b.truth + (size_t)j * truth_floats(l), o->max_boxes);
}

static void prepare_classifier(const loader *l, slot *s, int j, const picture *p, float *x)
{
    const loader_options *o = &l->o;
    rng r = rng_make(o->seed, s->b.view[j], s->b.index[j], RNG_AUGMENT);
    if (is_random(l)) augment_image(p->pixels, p->w, p->h, o->c, &o->augment, &r, x, o->w, o->h);
    else if (o->how == LOAD_VALID) augment_centre(p->pixels, p->w, p->h, o->c, x, o->w, o->h);
    else augment_letterbox(p->pixels, p->w, p->h, o->c, x, o->w, o->h);
}

/* Image j of the slot: bytes -> floats. 0, 1 if it is to be left out, or -1 with the reason in s->why. */
static int prepare_image(const loader *l, slot *s, int j)
{
    picture p;
    float *x = s->b.x + (size_t)j * image_floats(l, &s->b);
    int status = read_picture(l, s, s->b.index[j], &p);
    if (status > 0 && is_random(l)) status = substitute(l, s, j, &p);
    if (status) return status;
    (l->o.augment.detector ? prepare_detector : prepare_classifier)(l, s, j, &p, x);
    free(p.pixels);
    s->b.label[j] = dataset_label(l->o.data, s->b.index[j]);
    return 0;
}

/* Image j is image `from` once more. */
static void repeat_image(const loader *l, batch *b, int j, int from)
{
    size_t image = image_floats(l, b), truth = truth_floats(l);
    memcpy(b->x + (size_t)j * image, b->x + (size_t)from * image, image * sizeof *b->x);
    b->label[j] = b->label[from];
    b->index[j] = b->index[from];
    b->view[j] = b->view[from];
    if (b->place) b->place[j] = b->place[from];
    if (b->truth) memcpy(b->truth + (size_t)j * truth, b->truth + (size_t)from * truth, truth * sizeof *b->truth);
}

static void prepare_batch(const loader *l, slot *s)
{
    int planned = s->b.n;
    s->why[0] = 0;
    s->b.n = 0;
    for (int j = 0; j < planned; ++j) {
        s->b.index[s->b.n] = s->b.index[j];
        s->b.view[s->b.n] = s->b.view[j];
        int status = prepare_image(l, s, s->b.n);
        if (status < 0) return;
        s->b.n += !status;
    }
    for (int j = s->b.n; s->b.n && j < l->o.batch; ++j) repeat_image(l, &s->b, j, s->b.n - 1);
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
static uint64_t count_slots(const loader_options *o, int w, int h)
{
    double bytes = 4. * o->batch * o->c * h * w;
    uint64_t most = 2 * (uint64_t)o->threads + 2, least = (uint64_t)o->threads + 1;
    return bytes * (double)most > (double)(1 << 28) ? least : most;
}

/* w, h: the largest that x must hold. */
static void make_slot(slot *s, const loader_options *o, int w, int h)
{
    size_t n = (size_t)o->batch;
    s->b.w = o->w;
    s->b.h = o->h;
    s->b.x = mem_calloc(n, (size_t)o->c * (size_t)h * (size_t)w * sizeof *s->b.x);
    if (o->augment.detector) s->b.place = mem_calloc(n, sizeof *s->b.place);
    if (o->max_boxes > 0 && dataset_has_boxes(o->data)) s->b.truth = mem_calloc(n, 5 * (size_t)o->max_boxes * sizeof *s->b.truth);
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
    if (l->o.step_images < 1) l->o.step_images = o->batch;
    if (o->how != LOAD_TRAIN || !o->augment.detector) l->o.augment.random = 0;
    l->count = dataset_count(o->data);
    uint64_t batch = (uint64_t)o->batch;
    uint64_t images = o->how == LOAD_VIEWS ? l->count * (uint64_t)o->views - o->start : l->count;
    l->batches = o->how == LOAD_TRAIN ? UINT64_MAX : (images + batch - 1) / batch;
    int w, h;
    augment_largest_size(l->o.augment.random, o->w, o->h, &w, &h);
    l->slots = count_slots(&l->o, w, h);
    l->ring = mem_calloc(l->slots, sizeof *l->ring);
    for (uint64_t i = 0; i < l->slots; ++i) make_slot(&l->ring[i], o, w, h);
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
static void count_lost(loader *l, slot *s)
{
    for (size_t i = 0; i < s->lost.n; ++i) {
        lost_image lost = s->lost.image[i];
        size_t at = find_lost(&l->lost, lost.index);
        if (at < l->lost.n && l->lost.image[at].index == lost.index) {
            free(lost.why);
            continue;
        }
        add_lost(&l->lost, 0, NULL);
        memmove(l->lost.image + at + 1, l->lost.image + at, (l->lost.n - 1 - at) * sizeof lost);
        l->lost.image[at] = lost;
    }
    s->lost.n = 0;
}

/* ": a.jpg: why, b.jpg: why, ..." of the first ten, with or without those that the data set has named itself. */
static char *lost_names(const loader *l, int all, size_t *n)
{
    char *text = mem_strdup("");
    *n = 0;
    for (size_t i = 0; i < l->lost.n; ++i) {
        if (!all && dataset_left_out(l->o.data, l->lost.image[i].index)) continue;
        if (++*n > 10) continue;
        char *more = mem_printf("%s%s%s", text, *n == 1 ? ": " : ", ", l->lost.image[i].why);
        free(text);
        text = more;
    }
    return text;
}

static void report_lost(const loader *l, int too_many, diag *d)
{
    size_t n;
    char *names = lost_names(l, too_many, &n);
    const char *what = too_many ? "cannot be read; up to 1 % are left out" : "could not be read and were left out", *rest = n > 10 ? ", ..." : "";
    if (n) (too_many ? diag_error : diag_warn)(d, NULL, 0, NULL, "%zu of %zu images %s%s%s", n, l->count, what, names, rest);
    free(names);
}

size_t loader_left_out(const loader *l, diag *d)
{
    report_lost(l, 0, d);
    return l->lost.n;
}

/* Whether the batch may be used; reports why not. */
static int accept(loader *l, slot *s, diag *d)
{
    count_lost(l, s);
    int too_many = dataset_too_many_left_out(l->o.data, l->lost.n);
    if (too_many) report_lost(l, 1, d);
    else if (s->why[0]) diag_error(d, NULL, 0, NULL, "%s", s->why);
    return !too_many && !s->why[0];
}

const batch *loader_next(loader *l, diag *d)
{
    while (!l->failed) {
        slot *s = take(l);
        if (!s) return NULL;
        l->failed = !accept(l, s, d);
        if (!l->failed && s->b.n) return &s->b;
    }
    return NULL;
}

static void free_lost(lost_list *list)
{
    for (size_t i = 0; i < list->n; ++i) free(list->image[i].why);
    free(list->image);
}

static void free_slot(slot *s)
{
    free(s->b.x);
    free(s->b.label);
    free(s->b.truth);
    free(s->b.place);
    free(s->b.index);
    free(s->b.view);
    free_lost(&s->lost);
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
    free_lost(&l->lost);
    free(l->ring);
    free(l->order);
    free(l->thread);
    free(l);
}
