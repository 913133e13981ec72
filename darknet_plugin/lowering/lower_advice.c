/* What a cfg means that its author hardly wants (see lower.h): nothing would be trained, batch norm of one image, a
 * projector larger than what it saves. None of it is a mistake that Darknet would meet. */
#include "layers/fork_heads.h"
#include "lower_build.h"

#include <string.h>

/* ---- nothing to learn from ---- */

/* The section to blame: a loss that is turned off, else the last layer. */
static const cfg_section *lossless(const cfg_file *cfg)
{
    for (int i = 0; i < cfg_layers(cfg); ++i)
        if (cfg_int(cfg_layer(cfg, i), "noloss", 0)) return cfg_layer(cfg, i);
    return cfg_layer(cfg, cfg_layers(cfg) - 1);
}

/* A head that would learn from labels and cannot; NULL if there is none. */
static const cfg_section *unlearning_head(const lowered *low)
{
    for (int i = 0; low->labels && i < low->trained && i < low->shape->n; ++i)
        if (fork_head_of(cfg_layer(low->cfg, i)) == HEAD_GAUSSIAN) return cfg_layer(low->cfg, i);
    return NULL;
}

/* Boxes of new_coords whose layer before gives no probabilities; NULL if there are none. */
static const cfg_section *unbounded_head(const lowered *low)
{
    for (int i = 1; low->labels && i < low->trained && i < low->shape->n; ++i) {
        const cfg_section *head = cfg_layer(low->cfg, i), *before = cfg_layer(low->cfg, i - 1);
        const char *def = lower_default_activation(before->name);
        if (fork_head_of(head) == HEAD_NEW_COORDS && strcmp(cfg_str(before, "activation", def ? def : ""), "logistic"))
            return head;
    }
    return NULL;
}

/* Boxes of AlexeyAB's that no loss on labels is written for. */
static int check_heads(const lowered *low, int warn, diag *d)
{
    const cfg_section *head = unlearning_head(low);
    const cfg_section *unbounded = unbounded_head(low);
    if (unbounded) {
        (warn ? diag_warn : diag_error)(d, unbounded->file, cfg_line(unbounded, "new_coords"), unbounded->name,
                                        "new_coords=1 learns from labels where the layer before has "
                                        "activation=logistic");
        return warn ? 0 : -1;
    }
    if (!head) return 0;
    (warn ? diag_warn : diag_error)(d, head->file, head->line, head->name,
                                    "cannot be trained from labels here: it runs, is measured and is distilled");
    diag_hint(d, "train it in AlexeyAB's Darknet, and distil from it here: that needs no labels");
    return warn ? 0 : -1;
}

/* A distillation whose losses are there and of no weight, and that learns from no labels either. */
static int check_scales(const lowered *low, int warn, diag *d)
{
    if (low->labels) return 0;
    for (int i = 0; i < low->losses; ++i) {
        const cfg_section *section = low->loss[i].section;
        if (section_scale_is_auto(section) || cfg_float(section, "scale", 1) != 0) return 0;
    }
    const cfg_section *first = low->loss->section;
    (warn ? diag_warn : diag_error)(d, first->file, cfg_line(first, "scale"), first->name,
                                    "scale=0, and nothing else has a loss: training would change nothing");
    return warn ? 0 : -1;
}

int lower_check_loss(const lowered *low, int warn, diag *d)
{
    if (check_heads(low, warn, d)) return -1;
    if (low->losses) return check_scales(low, warn, d);
    if (lower_label_loss(low->cfg)) return 0;
    const cfg_section *last = lossless(low->cfg);
    int off = cfg_int(last, "noloss", 0);
    (warn ? diag_warn : diag_error)(d, last->file, cfg_line(last, "noloss"), last->name,
                                    off ? "noloss=1, and nothing else has a loss: training would change nothing"
                                        : "nothing in this network has a loss: training would change nothing");
    diag_hint(d, off ? "leave out noloss=1" : "[softmax] at the end makes a classifier of it");
    return warn ? 0 : -1;
}

/* ---- one image at a time ---- */

/* The first trained layer with batch norm; with `point`, of those whose map is 1x1. NULL if there is none. */
static const cfg_section *first_normalised(const lowered *low, int point)
{
    for (int i = 0; i < low->trained && i < low->shape->n; ++i) {
        const cfg_section *section = cfg_layer(low->cfg, i);
        const layer_shape *shape = &low->shape->layer[i];
        int trained = low->role[i] == ROLE_STUDENT || low->role[i] == ROLE_PROJECTOR;
        if (!trained || !cfg_int(section, "batch_normalize", 0)) continue;
        if (!point || (shape->h <= 1 && shape->w <= 1)) return section;
    }
    return NULL;
}

/* Batch norm of a single image, and of one whose map is a single value. */
static void warn_one_image(const lowered *low, diag *d)
{
    const cfg_section *net = cfg_net(low->source), *all = first_normalised(low, 0), *point = first_normalised(low, 1);
    if (!all || low->shape->batch / low->shape->subdivisions != 1) return;
    if (point)
        diag_warn(d, net->file, cfg_line(net, "batch"), net->name,
                  "batch=%d subdivisions=%d is one image at a time: batch norm makes its biases of the 1x1 map of [%s] "
                  "(line %d), whatever the image", low->shape->batch, low->shape->subdivisions, point->name,
                  point->line);
    else
        diag_warn(d, net->file, cfg_line(net, "batch"), net->name,
                  "batch=%d subdivisions=%d is one image at a time: batch norm sees the mean and variance of that "
                  "alone",
                  low->shape->batch, low->shape->subdivisions);
    diag_hint(d, "batch norm wants some images together: batch / subdivisions of 8 or more");
}

void lower_warn_training(const lowered *low, diag *d)
{
    const cfg_section *net = cfg_net(low->source);
    warn_one_image(low, d);
    if (cfg_float(net, "learning_rate", 1) == 0)
        diag_warn(d, net->file, cfg_line(net, "learning_rate"), net->name, "learning_rate=0: no weight will change");
}

/* ---- projectors ---- */

static size_t parameters(const lowered *low, const lower_head *head)
{
    size_t sum = 0;
    for (int i = 0; i < head->projectors; ++i) sum += low->shape->layer[head->projector + i].params;
    return sum;
}

/* A 3x3 in it that sees one pixel: what stack=1x1-1x1 would take instead; 0 if there is no such. */
static size_t without_3x3(const lowered *low, const lower_head *head)
{
    if (head->projectors < 3) return 0;
    const layer_shape *first = &low->shape->layer[head->projector], *last = first + head->projectors - 1;
    size_t s = (size_t)first->in_c, m = (size_t)first->c, t = (size_t)last->c;
    return first->h == 1 && first->w == 1 ? s * m + m * t + 2 * (m + t) : 0;
}

/* Says what a smaller one would be. */
static void hint_stack(const lowered *low, const lower_head *head, diag *d)
{
    size_t less = without_3x3(low, head);
    if (less) diag_hint(d, "stack=1x1-1x1 does the same on a 1x1 map, with %zu parameters", less);
    else diag_hint(d, "reduction=8 or stack=depthwise is smaller, stack=linear costs nothing once merged");
}

/* Of 3x3 convolutions that see one pixel and eight zeros. */
static void warn_padding(const lowered *low, diag *d)
{
    for (int i = 0; i < low->heads; ++i) {
        const lower_head *head = &low->head[i];
        const cfg_section *section = head->at;
        if (!section || !without_3x3(low, head)) continue;
        diag_warn(d, section->file, section->line, section->name,
                  "%zu parameters, of which a 3x3 convolution sees nothing but padding beside its 1x1 map",
                  parameters(low, head));
        hint_stack(low, head, d);
    }
}

void lower_warn_projector(const lowered *low, diag *d)
{
    size_t projector = 0, teachers = 0, all = low->shape->params;
    const cfg_section *section = cfg_first(low->source, "projector");
    for (int i = 0; i < low->teachers; ++i) teachers += low->teacher[i].shape->params;
    for (int i = 0; i < low->heads; ++i) projector += parameters(low, &low->head[i]);
    if (!section || !low->teacher || (projector * 4 < teachers && all <= teachers)) {
        warn_padding(low, d);
        return;
    }
    if (all > teachers)
        diag_warn(d, section->file, section->line, section->name,
                  "the projector has %zu parameters: student, projector and classifier have %zu, more than the "
                  "teacher's %zu", projector, all, teachers);
    else
        diag_warn(d, section->file, section->line, section->name,
                  "the projector has %zu parameters, %.0f %% of the teacher's %zu", projector,
                  100. * (double)projector / (double)teachers, teachers);
    hint_stack(low, &low->head[0], d);
}
