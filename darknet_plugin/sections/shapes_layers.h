/* One row a section type: how to infer its shape. Only shapes.c reads this.
 * To add a type write its function in shapes_layers.c, or in shapes_joins.c where it reads several layers, and add its
 * row; there is nothing else to do. */
#ifndef DISTILL_SHAPES_LAYERS_H
#define DISTILL_SHAPES_LAYERS_H
#include "shapes.h"

#include <stdint.h>

typedef struct shape_run {
    const cfg_section *const *at;   /* sections of all layers */
    const cfg_section *section;     /* the one being inferred */
    diag *d;
    int i;                          /* its number */
    int in_known;                   /* the layer before came out; if not, nothing more is said about it */
    const unsigned char *known;     /* i, which earlier layers came out */
    const layer_shape *layer;       /* i, the earlier layers */
    layer_shape *l;                 /* in_* and inputs are filled in */
    int net_w, net_h;               /* of the image */
    int failed;                     /* a mistake was met, said or not */
} shape_run;

typedef struct shape_row {
    const char *name;
    int weights;                    /* has floats in a weights file */
    int (*infer)(shape_run *run);   /* fills run->l; 1 if the output came out */
} shape_row;

const shape_row *shape_row_of(const char *name);   /* NULL if no stock layer */

/* Rows' functions (shapes_joins.c). */
int shape_route(shape_run *run);
int shape_shortcut(shape_run *run);
int shape_scale_channels(shape_run *run);
int shape_sam(shape_run *run);

/* Adds an error at `key`'s line (NULL: the section's), unless there is one on that line already. */
void shape_error(shape_run *run, const char *key, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Where the layer before is a [route] of maps that do not fit together: an error at that, with both. Was it that? */
int shape_blame_route(shape_run *run);

#endif
