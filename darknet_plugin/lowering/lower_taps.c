/* Which triple learns from which tap, and which teacher's answer or layer a loss outside of triples asks for.
 *
 * The taps of all teachers, one teacher after another, need one triple each. A triple takes the next tap that nobody
 * has taken, of the teacher it names by teacher=NAME or of any; tap=N names one: the N-th of that teacher's list, from
 * 0. A loss that says teacher_layer=N has a tap of its own behind those, shared with all that name the same. */
#include "lower_build.h"
#include "darknet_plugin/base/mem.h"

#include <stdlib.h>
#include <string.h>

/* The section of a triple that says `key`; place i is the triple's last. NULL where none does, *clash = 1 where two
 * disagree. */
static const cfg_section *sayer(const lower_build *build, int i, const char *key, int *clash)
{
    const cfg_section *says = NULL, *tail = lower_at(build, i), *loss = lower_neighbour(build, i, -1);
    const cfg_section *triple[] = { lower_neighbour(build, loss->index, -1), loss, tail };
    for (int k = 0; k < 3; ++k) {
        const cfg_section *s = triple[k];
        if (!s || !cfg_find(s, key)) continue;
        if (says && strcmp(cfg_str(says, key, ""), cfg_str(s, key, ""))) *clash = 1;
        else says = s;
    }
    return says;
}

static int find_teacher(const lower_build *build, const char *name)
{
    int k = 0;
    while (k < build->low->teachers && strcmp(build->low->teacher[k].name, name)) ++k;
    return k < build->low->teachers ? k : -1;
}

/* The teacher a triple asks for; -1 = any, -2 after reporting. */
static int asked_teacher(const lower_build *build, int i)
{
    int clash = 0;
    const cfg_section *s = sayer(build, i, "teacher", &clash);
    if (!s) return -1;
    const char *name = cfg_str(s, "teacher", "");
    int k = find_teacher(build, name);
    if (!clash && k >= 0) return k;
    if (clash) diag_error(build->d, s->file, cfg_line(s, "teacher"), s->name,
                          "this triple's sections name different teachers");
    else diag_error(build->d, s->file, cfg_line(s, "teacher"), s->name, "teacher=%s: no [teacher] has this name", name);
    diag_hint(build->d, "[teacher] name= gives one a name");
    return -2;
}

/* The next tap nobody has taken, of teacher `k` or of any; counted over all. -1 if there is none. */
static int next_tap(const lowered *low, int k, const char *taken)
{
    const teacher_spec *t = &low->teacher[k < 0 ? 0 : k], *last = &low->teacher[k < 0 ? low->teachers - 1 : k];
    for (int i = t->taps_before; i < last->taps_before + last->triples; ++i)
        if (!taken[i]) return i;
    return -1;
}

static const char tap_hint[] =
    "tap=N is the N-th of [teacher] tap=, counted from 0; without it triples take them in order";

/* A triple's tap, counted over all; -1 after reporting. */
static int choose_tap(const lower_build *build, int i, const char *taken)
{
    const lowered *l = build->low;
    int clash = 0, k = asked_teacher(build, i);
    if (k == -2) return -1;
    const cfg_section *says = sayer(build, i, "tap", &clash), *s = says ? says : lower_at(build, i);
    const teacher_spec *t = &l->teacher[k < 0 ? 0 : k];
    int asked = says ? cfg_int(s, "tap", 0) : -1, tap = asked < 0 ? next_tap(l, k, taken) : t->taps_before + asked;
    if (clash)
        diag_error(build->d, s->file, cfg_line(s, "tap"), s->name, "this triple's sections name different taps");
    else if (asked >= 0 && k < 0 && l->teachers > 1)
        diag_error(build->d, s->file, cfg_line(s, "tap"), s->name,
                   "tap=%d of which of the %d teachers? write teacher=NAME too", asked, l->teachers);
    else if (asked >= t->triples)
        diag_error(build->d, s->file, cfg_line(s, "tap"), s->name, "tap=%d is out of range: [teacher] has %d, 0 to %d",
                   asked, t->triples, t->triples - 1);
    else if (tap < 0)
        diag_error(build->d, s->file, s->line, s->name, "no tap of teacher %s is left for this triple", t->name);
    else if (taken[tap])
        diag_error(build->d, s->file, cfg_line(s, "tap"), s->name, "tap %d (teacher layer %d) is used twice", asked,
                   t->tap[asked]);
    else
        return tap;
    diag_hint(build->d, tap_hint);
    return -1;
}

static void take(const lowered *low, lower_head *head, int tap)
{
    head->teacher = 0;
    while (tap >= low->teacher[head->teacher].taps_before + low->teacher[head->teacher].triples) ++head->teacher;
    const teacher_spec *t = &low->teacher[head->teacher];
    head->tap_index = tap - t->taps_before;
    head->tap = t->tap[head->tap_index];
}

/* "118, 127 of t.cfg, 3 of u.cfg"; the caller frees. */
static char *taps_text(const lowered *low)
{
    char *text = mem_strdup("");
    for (int k = 0; k < low->teachers; ++k)
        for (int i = 0; i < low->teacher[k].taps; ++i) {
            const teacher_spec *t = &low->teacher[k];
            char *more = mem_printf("%s%s%d%s%s", text, *text ? ", " : "", t->tap[i], i + 1 < t->taps ? "" : " of ",
                                    i + 1 < t->taps ? "" : t->cfg_path);
            free(text);
            text = more;
        }
    return text;
}

/* Not as many taps as triples. */
static void report_counts(const lower_build *build, int taps)
{
    const lowered *low = build->low;
    const cfg_section *at = low->teacher->section;
    char *text = taps_text(low);
    diag_error(build->d, at->file, cfg_line(at, "tap"), at->name,
               "%d taps for %d triples of [projector], [feature_l2] and [reused_classifier]: layers %s", taps,
               low->heads, text);
    if (taps > low->heads)
        diag_hint(build->d, "each tap needs a triple of its own; [teacher] tap= names those to keep");
    else diag_hint(build->d, "each triple needs a tap of its own; [teacher] tap= names %d layers", low->heads);
    free(text);
}

int lower_assign_taps(lower_build *build)
{
    lower_taps_by_stride(build);
    lowered *l = build->low;
    const teacher_spec *t = l->teacher, *last = &t[l->teachers - 1];
    lower_head *h = l->head;
    int bad = 0, taps = last->taps_before + last->triples;
    if (l->heads != taps) {
        report_counts(build, taps);
        return -1;
    }
    char *taken = mem_calloc((size_t)taps, 1);
    for (int i = 0; i < cfg_layers(l->source); ++i) {
        if (!cfg_is(lower_at(build, i), "reused_classifier")) continue;
        int tap = choose_tap(build, i, taken);
        if (tap < 0) {
            bad = -1;
        } else {
            taken[tap] = 1;
            take(l, h, tap);
        }
        ++h;
    }
    free(taken);
    return bad;
}

/* The teacher whose classifier stands before the loss of source layer i; -1: none. */
static int teacher_before(const lower_build *build, int i)
{
    int tail = lower_behind_tail(build, i), head = -1;
    for (int k = 0; k <= tail; ++k) head += cfg_is(lower_at(build, k), "reused_classifier");
    return tail < 0 ? -1 : build->low->head[head].teacher;
}

int lower_answering_teacher(const lower_build *build, int i)
{
    const cfg_section *section = lower_at(build, i);
    const char *name = cfg_str(section, "teacher", NULL);
    int only = build->low->teachers == 1 ? 0 : -1, found = name ? find_teacher(build, name) : only;
    int before = teacher_before(build, i);
    if (before >= 0 && !name) return before;
    if (found >= 0) return found;
    if (name) diag_error(build->d, section->file, cfg_line(section, "teacher"), section->name,
                         "teacher=%s: no [teacher] has this name", name);
    else diag_error(build->d, section->file, section->line, section->name,
                    "which of the %d teachers? write teacher=NAME", build->low->teachers);
    diag_hint(build->d, "[teacher] name= gives one a name");
    return -1;
}

/* Makes the teacher run up to what its last [softmax] reads. */
static int assign_answer(lower_build *build, int i)
{
    const cfg_section *section = lower_at(build, i);
    int which = lower_answering_teacher(build, i), before = teacher_before(build, i);
    if (which < 0) return -1;
    teacher_spec *teacher = &build->low->teacher[which];
    if (before >= 0 && before != which) {
        diag_error(build->d, section->file, cfg_line(section, "teacher"), section->name,
                   "stands behind the classifier of teacher %s, not of %s", build->low->teacher[before].name,
                   teacher->name);
        return -1;
    }
    if (teacher->answer >= 0) {
        teacher_ask_answer(teacher);
        return 0;
    }
    if (before >= 0 && teacher->outs && section_type_on_boxes(section->name)->asks == TEACH_HEAD) return 0;
    diag_error(build->d, section->file, section->line, section->name,
               "%s does not end on [softmax]: it gives no class scores to learn from", teacher->cfg_path);
    return -1;
}

int lower_assign_answers(lower_build *build)
{
    int bad = 0;
    for (int i = 0; i < cfg_layers(build->low->source); ++i) {
        const section_type *type = section_type_named(lower_at(build, i)->name);
        if (type && type->role == ROLE_LOSS && type->asks == TEACH_ANSWER) bad |= assign_answer(build, i);
    }
    return bad;
}

/* The layer that a loss names as its teacher's, which must have a map; -1 after reporting. */
static int named_layer(const lower_build *build, const teacher_spec *teacher, const cfg_section *section)
{
    int layer = cfg_int(section, "teacher_layer", 0), line = cfg_line(section, "teacher_layer");
    const layer_shape *shape = layer < teacher->shape->n ? &teacher->shape->layer[layer] : NULL;
    if (!shape) {
        diag_error(build->d, section->file, line, section->name,
                   "teacher_layer=%d is out of range: %s has %d layers, 0 to %d", layer, teacher->cfg_path,
                   teacher->shape->n, teacher->shape->n - 1);
    } else if (!shape->c || !shape->h || !shape->w) {
        diag_error(build->d, section->file, line, section->name, "teacher_layer=%d is a [%s], which has no feature map",
                   layer, cfg_layer(teacher->cfg, layer)->name);
    } else {
        return layer;
    }
    return -1;
}

int lower_tap_index(const teacher_spec *teacher, int layer)
{
    int i = 0;
    while (i < teacher->taps && teacher->tap[i] != layer) ++i;
    return i;
}

/* Makes the teacher keep the layer that a loss names. */
static int assign_layer(lower_build *build, const cfg_section *section)
{
    int which = lower_answering_teacher(build, section->index);
    teacher_spec *teacher = &build->low->teacher[which < 0 ? 0 : which];
    int layer = which < 0 ? -1 : named_layer(build, teacher, section);
    if (layer < 0) return -1;
    if (lower_tap_index(teacher, layer) < teacher->taps) return 0;
    teacher->tap = mem_realloc(teacher->tap, (size_t)teacher->taps + 1, sizeof *teacher->tap);
    teacher->tap[teacher->taps++] = layer;
    if (layer >= teacher->cut) teacher->cut = layer + 1;
    return 0;
}

int lower_assign_layers(lower_build *build)
{
    int bad = 0;
    for (int i = 0; i < cfg_layers(build->low->source); ++i)
        if (lower_is_free(lower_at(build, i))) bad |= assign_layer(build, lower_at(build, i));
    return bad;
}
