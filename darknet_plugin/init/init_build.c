/* The student's sections as a distillation (see init.h): what follows each tap, up to its output, goes, and a triple
 * stands there. A triple has another number of sections than what it replaces, so that all layer numbers are looked up
 * anew: a relative number stays as it is unless it counts over a triple; then, and where it was absolute, it is written
 * as the new layer's number. */
#include "init_internal.h"

#include "darknet_plugin/base/mem.h"

#include <stdlib.h>

typedef struct build {
    const init_parts *parts;
    init_cfg *made;
    int *number;             /* of each of the student's layers in the new cfg; -1: it is gone */
    diag *d;
} build;

/* The answer whose tap layer i is; -1: none. */
static int head_at(const init_net *net, int i)
{
    for (int head = 0; head < net->heads; ++head)
        if (net->head[head].tap == i) return head;
    return -1;
}

/* Two answers of one map, or one within another. 0, or -1 after reporting. */
static int check_apart(const init_net *net, diag *d)
{
    for (int i = 0; i + 1 < net->heads; ++i) {
        const cfg_section *at = cfg_layer(net->cfg, net->head[i + 1].out);
        if (net->head[i + 1].tap > init_head_end(net, &net->head[i])) continue;
        diag_error(d, at->file, at->line, at->name, "this head and that of layer %d share layers: neither can be "
                   "replaced alone", net->head[i].out);
        return -1;
    }
    return 0;
}

/* Numbers all layers of the new cfg. */
static void number_layers(build *build)
{
    const init_net *student = build->parts->student;
    int next = 0, gone = 0;
    build->number = mem_calloc((size_t)student->shape->n + 1, sizeof *build->number);
    for (int i = 0; i < student->shape->n; ++i) {
        build->number[i] = i < gone ? -1 : next++;
        int head = i < gone ? -1 : head_at(student, i);
        if (head < 0) continue;
        next += init_triple_sections(build->parts);
        gone = init_head_end(student, &student->head[head]) + 1;
    }
}

/* Does a layer that goes lie between these two? */
static int is_crossing(const build *build, int from, int to)
{
    for (int i = from + 1; i < to; ++i)
        if (build->number[i] < 0) return 1;
    return 0;
}

static int reads_gone(const build *build, const cfg_section *section, const char *key, int layer)
{
    const cfg_section *gone = cfg_layer(build->parts->student->cfg, layer);
    diag_error(build->d, section->file, key ? cfg_line(section, key) : section->line, section->name,
               "reads layer %d [%s], line %d, of a head that the teacher's takes the place of", layer, gone->name,
               gone->line);
    diag_hint(build->d, "what goes on behind a head reads the layer before it, or one further up");
    return -1;
}

/* Writes the numbers of the copy anew. 0, or -1 after reporting. */
static int rewrite(const build *build, const cfg_section *section, const char *key, cfg_section *copy)
{
    int *number, n = cfg_ints(section, key, &number), bad = 0;
    for (int k = 0; k < n; ++k) {
        int layer = init_meant(section, number[k]);
        if (build->number[layer] < 0) bad = reads_gone(build, section, key, layer);
        else if (number[k] >= 0 || is_crossing(build, layer, section->index)) number[k] = build->number[layer];
    }
    if (n && !bad) cfg_set_ints(copy, key, number, n);
    free(number);
    return bad;
}

/* One of the student's sections that stays. 0, or -1 after reporting. */
static int copy_layer(build *build, const cfg_section *section)
{
    const char *key = lower_reader_key(section);
    cfg_section *copy = cfg_append_copy(build->made->cfg, section);
    int bad = 0, before = section->index - 1;
    if (before >= 0 && build->number[before] < 0 && !cfg_is(section, "route"))
        bad = reads_gone(build, section, NULL, before);
    if (key) bad |= rewrite(build, section, key, copy);
    return bad;
}

/* The sections that stay, and a triple behind each tap. 0, or -1 after reporting. */
static int copy_layers(build *build)
{
    const init_net *student = build->parts->student;
    int bad = 0;
    for (int i = 0; i < student->shape->n; ++i) {
        if (build->number[i] < 0) continue;
        const cfg_section *section = cfg_layer(student->cfg, i);
        bad |= copy_layer(build, section);
        int head = head_at(student, i);
        if (head < 0) continue;
        int out = student->head[head].out;
        init_append_triple(build->made, build->parts, head, out < 0 ? section : cfg_layer(student->cfg, out));
    }
    return bad;
}

init_cfg *init_build(const init_parts *parts, diag *d)
{
    build build = { .parts = parts, .made = mem_calloc(1, sizeof *build.made), .d = d };
    build.made->cfg = cfg_new(parts->job->out);
    int bad = check_apart(parts->student, d);
    if (!bad) {
        number_layers(&build);
        init_append_net(build.made, parts);
        init_append_teacher(build.made, parts);
        init_append_augment(build.made, parts);
        bad = copy_layers(&build);
    }
    free(build.number);
    if (!bad) return build.made;
    init_free(build.made);
    return NULL;
}
