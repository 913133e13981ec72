/* Inside the CPU backend: what hangs on l.self_layer of a bound layer, and the table row that serves it.
 *
 * Darknet calls three functions of bind.c for every bound layer; they look up the state and call the row, so that
 * nothing else here knows how the host calls. There are two things to do to add a layer type: write its functions in a
 * file of its own, and add a row in rows.c. */
#ifndef DISTILL_CPU_STATE_H
#define DISTILL_CPU_STATE_H
#include "cpu.h"
#include "variant.h"

/* A piece of memory that outlives a layer's call: blocked outputs and deltas. Free ones are used again, so that what is
 * needed at different times shares memory. */
typedef struct cpu_block {
    void *data;            /* owned, 64-byte aligned */
    size_t bytes;
    int taken;
} cpu_block;

typedef struct cpu_state cpu_state;

/* What all layers of one network share. Slots are scratch that no layer expects to find again, grown while layers plan:
 * oneDNN's source, destination and weights in its own layouts (Winograd's weights, too), weights with batch norm folded
 * in, Winograd's tiles and weight gradients, sums for batch norm, a plain input made blocked, operands in bf16, what
 * oneDNN's primitives ask for. */
enum { SLOT_SRC, SLOT_DST, SLOT_WEIGHTS, SLOT_FOLD, SLOT_TILES, SLOT_PARTIAL, SLOT_SUMS, SLOT_INPUT, SLOT_ROUND_X,
       SLOT_ROUND_Y, SLOT_ROUND_W, SLOT_SCRATCH, SLOTS };
typedef struct cpu_kernels cpu_kernels;
typedef struct cpu_shared {
    const cpu_kernels *kernels;
    int users;             /* bound layers */
    const layer *layers;   /* all of the network's, borrowed */
    cpu_state **state;     /* a state for each of them, borrowed, NULL where it is not bound; the array is owned */
    float *slot[SLOTS];    /* owned, 64-byte aligned */
    size_t bytes[SLOTS];
    struct cpu_shared **part;   /* scratch alone, of threads that each compute some of the images; owned */
    int parts;
    cpu_block *block;      /* owned */
    int blocks;
    double *seconds;       /* of each layer (cpu_time_layers), borrowed; NULL: not measured */
    char *products;        /* of cpu_options, owned, as what follows */
    cpu_precision precision;
    int input_delta;
    float statistics;
} cpu_shared;

/* One call of a layer's forward or backward, on the CPU or a device. All borrowed, for as long as it lasts. The layer's
 * number is its state's; scratch is a slot of `shared`. */
typedef struct layer_call {
    const network *net;    /* its layers' outputs and deltas, for what reads several (route, shortcut); images seen */
    int train;             /* does the layer itself train? 0 where it is frozen, whatever net->train says */
    const float *input;    /* (batch, inputs), of the layer before; stale where that one's output is blocked */
    float *delta;          /* backward: minus the gradient, to be added to; NULL: not wanted */
} layer_call;

typedef struct cpu_row {
    LAYER_TYPE type;
    int (*accepts)(const layer *l);                      /* NULL: every one */
    int any_backend;                                     /* BACKEND_HOST, too: the host cannot compute this */
    int (*make)(layer *l, cpu_state *state, diag *d);    /* 0, or -1 with a message; may be NULL */
    void (*forward)(const layer *l, cpu_state *state, const layer_call *call);   /* NULL: the host's */
    void (*backward)(const layer *l, cpu_state *state, const layer_call *call);
    void (*update)(const layer *l, update_args args);       /* NULL: no weights */
    void (*free)(layer *l, cpu_state *state);            /* may be NULL */
    void (*resized)(layer *l, cpu_state *state);         /* the host has; may be NULL */
    void (*weights_changed)(cpu_state *state);           /* forget what was derived from them; may be NULL */
    /* The same on blocked maps, for a layer that reads some. NULL: it only knows plain ones. */
    int (*accepts_blocked)(const layer *l, const cpu_state *state);
    void (*forward_blocked)(const layer *l, cpu_state *state, const layer_call *call);
    void (*backward_blocked)(const layer *l, cpu_state *state, const layer_call *call);
    int plain_output;                                    /* all the same */
    int mends;                                           /* forward has the host's do the work */
} cpu_row;

/* All that knows how wide a block is (variant.h). The functions are those of the same names below, for bind.c, which is
 * compiled once. */
struct cpu_kernels {
    const cpu_row *rows;
    size_t count;
    int lanes;             /* channels of a block */
    void (*choose_layout)(const layer *l, cpu_state *state);
    void (*lay_out)(network *net, const cpu_shared *shared, const char *keep);
    void (*finish_output)(const layer *l, cpu_state *state);
    size_t (*blocked_numbers)(const layer *l);
    int half;              /* blocked maps are bfloat16 */
};
extern const cpu_kernels cpu_wide;   /* rows.c */
#ifndef VARIANT
extern const cpu_kernels cpu_narrow, cpu_half, cpu_last;
#endif
const cpu_kernels *cpu_choose_kernels(const network *net, const cpu_options *options);

struct cpu_state {
    const cpu_row *row;
    const char *runs_on;
    cpu_mode mode;
    cpu_backend backend;
    uint64_t seed;
    int index;             /* of the layer in its network */
    int statistics;        /* batches averaged into the running statistics, see cpu_statistics_rate */
    cpu_shared *shared;    /* borrowed; the last user frees it */
    void *plan;            /* the row's own, owned */
    void *gpu;             /* the GPU backend's, where the network is on a device, owned by that (layers/gpu/bind.c) */
    float *output, *delta; /* dropout's own, owned; the host's stand in host_output, host_delta */
    float *host_output, *host_delta;   /* in l.output and l.delta before this layer was bound; NULL = they still are */
    int hides_delta;       /* host_delta is what hide_delta (layout.c) took out of l.delta */
    int fast;              /* the row's blocked functions run; set by layout.c like the fields that follow */
    int blocked;           /* the output is a blocked map, out */
    int to_plain;          /* and goes to l.output as well: something reads it there, and adds to l.delta */
    int last_use;          /* number of the last layer that reads out, after which a frozen network gives it back */
    int plain_input;       /* of a convolution with a blocked output: its input is plain */
    int borrows;           /* out is the only input's: a route of one layer copies nothing, nor does frozen dropout */
    cpu_state *sum;        /* a convolution that computes this following shortcut, too; NULL = none */
    int summed;            /* this shortcut is computed by the convolution before it */
    void *out, *d;         /* map_values, ordered as vec.h has it, taken from `shared`; d NULL: nothing has
                              been added yet */
    size_t out_bytes;
    host_callback host_forward, host_backward;
    void (*host_update)(layer, update_args);
};

/* The state of a bound layer, NULL if it is not bound. */
cpu_state *cpu_state_of(const layer *l);
/* Does its batch norm, which has settled, measure what it is given (cpu_options.statistics)? */
static inline int cpu_measures(const layer *l, const cpu_state *state)
{
    return l->batch_normalize && state->mode == CPU_FROZEN_WEIGHTS && state->shared->statistics != 0;
}
/* By how much this batch moves the layer's running statistics: a true average of the first CPU_SETTLED, 1 % then.
 * Counts it. Those of a file count as CPU_LOADED batches: training changes what they are of faster than 1 % a step
 * would follow. */
enum { CPU_SETTLED = 100, CPU_LOADED = 10 };
double cpu_statistics_rate(cpu_state *state);
/* At least `bytes` in a slot; ends the program where there is no memory. */
void cpu_reserve(cpu_shared *shared, int slot, size_t bytes);
/* The i-th thread's part of the scratch, made where there is none; borrowed. */
cpu_shared *cpu_part_of(cpu_shared *shared, int i);
/* Memory, to be given back, its numbers arbitrary but finite; ends the program where there is none. */
void *cpu_take(cpu_shared *shared, size_t bytes);
void cpu_give(cpu_shared *shared, const void *memory);   /* NULL: nothing */
/* `have` (*bytes of it; may be NULL) if it is `want` bytes, else that many instead of it. */
void *cpu_refit(cpu_shared *shared, void *have, size_t *bytes, size_t want);
/* One user less: the last one frees all. */
void cpu_leave_shared(cpu_shared *shared);
/* Weights of a convolutional or connected layer. */
static inline size_t cpu_weights(const layer *l)
{
    return l->type == CONNECTED ? (size_t)l->inputs * (size_t)l->outputs : (size_t)l->nweights;
}
/* n up to whole `of`. */
static inline size_t cpu_whole(size_t n, size_t of) { return (n + of - 1) / of * of; }
static inline size_t cpu_floats(const layer *l) { return (size_t)l->batch * (size_t)l->outputs; }
/* Pixels of an output map. */
static inline size_t cpu_map(const layer *l) { return (size_t)l->out_h * (size_t)l->out_w; }
/* The nearest number between 0 and `most`: a window's edge within its map. */
static inline int cpu_clip(int value, int most)
{
    if (value < 0) return 0;
    return value > most ? most : value;
}

/* Blocked maps (layout.c). */
/* Decides whether layer s->index has a blocked output, when all before it are bound. */
void cpu_choose_layout(const layer *l, cpu_state *state);
/* The rest of the plan, once all are bound; `keep` as in cpu_options. */
void cpu_lay_out(network *net, const cpu_shared *shared, const char *keep);
size_t cpu_blocked_numbers(const layer *l);             /* of l's output, and their bytes */
size_t cpu_blocked_bytes(const layer *l);
void *cpu_output(const layer *l, cpu_state *state);     /* room for the blocked output of l: state->out */
void cpu_finish_output(const layer *l, cpu_state *state);   /* l is computed: plain copy; maps nobody needs now */
/* The blocked delta of l, plain readers' share added; zero if nobody has one. The caller's, to be given back. */
void *cpu_take_delta(const layer *l, cpu_state *state);
/* Where to put what `reader` adds to layer i's blocked delta; *add = 0: it is to be written there, not added. NULL: i's
 * output is not blocked, or nobody wants its delta. */
void *cpu_delta_of(const cpu_state *reader, int i, int *add);
cpu_state *cpu_blocked_at(const cpu_shared *shared, int i);   /* layer i's state if its output is blocked, else NULL */
/* From plain (batch, c, map) to blocked and back. */
void cpu_to_blocked(const float *plain, int batch, int c, size_t map, void *blocked);
void cpu_to_plain(const void *blocked, int batch, int c, size_t map, float *plain);
void cpu_add_plain(const void *blocked, int batch, int c, size_t map, float *plain);   /* plain (batch, c, map) += */

/* The rows' functions. */
int make_cpu_conv(layer *l, cpu_state *state, diag *d);
int accepts_cpu_conv(const layer *l);
int accepts_blocked_conv(const layer *l, const cpu_state *state);
void forward_cpu_conv(const layer *l, cpu_state *state, const layer_call *call);
void backward_cpu_conv(const layer *l, cpu_state *state, const layer_call *call);
void free_cpu_conv(layer *l, cpu_state *state);
void cpu_conv_weights_changed(cpu_state *state);
void update_cpu_weights(const layer *l, update_args args);
int accepts_cpu_shortcut(const layer *l);
int is_same_shape_shortcut(const layer *l);             /* have both of its inputs one shape? */
void forward_cpu_shortcut(const layer *l, cpu_state *state, const layer_call *call);
void backward_cpu_shortcut(const layer *l, cpu_state *state, const layer_call *call);
void forward_cpu_shortcut_sum(const layer *l, cpu_state *state, const layer_call *call);
void backward_cpu_shortcut_sum(const layer *l, cpu_state *state, const layer_call *call);
void forward_cpu_product(const layer *l, cpu_state *state, const layer_call *call);
void backward_cpu_product(const layer *l, cpu_state *state, const layer_call *call);
void forward_cpu_part(const layer *l, cpu_state *state, const layer_call *call);
void backward_cpu_part(const layer *l, cpu_state *state, const layer_call *call);
void forward_cpu_reorg3d(const layer *l, cpu_state *state, const layer_call *call);
void backward_cpu_reorg3d(const layer *l, cpu_state *state, const layer_call *call);
void forward_cpu_softmax(const layer *l, cpu_state *state, const layer_call *call);
int refuse_cpu_batchnorm(layer *l, cpu_state *state, diag *d);
int accepts_cpu_yolo(const layer *l);
int make_cpu_yolo(layer *l, cpu_state *state, diag *d);
void free_cpu_yolo(layer *l, cpu_state *state);
void forward_cpu_yolo(const layer *l, cpu_state *state, const layer_call *call);
void forward_cpu_activation(const layer *l, cpu_state *state, const layer_call *call);
void backward_cpu_activation(const layer *l, cpu_state *state, const layer_call *call);
void forward_cpu_avgpool(const layer *l, cpu_state *state, const layer_call *call);
void backward_cpu_avgpool(const layer *l, cpu_state *state, const layer_call *call);
void forward_cpu_maxpool(const layer *l, cpu_state *state, const layer_call *call);
void backward_cpu_maxpool(const layer *l, cpu_state *state, const layer_call *call);
int make_cpu_dropout(layer *l, cpu_state *state, diag *d);
void forward_cpu_dropout(const layer *l, cpu_state *state, const layer_call *call);
void backward_cpu_dropout(const layer *l, cpu_state *state, const layer_call *call);
void draw_cpu_dropout(const layer *l, const cpu_state *state, const layer_call *call);   /* the mask alone, to l.rand */
void free_cpu_dropout(layer *l, cpu_state *state);
void resized_cpu_dropout(layer *l, cpu_state *state);

/* The same layers on blocked maps (blocked.c). */
int accepts_blocked_map(const layer *l, const cpu_state *state);        /* the layer before has one */
int accepts_blocked_shortcut(const layer *l, const cpu_state *state);
void forward_blocked_shortcut(const layer *l, cpu_state *state, const layer_call *call);
void backward_blocked_shortcut(const layer *l, cpu_state *state, const layer_call *call);
void forward_blocked_activation(const layer *l, cpu_state *state, const layer_call *call);
void backward_blocked_activation(const layer *l, cpu_state *state, const layer_call *call);
void forward_blocked_maxpool(const layer *l, cpu_state *state, const layer_call *call);
void backward_blocked_maxpool(const layer *l, cpu_state *state, const layer_call *call);
void free_blocked_maxpool(layer *l, cpu_state *state);
void forward_blocked_avgpool(const layer *l, cpu_state *state, const layer_call *call);   /* its output is plain */
void backward_blocked_avgpool(const layer *l, cpu_state *state, const layer_call *call);
int accepts_blocked_product(const layer *l, const cpu_state *state);   /* products.c, parts.c */
void forward_blocked_product(const layer *l, cpu_state *state, const layer_call *call);
void backward_blocked_product(const layer *l, cpu_state *state, const layer_call *call);
int accepts_blocked_part(const layer *l, const cpu_state *state);
void forward_blocked_part(const layer *l, cpu_state *state, const layer_call *call);
void backward_blocked_part(const layer *l, cpu_state *state, const layer_call *call);
/* blocked_route.c; plain ones are the host's */
int accepts_blocked_route(const layer *l, const cpu_state *state);
void forward_blocked_route(const layer *l, cpu_state *state, const layer_call *call);
void backward_blocked_route(const layer *l, cpu_state *state, const layer_call *call);
int accepts_blocked_dropout(const layer *l, const cpu_state *state);
void forward_blocked_dropout(const layer *l, cpu_state *state, const layer_call *call);
void backward_blocked_dropout(const layer *l, cpu_state *state, const layer_call *call);
int accepts_cpu_upsample(const layer *l);
void forward_blocked_upsample(const layer *l, cpu_state *state, const layer_call *call);
void backward_blocked_upsample(const layer *l, cpu_state *state, const layer_call *call);

#endif
