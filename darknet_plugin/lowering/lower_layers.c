/* Lowering stock sections, [projector] and losses.
 *
 * Every source layer has one lowered layer that stands for it when others read it (lower_build.map): itself, a
 * projector's last convolution, the loss's stand-in while training and the loss's input when deploying. What a
 * [reused_classifier] computes is not for trained layers to read: no gradient comes back from it. */
#include "lower_build.h"
#include "darknet_plugin/base/mem.h"
#include "layers/projector.h"

#include <stdlib.h>
#include <string.h>

static int no_gradient(const lower_build *build, const cfg_section *section, int line, int from)
{
    diag_error(build->d, section->file, line, section->name,
               "reads layer %d, a [reused_classifier] (line %d): it is frozen, nothing trained may read it",
               from, lower_at(build, from)->line);
    diag_hint(build->d,
              "read the [projector] or a layer before it; after a [reused_classifier] a student goes on with [route]");
    return -1;
}

/* A number that counts back over a triple: the stock cfg that it comes from has fewer sections there. */
static void warn_crossing(const lower_build *build, int i, const char *key, int number)
{
    const cfg_section *section = lower_at(build, i), *meant = lower_at(build, i + number), *triple = NULL;
    for (int k = i + number + 1; k < i && !triple; ++k)
        if (cfg_is(lower_at(build, k), "reused_classifier")) triple = lower_at(build, k);
    if (!triple) return;
    diag_warn(build->d, section->file, cfg_line(section, key), section->name,
              "%s=%d counts back over a triple, [reused_classifier] (line %d), to layer %d, [%s] (line %d)", key,
              number, triple->line, i + number, meant->name, meant->line);
    diag_hint(build->d, "a triple is three sections where a stock head is two; if that layer is meant, write %d",
              i + number);
}

/* One number of a route or shortcut -> the lowered layer; -1 after reporting. */
static int lower_reference(const lower_build *build, int i, const char *key, int number)
{
    const cfg_section *s = lower_at(build, i);
    long from = number < 0 ? (long)i + number : number;
    int line = cfg_line(s, key);
    if (from < 0 || from >= i) {
        diag_error(build->d, s->file, line, s->name, "%s=%d is layer %ld: expected one before this, which is layer %d",
                   key, number, from, i);
        diag_hint(build->d, "layers are counted from 0, [net], [teacher] and [augment] not among them");
        return -1;
    }
    if (lower_behind_tail(build, (int)from) >= 0)
        return no_gradient(build, s, line, lower_behind_tail(build, (int)from));
    if (number < 0) warn_crossing(build, i, key, number);
    return build->map[from];
}

/* Rewrites the numbers of section lower_at(build, i) in its copy `out`. */
static int rewrite_references(const lower_build *build, int i, const char *key, cfg_section *out)
{
    int *number, n = cfg_ints(lower_at(build, i), key, &number), bad = 0;
    for (int k = 0; k < n; ++k) {
        number[k] = lower_reference(build, i, key, number[k]);
        bad |= number[k] < 0;
    }
    if (n && !bad) cfg_set_ints(out, key, number, n);
    free(number);
    return bad ? -1 : 0;
}

/* Reads of the layer before that no key mentions. */
static int check_previous(const lower_build *build, int i)
{
    const cfg_section *s = lower_at(build, i);
    int tail = lower_behind_tail(build, i - 1);
    if (tail < 0 || cfg_is(s, "route")) return 0;
    return no_gradient(build, s, s->line, tail);
}

/* Boxes of the student's own, deploy=0: they learn from labels, and so does what they read, but are no answer. */
static int only_learns(const cfg_section *section) { return cfg_is_boxes(section) && !cfg_int(section, "deploy", 1); }

/* An answer of the student's own beside the reused classifier, which no labels are for. */
static int is_own_output(const lower_build *build, const cfg_section *section)
{
    return build->answers && !only_learns(section) &&
           (cfg_is(section, "softmax") || cfg_is(section, "cost") || cfg_is_boxes(section));
}

/* Stock sections that make no sense in a student with a teacher; 0, or -1 after reporting. */
static int check_student(const lower_build *build, const cfg_section *section)
{
    if (only_learns(section) && !build->answers) {
        diag_error(build->d, section->file, cfg_line(section, "deploy"), section->name,
                   "deploy=0: no [reused_classifier] answers in its place");
        return -1;
    }
    if (!build->low->teacher) return 0;
    if (is_own_output(build, section) && build->mode != LOWER_LABELS) {
        diag_warn(build->d, section->file, section->line, section->name,
                  "the student's own output is trained by nothing: losses of a triple do not reach it");
        diag_hint(build->d, "%s", cfg_is_boxes(section)
                      ? "leave it out; or write deploy=0: it learns from labels then, and is not deployed"
                      : "leave out the student's classifier, the teacher's is reused");
    }
    if (!cfg_is(section, "crop")) return 0;
    diag_error(build->d, section->file, section->line, section->name,
               "not supported in a student, its random crop is hidden from the teacher");
    diag_hint(build->d, "[augment] pad= crops at random, for both alike");
    return -1;
}

int lower_stock(lower_build *build, int i)
{
    const cfg_section *s = lower_at(build, i);
    if (build->mode == LOWER_DEPLOY && lower_strided_1x1(s)) lower_append_stride(build, s, ROLE_STUDENT);
    cfg_section *out = cfg_append_copy(build->low->cfg, s);
    const char *key = lower_reader_key(s);
    int bad = check_previous(build, i) | check_student(build, s);
    if (key) bad |= rewrite_references(build, i, key, out);
    lower_limit_boxes(out);
    int untrained = build->mode == LOWER_TRAIN && is_own_output(build, s), silent = cfg_is(s, "softmax");
    cfg_unset(out, "deploy");
    if (untrained && silent) cfg_set(out, "noloss", "1");
    if (build->mode == LOWER_DEPLOY) lower_deploy_layer(out);
    if (build->mode == LOWER_LABELS) lower_for_labels(out);
    if (only_learns(s)) lower_mark(build, ROLE_LABELS);
    lower_mark(build, untrained && !silent ? ROLE_OUTPUT : ROLE_STUDENT);
    if (only_learns(s) && build->mode == LOWER_TRAIN) build->low->trained = build->lowered_layers;
    build->map[i] = build->lowered_layers - 1;
    if (bad) build->student_bad = 1;
    return bad;
}

net_shape *lower_shapes_so_far(const lower_build *build)
{
    diag *quiet = diag_new();
    net_shape *s = shapes_infer(build->low->cfg, quiet);
    diag_free(quiet);
    if (!s && diag_errors(build->d) == build->errors) shapes_free(shapes_infer(build->low->cfg, build->d));
    return s;
}

/* k if a map of ah x aw holds k x k of bh x bw, else 0. */
static int whole_factor(int ah, int aw, int bh, int bw)
{
    return ah % bh == 0 && aw % bw == 0 && ah / bh == aw / bw ? ah / bh : 0;
}

/* Frozen average pooling: a depthwise convolution, whose weights 1/k^2 are filled in after loading. */
static void append_pool(lower_build *build, const cfg_section *section, int c, int k)
{
    cfg_section *o = cfg_append(build->low->cfg, "convolutional", section->file, section->line);
    cfg_set(o, "filters", "%d", c);
    cfg_set(o, "groups", "%d", c);
    cfg_set(o, "size", "%d", k);
    cfg_set(o, "stride", "%d", k);
    cfg_set(o, "pad", "0");
    cfg_set(o, "activation", "linear");
    lower_mark(build, ROLE_POOL);
}

static int has_map(const layer_shape *layer_shape)
{
    return layer_shape->h > 0 && layer_shape->w > 0 && layer_shape->c > 0;
}

/* What a projector shall bring the student's map to. */
typedef struct target {
    const teacher_spec *teacher;
    int layer;              /* of that teacher */
    lower_head *head;       /* the triple's, NULL for a branch that feeds a loss alone */
} target;

static target target_of(const lower_build *build, int i)
{
    lower_head *head = &build->low->head[build->head];
    if (!lower_is_regressor(build, lower_at(build, i)))
        return (target){ .teacher = lower_teacher(build, head), .layer = head->tap, .head = head };
    const cfg_section *loss = lower_at(build, i + 1);
    return (target){ .teacher = &build->low->teacher[lower_answering_teacher(build, loss->index)],
                     .layer = cfg_int(loss, "teacher_layer", 0) };
}

/* A detector's classifier is for maps of one size. */
static int check_strides(const lower_build *build, int i, const layer_shape *student, const target *target)
{
    const layer_shape *tap = &target->teacher->shape->layer[target->layer];
    const cfg_section *p = lower_at(build, i);
    if (!target->head || !target->teacher->outs || (student->h == tap->h && student->w == tap->w)) return 0;
    diag_error(build->d, p->file, p->line, p->name,
               "a detector's heads must have the teacher's strides: its map is %dx%d (layer %d), student's %dx%d "
               "(layer %d)", tap->w, tap->h, target->layer, student->w, student->h, i - 1);
    diag_hint(build->d, "triples take the teacher's heads in order; tap=N names another");
    return -1;
}

/* Brings student and teacher maps to one size: pools the larger. */
static int match_maps(lower_build *build, int i, const layer_shape *student, const target *target)
{
    const layer_shape *tap = &target->teacher->shape->layer[target->layer];
    const cfg_section *p = lower_at(build, i);
    if (!has_map(student)) {
        diag_error(build->d, p->file, p->line, p->name, "the layer before, [%s], has no feature map",
                   lower_at(build, i - 1)->name);
        return -1;
    }
    if (check_strides(build, i, student, target)) return -1;
    int down = whole_factor(student->h, student->w, tap->h, tap->w);
    int up = whole_factor(tap->h, tap->w, student->h, student->w);
    if (down > 1) {
        append_pool(build, p, student->c, down);
        if (target->head) target->head->pool = build->lowered_layers - 1;
    }
    if (down || up) return 0;
    diag_error(build->d, p->file, p->line, p->name,
               "map sizes do not divide: teacher's is %dx%d (layer %d), student's %dx%d (layer %d)",
               tap->w, tap->h, target->layer, student->w, student->h, i - 1);
    diag_hint(build->d,
              "both sides must differ by the same whole factor; change a stride of the student or [teacher] width= "
              "height=");
    return -1;
}

static int check_feed(const lower_build *build, int i)
{
    const cfg_section *p = lower_at(build, i);
    if (i > 0) return check_previous(build, i);
    diag_error(build->d, p->file, p->line, p->name, "no student layer before it");
    diag_hint(build->d, "the student's encoder comes first, then [projector], [feature_l2] and [reused_classifier]");
    return -1;
}

/* Pools where maps differ, then appends the stack of convolutions. */
int lower_projector(lower_build *build, int i)
{
    if (check_feed(build, i)) return -2;
    target target = target_of(build, i);
    build->map[i] = build->map[i - 1];
    if (target.head) target.head->feeds = build->map[i];
    if (target.head) target.head->at = lower_at(build, i);
    if (build->student_bad) return -1;
    net_shape *shape = lower_shapes_so_far(build);
    if (!shape) return -2;
    layer_shape feed = shape->layer[shape->n - 1];
    shapes_free(shape);
    int bad = match_maps(build, i, &feed, &target), first = build->lowered_layers;
    int n = has_map(&feed) ? projector_append(build->low->cfg, lower_at(build, i), feed.c,
                                              target.teacher->shape->layer[target.layer].c,
                                              tap_activation(target.teacher->cfg, target.layer), build->d) : -1;
    if (n < 0) return -2;
    lower_mark(build, ROLE_PROJECTOR);
    build->map[i] = build->lowered_layers - 1;
    if (!target.head) return bad;
    target.head->projector = n ? first : -1;
    target.head->projectors = n;
    return bad;
}

/* `taught` is NULL for labels. */
static loss_place place_of(const layer_shape *student, const layer_shape *taught, int classes)
{
    loss_place place = { .c = student->c ? student->c : student->outputs, .h = student->h ? student->h : 1,
                         .w = student->w ? student->w : 1, .classes = classes };
    if (!taught) return place;
    place.teacher_c = taught->c ? taught->c : taught->outputs;
    place.teacher_h = taught->h ? taught->h : 1;
    place.teacher_w = taught->w ? taught->w : 1;
    return place;
}

/* Who teaches the loss whose stand-in has just been appended, and what. */
static taught_loss taught_by(const lower_build *build, const cfg_section *section, const section_type *type,
                             loss_kind kind)
{
    const lowered *low = build->low;
    lower_head *head = &low->head[build->head];
    taught_loss loss = { .type = type, .section = section, .layer = build->lowered_layers - 1, .teacher = -1,
                         .fade = cfg_float(section, "fade", 0),
                         .head = kind == LOSS_OWN && type->asks != TEACH_MAP ? -1 : build->head };
    if (type->asks == TEACH_ANSWER) {
        loss.teacher = kind == LOSS_OWN ? lower_answering_teacher(build, section->index) : head->teacher;
        loss.taught = low->teacher[loss.teacher].answer;
        loss.tap_index = low->teacher[loss.teacher].taps;
    } else if (type->asks == TEACH_HEAD) {
        loss.teacher = head->teacher;
        loss.taught = head->tap;
        loss.tap_index = head->tap_index;
    } else if (lower_is_free(section)) {
        loss.teacher = lower_answering_teacher(build, section->index);
        loss.taught = cfg_int(section, "teacher_layer", 0);
        loss.tap_index = lower_tap_index(&low->teacher[loss.teacher], loss.taught);
        loss.head = -1;
    } else if (type->asks == TEACH_MAP) {
        head->loss = loss.layer;
        loss.teacher = head->teacher;
        loss.taught = head->tap;
        loss.tap_index = head->tap_index;
    }
    return loss;
}

/* What the host parses in the place of a loss with this row. */
static void append_stand_in(lower_build *build, const cfg_section *section, const section_type *type)
{
    const section_type *lowers = build->type;
    net_shape *shape = type->append ? lower_shapes_so_far(build) : NULL;
    if (shape) type->append(build->low->cfg, section, shape->layer[shape->n - 1].c);
    else cfg_set(cfg_append(build->low->cfg, "activation", section->file, section->line), "activation", "linear");
    shapes_free(shape);
    build->type = type;
    lower_mark(build, ROLE_LOSS);
    build->type = lowers;
}

void lower_append_loss(lower_build *build, const cfg_section *section, const section_type *type, loss_kind kind)
{
    lowered *low = build->low;
    append_stand_in(build, section, type);
    low->loss = mem_realloc(low->loss, (size_t)low->losses + 1, sizeof *low->loss);
    low->loss[low->losses++] = taught_by(build, section, type, kind);
    if (kind != LOSS_YARDSTICK) low->trained = build->lowered_layers;
}

/* A loss outside of triples has nothing to measure itself by. 0, or -1 after reporting. */
static int check_scale(const lower_build *build, int i)
{
    const cfg_section *section = lower_at(build, i);
    int of_triple = build->type->asks == TEACH_MAP && !lower_is_free(section);
    if (of_triple || !section_scale_is_auto(section)) return 0;
    diag_error(build->d, section->file, cfg_line(section, "scale"), section->name,
               "scale=auto is for losses of a triple: this one stands on %s",
               build->type->asks == TEACH_MAP ? "a map of the student's" : "the student's own output");
    return -1;
}

/* One behind a tail has been lowered with it. */
int lower_loss(lower_build *build, int i)
{
    if (lower_behind_tail(build, i) >= 0) {
        build->map[i] = build->map[i - 1];
        return 0;
    }
    if (check_feed(build, i)) return -2;
    if (check_scale(build, i)) return -1;
    if (build->mode == LOWER_TRAIN) lower_append_loss(build, lower_at(build, i), build->type, LOSS_OWN);
    else if (build->type->append) append_stand_in(build, lower_at(build, i), build->type);   /* counted when pruned */
    else ++build->training_layers;
    build->map[i] = build->lowered_layers - 1;
    return 0;
}

/* Sizes, and what is reused of the teacher behind the loss. */
static void place_loss(const lowered *low, taught_loss *loss)
{
    const net_shape *shape = low->shape;
    const teacher_spec *teacher = loss->teacher < 0 ? NULL : &low->teacher[loss->teacher];
    loss->place = place_of(&shape->layer[loss->layer], teacher ? &teacher->shape->layer[loss->taught] : NULL,
                           shape->layer[shape->n - 1].outputs);
    if (!teacher || loss->head < 0 || loss->type->asks == TEACH_ANSWER) return;
    loss->place.teacher = teacher->cfg;
    loss->place.tail_of = low->head[loss->head].tail_of;
    loss->place.tails = low->head[loss->head].tails;
}

/* Does nobody read more of teacher t's tap `tap` than its channels' means? */
static char only_means(const lowered *low, int t, int tap)
{
    int readers = 0;
    for (int i = 0; i < low->losses; ++i) {
        const taught_loss *loss = &low->loss[i];
        int map = loss->type->asks == TEACH_MAP || loss->type->asks == TEACH_HEAD;
        if (loss->teacher != t || !map || loss->tap_index != tap) continue;
        if (!loss->type->reads_means || !loss->type->reads_means(loss->section)) return 0;
        ++readers;
    }
    return readers > 0;
}

/* A part of what? 0, or -1 after reporting. */
static int check_fade(const lowered *low, const taught_loss *loss, diag *d)
{
    if (!(loss->fade > 0) || cfg_int(cfg_net(low->source), "max_batches", 0) > 0) return 0;
    diag_error(d, loss->section->file, cfg_line(loss->section, "fade"), loss->section->name,
               "fade= is a part of [net] max_batches, which is not set");
    return -1;
}

int lower_place_losses(lower_build *build)
{
    lowered *low = build->low;
    int bad = 0;
    for (int i = 0; i < low->losses; ++i) {
        taught_loss *loss = &low->loss[i];
        place_loss(low, loss);
        bad |= check_fade(low, loss, build->d);
        if (loss->type->check) bad |= loss->type->check(loss->section, &loss->place, build->d);
    }
    for (int t = 0; t < low->teachers; ++t) {
        teacher_spec *teacher = &low->teacher[t];
        teacher->means = mem_calloc((size_t)teacher->taps + 1, 1);
        for (int tap = 0; tap < teacher->taps; ++tap) teacher->means[tap] = only_means(low, t, tap);
    }
    return bad;
}
