/* A weights file seen through its cfg: which layer each number belongs to, and as what.
 *
 *   weights_view *v = weights_view_open("net.cfg", d);
 *   weights_contents c;
 *   weights_tensor t[WEIGHTS_MAX_TENSORS];
 *   if (v && weights_read("net.weights", v->low->shape, &c, d) >= 0)
 *       for (int i = 0; i < v->net->n; ++i)
 *           for (int j = 0, n = weights_view_arrays(v, &c, i, t); j < n; ++j)
 *               ... t[j].name, t[j].data, t[j].n ...
 *
 * Nothing is judged here: files with NaN, cut short or too long can be looked at as far as whole layers go. A
 * distillation cfg is seen as it deploys, which is what its weights files hold. */
#ifndef DISTILL_WEIGHTS_VIEW_H
#define DISTILL_WEIGHTS_VIEW_H
#include "darknet_plugin/base/json.h"
#include "darknet_plugin/lowering/lower.h"
#include "weights_tools/file/weights_file.h"

typedef struct weights_view {
    lowered *low;            /* the cfg as it deploys, owned */
    network *net;            /* the same parsed by the host, for its list of arrays; owned, its weights mean nothing */
} weights_view;

/* Reads and checks a cfg. NULL with messages; close with weights_view_close. */
weights_view *weights_view_open(const char *cfg, diag *d);
/* The same of one that has been lowered, which goes to the view, or is freed; NULL: NULL. `path` in messages. */
weights_view *weights_view_of(lowered *low, const char *path, diag *d);
void weights_view_close(weights_view *view);

/* The arrays of layer i in file order, `data` pointing into contents->x. Returns how many, 0 for a layer without
 * weights and one that the file does not hold whole. `out` has room for WEIGHTS_MAX_TENSORS. */
int weights_view_arrays(const weights_view *view, const weights_contents *contents, int i, weights_tensor *out);
/* Adds what the header of the file `path` says: file, version, seen. */
void weights_view_header(cJSON *object, const weights_info *info, const char *path);
/* The section name of layer i, borrowed. */
const char *weights_view_section(const weights_view *view, int i);

#endif
