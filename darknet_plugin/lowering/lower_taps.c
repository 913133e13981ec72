/* Which triple learns from which tap, and which teacher's answer a loss outside of triples asks for.
 *
 * The taps of all teachers, one teacher after another, need one triple each. A triple takes the next tap that nobody
 * has taken, of the teacher it names by teacher=NAME or of any; tap=N names one: the N-th of that teacher's list, from
 * 0. */
#include "lower_build.h"
#include "darknet_plugin/base/mem.h"

#include <stdlib.h>
#include <string.h>

/* The section of a triple that says `key`; place i is the triple's last. NULL where none does, *clash = 1 where two
 * disagree. */
static const cfg_section *sayer(const lower_build *build, int i, const char *key, int *clash)
{
    const cfg_section *says = NULL;
    for (int k = i - 2; k <= i; ++k) {
        const cfg_section *s = lower_at(build, k);
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
    for (int i = t->taps_before; i < last->taps_before + last->taps; ++i)
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
    else if (asked >= t->taps)
        diag_error(build->d, s->file, cfg_line(s, "tap"), s->name, "tap=%d is out of range: [teacher] has %d, 0 to %d",
                   asked, t->taps, t->taps - 1);
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
    while (tap >= low->teacher[head->teacher].taps_before + low->teacher[head->teacher].taps) ++head->teacher;
    const teacher_spec *t = &low->teacher[head->teacher];
    head->tap_index = tap - t->taps_before;
    head->tap = t->tap[head->tap_index];
}

int lower_assign_taps(lower_build *build)
{
    lowered *l = build->low;
    const teacher_spec *t = l->teacher, *last = &t[l->teachers - 1];
    lower_head *h = l->head;
    int bad = 0, taps = last->taps_before + last->taps;
    if (l->heads != taps) {
        diag_error(build->d, t->section->file, cfg_line(t->section, "tap"), t->section->name,
                   "%d taps for %d triples of [projector], [feature_l2] and [reused_classifier]", taps, l->heads);
        diag_hint(build->d, "each tap needs a triple of its own; the first tap is layer %d of %s", t->tap[0],
                  t->cfg_path);
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
