/* Lowering a distillation cfg to a stock cfg (see lower.h), in this order:
 *
 *   triples    every [projector] [feature_l2] [reused_classifier] complete and in order, a [teacher] there
 *   teachers   their cfgs, taps, input sizes; one tap for each triple (lower_taps.c)
 *   layers     section after section: copied, expanded, renumbered
 *   shapes     of the whole, and of the copied layers against the teacher's
 *
 * Each step reports all it finds; the next runs only where it would not repeat the same mistake. A plain cfg takes
 * the same road and comes out with absolute layer numbers. */
#include "lower_build.h"
#include "darknet_plugin/base/mem.h"
#include "layers/optimiser.h"

#include <stdlib.h>
#include <string.h>

/* Frees all that a lowering owns. */
void lower_free(lowered *low)
{
    if (!low) return;
    for (int i = 0; i < low->heads; ++i) free(low->head[i].tail_of);
    free(low->head);
    free(low->role);
    free(low->type);
    free(low->trained_as);
    free(low->loss);
    free(low->out);
    teachers_free(low->teacher, low->teachers);
    cfg_free(low->cfg);
    cfg_free(low->source);
    shapes_free(low->shape);
    free(low);
}

/* How a section of each role is lowered. */
static int (*const lower_role[])(lower_build *build, int i) = {
    [ROLE_STUDENT] = lower_stock, [ROLE_PROJECTOR] = lower_projector, [ROLE_LOSS] = lower_loss,
    [ROLE_TAIL] = lower_tail,
};

/* Is it the section that is wanted, or a loss that could stand in its place? */
static int stands_for(const cfg_section *there, const char *wanted)
{
    const section_type *type = section_type_named(there->name), *same = section_type_named(wanted);
    return type == same || (type && same && type->role == ROLE_LOSS && same->role == ROLE_LOSS &&
                            type->asks == same->asks);
}

static void check_neighbour(lower_build *build, const cfg_section *section, int step, const char *wanted,
                            const char *where)
{
    const cfg_section *there = lower_neighbour(build, section->index, step);
    if (!wanted || (there && stands_for(there, wanted))) return;
    diag_error(build->d, section->file, section->line, section->name, "expected [%s] %s it, not %s%s%s", wanted, where,
               there ? "[" : "", there ? there->name : "nothing", there ? "]" : "");
    diag_hint(build->d, "%s", section_type_named(section->name)->hint);
}

/* Checks who stands beside whom, and makes room for a head a triple. */
static void count_heads(lower_build *build)
{
    lowered *low = build->low;
    for (int i = 0; i < low->source->n; ++i) {
        const cfg_section *section = &low->source->section[i];
        const section_type *type = section_type_named(section->name);
        if (!type || lower_is_free(section) || lower_is_regressor(build, section)) continue;
        check_neighbour(build, section, -1, type->before, "before");
        check_neighbour(build, section, 1, type->after, "after");
        low->heads += type->role == ROLE_PROJECTOR;
        build->answers += type->role == ROLE_TAIL && cfg_int(section, "deploy", 1);
    }
    low->head = mem_calloc((size_t)low->heads + 1, sizeof *low->head);
    for (int i = 0; i < low->heads; ++i)
        low->head[i] = (lower_head){ .tap = -1, .tap_index = -1, .feeds = -1, .pool = -1, .projector = -1, .loss = -1,
                                     .tail = -1, .scores = -1 };
}

/* The first section that needs a teacher; NULL in a plain cfg. */
static const cfg_section *first_plugin(const cfg_file *cfg)
{
    for (int i = 0; i < cfg->n; ++i)
        if (section_type_named(cfg->section[i].name)) return &cfg->section[i];
    return NULL;
}

/* Sections that stand alone: a teacher nobody asks, questions without a teacher. */
static void check_teacher_there(lower_build *build)
{
    const cfg_section *teacher = cfg_first(build->low->source, "teacher"), *asks = first_plugin(build->low->source);
    if (asks && !teacher) {
        diag_error(build->d, asks->file, asks->line, asks->name, "there is no [teacher] section to learn from");
        diag_hint(build->d, "add [teacher] with cfg= and weights= after [net]");
    } else if (!teacher && cfg_first(build->low->source, "teachers")) {
        const cfg_section *teachers = cfg_first(build->low->source, "teachers");
        diag_error(build->d, teachers->file, teachers->line, teachers->name, "there is no [teacher] section");
        diag_hint(build->d, "[teachers] says how the answers of several [teacher] name= become one");
    } else if (teacher && !asks) {
        diag_error(build->d, teacher->file, teacher->line, teacher->name,
                   "nothing is learnt from it: [projector], [feature_l2] and [reused_classifier] are missing");
        diag_hint(build->d, "they stand at the end of the student, in this order");
    }
}

/* [net]: as deployed, or as the host reads it for this optimiser. 0, or -1 after reporting. */
static int lower_preamble(lower_build *build)
{
    cfg_section *net = cfg_append_copy(build->low->cfg, cfg_net(build->low->source));
    if (build->mode == LOWER_DEPLOY) {
        lower_deploy_net(net);
        return 0;
    }
    int optimiser = optimiser_of(net, build->d);
    if (optimiser < 0) return -1;
    optimiser_for_host(net, optimiser);
    build->low->optimiser = optimiser;
    return 0;
}

/* All layers, as far as it makes sense to go on. */
static int lower_all(lower_build *build)
{
    int n = cfg_layers(build->low->source), bad = lower_preamble(build);
    build->map = mem_calloc((size_t)n + 1, sizeof *build->map);
    for (int i = 0; i < n && bad != -2; ++i) {
        build->type = section_type_named(lower_at(build, i)->name);
        int status = lower_role[build->type ? build->type->role : ROLE_STUDENT](build, i);
        if (status) bad = status;
    }
    return bad ? bad : lower_combine(build);
}

static int read_teachers(lower_build *build)
{
    lowered *low = build->low;
    if (!cfg_first(low->source, "teacher")) return 0;
    int weights = build->mode == LOWER_TRAIN && !build->without_weights;
    int wanted = (weights ? TEACHERS_WEIGHTS : 0) | (low->heads ? TEACHERS_TAPS : 0);
    low->teacher = teachers_read(low->source, wanted, &low->teachers, build->d);
    return low->teacher ? 0 : -1;
}

/* A plain cfg does. Where a triple answers everything behind the encoder is the teacher's; other distillations have an
 * output of their own, which may learn from labels besides. */
static int output_learns_labels(const lower_build *build)
{
    const lowered *low = build->low;
    return !low->teacher || low->mode == LOWER_LABELS || (!build->answers && lower_label_loss(low->cfg));
}

static int loss_learns_labels(const lowered *low)
{
    for (int i = 0; i < low->losses; ++i)
        if (low->loss[i].type->asks == TEACH_LABELS && low->loss[i].layer < low->trained) return 1;
    for (int i = 0; i < low->heads; ++i)
        if (low->head[i].labels > 0) return 1;
    for (int i = 0; i < low->shape->n; ++i)
        if (low->role[i] == ROLE_LABELS) return 1;
    return 0;
}

/* All boxes but those that are no answer. */
static int answering_boxes(lowered *low)
{
    int n = lower_outputs(low->cfg, &low->out), kept = 0;
    for (int i = 0; i < n; ++i)
        if (low->role[low->out[i]] != ROLE_LABELS) low->out[kept++] = low->out[i];
    return kept;
}

/* Who learns from what. */
static int lower_assign(lower_build *build)
{
    if (lower_assign_taps(build)) return -1;
    return lower_choose_answers(build) | lower_assign_answers(build) | lower_assign_layers(build);
}

/* `clean` = 0: the text has mistakes that would be met again layer by layer, so only what is beside them is checked. */
static int lower_whole(lower_build *build, int clean)
{
    lowered *low = build->low;
    build->errors = diag_errors(build->d);
    count_heads(build);
    check_teacher_there(build);
    if (read_teachers(build) || !clean || diag_errors(build->d) > build->errors) return -1;
    if (low->teacher && lower_assign(build)) return -1;
    if (lower_all(build) || !(low->shape = shapes_infer(low->cfg, build->d))) return -1;
    int bad = lower_check_tails(build) | lower_check_end(build);
    lower_leave_out_combined(build);
    if (low->teacher && build->mode != LOWER_TRAIN && (bad || lower_prune(build))) return -1;
    if (build->mode == LOWER_LABELS && lower_check_labels(build)) return -1;
    int output = output_learns_labels(build);
    low->labels = output || loss_learns_labels(low);
    if (!low->losses || output) low->trained = low->shape->n;
    low->outs = answering_boxes(low);
    augment_read(low->source, low->cfg, &low->augment, build->d);
    augment_check_teachers(low, build->d);
    if (low->mode == LOWER_DEPLOY) lower_set_fit(low, low->augment.fit);
    return bad | lower_place_losses(build) | lower_check_augment(build) | lower_check_confidence(build);
}

/* Takes `source` over, even if it fails. `clean` = 0: the reader has found mistakes in it. */
static lowered *lower_source(cfg_file *source, lower_mode mode, int without_weights, int clean, diag *d)
{
    lower_build build = { .mode = mode, .d = d, .without_weights = without_weights,
                          .low = mem_calloc(1, sizeof *build.low) };
    build.low->mode = mode;
    build.low->source = source;
    build.low->cfg = cfg_new(source->path);
    int bad = cfg_net(source) ? lower_whole(&build, clean) : -1;   /* the reader has said that [net] is missing */
    free(build.map);
    if (!bad) return build.low;
    lower_free(build.low);
    return NULL;
}

lowered *lower_cfg(cfg_file *source, lower_mode mode, diag *d)
{
    return lower_source(source, mode, 0, 1, d);
}

const lower_head *lower_head_of(const lowered *low, int layer)
{
    for (int i = 0; i < low->heads; ++i) {
        const lower_head *head = &low->head[i];
        if (layer >= head->tail && layer < head->tail + head->tails) return head;
    }
    return NULL;
}

lowered *lower_read(const char *path, lower_mode mode, diag *d) { return lower_read_batch(path, mode, 0, d); }

lowered *lower_read_batch(const char *path, lower_mode mode, int batch, diag *d)
{
    int before = diag_errors(d);
    cfg_file *source = cfg_read(path, d);
    if (batch && source && cfg_net(source)) {
        cfg_set(&source->section[0], "batch", "%d", batch);
        cfg_set(&source->section[0], "subdivisions", "1");
    }
    return source ? lower_source(source, mode, 0, diag_errors(d) == before, d) : NULL;
}

/* Can each have a part of its own of a step's images, cut into as many parts as ever? */
static int check_divisible(const cfg_section *net, int processes, diag *d)
{
    int batch = cfg_int(net, "batch", 1), subdivisions = cfg_int(net, "subdivisions", 1);
    if (subdivisions < 1 || batch < 1 || batch % subdivisions) return 0;   /* said without us */
    if (subdivisions <= batch / processes && batch % (subdivisions * processes) == 0) return 0;
    diag_error(d, net->file, cfg_line(net, "batch"), net->name,
               "batch=%d is not divided by %d processes times subdivisions=%d", batch, processes, subdivisions);
    diag_hint(d, "batch is what all of them see in a step, subdivisions cuts each one's share");
    return -1;
}

/* What the user wrote stays so: runs by other numbers of processes compare it. */
lowered *lower_read_shared(const char *path, lower_mode mode, int processes, diag *d)
{
    int before = diag_errors(d);
    cfg_file *source = cfg_read(path, d);
    if (!source || processes < 2 || !cfg_net(source))
        return source ? lower_source(source, mode, 0, diag_errors(d) == before, d) : NULL;
    cfg_section *net = &source->section[0];
    char *text = mem_strdup(cfg_str(net, "subdivisions", ""));
    int bad = check_divisible(net, processes, d);
    if (!bad) cfg_set(net, "subdivisions", "%d", cfg_int(net, "subdivisions", 1) * processes);
    lowered *low = lower_source(source, mode, 0, diag_errors(d) == before, d);
    if (low && *text) cfg_set(&low->source->section[0], "subdivisions", "%s", text);
    else if (low) cfg_unset(&low->source->section[0], "subdivisions");
    free(text);
    return low;
}

lowered *lower_read_alone(const char *path, diag *d)
{
    int before = diag_errors(d);
    cfg_file *source = cfg_read(path, d);
    return source ? lower_source(source, LOWER_TRAIN, 1, diag_errors(d) == before, d) : NULL;
}
