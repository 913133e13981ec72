/* What the files of the lowering share (see lower_build.h). */
#include "lower_build.h"

#include "darknet_plugin/base/mem.h"

void lower_mark(lower_build *b, layer_role role)
{
    int n = cfg_layers(b->l->cfg);
    if (n > b->room) {
        b->room = 2 * n + 16;
        b->l->role = mem_realloc(b->l->role, (size_t)b->room, sizeof *b->l->role);
    }
    while (b->lowered_layers < n) b->l->role[b->lowered_layers++] = role;
}

/* Sections that name the layers they read, and in which key. */
static const struct { const char *section, *key; } readers[] = {
    { "route", "layers" }, { "shortcut", "from" },
};

const char *lower_reader_key(const cfg_section *s)
{
    for (size_t i = 0; i < sizeof readers / sizeof *readers; ++i)
        if (cfg_is(s, readers[i].section)) return readers[i].key;
    return NULL;
}
