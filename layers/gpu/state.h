/* Inside the GPU backend: what hangs on the CPU binding's state (cpu_state.gpu) of a layer on a device, and the table
 * row that serves it.
 *
 * Darknet calls three functions of bound.c for every bound layer; they look up the state and call the row. There are
 * two things to do to add a layer type: write its functions in a file of its own, and add a row in bind.c. */
#ifndef DISTILL_GPU_STATE_H
#define DISTILL_GPU_STATE_H
#include "gpu.h"
#include "layers/cpu/state.h"

typedef struct gpu_state gpu_state;

/* In a layer_call here, input and delta are on the device, as the arrays of call->net->layers that end in _gpu are. */
typedef struct gpu_row {
    LAYER_TYPE type;
    int (*accepts)(const layer *l);           /* which layers of that type; NULL: all. The first row that fits counts */
    int (*make)(layer *l, gpu_state *state, diag *d);            /* 0, or -1 with a message; NULL: nothing to do */
    void (*forward)(const layer *l, gpu_state *state, const layer_call *call);    /* NULL: the host's */
    void (*backward)(const layer *l, gpu_state *state, const layer_call *call);
    void (*free)(layer *l, gpu_state *state);                    /* may be NULL */
    void (*resized)(layer *l, gpu_state *state);                 /* the host has; may be NULL */
    int mends;                                                   /* forward has the host's do the work */
} gpu_row;

struct gpu_state {
    const gpu_row *row;
    const cpu_state *cpu;             /* borrowed */
    /* of a convolution (window.c and fork.c have other uses for them) */
    float *picked, *delta;            /* scratch of the size of the input, on the device, owned; NULL if not needed */
    float *waste;                     /* gradients of weights that do not move, on the device, owned; NULL if they do */
    size_t scratch;                   /* floats of each */
    float slope;                      /* of the activation that our kernel applies, not the host's; 1: none */
    int fork;                         /* the layer's activation where it is one of layers/fork_layers.h, else 0 */
    float *before;                    /* what that was given, on the device, owned; NULL where y or batch norm tell its
                                         slope, or nobody asks */
    void *plan;                       /* the row's own, owned */
    float *host_output, *host_delta;  /* dropout: what l.output_gpu and l.delta_gpu were */
    host_callback host_forward, host_backward;
    void (*host_update)(layer, update_args);
};

/* The state of a layer that is bound on a device, NULL if it is not. */
gpu_state *gpu_state_of(const layer *l);
/* Puts Darknet's callbacks in place, and back. */
void gpu_hang(layer *l, cpu_state *cpu, gpu_state *state);
void gpu_unhang(layer *l, const gpu_state *state);
/* One of the host's functions, with the call's train, input and delta. */
void gpu_run_host(host_callback function, const layer *l, const layer_call *call);

static inline size_t gpu_inputs(const layer *l) { return (size_t)l->inputs * (size_t)l->batch; }

/* The rows' functions. */
int make_gpu_conv(layer *l, gpu_state *state, diag *d);
void forward_gpu_conv(const layer *l, gpu_state *state, const layer_call *call);
void backward_gpu_conv(const layer *l, gpu_state *state, const layer_call *call);
void free_gpu_conv(layer *l, gpu_state *state);
void resized_gpu_conv(layer *l, gpu_state *state);
void backward_gpu_connected(const layer *l, gpu_state *state, const layer_call *call);
void backward_gpu_activation(const layer *l, gpu_state *state, const layer_call *call);
void forward_gpu_route(const layer *l, gpu_state *state, const layer_call *call);
void backward_gpu_route(const layer *l, gpu_state *state, const layer_call *call);
void forward_gpu_softmax(const layer *l, gpu_state *state, const layer_call *call);
void forward_gpu_shortcut(const layer *l, gpu_state *state, const layer_call *call);
int make_gpu_other_conv(layer *l, gpu_state *state, diag *d);
void forward_gpu_other_conv(const layer *l, gpu_state *state, const layer_call *call);
void backward_gpu_other_conv(const layer *l, gpu_state *state, const layer_call *call);
void forward_gpu_other_maxpool(const layer *l, gpu_state *state, const layer_call *call);
void backward_gpu_other_maxpool(const layer *l, gpu_state *state, const layer_call *call);
int accepts_gpu_yolo(const layer *l);
int make_gpu_yolo(layer *l, gpu_state *state, diag *d);
void forward_gpu_yolo(const layer *l, gpu_state *state, const layer_call *call);
void free_gpu_yolo(layer *l, gpu_state *state);
void resized_gpu_yolo(layer *l, gpu_state *state);
/* fork.c */
void forward_gpu_product(const layer *l, gpu_state *state, const layer_call *call);
void backward_gpu_product(const layer *l, gpu_state *state, const layer_call *call);
void forward_gpu_part(const layer *l, gpu_state *state, const layer_call *call);
void backward_gpu_part(const layer *l, gpu_state *state, const layer_call *call);
void forward_gpu_reorg3d(const layer *l, gpu_state *state, const layer_call *call);
void backward_gpu_reorg3d(const layer *l, gpu_state *state, const layer_call *call);
int make_gpu_sum(layer *l, gpu_state *state, diag *d);
void forward_gpu_sum(const layer *l, gpu_state *state, const layer_call *call);
void backward_gpu_sum(const layer *l, gpu_state *state, const layer_call *call);
int make_gpu_dropout(layer *l, gpu_state *state, diag *d);
void forward_gpu_dropout(const layer *l, gpu_state *state, const layer_call *call);
void backward_gpu_dropout(const layer *l, gpu_state *state, const layer_call *call);
void free_gpu_dropout(layer *l, gpu_state *state);

#endif
