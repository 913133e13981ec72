/* What losses of feature maps share (see map_loss.h). */
#include "map_loss.h"

#include "darknet_plugin/base/bug.h"
#include "darknet_plugin/base/mem.h"
#include "layers/cpu/parallel.h"

#include <stdlib.h>
#include <string.h>

/* ---- where it stands ---- */

int map_loss_pool(const loss_place *place)
{
    int k = place->teacher_h / place->h;
    return k > 0 && place->teacher_h == k * place->h && place->teacher_w == k * place->w ? k : 0;
}

/* `channels`: of both alike. */
static int check_sizes(const cfg_section *section, const loss_place *place, int channels, diag *d)
{
    if (map_loss_pool(place) && (!channels || place->c == place->teacher_c)) return 0;
    diag_error(d, section->file, section->line, section->name,
               "the student's map is %dx%dx%d, teacher layer %d is %dx%dx%d", place->c, place->h, place->w,
               cfg_int(section, "teacher_layer", 0), place->teacher_c, place->teacher_h, place->teacher_w);
    diag_hint(d, "[projector] before it brings the student's map to the teacher's size");
    return -1;
}

int map_loss_check_maps(const cfg_section *section, const loss_place *place, diag *d)
{
    return check_sizes(section, place, 0, d);
}

int map_loss_check_alike(const cfg_section *section, const loss_place *place, diag *d)
{
    return check_sizes(section, place, 1, d);
}

/* ---- memory ---- */

static void *grow_host(void *old, size_t bytes)
{
    free(old);
    return mem_calloc(bytes, 1);
}
static void copy_host(void *to, const void *from, size_t bytes) { memcpy(to, from, bytes); }

static const map_loss_memory host_memory = { grow_host, free, copy_host, copy_host };

static void *room_for(const map_loss_memory *memory, void *old, size_t *room, size_t n, size_t size)
{
    if (n <= *room) return old;
    *room = n;
    return memory->grow(old, n * size);
}

int map_loss_make(layer *l, const map_loss_kind *kind, const cfg_section *section, const loss_place *place,
                  double scale, diag *d)
{
    return map_loss_make_larger(l, kind, sizeof(map_loss), section, place, scale, d);
}

int map_loss_make_larger(layer *l, const map_loss_kind *kind, size_t size, const cfg_section *section,
                         const loss_place *place, double scale, diag *d)
{
    if (!stand_in_fits(l, kind->name, place->c, place->h, place->w, d)) return -1;
    map_loss *state = mem_calloc(1, size);
    *state = (map_loss){ .place = *place, .scale = cfg_float(section, "scale", scale), .doubles = kind->doubles,
                         .memory = &host_memory };
    stand_in_take(l, place->c, place->h, place->w, state, kind->forward, kind->backward);
    return 0;
}

void map_loss_free(layer *l)
{
    map_loss *state = map_loss_of(l);
    state->memory->release(state->work);
    state->memory->release(state->uploaded);
    free(state->unpacked);
    free(state->parts);
    free(state);
    l->self_layer = NULL;
}

double *map_loss_scale(const layer *l) { return &map_loss_of(l)->scale; }

/* ---- targets ---- */

static size_t teacher_pixels(const layer *l)
{
    const loss_place *place = &map_loss_of(l)->place;
    return (size_t)(place->teacher_h * l->out_h / place->h) * (size_t)(place->teacher_w * l->out_w / place->w);
}

size_t map_loss_target_size(const layer *l) { return (size_t)map_loss_of(l)->place.teacher_c * teacher_pixels(l); }

typedef struct unpacking {
    const layer *l;
    const feature_map *stored;
    float *to;
} unpacking;

static void unpack_images(void *context, size_t begin, size_t end)
{
    const unpacking *job = context;
    size_t channels = (size_t)map_loss_of(job->l)->place.teacher_c, pixels = teacher_pixels(job->l);
    for (size_t b = begin; b < end; ++b)
        feature_unpack(&job->stored[b], channels, pixels, job->to + b * channels * pixels);
}

/* Stored maps as plain floats, where the network is. */
static const float *unpacked(const layer *l, const feature_map *stored)
{
    map_loss *state = map_loss_of(l);
    size_t n = map_loss_target_size(l) * (size_t)l->batch;
    state->unpacked = room_for(&host_memory, state->unpacked, &state->unpacked_room, n, sizeof(float));
    unpacking job = { .l = l, .stored = stored, .to = state->unpacked };
    parallel_for_work((size_t)l->batch, map_loss_target_size(l), unpack_images, &job);
    if (state->memory == &host_memory) return state->unpacked;
    state->uploaded = room_for(state->memory, state->uploaded, &state->uploaded_room, n, sizeof(float));
    state->memory->up(state->uploaded, state->unpacked, n * sizeof(float));
    return state->uploaded;
}

void map_loss_teach(layer *l, const teaching *teaching)
{
    map_loss *state = map_loss_of(l);
    size_t n = state->doubles(l);
    state->work = room_for(state->memory, state->work, &state->room, n, sizeof(double));
    state->parts = room_for(&host_memory, state->parts, &state->parts_room, n, sizeof(double));
    state->target = teaching->live ? teaching->live : unpacked(l, teaching->stored);
}

/* ---- running ---- */

int map_loss_pass(const layer *l, const host_state *net)
{
    memcpy(l->output, net->input, (size_t)l->outputs * (size_t)l->batch * sizeof *l->output);
    BUG_UNLESS(!net->train || map_loss_of(l)->target, "a loss of feature maps is trained without a target");
    return net->train;
}

double map_loss_sum(const layer *l, size_t n)
{
    const map_loss *state = map_loss_of(l);
    double sum = 0;
    state->memory->down(state->parts, state->work, n * sizeof(double));
    for (size_t i = 0; i < n; ++i) sum += state->parts[i];
    return sum;
}
