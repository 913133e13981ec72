/* [yolo], in the host's coordinates and with new_coords=1, on the CPU: its output by all threads, and what it learns
 * from labels (see layers/yolo_loss.h). Backward is the host's, which passes the delta on. Arithmetic stands outside
 * this folder, where nothing is joined into one instruction, so that it is the host's. */
#include "layers/fork_heads.h"
#include "layers/yolo_loss.h"
#include "state.h"

#include "darknet_plugin/base/mem.h"

#include <stdlib.h>

int accepts_cpu_yolo(const layer *l) { return l->coords != HEAD_GAUSSIAN; }

/* plan: a cost an image. */
int make_cpu_yolo(layer *l, cpu_state *state, diag *d)
{
    (void)d;
    state->plan = mem_calloc((size_t)l->batch, sizeof(double));
    return 0;
}

void free_cpu_yolo(layer *l, cpu_state *state)
{
    (void)l;
    free(state->plan);
}

void forward_cpu_yolo(const layer *l, cpu_state *state, const layer_call *call)
{
    yolo_activate(l, call->input);
    if (l->cost) *l->cost = 0;
    if (call->train && call->net->truth) yolo_learn_batch(l, call->net, state->plan);
}
