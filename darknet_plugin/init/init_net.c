/* A network with its shapes and its answers (see init.h).
 *
 * An answer is a [softmax], or a [yolo] or [region], with the layer with weights before it: tap_heads finds them. A
 * network without one may be an encoder alone: it ends on its last map. */
#include "init_internal.h"

#include "darknet_plugin/base/command.h"
#include "darknet_plugin/base/mem.h"

#include <stdlib.h>

static int is_any(const cfg_section *section, const char *const *list)
{
    for (; *list; ++list)
        if (cfg_is(section, *list)) return 1;
    return 0;
}

/* What goes with the classifier where an encoder alone ends on it. */
static const char *const pooled[] = { "avgpool", "dropout", "cost", NULL };
/* Ends that are answers, which no triple takes the place of. */
static const char *const foreign[] = { "detection", "iseg", "logistic", "softmax", "crop", "rnn", "gru", "lstm", "crnn",
                                       NULL };

static int has_map(const net_shape *shape, int layer)
{
    return shape->layer[layer].c > 0 && shape->layer[layer].h > 0 && shape->layer[layer].w > 0;
}

/* Has every answer a map? 0, or -1 after reporting. */
static int check_maps(const init_net *net, diag *d)
{
    for (int i = 0; i < net->heads; ++i) {
        const cfg_section *tap = cfg_layer(net->cfg, net->head[i].tap);
        if (has_map(net->shape, tap->index)) continue;
        diag_error(d, tap->file, tap->line, tap->name, "its output, which the last layer with weights reads, is no "
                   "feature map (layer %d)", tap->index);
        diag_hint(d, "networks of convolutions have maps; [rnn], [gru] and [lstm] on plain numbers have none");
        return -1;
    }
    return 0;
}

/* An encoder alone has one answer, which is not there. 0, or -1: it is none. */
static int take_encoder(init_net *net)
{
    int last = net->shape->n - 1;
    while (last >= 0 && is_any(cfg_layer(net->cfg, last), pooled)) --last;
    if (last < 0 || !has_map(net->shape, last) || is_any(cfg_layer(net->cfg, last), foreign)) return -1;
    net->head = mem_calloc(1, sizeof *net->head);
    *net->head = (tap_head){ .out = -1, .classifier = -1, .tap = last };
    net->heads = 1;
    return 0;
}

/* Says what it ends on, or what keeps its classifier from being told apart. */
static int no_answer(const init_net *net, const tap_problem *problem, diag *d)
{
    const cfg_section *layer = problem->layer;
    if (!layer) {
        diag_error(d, net->cfg->path, 0, NULL, "has no layers");
    } else if (problem->why) {
        diag_error(d, layer->file, layer->line, layer->name, "cannot tell where the classifier begins: %s (layer %d)",
                   problem->why, layer->index);
        diag_hint(d, "a classifier ends on one last layer with weights and [softmax], a detector's head on [yolo] or "
                     "[region]");
    } else {
        diag_error(d, layer->file, layer->line, layer->name, "the network ends on [%s]%s", layer->name,
                   ", not on [softmax], [yolo] or [region]");
        diag_hint(d, "what can teach ends on one of those; a student may also be an encoder, which ends on a map");
    }
    return -1;
}

int init_net_open(init_net *net, cfg_file *cfg, int encoder, diag *d)
{
    tap_problem problem;
    *net = (init_net){ .cfg = cfg, .shape = shapes_infer(cfg, d) };
    if (!net->shape) return -1;
    net->heads = tap_heads(cfg, net->shape, &net->head, &problem);
    if (net->heads) return check_maps(net, d);
    if (encoder && !problem.why && problem.layer && !take_encoder(net)) return 0;
    return no_answer(net, &problem, d);
}

/* Writes the numbers of a section that count layers from the front as one less. */
static void count_one_less(cfg_section *section)
{
    const char *key = lower_reader_key(section);
    int *number, n = key ? cfg_ints(section, key, &number) : 0;
    if (!n) return;
    for (int i = 0; i < n; ++i) number[i] -= number[i] > 0;
    cfg_set_ints(section, key, number, n);
    free(number);
}

cfg_file *init_uncropped(const cfg_file *cfg, diag *d)
{
    cfg_file *out = cfg_new(cfg->path);
    const cfg_section *crop = cfg_layer(cfg, 0);
    int crops = crop && cfg_is(crop, "crop");
    for (int i = 0; i < cfg->n; ++i) {
        if (crops && &cfg->section[i] == crop) continue;
        cfg_section *copy = cfg_append_copy(out, &cfg->section[i]);
        if (crops) count_one_less(copy);
    }
    if (!crops) return out;
    cfg_section *net = &out->section[0];
    diag_warn(d, crop->file, crop->line, crop->name,
              "left out of the student, whose input is what it leaves: the teacher would not see its random crop");
    diag_hint(d, "[net] max_crop= and [augment] pad= crop at random, for both alike");
    cfg_set(net, "width", "%d", cfg_int(crop, "crop_width", cfg_int(net, "width", 0)));
    cfg_set(net, "height", "%d", cfg_int(crop, "crop_height", cfg_int(net, "height", 0)));
    return out;
}

/* Whatever is wrong in it is said of it. */
int init_net_read(init_net *net, const char *path, int encoder, diag *d)
{
    int before = diag_errors(d);
    cfg_file *cfg = cfg_read(path, d);
    *net = (init_net){ .cfg = cfg };
    if (!cfg || !cfg_net(cfg) || diag_errors(d) > before) return -1;
    const cfg_section *teacher = cfg_first(cfg, "teacher");
    for (int i = 0; !teacher && i < cfg->n; ++i)
        if (section_type_named(cfg->section[i].name)) teacher = &cfg->section[i];
    if (!teacher) return init_net_open(net, cfg, encoder, d);
    diag_error(d, teacher->file, teacher->line, teacher->name, "this is a distillation already");
    diag_hint(d, "%s train trains it; student and teacher are plain networks, as %s export writes them",
              command_name(), command_name());
    return -1;
}

void init_net_free(init_net *net)
{
    cfg_free(net->cfg);
    shapes_free(net->shape);
    free(net->head);
    *net = (init_net){ .cfg = NULL };
}

int init_head_end(const init_net *net, const tap_head *head)
{
    int answers = head->out >= 0 && cfg_is_boxes(cfg_layer(net->cfg, head->out));
    return answers ? head->out : net->shape->n - 1;   /* a [cost] behind [softmax] goes, too */
}

void init_mark_answers(const init_net *net, char *mark)
{
    for (int i = 0; i < net->heads; ++i)
        for (int k = net->head[i].tap + 1; k <= init_head_end(net, &net->head[i]); ++k) mark[k] = 1;
}

int init_is_detector(const init_net *net)
{
    return net->heads && net->head->out >= 0 && cfg_is_boxes(cfg_layer(net->cfg, net->head->out));
}

int init_classes(const init_net *net, const tap_head *head)
{
    if (head->out < 0) return 0;
    const cfg_section *out = cfg_layer(net->cfg, head->out);
    return cfg_is_boxes(out) ? cfg_classes(out) : net->shape->layer[head->out].outputs;
}
