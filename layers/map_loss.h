/* What losses of feature maps share but [feature_l2], which reads stored maps as they are: sizes, the target as plain
 * floats, memory to compute with, on the CPU or a device, and the sum of the parts.
 *
 * Such a loss computes in steps, each over independent indices; X_ops.h has a function for one index, which the CPU's
 * loop and the kernel call. What the steps hand on lies in `work`, whose first numbers are the loss's parts: the host
 * adds them up in order, so that the sum is the same every time, whatever the threads. */
#ifndef DISTILL_MAP_LOSS_H
#define DISTILL_MAP_LOSS_H
#include "sections.h"
#include "stand_in.h"

/* Element functions for the CPU's loops and for kernels. */
#ifdef __CUDACC__
#define MAP_LOSS_FN static inline __host__ __device__
#else
#define MAP_LOSS_FN static inline
#endif

/* The teacher's value over pixel (y, x) of one channel, (h*k, w*k): a block's mean. */
MAP_LOSS_FN double map_loss_value(const float *map, size_t w, size_t k, size_t y, size_t x)
{
    double sum = 0;
    for (size_t i = 0; i < k; ++i)
        for (size_t j = 0; j < k; ++j) sum += map[(y * k + i) * w * k + x * k + j];
    return sum / (double)(k * k);
}

/* Memory where a network is: the host's, or a device's (map_loss.cu). */
typedef struct map_loss_memory {
    void *(*grow)(void *old, size_t bytes);   /* nothing is kept of the old */
    void (*release)(void *memory);
    void (*up)(void *to, const void *host, size_t bytes);
    void (*down)(void *host, const void *from, size_t bytes);
} map_loss_memory;

typedef struct map_loss map_loss;
struct map_loss {
    loss_place place;                     /* as it was made; the layer may have been resized since */
    double scale;
    size_t (*doubles)(const layer *l);    /* of `work`, at the layer's present size */
    const float *target;                  /* (batch, teacher_c, teacher_h, teacher_w), where the network is, or NULL */
    double *work;                         /* where the network is, owned */
    float *unpacked, *uploaded;           /* targets out of a cache: the host's, and a device's copy; owned */
    double *parts;                        /* the loss's parts in the host's memory, owned */
    size_t room, unpacked_room, uploaded_room, parts_room;   /* of the four, in numbers */
    const map_loss_memory *memory;
};

static inline map_loss *map_loss_of(const layer *l) { return (map_loss *)stand_in_state(l); }

/* k of the k x k blocks of the teacher's map that the student's elements are held against; 0 where sizes do not fit. */
int map_loss_pool(const loss_place *place);
/* Rows' checks: do the maps fit each other, whatever their channels, or with as many? 0, or -1 after reporting. */
int map_loss_check_maps(const cfg_section *section, const loss_place *place, diag *d);
int map_loss_check_alike(const cfg_section *section, const loss_place *place, diag *d);

/* What a loss is made of. */
typedef struct map_loss_kind {
    const char *name;
    size_t (*doubles)(const layer *l);
    void (*forward)(layer, host_state), (*backward)(layer, host_state);
} map_loss_kind;
/* Turns the parsed stand-in into the layer, its scale from the section or `scale`. 0, or -1 after reporting. */
int map_loss_make(layer *l, const map_loss_kind *kind, const cfg_section *section, const loss_place *place,
                  double scale, diag *d);
/* The same with a state of `size` bytes that begins with a map_loss; zeros follow it. */
int map_loss_make_larger(layer *l, const map_loss_kind *kind, size_t size, const cfg_section *section,
                         const loss_place *place, double scale, diag *d);
void map_loss_free(layer *l);
double *map_loss_scale(const layer *l);
/* Its row's set_target; makes `work` as large as it has to be. */
void map_loss_teach(layer *l, const teaching *teaching);

/* Floats of an image's target at the layer's present size. */
size_t map_loss_target_size(const layer *l);
/* Passes the input on; then: shall there be a loss? */
int map_loss_pass(const layer *l, const host_state *net);
/* The sum of the first n numbers of `work`. */
double map_loss_sum(const layer *l, size_t n);

/* GPU=1 only (map_loss.cu): the layer's memory is the device's from now on; gives it back. */
void map_loss_to_device(layer *l, void (*forward)(layer, host_state), void (*backward)(layer, host_state));
void map_loss_from_device(layer *l);

#endif
