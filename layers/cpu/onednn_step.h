/* One primitive of oneDNN's on our buffers.
 *
 * A port joins oneDNN's layout, and type of numbers, to ours through a reorder, or hands our buffer over where they are
 * the same. A step is one primitive and its ports. Inner layouts live in scratch that the whole network shares. */
#ifndef DISTILL_ONEDNN_STEP_H
#define DISTILL_ONEDNN_STEP_H
#include "state.h"
#ifdef DNNL
#include <oneapi/dnnl/dnnl.h>

typedef enum { PORT_IN, PORT_OUT, PORT_ADD } port_way;

/* oneDNN's own scratch belongs to the thread that makes a primitive; ours may run on any, so it comes from a slot. */
typedef struct onednn_prim {
    dnnl_primitive_t prim;
    dnnl_memory_t scratch;     /* NULL: it needs none */
} onednn_prim;

typedef struct onednn_port {
    int arg, slot;
    port_way way;
    dnnl_memory_t ours;        /* on the caller's buffer, set at each call */
    dnnl_memory_t inner;       /* NULL: ours serves */
    onednn_prim reorder;       /* PORT_ADD: adds */
    onednn_prim copy;          /* PORT_ADD: writes; none where the layouts are the same */
    float *own;                /* inner memory outside the scratch, borrowed from the plan */
} onednn_port;

/* Where steps run; all borrowed. */
typedef struct onednn_room {
    cpu_shared *shared;
    dnnl_engine_t engine;
    dnnl_stream_t stream;
} onednn_room;

typedef struct onednn_step {
    const onednn_room *room;   /* borrowed */
    onednn_prim prim;
    int n;
    onednn_port port[4];
} onednn_step;

/* Execution can only fail by a mistake of ours. */
void onednn_must(dnnl_status_t status, const char *file, int line);
#define ONEDNN_MUST(call) onednn_must(call, __FILE__, __LINE__)
static inline int fails(dnnl_status_t status) { return status != dnnl_success; }

/* Attributes of a primitive that onednn_make is to make; the caller destroys them. */
int onednn_attr(dnnl_primitive_attr_t *attr);
/* The step's primitive. -1: oneDNN cannot. */
int onednn_make(onednn_step *step, dnnl_primitive_desc_t pd);
/* Adds a port to a step; `inner` NULL: the primitive takes our layout. -1: oneDNN cannot. */
int onednn_add_port(onednn_step *step, int arg, int slot, port_way way, const dnnl_memory_desc_t *ours,
                    const dnnl_memory_desc_t *inner);
void onednn_free_step(onednn_step *step);

/* The bit of a port whose inner memory is filled already. */
#define PORT_READY(port) (1u << (port))
/* Runs a step on our buffers, one a port. `ready`: PORT_READY bits. `write`: a PORT_ADD replaces what was there. */
void onednn_run_step(onednn_step *step, const void *const data[], unsigned ready, int write);
#endif

#endif
