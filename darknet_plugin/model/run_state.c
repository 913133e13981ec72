/* Writing and reading the sidecar of a checkpoint (see run_state.h). The file is read whole: it cannot make us take
 * more memory than it has bytes, and every length in it is held against what is left. */
#include "run_state.h"

#include "layers/cpu/cpu.h"
#include "layers/optimiser.h"
#include "layers/sections.h"
#include "weights_tools/file/weights_file.h"
#include "darknet_plugin/base/hash.h"
#include "darknet_plugin/base/in_file.h"
#include "darknet_plugin/base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAGIC "distill state 3\n"
enum { MAGIC_BYTES = sizeof MAGIC - 1, MOST_ARRAYS = 10, MOST_KEY = 1 << 20 };   /* arrays: 3 trained ones', a mean */

/* ---- what an update changes ---- */

/* What updates keep for the arrays of layer i; returns how many, at most MOST_ARRAYS. */
static int layer_arrays(const network *net, int index, weights_tensor *out)
{
    weights_tensor t[WEIGHTS_MAX_TENSORS];
    const layer *l = &net->layers[index];
    int n = l->update ? weights_tensors(l, t) : 0, kept = 1 + optimiser_moments(net->adam), found = 0;
    for (int i = 0; i < n; ++i)
        for (int k = 0; k < kept; ++k) {
            if (t[i].nested || !t[i].kept[k] || found >= MOST_ARRAYS) continue;
            out[found++] = (weights_tensor){ .name = t[i].name, .data = t[i].kept[k], .n = t[i].n };
        }
    return found;
}

void run_state_arrays(const network *net, int begin, int end, run_state_visit visit, void *ctx)
{
    weights_tensor t[MOST_ARRAYS];
    for (int i = begin; i < end; ++i) {
        int n = layer_arrays(net, i, t);
        for (int k = 0; k < n; ++k) visit(ctx, t[k].data, t[k].n);
    }
}

int run_state_unsupported(const network *net, int end)
{
    weights_tensor t[WEIGHTS_MAX_TENSORS];
    for (int i = 0; i < end; ++i) {
        const layer *l = &net->layers[i];
        int n = l->update ? weights_tensors(l, t) : 0;
        if (n && t[0].nested) return i;
    }
    return -1;
}

/* What the loss of layer i has to know before step 1; NULL: nothing, or it is no loss. */
static loss_facts *facts_of(const network *net, int index)
{
    const section_type *type = section_type_of_layer(&net->layers[index]);
    return type && type->facts ? type->facts(&net->layers[index]) : NULL;
}

static loss_facts *known_facts(const network *net, int index)
{
    loss_facts *facts = facts_of(net, index);
    return facts && facts->known ? facts : NULL;
}

/* ---- writing ---- */

typedef struct writer {
    FILE *f;
    uint64_t hash;
    int failed;
} writer;

static void put(writer *w, const void *data, size_t n)
{
    w->hash = hash_bytes(data, n, w->hash);
    w->failed = w->failed || (n && fwrite(data, n, 1, w->f) != 1);
}

static void put_number(writer *w, uint64_t n) { put(w, &n, sizeof n); }

/* One layer's part of the file. */
static void put_layer(writer *w, const network *net, int index)
{
    weights_tensor t[MOST_ARRAYS];
    int n = layer_arrays(net, index, t);
    put_number(w, (uint64_t)index);
    put_number(w, (uint64_t)cpu_statistics_count(&net->layers[index]));
    put_number(w, (uint64_t)n);
    for (int i = 0; i < n; ++i) {
        put_number(w, t[i].n);
        put(w, t[i].data, t[i].n * sizeof *t[i].data);
    }
}

static uint64_t trained_layers(const network *net, int end)
{
    uint64_t n = 0;
    for (int i = 0; i < end; ++i) n += net->layers[i].update != NULL;
    return n;
}

/* What losses have measured, if any has; none is said where something follows. */
static void put_facts(writer *w, const network *net, int end, int more_follows)
{
    uint64_t n = 0;
    for (int i = 0; i < end; ++i) n += known_facts(net, i) != NULL;
    if (n || more_follows) put_number(w, n);
    for (int i = 0; i < end; ++i) {
        const loss_facts *facts = known_facts(net, i);
        if (!facts) continue;
        put_number(w, (uint64_t)i);
        put_number(w, facts->n);
        put(w, facts->value, facts->n * sizeof *facts->value);
    }
}

static void put_sums(writer *w, const run_sums *sums)
{
    if (!sums || !sums->n) return;
    put_number(w, sums->n);
    put(w, sums->value, sums->n * sizeof *sums->value);
}

/* The scale of the loss that layer l is; NULL where it is none. */
static double *scale_of(const layer *l)
{
    const section_type *type = section_type_of_layer(l);
    return type ? type->scale(l) : NULL;
}

static uint64_t losses(const network *net, int end)
{
    uint64_t n = 0;
    for (int i = 0; i < end; ++i) n += scale_of(&net->layers[i]) != NULL;
    return n;
}

static void put_losses(writer *w, const network *net, int end)
{
    put_number(w, losses(net, end));
    for (int i = 0; i < end; ++i) {
        const double *scale = scale_of(&net->layers[i]);
        if (scale) put(w, scale, sizeof *scale);
    }
}

int run_state_write(FILE *file, const network *net, int end, uint64_t weights, const run_progress *progress,
                    const run_sums *sums, const char *key, const run_images images[RUN_SETS])
{
    writer w = { .f = file, .hash = HASH_START };
    put(&w, MAGIC, MAGIC_BYTES);
    put_number(&w, weights);
    put(&w, progress, sizeof *progress);
    put_number(&w, strlen(key));
    put(&w, key, strlen(key));
    for (int i = 0; i < RUN_SETS; ++i) {
        put_number(&w, images[i].n);
        put(&w, images[i].print, images[i].n * sizeof *images[i].print);
    }
    put_number(&w, trained_layers(net, end));
    for (int i = 0; i < end; ++i)
        if (net->layers[i].update) put_layer(&w, net, i);
    put_losses(&w, net, end);
    put_facts(&w, net, end, sums && sums->n);
    put_sums(&w, sums);
    put_number(&w, w.hash);
    return w.failed ? -1 : 0;
}

/* ---- reading ---- */

/* What is left of the file. */
typedef struct reader {
    const char *at;
    size_t left;
} reader;

/* `n` bytes, NULL if there are not as many. */
static const char *take(reader *reader, uint64_t n)
{
    const char *p = reader->at;
    if (n > reader->left) return NULL;
    reader->at += n;
    reader->left -= n;
    return p;
}

static int take_number(reader *reader, uint64_t *n)
{
    const char *p = take(reader, sizeof *n);
    if (p) memcpy(n, p, sizeof *n);
    return p ? 0 : -1;
}

static int bad_file(const char *path, const char *why, diag *d)
{
    diag_error(d, path, 0, NULL, "%s", why);
    diag_hint(d, "give the weights as the third argument to go on without the state: momentum then starts at zero");
    return -1;
}

/* The whole of the file; NULL with a message. The caller frees. */
static char *read_file_whole(const char *path, size_t *bytes, diag *d)
{
    int fd = in_file_open(path, "this state", bytes, d);
    if (fd < 0) return NULL;
    char *data = (char *)in_file_take(fd, *bytes);
    if (!data) diag_error(d, path, 0, NULL, "cannot read this state: %s", strerror(errno));
    close(fd);
    return data;
}

static int take_images(reader *reader, run_images *images)
{
    uint64_t n;
    if (take_number(reader, &n) || n > reader->left / sizeof *images->print) return -1;
    images->n = n;
    images->print = mem_calloc(n, sizeof *images->print);
    memcpy(images->print, take(reader, n * sizeof *images->print), n * sizeof *images->print);
    return 0;
}

/* All but the layers' parts. -1: it is cut short. */
static int parse(run_state *state, reader reader)
{
    uint64_t key;
    const char *p;
    if (take_number(&reader, &state->weights) || !(p = take(&reader, sizeof state->progress))) return -1;
    memcpy(&state->progress, p, sizeof state->progress);
    if (take_number(&reader, &key) || key > MOST_KEY || !(p = take(&reader, key))) return -1;
    state->key = mem_printf("%.*s", (int)key, p);
    for (int i = 0; i < RUN_SETS; ++i)
        if (take_images(&reader, &state->images[i])) return -1;
    state->layers = reader.at;
    state->layers_bytes = reader.left;
    return 0;
}

/* Everything between the magic and the checksum, or a message. */
static int check_file(const char *path, const char *file, size_t bytes, reader *r, diag *d)
{
    uint64_t sum;
    static const char *const old[] = { "distill state 1\n", "distill state 2\n" };   /* without what images held */
    for (size_t i = 0; bytes >= MAGIC_BYTES && i < sizeof old / sizeof *old; ++i)
        if (!memcmp(file, old[i], MAGIC_BYTES))
            return bad_file(path, "is of an older version of this program, which did not keep what the images held",
                            d);
    if (bytes < MAGIC_BYTES || memcmp(file, MAGIC, MAGIC_BYTES))
        return bad_file(path, "is not a state of a training run", d);
    if (bytes < MAGIC_BYTES + sizeof sum) return bad_file(path, "is cut short", d);
    memcpy(&sum, file + bytes - sizeof sum, sizeof sum);
    if (sum != hash_bytes(file, bytes - sizeof sum, HASH_START))
        return bad_file(path, "is damaged: its checksum is wrong", d);
    *r = (reader){ file + MAGIC_BYTES, bytes - MAGIC_BYTES - sizeof sum };
    return 0;
}

run_state *run_state_read(const char *path, diag *d)
{
    size_t bytes = 0;
    reader r;
    run_state *s = mem_calloc(1, sizeof *s);
    s->file = read_file_whole(path, &bytes, d);
    int failed = !s->file || check_file(path, s->file, bytes, &r, d);
    if (!failed && parse(s, r)) failed = bad_file(path, "is cut short", d);
    if (!failed) return s;
    run_state_free(s);
    return NULL;
}

/* The next n bytes of a file, the caller's to free; NULL: they are not there. */
static char *take_bytes(int fd, size_t n, size_t *left)
{
    if (n > *left) return NULL;
    *left -= n;
    return (char *)in_file_take(fd, n);
}

/* The head of an open state: magic, weights, progress, the key's length, the key. */
static char *take_key(int fd, size_t left)
{
    enum { BEFORE = MAGIC_BYTES + sizeof(uint64_t) + sizeof(run_progress) };
    uint64_t n = 0;
    char *head = take_bytes(fd, BEFORE + sizeof n, &left), *bytes = NULL, *key = NULL;
    if (head) memcpy(&n, head + BEFORE, sizeof n);
    if (head && !memcmp(head, MAGIC, MAGIC_BYTES) && n <= MOST_KEY) bytes = take_bytes(fd, n, &left);
    if (bytes) key = mem_printf("%.*s", (int)n, bytes);
    free(head);
    free(bytes);
    return key;
}

char *run_state_key(const char *path)
{
    size_t bytes = 0;
    diag *unsaid = diag_new();
    int fd = in_file_open(path, "this state", &bytes, unsaid);
    char *key = fd < 0 ? NULL : take_key(fd, bytes);
    if (fd >= 0) close(fd);
    diag_free(unsaid);
    return key;
}

/* One layer's part; `set` = 0 only looks whether it fits. */
static int take_layer(reader *reader, network *net, int end, int set)
{
    uint64_t index, statistics, arrays, n;
    weights_tensor t[MOST_ARRAYS];
    if (take_number(reader, &index) || take_number(reader, &statistics) || take_number(reader, &arrays)) return -1;
    if (index >= (uint64_t)end || !net->layers[index].update || statistics > 100) return -1;
    if (arrays != (uint64_t)layer_arrays(net, (int)index, t)) return -1;
    if (set) cpu_set_statistics_count(&net->layers[index], (int)statistics);
    for (uint64_t k = 0; k < arrays; ++k) {
        if (take_number(reader, &n) || n != t[k].n) return -1;
        const char *p = take(reader, n * sizeof *t[k].data);
        if (!p) return -1;
        if (set) memcpy(t[k].data, p, n * sizeof *t[k].data);
    }
    return 0;
}

/* What was measured before step 1. Of a loss that wants other facts now, or none (-force), it is left out: those will
 * be measured. */
static int take_facts(reader *reader, const network *net, int end, int set)
{
    uint64_t losses = 0, index, n, bytes;
    if (reader->left && take_number(reader, &losses)) return -1;
    for (uint64_t i = 0; i < losses; ++i) {
        if (take_number(reader, &index) || take_number(reader, &n)) return -1;
        if (__builtin_mul_overflow(n, sizeof(double), &bytes)) return -1;
        const char *p = take(reader, bytes);
        if (!p) return -1;
        loss_facts *facts = index < (uint64_t)end ? facts_of(net, (int)index) : NULL;
        if (!set || !facts || facts->n != n) continue;
        memcpy(facts->value, p, bytes);
        facts->known = 1;
    }
    return 0;
}

/* They are the file's last, and may not be there. */
static int take_sums(reader *reader, run_sums *sums)
{
    uint64_t n = 0;
    *sums = (run_sums){ .n = 0 };
    if (!reader->left) return 0;
    if (take_number(reader, &n) || !n || n > RUN_MOST_SUMS) return -1;
    const char *p = take(reader, n * sizeof *sums->value);
    if (!p) return -1;
    memcpy(sums->value, p, n * sizeof *sums->value);
    sums->n = n;
    return 0;
}

/* The losses' scales, as take_layer. */
static int take_losses(reader *reader, const network *net, int end, int set)
{
    uint64_t n;
    if (take_number(reader, &n) || n != losses(net, end)) return -1;
    for (int i = 0; i < end; ++i) {
        double *scale = scale_of(&net->layers[i]);
        const char *p = scale ? take(reader, sizeof *scale) : NULL;
        if (scale && !p) return -1;
        if (set && p) memcpy(scale, p, sizeof *scale);
    }
    return 0;
}

static int take_layers(run_state *state, network *net, int end, int set)
{
    reader r = { state->layers, state->layers_bytes };
    uint64_t layers;
    if (take_number(&r, &layers) || layers != trained_layers(net, end)) return -1;
    for (uint64_t i = 0; i < layers; ++i)
        if (take_layer(&r, net, end, set)) return -1;
    int bad = take_losses(&r, net, end, set) || take_facts(&r, net, end, set) || take_sums(&r, &state->sums);
    return bad || r.left ? -1 : 0;
}

int run_state_apply(run_state *state, network *net, int end, const char *path, diag *d)
{
    if (take_layers(state, net, end, 0)) return bad_file(path, "is the state of another network: its layers differ", d);
    (void)take_layers(state, net, end, 1);
    *net->seen = state->progress.seen;
    *net->t = (int)state->progress.updates;
    return 0;
}

int run_state_take(const char *text, size_t bytes, network *net, int end, run_progress *progress, diag *d)
{
    static const char whose[] = "rank 0";
    run_state *s = mem_calloc(1, sizeof *s);
    reader r;
    int failed = check_file(whose, text, bytes, &r, d);
    if (!failed && parse(s, r)) failed = bad_file(whose, "is cut short", d);
    failed = failed || run_state_apply(s, net, end, whose, d);
    if (!failed) *progress = s->progress;
    run_state_free(s);
    return failed ? -1 : 0;
}

void run_state_free(run_state *state)
{
    if (!state) return;
    free(state->key);
    for (int i = 0; i < RUN_SETS; ++i) free(state->images[i].print);
    free(state->file);
    free(state);
}
