/* What the files of the lowering share (see lower_build.h). */
#include "lower_build.h"

#include "darknet_plugin/base/mem.h"

void lower_mark(lower_build *build, layer_role role)
{
    int n = cfg_layers(build->l->cfg);
    if (n > build->room) {
        build->room = 2 * n + 16;
        build->l->role = mem_realloc(build->l->role, (size_t)build->room, sizeof *build->l->role);
    }
    while (build->lowered_layers < n) build->l->role[build->lowered_layers++] = role;
}

/* Sections that name the layers they read, and in which key. */
static const struct { const char *section, *key; } readers[] = {
    { "route", "layers" }, { "shortcut", "from" },
};

const char *lower_reader_key(const cfg_section *section)
{
    for (size_t i = 0; i < sizeof readers / sizeof *readers; ++i)
        if (cfg_is(section, readers[i].section)) return readers[i].key;
    return NULL;
}
