/* Taking a stand-in (see stand_in.h). */
#include "stand_in.h"

#include "darknet_plugin/base/mem.h"

int stand_in_fits(const layer *l, const char *name, int c, int h, int w, diag *d)
{
    size_t want = (size_t)c * (size_t)h * (size_t)w;
    int depthwise = l->type == CONVOLUTIONAL && l->size == 1 && l->groups == c && !l->batch_normalize;
    if ((l->type != ACTIVE && !depthwise) || l->activation != LINEAR || l->self_layer)
        diag_error(d, NULL, 0, name, "stand-in is not an unbound linear [activation]");
    else if ((size_t)l->outputs != want)
        diag_error(d, NULL, 0, name, "expected %dx%dx%d = %zu values per image, not %d", c, h, w, want, l->outputs);
    else
        return 1;
    return 0;
}

void stand_in_take(layer *l, int c, int h, int w, void *state, void (*forward)(layer, host_state),
                   void (*backward)(layer, host_state))
{
    l->self_layer = state;
    if (l->type == ACTIVE) l->type = UPSAMPLE;
    l->stride = 1;
    l->c = l->out_c = c;
    l->h = l->out_h = h;
    l->w = l->out_w = w;
    l->cost = mem_calloc(1, sizeof *l->cost);
    l->forward = forward;
    l->backward = backward;
    l->update = NULL;
}
