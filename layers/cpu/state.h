/* Inside the CPU backend: what hangs on l.self_layer of a bound layer, and the table row that serves it.
 *
 * Darknet calls three functions of bind.c for every bound layer; they look up the state and call the row.
 * There are two things to do to add a layer type: write its functions, and add a row in bind.c. */
#ifndef DISTILL_CPU_STATE_H
#define DISTILL_CPU_STATE_H
#include "cpu.h"

/* Scratch that all layers of one network share; it grows while layers plan. Slots are oneDNN's source, destination
 * and weights in its own layouts, and weights with batch norm folded in. */
enum { SLOT_SRC, SLOT_DST, SLOT_WEIGHTS, SLOT_FOLD, SLOTS };
typedef struct cpu_shared {
    int users;             /* bound layers */
    float *slot[SLOTS];    /* owned, 64-byte aligned */
    size_t bytes[SLOTS];
} cpu_shared;

typedef struct cpu_state cpu_state;

typedef struct cpu_row {
    LAYER_TYPE type;
    int (*accepts)(const layer *l);                              /* NULL: every one */
    int (*make)(layer *l, cpu_state *s, diag *d);                /* 0, or -1 with a message; may be NULL */
    void (*forward)(const layer *l, cpu_state *s, network *net); /* net is the callee's own copy */
    void (*backward)(const layer *l, cpu_state *s, network *net);
    void (*update)(const layer *l, update_args a);               /* NULL: no weights */
    void (*free)(layer *l, cpu_state *s);                        /* may be NULL */
} cpu_row;

struct cpu_state {
    const cpu_row *row;
    const char *runs_on;
    cpu_mode mode;
    cpu_backend backend;
    uint64_t seed;
    int index;             /* of the layer in its network */
    int statistics;        /* batches averaged into the running statistics, see cpu_statistics_count */
    cpu_shared *shared;    /* borrowed; the last user frees it */
    void *plan;            /* the row's own, owned */
    float *output, *delta; /* dropout's own, owned; the host's stand in host_output, host_delta */
    float *host_output, *host_delta;
    void (*host_forward)(layer, network);
    void (*host_backward)(layer, network);
    void (*host_update)(layer, update_args);
};

/* The state of a bound layer, NULL if it is not bound. */
cpu_state *cpu_state_of(const layer *l);
/* At least `bytes` in a slot. 0, or -1 if there is no memory. */
int cpu_reserve(cpu_shared *shared, int slot, size_t bytes);
static inline size_t cpu_floats(const layer *l) { return (size_t)l->batch * (size_t)l->outputs; }

/* The rows' functions. */
int make_cpu_conv(layer *l, cpu_state *s, diag *d);
int accepts_cpu_conv(const layer *l);
void forward_cpu_conv(const layer *l, cpu_state *s, network *net);
void backward_cpu_conv(const layer *l, cpu_state *s, network *net);
void free_cpu_conv(layer *l, cpu_state *s);
void update_cpu_weights(const layer *l, update_args a);
int accepts_cpu_shortcut(const layer *l);
void forward_cpu_shortcut(const layer *l, cpu_state *s, network *net);
void backward_cpu_shortcut(const layer *l, cpu_state *s, network *net);
void forward_cpu_activation(const layer *l, cpu_state *s, network *net);
void backward_cpu_activation(const layer *l, cpu_state *s, network *net);
void forward_cpu_avgpool(const layer *l, cpu_state *s, network *net);
void backward_cpu_avgpool(const layer *l, cpu_state *s, network *net);
void forward_cpu_maxpool(const layer *l, cpu_state *s, network *net);
void backward_cpu_maxpool(const layer *l, cpu_state *s, network *net);
int make_cpu_dropout(layer *l, cpu_state *s, diag *d);
void forward_cpu_dropout(const layer *l, cpu_state *s, network *net);
void backward_cpu_dropout(const layer *l, cpu_state *s, network *net);
void free_cpu_dropout(layer *l, cpu_state *s);

#endif
