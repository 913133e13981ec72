/* Which of the teacher's answers each of the student's learns (see init.h).
 *
 * A detector's head learns from the head of the same stride, in whatever order they come; of several that of as many
 * classes. A classifier has one answer, and its map may be a whole number of times larger or smaller than the
 * teacher's: the larger is average-pooled. A student that is an encoder alone takes the place of either. */
#include "init_internal.h"

#include "darknet_plugin/base/mem.h"

#include <stdlib.h>

/* The section that stands for an answer in messages. */
static const cfg_section *section_of(const init_net *net, const tap_head *head)
{
    return cfg_layer(net->cfg, head->out < 0 ? head->tap : head->out);
}

static int is_classifier(const init_net *net) { return net->head->out >= 0 && !init_is_detector(net); }

/* A classifier learns from a classifier, a detector from a detector. */
static int check_kinds(const init_net *student, const init_net *teacher, diag *d)
{
    int detects = init_is_detector(teacher);
    const cfg_section *ours = section_of(student, student->head), *theirs = section_of(teacher, teacher->head);
    if (detects ? !is_classifier(student) : !init_is_detector(student)) return 0;
    diag_error(d, ours->file, ours->line, ours->name, "the student is a %s, the teacher a %s ([%s], %s:%d)",
               detects ? "classifier" : "detector", detects ? "detector" : "classifier", theirs->name, theirs->file,
               theirs->line);
    diag_hint(d, "a student that is an encoder alone, without its last layers, can learn from either");
    return -1;
}

static int is_whole_factor(const layer_shape *large, const layer_shape *small)
{
    return large->h % small->h == 0 && large->w % small->w == 0 && large->h / small->h == large->w / small->w;
}

/* Does the teacher's classifier read every place of its map apart? */
static int wants_size(const init_net *teacher)
{
    const tap_head *head = teacher->head;
    for (int i = head->tap + 1; i < head->classifier; ++i)
        if (cfg_is(cfg_layer(teacher->cfg, i), "avgpool")) return 0;
    return cfg_is(cfg_layer(teacher->cfg, head->classifier), "connected");
}

/* Can a map learn from another of this size? */
static int fits(const init_net *teacher, const layer_shape *map, const layer_shape *tap)
{
    if (map->h == tap->h && map->w == tap->w) return 1;
    if (init_is_detector(teacher)) return 0;
    return is_whole_factor(map, tap) || (is_whole_factor(tap, map) && !wants_size(teacher));
}

/* "8, 16 and 32", of a network's answers; the caller frees. */
static char *strides_text(const init_net *net, const net_shape *shape)
{
    char *text = mem_strdup("");
    for (int i = 0; i < net->heads; ++i) {
        const char *join = i + 1 < net->heads ? ", " : " and ";
        char *more = mem_printf("%s%s%d", text, i ? join : "", shape->w / shape->layer[net->head[i].tap].w);
        free(text);
        text = more;
    }
    return text;
}

/* No answer of the teacher's fits this one. */
static int no_stride(const init_parts *parts, int head, diag *d)
{
    const init_net *student = parts->student, *teacher = parts->teacher;
    const layer_shape *map = &student->shape->layer[student->head[head].tap];
    const cfg_section *at = section_of(student, &student->head[head]);
    char *strides = strides_text(teacher, parts->taught_shape);
    diag_error(d, at->file, at->line, at->name, "the map of %dx%d (stride %d) has no head of the teacher's to learn "
               "from: those of %s have stride %s", map->w, map->h, student->shape->w / map->w, teacher->cfg->path,
               strides);
    diag_hint(d, "a student's head needs a teacher's of its own stride: leave this head out, or take another teacher");
    free(strides);
    return -1;
}

/* A classifier's maps that cannot be brought to one size. */
static int no_factor(const init_parts *parts, int head, diag *d)
{
    const init_net *student = parts->student, *teacher = parts->teacher;
    const layer_shape *map = &student->shape->layer[student->head[head].tap];
    const layer_shape *tap = &parts->taught_shape->layer[teacher->head->tap];
    const cfg_section *at = cfg_layer(student->cfg, student->head[head].tap);
    const cfg_section *theirs = cfg_layer(teacher->cfg, teacher->head->tap);
    const char *what = wants_size(teacher) ? "the teacher's [connected] classifier reads every place of its map"
                                           : "map sizes do not divide";
    diag_error(d, at->file, at->line, at->name, "%s: the student's last map is %dx%d, the teacher's %dx%d (layer %d "
               "[%s], %s:%d)", what, map->w, map->h, tap->w, tap->h, theirs->index, theirs->name, theirs->file,
               theirs->line);
    diag_hint(d, "%s must be a whole number of times the other on both sides: change a stride of the student, or its "
                 "[net] width= and height= (the teacher sees %dx%d)", wants_size(teacher) ? "the student's" : "one",
              parts->taught_shape->w, parts->taught_shape->h);
    return -1;
}

/* The best of the teacher's answers that nobody has taken: of the same size, of those of as many classes. -1: none. */
static int find(const init_parts *parts, int head, const char *taken)
{
    const init_net *student = parts->student, *teacher = parts->teacher;
    const layer_shape *map = &student->shape->layer[student->head[head].tap];
    int classes = init_classes(student, &student->head[head]), found = -1;
    for (int i = 0; i < teacher->heads; ++i) {
        if (taken[i] || !fits(teacher, map, &parts->taught_shape->layer[teacher->head[i].tap])) continue;
        if (init_classes(teacher, &teacher->head[i]) == classes) return i;
        if (found < 0) found = i;
    }
    return found;
}

/* What the student answers is the teacher's. */
static void warn_classes(const init_parts *parts, int head, int taught, diag *d)
{
    const init_net *student = parts->student;
    const cfg_section *at = section_of(student, &student->head[head]);
    int ours = init_classes(student, &student->head[head]);
    int theirs = init_classes(parts->teacher, &parts->teacher->head[taught]);
    if (!ours || ours == theirs) return;
    diag_warn(d, at->file, cfg_line(at, "classes"), at->name,
              "knows %d classes, the teacher %d: the teacher's classifier answers, so %d it will be", ours, theirs,
              theirs);
}

/* Answers that teach nothing. */
static void warn_unused(const init_parts *parts, const char *taken, diag *d)
{
    const init_net *teacher = parts->teacher;
    for (int i = 0; i < teacher->heads; ++i) {
        const layer_shape *tap = &parts->taught_shape->layer[teacher->head[i].tap];
        const cfg_section *at = section_of(teacher, &teacher->head[i]);
        if (!taken[i])
            diag_warn(d, at->file, at->line, at->name, "teaches nothing: the student has no head of stride %d",
                      parts->taught_shape->w / tap->w);
    }
}

int init_match(const init_parts *parts, int *taught, diag *d)
{
    const init_net *student = parts->student, *teacher = parts->teacher;
    if (check_kinds(student, teacher, d)) return -1;
    char *taken = mem_calloc((size_t)teacher->heads, 1);
    int bad = 0;
    for (int i = 0; i < student->heads; ++i) {
        int found = taught[i] = find(parts, i, taken);
        if (found < 0) {
            bad = init_is_detector(teacher) ? no_stride(parts, i, d) : no_factor(parts, i, d);
            continue;
        }
        taken[found] = 1;
        warn_classes(parts, i, found, d);
    }
    if (!bad) warn_unused(parts, taken, d);
    free(taken);
    return bad;
}
