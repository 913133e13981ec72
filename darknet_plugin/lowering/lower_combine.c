/* [teachers]: which triples answer in the deployed network, and the one classifier that answers for several.
 *
 * combine=NAME or last: that teacher's triples answer, the classifiers of the others are for training and measuring.
 * combine=logits: class scores are averaged before one [softmax]. Where each teacher's classifier is linear and reads
 * its map's means, z_k = W_k p_k + b_k with p_k the pooled projection, the weighted mean of class scores is a linear
 * classifier, too, of all p_k side by side:
 *
 *   sum over k of w_k z_k = W p + b    W = [w_1 W_1, w_2 W_2, ...]    p = [p_1, p_2, ...]    b = sum over k of w_k b_k
 *
 * Appended behind everything else: a [route] that joins the p_k, a 1x1 convolution that is W and b, and a [softmax].
 * W and b follow from the teachers' classifiers (model/model_combine.c), whose own copies are therefore left out of
 * weights files (dontsave, dontload) while W and b are in them: a training run's file is the deployed network's. */
#include "lower_build.h"

#include <stdlib.h>
#include <string.h>

static void blame(const lower_build *build, const char *key, const char *text)
{
    const cfg_section *at = build->low->combine.section;
    diag_error(build->d, at->file, cfg_line(at, key), at->name, "%s=%s: %s", key, cfg_str(at, key, ""), text);
}

/* ---- who answers ---- */

static int find_named(const lowered *low, const char *name)
{
    for (int t = 0; t < low->teachers; ++t)
        if (!strcmp(low->teacher[t].name, name)) return t;
    return -1;
}

/* Triples of teacher t that answer; the last of them in *head. */
static int answers_of(const lowered *low, int t, int *head)
{
    int n = 0;
    for (int i = 0; i < low->heads; ++i) {
        if (low->head[i].teacher != t || !low->head[i].answers) continue;
        *head = i;
        ++n;
    }
    return n;
}

static int has_boxes(const lowered *low)
{
    for (int t = 0; t < low->teachers; ++t)
        if (low->teacher[t].outs) return 1;
    return 0;
}

/* weights=, equal ones without it, divided by their sum; 0, or -1 after reporting. */
static int read_weights(lower_build *build)
{
    combining *combine = &build->low->combine;
    float *given = NULL;
    int n = combine->confidence ? 0 : cfg_floats(combine->section, "weights", &given);
    double sum = 0;
    for (int k = 0; k < combine->heads; ++k) sum += combine->weight[k] = n == combine->heads ? given[k] : 1;
    for (int k = 0; k < combine->heads; ++k) combine->weight[k] /= sum;
    free(given);
    if (!n || n == combine->heads) return 0;
    diag_error(build->d, combine->section->file, cfg_line(combine->section, "weights"), combine->section->name,
               "weights= has %d number%s, %d teachers answer", n, n > 1 ? "s" : "", combine->heads);
    diag_hint(build->d, "one for each [teacher], in their order");
    return -1;
}

/* combine=logits: every teacher that answers, once. */
static int read_logits(lower_build *build)
{
    lowered *low = build->low;
    combining *combine = &low->combine;
    if (has_boxes(low)) {
        blame(build, "combine", "boxes of several detectors have no mean");
        diag_hint(build->d, "combine=NAME lets one teacher's head answer, last the last triple's");
        return -1;
    }
    for (int t = 0; t < low->teachers; ++t) {
        int head = 0, n = answers_of(low, t, &head);
        if (n > 1) {
            blame(build, "combine", "a teacher answers by several triples");
            diag_hint(build->d, "[reused_classifier] deploy=0 in all of teacher %s's but one",
                      *low->teacher[t].name ? low->teacher[t].name : low->teacher[t].cfg_path);
            return -1;
        }
        if (n) combine->head[combine->heads++] = head;
    }
    if (combine->heads > 1) return read_weights(build);
    blame(build, "combine", "there are no two teachers whose triples answer");
    diag_hint(build->d, "one [teacher] name= and one triple each; without [teachers] a single one answers");
    return -1;
}

/* combine=last or a teacher's name. */
static int read_one(lower_build *build, const char *name)
{
    lowered *low = build->low;
    int head = 0, last = low->heads ? low->head[low->heads - 1].teacher : -1;
    int one = low->combine.one = strcmp(name, "last") ? find_named(low, name) : last;
    const char *problem = one < 0 ? "no [teacher] has this name" : NULL;
    if (one >= 0 && !answers_of(low, one, &head)) problem = "no triple of this teacher answers";
    if (!problem && !low->combine.confidence && cfg_find(low->combine.section, "weights")) {
        blame(build, "weights", "only combine=logits has weights");
        return -1;
    }
    if (!problem) return 0;
    blame(build, "combine", problem);
    diag_hint(build->d, "logits averages the class scores of all, last takes the last triple's answer, a teacher's "
              "name= that one's");
    return -1;
}

/* weights=confidence: every teacher has class scores, of as many classes as the others, and runs up to them. */
static int read_confidence(lower_build *build)
{
    lowered *low = build->low;
    int first = low->teacher[0].answer;
    low->combine.confidence = 1;
    for (int t = 0; t < low->teachers; ++t) {
        teacher_spec *teacher = &low->teacher[t];
        int alike = first >= 0 && teacher->answer >= 0 &&
                    teacher->shape->layer[teacher->answer].outputs == low->teacher[0].shape->layer[first].outputs;
        if (!alike || low->teachers < 2) {
            blame(build, "weights", "it takes several teachers that end on [softmax], all of as many classes");
            diag_hint(build->d, "confidence is how sure a teacher is of an image's class beside the others");
            return -1;
        }
        teacher_ask_answer(teacher);
    }
    return 0;
}

int lower_check_confidence(const lower_build *build)
{
    const lowered *low = build->low;
    int bad = 0;
    for (int i = 0; i < low->losses && low->combine.confidence; ++i) {
        const taught_loss *loss = &low->loss[i];
        if (loss->teacher < 0 || (loss->type->weighs && loss->type->weighs(loss->section))) continue;
        diag_error(build->d, loss->section->file, loss->section->line, loss->section->name,
                   "does not weigh images, as [teachers] weights=confidence wants");
        diag_hint(build->d, "[feature_l2] without pooled=, normalise=, metric= and weight=, and [kd] do");
        bad = -1;
    }
    return bad;
}

/* What [teachers] says; 0, or -1 after reporting. */
static int read_section(lower_build *build)
{
    combining *combine = &build->low->combine;
    const char *how = combine->section ? cfg_str(combine->section, "combine", NULL) : NULL;
    if (!combine->section) return 0;
    if (!strcmp(cfg_str(combine->section, "weights", ""), "confidence")) {
        if (read_confidence(build)) return -1;
        if (!how) return 0;
    }
    if (!how) {
        diag_error(build->d, combine->section->file, combine->section->line, combine->section->name,
                   "combine= is missing");
        diag_hint(build->d, "logits, last or a teacher's name; without [teachers] all classifiers are deployed");
        return -1;
    }
    combine->kind = strcmp(how, "logits") ? COMBINE_ONE : COMBINE_LOGITS;
    return combine->kind == COMBINE_LOGITS ? read_logits(build) : read_one(build, how);
}

int lower_choose_answers(lower_build *build)
{
    lowered *low = build->low;
    combining *combine = &low->combine;
    int head = 0;
    for (int i = 0; i < cfg_layers(low->source) && head < low->heads; ++i)
        if (cfg_is(lower_at(build, i), "reused_classifier"))
            low->head[head++].answers = cfg_int(lower_at(build, i), "deploy", 1);
    combine->section = cfg_first(low->source, "teachers");
    if (read_section(build)) return -1;
    for (int i = 0; i < low->heads; ++i)
        low->head[i].deploys = low->head[i].answers && (combine->kind == COMBINE_NOTHING ||
                               (combine->kind == COMBINE_ONE && low->head[i].teacher == combine->one));
    return 0;
}

int lower_speaker(const lowered *low)
{
    if (low->combine.kind == COMBINE_ONE) return low->combine.one;
    return low->heads ? low->head[low->heads - 1].teacher : 0;
}

/* ---- is a tail linear? ---- */

/* What is found going through one. */
typedef struct linear_tail {
    int classifier, softmax;      /* lowered layers, -1: not met */
    int at;                       /* the layer that is looked at */
} linear_tail;

/* Why a layer with weights is not one linear map of the means; NULL: it is. */
static const char *unfit_weights(const cfg_section *section, const layer_shape *shape)
{
    int x, y, size = cfg_int(section, "size", 1), padding = cfg_int(section, "padding", 0);
    if (strcmp(cfg_str(section, "activation", lower_default_activation(section->name)), "linear"))
        return "its activation is not linear";
    if (cfg_is(section, "connected"))
        return shape->in_h * shape->in_w > 1 ? "it reads every place of its map, not the mean" : NULL;
    if (cfg_int(section, "pad", 0)) padding = size / 2;
    if (size != 1 || padding) return "it is not 1x1";
    if (cfg_strides(section, &x, &y) || x > 1) return "its stride leaves places out";
    if (cfg_int(section, "groups", 1) > 1) return "it has groups";
    return cfg_int(section, "binary", 0) || cfg_int(section, "xnor", 0) ? "its weights are binary" : NULL;
}

/* Why layer tail->at has no place in one; NULL: it has. */
static const char *unfit(linear_tail *tail, const cfg_section *section, const net_shape *shape)
{
    const layer_shape *here = &shape->layer[tail->at];
    if (tail->softmax >= 0) return "it stands behind [softmax]";
    if (cfg_is(section, "avgpool")) return NULL;
    if (cfg_is(section, "softmax")) {
        tail->softmax = tail->at;
        if (tail->classifier < 0) return "there is no layer with weights before it";
        if (here->outputs != shape->layer[tail->classifier].c && shape->layer[tail->classifier].c)
            return "no [avgpool] averages the map";
        return cfg_int(section, "groups", 1) > 1 || cfg_find(section, "tree") ? "it has groups" : NULL;
    }
    if (!cfg_is(section, "convolutional") && !cfg_is(section, "connected")) return "it is not linear";
    if (tail->classifier >= 0) return "it is a second layer with weights";
    tail->classifier = tail->at;
    return unfit_weights(section, here);
}

static int refuse_tail(const lower_build *build, const lower_head *head, const cfg_section *section, const char *why)
{
    const char *name = lower_teacher(build, head)->name;
    blame(build, "combine", "classifiers that are not linear cannot become one");
    diag_hint(build->d, "teacher %s's [%s] (%s:%d): %s. Linear is [avgpool] and one 1x1 convolution or [connected], in "
              "either order, to [softmax]; [teacher] tap= behind it leaves it to the projector, combine=%s lets that "
              "one answer alone", name, section->name, section->file, section->line, why, name);
    return -1;
}

/* Goes through a head's tail: 0, or -1 after reporting. */
static int look_at_tail(const lower_build *build, const net_shape *shape, const lower_head *head, linear_tail *tail)
{
    const cfg_section *section = NULL;
    *tail = (linear_tail){ .classifier = -1, .softmax = -1 };
    for (int k = 0; k < head->tails; ++k) {
        if (head->tail_of[k] < 0) continue;
        tail->at = head->tail + k;
        section = cfg_layer(build->low->cfg, tail->at);
        const char *why = unfit(tail, section, shape);
        if (why) return refuse_tail(build, head, section, why);
    }
    if (tail->softmax >= 0) return 0;
    return refuse_tail(build, head, section ? section : build->low->combine.section, "the tail ends without [softmax]");
}

/* Do two answers mean the same? 0, or -1 after reporting. */
static int check_alike(const lower_build *build, const net_shape *shape, const linear_tail *one,
                       const linear_tail *other)
{
    int classes = shape->layer[one->softmax].outputs, others = shape->layer[other->softmax].outputs;
    const cfg_section *a = cfg_layer(build->low->cfg, one->softmax), *b = cfg_layer(build->low->cfg, other->softmax);
    if (classes == others && cfg_float(a, "temperature", 1) == cfg_float(b, "temperature", 1)) return 0;
    if (classes == others) {
        blame(build, "combine", "the teachers' [softmax] have unlike temperature=");
        return -1;
    }
    char text[80];
    snprintf(text, sizeof text, "one teacher has %d classes, another %d", classes, others);
    blame(build, "combine", text);
    diag_hint(build->d, "class scores have a mean where all know the same classes; combine=NAME lets one answer");
    return -1;
}

/* ---- what is appended ---- */

static void mark(lower_build *build)
{
    lower_mark(build, build->mode == LOWER_LABELS ? ROLE_STUDENT : ROLE_TAIL);
}

/* The layer with the head's pooled projection: before its tail, first in it, or made here. */
static int pooled_layer(lower_build *build, const net_shape *shape, const lower_head *head)
{
    cfg_file *cfg = build->low->cfg;
    const cfg_section *at = build->low->combine.section;
    const layer_shape *map = &shape->layer[head->tail - 1];
    int stands = head->tail - 1;
    if (map->h * map->w == 1) return stands;
    if (cfg_is(cfg_layer(cfg, head->tail), "avgpool")) return head->tail;
    cfg_set_ints(cfg_append(cfg, "route", at->file, at->line), "layers", &stands, 1);
    cfg_append(cfg, "avgpool", at->file, at->line);
    mark(build);
    return build->lowered_layers - 1;
}

/* Joins the maps and classifies. */
static void append_classifier(lower_build *build, const int *from, int classes, int softmax)
{
    lowered *low = build->low;
    const cfg_section *at = low->combine.section;
    cfg_set_ints(cfg_append(low->cfg, "route", at->file, at->line), "layers", from, low->combine.heads);
    cfg_section *conv = cfg_append(low->cfg, "convolutional", at->file, at->line);
    cfg_set(conv, "filters", "%d", classes);
    cfg_set(conv, "size", "1");
    cfg_set(conv, "stride", "1");
    cfg_set(conv, "activation", "linear");
    mark(build);
    low->combine.layer = build->lowered_layers - 1;
    cfg_append_copy(low->cfg, cfg_layer(low->cfg, softmax));
    mark(build);
}

/* Looks at all tails, then appends what pools, joins and classifies; 0, or -1 after reporting. */
static int combine_logits(lower_build *build, const net_shape *shape)
{
    lowered *low = build->low;
    linear_tail tail[MAX_TEACHERS] = { { .classifier = -1 } };
    int from[MAX_TEACHERS], n = low->combine.heads;
    for (int k = 0; k < n; ++k) {
        lower_head *head = &low->head[low->combine.head[k]];
        if (look_at_tail(build, shape, head, &tail[k]) || check_alike(build, shape, &tail[0], &tail[k])) return -1;
        head->linear = tail[k].classifier;
    }
    for (int k = 0; k < n; ++k) from[k] = pooled_layer(build, shape, &low->head[low->combine.head[k]]);
    append_classifier(build, from, shape->layer[tail[0].softmax].outputs, tail[n - 1].softmax);
    return 0;
}

/* A classifier that is not the network's last has as many classes as that one: labels are of one kind. */
static int check_one(const lower_build *build, const net_shape *shape)
{
    const lowered *low = build->low;
    int head = 0, last = shape->n - 1;
    if (has_boxes(low) || !answers_of(low, low->combine.one, &head)) return 0;
    int end = low->head[head].tail + low->head[head].tails - 1;
    if (end < 0 || shape->layer[end].outputs == shape->layer[last].outputs) return 0;
    blame(build, "combine", "its classes are not as many as those of the network's last classifier");
    diag_hint(build->d, "put its triple last");
    return -1;
}

int lower_combine(lower_build *build)
{
    if (build->low->combine.kind == COMBINE_NOTHING) return 0;
    net_shape *shape = lower_shapes_so_far(build);
    if (!shape) return -1;
    build->type = NULL;
    int bad = build->low->combine.kind == COMBINE_LOGITS ? combine_logits(build, shape) : check_one(build, shape);
    shapes_free(shape);
    return bad;
}

void lower_leave_out_combined(lower_build *build)
{
    lowered *low = build->low;
    for (int k = 0; k < low->combine.heads; ++k) {
        int i = low->head[low->combine.head[k]].linear;
        for (int s = 0; s < low->cfg->n; ++s) {
            if (low->cfg->section[s].index != i) continue;
            cfg_set(&low->cfg->section[s], "dontsave", "1");
            cfg_set(&low->cfg->section[s], "dontload", "1");
        }
        low->shape->stored -= low->shape->layer[i].stored;
        low->shape->layer[i].stored = 0;
    }
}
