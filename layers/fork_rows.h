/* One row a section of AlexeyAB's Darknet that the host cannot parse, or not in this form (see fork_layers.h): which
 * section the host gets instead, and how what it makes becomes the layer that is meant. To add one: its functions and
 * its row in fork_rows.c, and what of its sizes changes with the image in fork_resize.c. */
#ifndef DISTILL_FORK_ROWS_H
#define DISTILL_FORK_ROWS_H
#include "fork_layers.h"

#include "darknet_plugin/sections/shapes.h"

typedef struct fork_row {
    const char *section;
    int (*wanted)(const cfg_section *section);   /* does this one need it? NULL: every one does */
    /* Appends to `known` what the host parses as a layer of the same number of channels. `shape` is the section's. */
    void (*stand_in)(cfg_file *known, const cfg_section *section, const layer_shape *shape);
    /* Makes layer i, parsed from that, the one that `section` means: all but its activation. */
    void (*take)(network *net, int i, const cfg_section *section);
    int resizes;             /* the host's layer has another height or width than the one that is meant */
} fork_row;

const fork_row *fork_row_of(const cfg_section *section);   /* NULL: the host has it */

#endif
