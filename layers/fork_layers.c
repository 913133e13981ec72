/* Stand-ins for what the host cannot parse (see fork_layers.h). */
#include "fork_layers.h"

#include "fork_heads.h"

#include "darknet_plugin/base/bug.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/sections/shapes.h"
#include "fork_rows.h"

#include <stdlib.h>
#include <string.h>

static const struct { const char *name; int number; } activations[] = {
    { "mish", ACTIVATION_MISH }, { "swish", ACTIVATION_SWISH }, { "silu", ACTIVATION_SWISH },
    { "relu6", ACTIVATION_RELU6 }, { "hard_swish", ACTIVATION_HARD_SWISH }, { "hard_mish", ACTIVATION_HARD_MISH },
    { "gelu", ACTIVATION_GELU },
};

/* Its number, -1 where the host has it or the section has none. */
static int fork_activation(const cfg_section *section)
{
    const char *name = cfg_str(section, "activation", "");
    for (size_t i = 0; i < sizeof activations / sizeof *activations; ++i)
        if (!strcmp(name, activations[i].name)) return activations[i].number;
    return -1;
}

const char *fork_activation_name(int activation)
{
    for (size_t i = 0; i < sizeof activations / sizeof *activations; ++i)
        if (activations[i].number == activation) return activations[i].name;
    return NULL;
}

static int host_knows(const cfg_section *section)
{
    return fork_activation(section) < 0 && !fork_row_of(section) && !fork_head_needs_stand_in(section);
}

static int host_knows_all(const cfg_file *cfg)
{
    for (int i = 0; i < cfg->n; ++i)
        if (!host_knows(&cfg->section[i])) return 0;
    return 1;
}

/* Appends what the host parses for a section. */
static void append(cfg_file *known, const cfg_section *section, const net_shape *shape)
{
    const fork_row *row = fork_row_of(section);
    if (row)
        row->stand_in(known, section, &shape->layer[section->index]);
    else
        (void)cfg_append_copy(known, section);
    cfg_section *copy = &known->section[known->n - 1];
    if (fork_activation(copy) >= 0) cfg_set(copy, "activation", "linear");
    if (fork_head_needs_stand_in(copy)) fork_head_stand_in(copy);
}

/* Where the shapes do not come out there are none: the host says what it thinks of the cfg. */
cfg_file *fork_stand_ins(const cfg_file *cfg, diag *d)
{
    if (host_knows_all(cfg)) return NULL;
    diag *quiet = diag_new();
    net_shape *shape = shapes_infer(cfg, quiet);
    diag_free(quiet);
    if (!shape) {
        shapes_free(shapes_infer(cfg, d));
        return NULL;
    }
    cfg_file *known = cfg_new(cfg->path);
    for (int i = 0; i < cfg->n; ++i) append(known, &cfg->section[i], shape);
    shapes_free(shape);
    return known;
}

/* Layer by layer, then the sizes of those that the host has made otherwise. */
int fork_take(network *net, const cfg_file *cfg, diag *d)
{
    char *touched = mem_calloc((size_t)net->n, 1);
    int resizes = 0, bad = 0;
    for (int i = 0; i < net->n; ++i) {
        const cfg_section *section = cfg_layer(cfg, i);
        BUG_UNLESS(section, "the host has made more layers than there are sections");
        const fork_row *row = fork_row_of(section);
        int activation = fork_activation(section);
        if (row) row->take(net, i, section);
        if (activation >= 0) net->layers[i].activation = (ACTIVATION)activation;
        fork_head_take(&net->layers[i], section);
        touched[i] = row && row->resizes;
        resizes |= touched[i];
    }
    if (resizes) bad = fork_settle(net, touched, d);
    free(touched);
    return bad;
}
