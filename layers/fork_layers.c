/* Stand-ins for what the host cannot parse (see fork_layers.h). */
#include "fork_layers.h"

#include "fork_heads.h"

#include "darknet_plugin/base/bug.h"

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
    return fork_activation(section) < 0 && !fork_head_needs_stand_in(section);
}

static int host_knows_all(const cfg_file *cfg)
{
    for (int i = 0; i < cfg->n; ++i)
        if (!host_knows(&cfg->section[i])) return 0;
    return 1;
}

cfg_file *fork_stand_ins(const cfg_file *cfg, diag *d)
{
    (void)d;
    if (host_knows_all(cfg)) return NULL;
    cfg_file *known = cfg_new(cfg->path);
    for (int i = 0; i < cfg->n; ++i) {
        cfg_section *section = cfg_append_copy(known, &cfg->section[i]);
        if (fork_activation(section) >= 0) cfg_set(section, "activation", "linear");
        if (fork_head_needs_stand_in(section)) fork_head_stand_in(section);
    }
    return known;
}

int fork_take(network *net, const cfg_file *cfg, diag *d)
{
    (void)d;
    for (int i = 0; i < net->n; ++i) {
        const cfg_section *section = cfg_layer(cfg, i);
        BUG_UNLESS(section, "the host has made more layers than there are sections");
        int activation = fork_activation(section);
        if (activation >= 0) net->layers[i].activation = (ACTIVATION)activation;
        fork_head_take(&net->layers[i], section);
    }
    return 0;
}
