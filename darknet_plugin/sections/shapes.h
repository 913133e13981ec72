/* Shapes, parameters and multiply-adds of a stock cfg, known before Darknet is asked.
 * Everything here equals what the host computes for the same cfg (tests compare all cfgs Debian ships). */
#ifndef DISTILL_SHAPES_H
#define DISTILL_SHAPES_H
#include "cfg.h"

typedef struct layer_shape {
    int in_h, in_w, in_c;   /* input map as Darknet carries it along (0 where it has none) */
    int inputs;             /* floats per image read from the layer before */
    int h, w, c;            /* output map; 0 where Darknet has none */
    int outputs;            /* floats per image */
    size_t params;          /* learnable: weights, biases, BN scales and shifts */
    size_t stored;          /* floats in a weights file: params + BN running mean and variance */
    double macs;            /* multiply-adds of one image (convolutions, connected, local, recurrent) */
    size_t trained_before;  /* floats that a training run's weights file holds before this layer's and that it has not:
                               those of layers that only fed losses; set by the lowering */
} layer_shape;

typedef struct net_shape {
    int batch, subdivisions;   /* as written: batch is per update */
    int h, w, c, inputs;
    int n;
    layer_shape *layer;        /* n, owned */
    size_t params, stored;
    double macs;
    size_t trained_before, trained_behind;   /* the sum of all layers', and what follows the last layer's */
} net_shape;

/* `cfg` must be a stock cfg (lower first). Every impossible shape is reported in `d` with the section's own
 * file:line, and inference goes on where it can. Returns NULL if there were errors; the caller frees. */
net_shape *shapes_infer(const cfg_file *cfg, diag *d);
void shapes_free(net_shape *shape);

/* Size in bytes of the weights file of the first n layers, written by this Darknet (20-byte header). */
size_t shapes_file_bytes(const net_shape *shape, int n);
/* Does section type `name` have weights in a weights file? */
int shapes_has_weights(const char *section_name);

#endif
