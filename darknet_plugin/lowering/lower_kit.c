/* What the files of the lowering share (see lower_build.h). */
#include "lower_build.h"

#include "darknet_plugin/base/mem.h"

/* Role, row and training number of the layers that have none yet. */
static void mark(lower_build *build, layer_role role, int trained)
{
    lowered *low = build->low;
    int n = cfg_layers(low->cfg);
    if (n > build->room) {
        size_t room = (size_t)(build->room = 2 * n + 16);
        low->role = mem_realloc(low->role, room, sizeof *low->role);
        low->type = mem_realloc(low->type, room, sizeof *low->type);
        low->trained_as = mem_realloc(low->trained_as, room, sizeof *low->trained_as);
    }
    for (; build->lowered_layers < n; ++build->lowered_layers) {
        low->role[build->lowered_layers] = role;
        low->type[build->lowered_layers] = build->type;
        low->trained_as[build->lowered_layers] = trained ? build->training_layers++ : -1;
    }
}

void lower_mark(lower_build *build, layer_role role) { mark(build, role, 1); }
void lower_mark_deployed(lower_build *build, layer_role role) { mark(build, role, 0); }

int lower_is_free(const cfg_section *section)
{
    const section_type *type = section_type_named(section->name);
    return type && type->role == ROLE_LOSS && type->asks == TEACH_MAP && cfg_find(section, "teacher_layer");
}

const cfg_section *lower_neighbour(const lower_build *build, int i, int step)
{
    const cfg_section *there;
    do there = cfg_layer(build->low->source, i += step);
    while (there && lower_is_free(there));
    return there;
}

int lower_is_regressor(const lower_build *build, const cfg_section *section)
{
    const section_type *type = section_type_named(section->name), *next;
    const cfg_section *feeds = cfg_layer(build->low->source, section->index + 1);
    if (!type || type->role != ROLE_PROJECTOR || !feeds || !lower_is_free(feeds)) return 0;
    const cfg_section *behind = lower_neighbour(build, section->index, 1);
    next = behind ? section_type_named(behind->name) : NULL;
    return !next || next->role != ROLE_LOSS || next->asks != TEACH_MAP;
}

/* Sections that name the layers they read, and in which key. */
static const struct { const char *section, *key; } readers[] = {
    { "route", "layers" }, { "shortcut", "from" }, { "scale_channels", "from" }, { "sam", "from" },
};

int lower_behind_tail(const lower_build *build, int i)
{
    for (; i >= 0; --i) {
        const section_type *type = section_type_named(lower_at(build, i)->name);
        if (type && type->role == ROLE_TAIL) return i;
        if (!type || type->role != ROLE_LOSS || type->asks == TEACH_MAP) return -1;
    }
    return -1;
}

const char *lower_reader_key(const cfg_section *section)
{
    for (size_t i = 0; i < sizeof readers / sizeof *readers; ++i)
        if (cfg_is(section, readers[i].section)) return readers[i].key;
    return NULL;
}
