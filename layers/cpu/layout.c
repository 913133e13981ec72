/* Layouts: which layers' outputs are blocked maps (vec.h), (batch, c blocks, h, w, LANES), who computes a shortcut, and
 * how long a map is needed.
 *
 * Decided once, when all layers are bound, in the order they run: a layer's output is blocked where its row accepts
 * that. What reads a blocked map without knowing the layout (a host's layer, a loss, the caller) gets a plain copy in
 * l.output and leaves its gradient in l.delta; both are converted on the spot, so that no layer needs to know who its
 * readers are.
 *
 *   shortcuts   y = act(x + z) right behind a convolution that nothing else reads is computed with it: one pass less
 *               forward, two less backward, and one map less in memory
 *   lifetime    in a frozen network a map's memory serves again after its last reader; when training, outputs stay
 *               until the next step and deltas serve again after the layer's own backward */
#include "parallel.h"
#include "state.h"
#include "vec.h"

#include "layers/fork_layers.h"

#include <stdlib.h>
#include <string.h>

/* ---- conversions ---- */

typedef struct convert_job {
    const void *from;         /* floats, plain, or map_values, blocked */
    void *to;
    size_t c, blocks, map;
    int blocked, add;         /* `to` is the blocked side; += */
} convert_job;

enum { PIXELS = 64 };   /* turned at a time, so that both sides stay in the nearest cache */

/* n pixels: wide, a block's, becomes narrow (lanes, map), or is added to it. */
static void narrow_pixels(const convert_job *job, const map_value *wide, float *narrow, size_t n, size_t lanes)
{
    size_t map = job->map, step = vec_step(job->blocks);
    for (size_t k = 0; k < lanes; ++k)
        if (job->add)
            for (size_t i = 0; i < n; ++i) narrow[k * map + i] += map_get(wide[i * step + k]);
        else
            for (size_t i = 0; i < n; ++i) narrow[k * map + i] = map_get(wide[i * step + k]);
}

/* The opposite, n pixels; lanes beyond the last are 0. */
static void widen_pixels(const convert_job *job, const float *narrow, map_value *wide, size_t n, size_t lanes)
{
    size_t map = job->map, step = vec_step(job->blocks);
    for (size_t k = 0; k < lanes; ++k)
        if (job->add)
            for (size_t i = 0; i < n; ++i)
                wide[i * step + k] = map_of(map_get(wide[i * step + k]) + narrow[k * map + i]);
        else
            for (size_t i = 0; i < n; ++i) wide[i * step + k] = map_of(narrow[k * map + i]);
    for (size_t k = lanes; k < LANES; ++k)
        for (size_t i = 0; i < n; ++i) wide[i * step + k] = 0;
}

/* One image's block of channels an item. */
static void convert_items(void *ctx, size_t begin, size_t end)
{
    const convert_job *job = ctx;
    for (size_t item = begin; item < end; ++item) {
        size_t first = item % job->blocks * LANES, lanes = job->c - first < LANES ? job->c - first : LANES;
        size_t wide = vec_block_at(item, job->blocks, job->map);
        size_t narrow = (item / job->blocks * job->c + first) * job->map;
        for (size_t i = 0; i < job->map; i += PIXELS) {
            size_t n = job->map - i < PIXELS ? job->map - i : PIXELS, p = narrow + i;
            size_t w = wide + i * vec_step(job->blocks);
            if (job->blocked) widen_pixels(job, (const float *)job->from + p, (map_value *)job->to + w, n, lanes);
            else narrow_pixels(job, (const map_value *)job->from + w, (float *)job->to + p, n, lanes);
        }
    }
}

/* Between plain (batch, c, map) and blocked (batch, blocks, map, LANES). */
static void convert(const void *from, void *to, int batch, int c, size_t map, int blocked, int add)
{
    convert_job job = { .from = from, .to = to, .c = (size_t)c, .blocks = vec_blocks(c), .map = map, .blocked = blocked,
                        .add = add };
    parallel_for_work((size_t)batch * job.blocks, map * LANES, convert_items, &job);
}

void cpu_to_blocked(const float *plain, int batch, int c, size_t map, void *blocked)
{
    convert(plain, blocked, batch, c, map, 1, 0);
}

static void add_blocked(const float *plain, int batch, int c, size_t map, void *blocked)
{
    convert(plain, blocked, batch, c, map, 1, 1);
}

void cpu_to_plain(const void *blocked, int batch, int c, size_t map, float *plain)
{
    convert(blocked, plain, batch, c, map, 0, 0);
}

void cpu_add_plain(const void *blocked, int batch, int c, size_t map, float *plain)
{
    convert(blocked, plain, batch, c, map, 0, 1);
}

/* ---- a layer's maps ---- */

size_t cpu_blocked_numbers(const layer *l) { return vec_numbers(l->batch, l->out_c, l->out_h, l->out_w); }
size_t cpu_blocked_bytes(const layer *l) { return cpu_blocked_numbers(l) * sizeof(map_value); }

cpu_state *cpu_blocked_at(const cpu_shared *shared, int i)
{
    cpu_state *state = i >= 0 ? shared->state[i] : NULL;
    return state && state->blocked ? state : NULL;
}

void *cpu_output(const layer *l, cpu_state *state)
{
    return state->out = cpu_refit(state->shared, state->out, &state->out_bytes, cpu_blocked_bytes(l));
}

static void give_back(cpu_state *state)
{
    if (!state->borrows) cpu_give(state->shared, state->out);
    state->out = NULL;
}

void cpu_finish_output(const layer *l, cpu_state *state)
{
    if (state->blocked && state->to_plain) cpu_to_plain(state->out, l->batch, l->out_c, cpu_map(l), l->output);
    for (int i = 0; i <= state->index; ++i) {
        cpu_state *old = cpu_blocked_at(state->shared, i);
        if (old && old->last_use <= state->index && old->mode == CPU_FROZEN) give_back(old);
    }
}

void *cpu_take_delta(const layer *l, cpu_state *state)
{
    void *d = state->d;
    state->d = NULL;
    if (d && state->to_plain) add_blocked(l->delta, l->batch, l->out_c, cpu_map(l), d);
    if (d) return d;
    d = cpu_take(state->shared, cpu_blocked_bytes(l));
    if (state->to_plain) cpu_to_blocked(l->delta, l->batch, l->out_c, cpu_map(l), d);
    else memset(d, 0, cpu_blocked_bytes(l));
    return d;
}

void *cpu_delta_of(const cpu_state *reader, int i, int *add)
{
    cpu_state *state = cpu_blocked_at(reader->shared, i);
    if (!state || state->mode == CPU_FROZEN) return NULL;
    *add = state->d != NULL;
    if (!state->d) state->d = cpu_take(state->shared, cpu_blocked_bytes(&reader->shared->layers[i]));
    return state->d;
}

/* ---- planning ---- */

/* Does layer j read layer i's output? */
static int reads(const network *net, int j, int i)
{
    const layer *l = &net->layers[j];
    int type = (int)l->type, routes = type == ROUTE || type == LAYER_ROUTE_PART;
    for (int k = 0; (routes || type == LAYER_SHORTCUT_SUM) && k < l->n; ++k)
        if (l->input_layers[k] == i) return 1;
    if (routes) return 0;
    return j == i + 1 || ((type == SHORTCUT || type == LAYER_SCALE_CHANNELS || type == LAYER_SAM) && l->index == i);
}

void cpu_choose_layout(const layer *l, cpu_state *state)
{
    if (!state->row->accepts_blocked || !state->row->accepts_blocked(l, state)) return;
    state->fast = 1;
    state->blocked = !state->row->plain_output;
    state->plain_input = !cpu_blocked_at(state->shared, state->index - 1);
    state->borrows = state->blocked && ((l->type == ROUTE && l->n == 1)
                                        || (l->type == DROPOUT && state->mode == CPU_FROZEN));
}

/* Readers of layer i, whose own are known: how long its output lives, and whether one of them wants it plain. */
static void find_readers(const network *net, int i, cpu_state *state)
{
    state->last_use = i;
    for (int j = i + 1; j < net->n; ++j) {
        if (!reads(net, j, i)) continue;
        const cpu_state *reader = state->shared->state[j];
        int until = reader && reader->borrows ? reader->last_use : j;
        if (until > state->last_use) state->last_use = until;
        if (!reader || !reader->fast) state->to_plain = 1;
    }
}

static int only_reader(const network *net, int i, int reader)
{
    for (int j = i + 1; j < net->n; ++j)
        if (j != reader && reads(net, j, i)) return 0;
    return 1;
}

/* Convolution i and shortcut i + 1 become one, unless nothing would tell the slope of the shortcut's activation. */
static void join_shortcut(const network *net, const cpu_shared *shared, int i)
{
    const layer *l = &net->layers[i], *next = &net->layers[i + 1];
    cpu_state *state = cpu_blocked_at(shared, i), *sum = cpu_blocked_at(shared, i + 1);
    if (!state || !sum || l->type != CONVOLUTIONAL || next->type != SHORTCUT || state->to_plain) return;
    if (l->activation != LINEAR || next->alpha != 1 || next->beta != 1 || next->index == i) return;
    if (act_needs_input(next->activation) && state->mode == CPU_TRAINED && !l->batch_normalize) return;
    if (state->mode != sum->mode || state->mode == CPU_FROZEN_WEIGHTS || !only_reader(net, i, i + 1)) return;
    state->sum = sum;
    sum->summed = 1;
}

/* Nobody adds to these plain deltas any more; NULL spares the host zeroing them. Dropout's is its own. */
static void hide_delta(layer *l, cpu_state *state)
{
    if (state->to_plain) return;
    if (state->delta) {
        free(state->delta);
        state->delta = l->delta = NULL;
        return;
    }
    state->hides_delta = 1;
    state->host_delta = l->delta;
    l->delta = NULL;
}

void cpu_lay_out(network *net, const cpu_shared *shared, const char *keep)
{
    for (int i = net->n - 1; i >= 0; --i) {
        cpu_state *state = cpu_blocked_at(shared, i);
        if (!state) continue;
        state->to_plain = i == net->n - 1 || (keep && keep[i]);
        find_readers(net, i, state);
    }
    for (int i = 0; i + 1 < net->n; ++i) join_shortcut(net, shared, i);
    for (int i = 0; i < net->n; ++i) {
        cpu_state *state = cpu_blocked_at(shared, i);
        if (state) hide_delta(&net->layers[i], state);
    }
}
