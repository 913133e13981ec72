/* A teacher with more heads than the student has triples: YOLOv4's three for YOLOv4-tiny's two. Each triple takes the
 * tap whose map is as many times smaller than the teacher's input as the triple's own than the student's; its other
 * heads teach nothing. Where a triple says tap=, or there are as many taps as triples, nothing is chosen. */
#include "lower_build.h"
#include "darknet_plugin/base/mem.h"

#include <stdlib.h>

/* The student's shapes with every section of ours as what it is to them: a layer that keeps its input's shape. NULL
 * where they cannot be known; what is wrong with them is said when it is lowered. */
static net_shape *student_shapes(const cfg_file *source)
{
    diag *unsaid = diag_new();
    cfg_file *cfg = cfg_new(source->path);
    for (int i = 0; i < source->n; ++i) {
        const cfg_section *section = &source->section[i];
        if (cfg_is(section, "teacher") || cfg_is(section, "teachers") || cfg_is(section, "augment")) continue;
        if (section_type_named(section->name)) cfg_append(cfg, "activation", section->file, section->line);
        else cfg_append_copy(cfg, section);
    }
    net_shape *shape = shapes_infer(cfg, unsaid);
    cfg_free(cfg);
    diag_free(unsaid);
    return shape;
}

static int any_says_tap(const cfg_file *source)
{
    for (int i = 0; i < cfg_layers(source); ++i) {
        const cfg_section *section = cfg_layer(source, i);
        if (section_type_named(section->name) && cfg_find(section, "tap")) return 1;
    }
    return 0;
}

/* Is `map` as many times smaller than its network's input as `other` is than its own? */
static int same_stride(const net_shape *net, const layer_shape *map, const net_shape *other_net,
                       const layer_shape *other)
{
    return (int64_t)net->w * other->w == (int64_t)other_net->w * map->w &&
           (int64_t)net->h * other->h == (int64_t)other_net->h * map->h;
}

/* The first tap of that stride which nobody has taken; -1 if there is none. */
static int find_tap(const teacher_spec *teacher, const char *taken, const net_shape *student, const layer_shape *map)
{
    for (int i = 0; i < teacher->triples; ++i)
        if (!taken[i] && same_stride(teacher->shape, &teacher->shape->layer[teacher->tap[i]], student, map)) return i;
    return -1;
}

/* The layer that the triple reads whose [reused_classifier] is layer i; -1 if none. */
static int triple_feeds(const lower_build *build, int i)
{
    const cfg_section *loss = lower_neighbour(build, i, -1);
    const cfg_section *projector = loss ? lower_neighbour(build, loss->index, -1) : NULL;
    return projector ? projector->index - 1 : -1;
}

/* Fills tap[] with the layers of the triples' taps, in the triples' order; 0, or -1 where one has none. */
static int choose(const lower_build *build, const net_shape *student, int *tap)
{
    const lowered *low = build->low;
    const teacher_spec *teacher = low->teacher;
    char *taken = mem_calloc((size_t)teacher->triples, 1);
    int triple = 0, bad = 0;
    for (int i = 0; !bad && i < cfg_layers(low->source); ++i) {
        if (!cfg_is(lower_at(build, i), "reused_classifier")) continue;
        int feeds = triple_feeds(build, i);
        int found = feeds < 0 ? -1 : find_tap(teacher, taken, student, &student->layer[feeds]);
        bad = found < 0 || triple == low->heads;
        if (bad) continue;
        taken[found] = 1;
        tap[triple++] = teacher->tap[found];
    }
    free(taken);
    return bad || triple != low->heads ? -1 : 0;
}

/* One line, and why. */
static void say_chosen(const teacher_spec *teacher, int triples, const int *tap, diag *d)
{
    char *text = mem_strdup("");
    for (int i = 0; i < triples; ++i) {
        char *more = mem_printf("%s%s%d (stride %d)", text, i ? ", " : "", tap[i],
                                teacher->shape->w / teacher->shape->layer[tap[i]].w);
        free(text);
        text = more;
    }
    diag_warn(d, teacher->section->file, cfg_line(teacher->section, "tap"), teacher->section->name,
              "%d taps for %d triples: each takes the one of its own stride, layers %s", teacher->triples, triples,
              text);
    free(text);
}

void lower_taps_by_stride(lower_build *build)
{
    lowered *low = build->low;
    teacher_spec *teacher = low->teacher;
    if (low->teachers != 1 || !low->heads || teacher->triples <= low->heads || any_says_tap(low->source)) return;
    net_shape *student = student_shapes(low->source);
    int *tap = mem_calloc((size_t)low->heads, sizeof *tap);
    if (!student || choose(build, student, tap)) {
        free(tap);
    } else {
        say_chosen(teacher, low->heads, tap, build->d);
        free(teacher->tap);
        teacher->tap = tap;
        teacher->taps = teacher->triples = low->heads;
        teacher->cut = 0;
        for (int i = 0; i < low->heads; ++i) teacher->cut = tap[i] >= teacher->cut ? tap[i] + 1 : teacher->cut;
    }
    shapes_free(student);
}
