/* Learning from labels (see lower.h): which sections do, and the mode in which the whole deployed network does
 * (LOWER_LABELS): the yardstick that a distillation has to beat. */
#include "darknet_plugin/host/host_facts.h"
#include "lower_build.h"

/* Does it compare itself with labels, where it is given some? */
static int reads_labels(const cfg_section *section)
{
    static const char *const losses[] = { "softmax", "logistic", "cost", "yolo", "Gaussian_yolo", "region", "detection",
                                          "iseg" };
    for (size_t i = 0; i < sizeof losses / sizeof *losses; ++i)
        if (cfg_is(section, losses[i]) && !cfg_int(section, "noloss", 0)) return 1;
    return 0;
}

int lower_label_loss(const cfg_file *cfg)
{
    int reads = 0;
    for (int i = 0; i < cfg_layers(cfg); ++i) reads |= reads_labels(cfg_layer(cfg, i));
    return reads;
}

void lower_limit_boxes(cfg_section *section)
{
    if (cfg_is_boxes(section) && cfg_int(section, "max", HOST_MOST_BOXES) > HOST_MOST_BOXES)
        cfg_set(section, "max", "%d", HOST_MOST_BOXES);
}

void lower_for_labels(cfg_section *section)
{
    cfg_unset(section, "noloss");
    lower_limit_boxes(section);
}

static int refuse(const lower_build *build, const char *why, const char *hint)
{
    diag_error(build->d, build->low->source->path, 0, NULL, "%s", why);
    diag_hint(build->d, "%s", hint);
    return -1;
}

/* The last layer says how many labels an image has; every other that reads them must want as many. */
static int same_labels(const lower_build *build)
{
    const net_shape *shape = build->low->shape;
    int last = shape->n - 1, bad = 0;
    for (int i = 0; i < last; ++i) {
        const cfg_section *section = cfg_layer(build->low->cfg, i), *end = cfg_layer(build->low->cfg, last);
        if (!reads_labels(section) || cfg_is_boxes(section) ||
            (!cfg_is_boxes(end) && shape->layer[i].outputs == shape->layer[last].outputs))
            continue;
        diag_error(build->d, section->file, section->line, section->name,
                   "learns from labels of %d classes, the last layer, [%s], has %d outputs", shape->layer[i].outputs,
                   end->name, shape->layer[last].outputs);
        bad = -1;
    }
    return bad;
}

int lower_check_labels(const lower_build *build)
{
    const lowered *low = build->low;
    if (!low->teacher)
        return refuse(build, "has no [teacher]: it is trained from labels anyway", "leave out -from-labels");
    if (!lower_label_loss(low->cfg))
        return refuse(build, "nothing in the deployed network learns from labels",
                      "it ends on none of [softmax], [yolo], [region]; [reused_classifier] layers= may leave it out");
    return same_labels(build);
}
