/* What init writes besides the student's own sections, each line with its reason: the tables to edit when something
 * better has been measured (docs/results/, docs/guide.md).
 *
 *   PROJECTORS   tried in order: the first that costs little beside the networks that it joins
 *   TRIPLE       the sections of a triple and the losses behind it
 *   NET          [net] keys of a cfg that does not say how to train
 *
 * Left out: the price of each projector in accuracy on other networks than ResNet-56 and ResNet-20, a detector's. */
#include "init_internal.h"

#include "darknet_plugin/base/mem.h"
#include "layers/box_head.h"
#include "layers/projector.h"

#include <stdlib.h>

/* What answers are: one score a class; other scores, a map of them or those of a tree of classes; boxes; boxes that no
 * [kd] compares. */
enum { CLASSES = 1, SCORES = 2, BOXES = 4, ODD_BOXES = 8 };

/* ---- [projector] ---- */

#define SMALLER "others would be larger than this student, or a quarter of the teacher"
static const struct { const char *stack; int reduction, point; const char *why; } PROJECTORS[] = {
    { "1x1", 0, 0, "the best measured on CIFAR-100, a third of the paper's bottleneck in size (docs/results)" },
    { NULL, 2, 0, SMALLER }, { NULL, 4, 0, SMALLER }, { NULL, 8, 0, SMALLER }, { "depthwise", 2, 0, SMALLER },
    /* on a map of 1x1 a 3x3 convolution sees one pixel and padding */
    { "1x1-1x1", 2, 1, "the paper's on a map of one pixel; 4 and 8 are smaller" },
    { "1x1-1x1", 4, 1, SMALLER }, { "1x1-1x1", 8, 1, SMALLER },
    { "linear", 0, 2, "any other costs more than it joins; export -merge makes one layer of it and the classifier" },
};
enum { PROJECTOR_FORMS = sizeof PROJECTORS / sizeof *PROJECTORS };

/* A student's last map and the teacher's that it is to be like. */
typedef struct init_maps {
    const layer_shape *student, *teacher;
} init_maps;

static init_maps maps_of(const init_parts *parts, int head)
{
    const tap_head *ours = &parts->student->head[head], *theirs = &parts->teacher->head[parts->taught[head]];
    return (init_maps){ &parts->student->shape->layer[ours->tap], &parts->taught_shape->layer[theirs->tap] };
}

static void set_form(cfg_section *section, int form)
{
    if (PROJECTORS[form].stack) cfg_set(section, "stack", "%s", PROJECTORS[form].stack);
    if (PROJECTORS[form].reduction) cfg_set(section, "reduction", "%d", PROJECTORS[form].reduction);
}

/* Parameters of a projector between these maps; 0 where it cannot be. */
static size_t price(const init_maps *maps, int form)
{
    diag *quiet = diag_new();
    cfg_file *cfg = cfg_new("");
    cfg_section *net = cfg_append(cfg, "net", "", 0);
    cfg_set(net, "width", "%d", maps->student->w);
    cfg_set(net, "height", "%d", maps->student->h);
    cfg_set(net, "channels", "%d", maps->student->c);
    cfg_file *holder = cfg_new("");
    cfg_section *asked = cfg_append(holder, "projector", "", 0);
    set_form(asked, form);
    int n = projector_append(cfg, asked, maps->student->c, maps->teacher->c, "relu", quiet);
    net_shape *shape = n > 0 ? shapes_infer(cfg, quiet) : NULL;
    size_t params = shape ? shape->params : 0;
    shapes_free(shape);
    cfg_free(holder);
    cfg_free(cfg);
    diag_free(quiet);
    return params;
}

static size_t params_up_to(const net_shape *shape, int last)
{
    size_t sum = 0;
    for (int i = 0; i <= last; ++i) sum += shape->layer[i].params;
    return sum;
}

/* What a projector may cost: less than the encoder it stands behind, less than a quarter of the teacher, which is where
 * check begins to warn. */
static size_t budget(const init_parts *parts, int head)
{
    size_t encoder = params_up_to(parts->student->shape, parts->student->head[head].tap);
    size_t quarter = parts->teacher->shape->params / 4;
    return encoder < quarter ? encoder : quarter;
}

/* The first in the table that is not too dear. */
static int choose_form(const init_parts *parts, int head)
{
    init_maps maps = maps_of(parts, head);
    const layer_shape *least = maps.student->w < maps.teacher->w ? maps.student : maps.teacher;
    int point = least->w == 1 && least->h == 1, form = 0;
    size_t most = budget(parts, head);
    for (; form + 1 < PROJECTOR_FORMS; ++form) {
        if (PROJECTORS[form].point != point) continue;
        size_t params = price(&maps, form);
        if (params && params < most) break;
    }
    return form;
}

static void append_projector(init_cfg *made, const init_parts *parts, int head, const cfg_section *origin)
{
    int form = choose_form(parts, head);
    set_form(cfg_append(made->cfg, "projector", origin->file, origin->line), form);
    init_remark(made, PROJECTORS[form].reduction ? "reduction" : "stack", "%s", PROJECTORS[form].why);
}

/* ---- triples ---- */

/* key NULL: the section alone. A section begins where its name is another than the line's before. */
static const struct { unsigned kinds; const char *section, *key, *value, *why; } TRIPLE[] = {
    { CLASSES | SCORES, "projector", NULL, NULL, NULL },
    { BOXES | ODD_BOXES, "projector", "stack", "1x1",
      "a bottleneck squeezes a detector's narrow maps, and loses what boxes need" },
    { CLASSES | SCORES | ODD_BOXES, "feature_l2", NULL, NULL, NULL },
    { BOXES, "feature_l2", "scale", "2.4",
      "a student from nothing may gain by more, scale=auto; one with weights of its own loses by it (docs/guide.md)" },
    { BOXES, "feature_l2", "fade", "1",
      "nothing at the end: more exact boxes than with a map to the last" },
    { CLASSES, "reused_classifier", "labels", "1",
      "labels teach through the teacher's frozen classifier; without labels leave it out" },
    { BOXES, "reused_classifier", "labels", ".3",
      "boxes teach through the teacher's frozen head; without labels leave it out" },
    { SCORES | ODD_BOXES, "reused_classifier", NULL, NULL, NULL },
    { CLASSES, "kd", "temperature", "4",
      "so do the teacher's answers; both together did best on images held out" },
    { BOXES, "kd", "scale", ".3",
      "like labels' .3: through a head that is finished a third of the loss suits the learning rate that labels like" },
    { BOXES, "kd", "iou_normalizer", "10",
      "where boxes are, beside whether they are: else those of the student stay less exact" },
};
enum { TRIPLE_LINES = sizeof TRIPLE / sizeof *TRIPLE };

/* Can a loss compare the boxes of this head with the student's, place by place? */
static int compares_boxes(const init_parts *parts, int head)
{
    const tap_head *theirs = &parts->teacher->head[parts->taught[head]];
    int tail[2] = { theirs->classifier, theirs->out };
    loss_place place = { .teacher = parts->teacher->cfg, .tail_of = tail, .tails = 2 };
    init_maps maps = maps_of(parts, head);
    box_head found;
    diag *quiet = diag_new();
    int same = maps.student->h == maps.teacher->h && maps.student->w == maps.teacher->w;
    int refused = box_head_find(cfg_layer(parts->teacher->cfg, theirs->out), NULL, &place, &found, quiet);
    diag_free(quiet);
    return same && !refused && theirs->out == theirs->classifier + 1;
}

/* What the teacher's answers are; all of a detector's heads alike. */
static unsigned kind_of(const init_parts *parts)
{
    const init_net *teacher = parts->teacher;
    if (init_is_detector(teacher)) {
        for (int i = 0; i < parts->student->heads; ++i)
            if (!compares_boxes(parts, i)) return ODD_BOXES;
        return BOXES;
    }
    const cfg_section *out = cfg_layer(teacher->cfg, teacher->head->out);
    const layer_shape *scores = &parts->taught_shape->layer[out->index - 1];
    int parted = cfg_find(out, "tree") || cfg_int(out, "groups", 1) > 1;
    return !parted && scores->h <= 1 && scores->w <= 1 && scores->outputs > 1 ? CLASSES : SCORES;
}

int init_triple_sections(const init_parts *parts)
{
    unsigned kind = kind_of(parts);
    int n = 0;
    const char *last = "";
    for (int i = 0; i < TRIPLE_LINES; ++i) {
        if (!(TRIPLE[i].kinds & kind)) continue;
        n += TRIPLE[i].section != last;
        last = TRIPLE[i].section;
    }
    return n;
}

/* Reasons stand in the first triple only. */
void init_append_triple(init_cfg *made, const init_parts *parts, int head, const cfg_section *origin)
{
    unsigned kind = kind_of(parts);
    init_maps maps = maps_of(parts, head);
    const char *last = "";
    for (int i = 0; i < TRIPLE_LINES; ++i) {
        if (!(TRIPLE[i].kinds & kind)) continue;
        int begins = TRIPLE[i].section != last, first = !*last;
        last = TRIPLE[i].section;
        if (first && !TRIPLE[i].key) append_projector(made, parts, head, origin);
        else if (begins) cfg_append(made->cfg, last, origin->file, origin->line);
        if (TRIPLE[i].key) cfg_set(&made->cfg->section[made->cfg->n - 1], TRIPLE[i].key, "%s", TRIPLE[i].value);
        if (TRIPLE[i].key && TRIPLE[i].why && !head) init_remark(made, TRIPLE[i].key, "%s", TRIPLE[i].why);
        if (first)
            init_remark(made, NULL, "The student's map of %dx%dx%d becomes the teacher's, %dx%dx%d, layer %d there.",
                        maps.student->c, maps.student->h, maps.student->w, maps.teacher->c, maps.teacher->h,
                        maps.teacher->w, parts->teacher->head[parts->taught[head]].tap);
    }
}

/* ---- [net] ---- */

/* Of networks that do not say how to train. */
static const struct { const char *key, *value; } NET[] = {
    { "learning_rate", "0.05" }, { "momentum", "0.9" }, { "decay", "0.0005" }, { "burn_in", "100" },
    { "policy", "poly" }, { "power", "1" },
};
enum { AT_A_TIME = 8, BATCH = 64, LENGTH = 10000 };

/* Batch norm wants images together. */
static void set_batch(init_cfg *made, cfg_section *net)
{
    int batch = cfg_int(net, "batch", 1), parts = cfg_int(net, "subdivisions", 1);
    if (batch / parts >= AT_A_TIME) return;
    int whole = batch < AT_A_TIME ? BATCH : batch, cut = whole / AT_A_TIME;
    while (whole % cut) --cut;
    cfg_set(net, "batch", "%d", whole);
    cfg_set(net, "subdivisions", "%d", cut);
    init_remark(made, "subdivisions", "batch norm wants %d images or more at a time; this was %d of %d", AT_A_TIME,
                batch, parts);
}

/* The rate and the length of the student's own training, as far as it says them. */
static void set_recipe(init_cfg *made, cfg_section *net)
{
    int silent = !(cfg_float(net, "learning_rate", 0) > 0);
    if (silent) cfg_unset(net, "learning_rate");
    for (size_t i = 0; silent && i < sizeof NET / sizeof *NET; ++i)
        if (!cfg_find(net, NET[i].key)) cfg_set(net, NET[i].key, "%s", NET[i].value);
    if (silent) init_remark(made, "learning_rate", "the student's cfg does not say one");
    else init_remark(made, "learning_rate", "the student's own");
    int steps = cfg_int(net, "max_batches", 0) < 1;
    if (steps) cfg_set(net, "max_batches", "%d", LENGTH);
    init_remark(made, "max_batches", "epochs * images / batch: fit it to your data%s%s",
                cfg_find(net, "steps") && !steps ? ", steps= alike" : "",
                cfg_find(net, "burn_in") && !steps ? ", burn_in= to a tenth of it" : "");
}

void init_append_net(init_cfg *made, const init_parts *parts)
{
    const cfg_section *taught = cfg_net(parts->teacher->cfg);
    cfg_section *net = cfg_append_copy(made->cfg, cfg_net(parts->student->cfg));
    const init_job *job = parts->job;
    made->note = mem_realloc(made->note, (size_t)made->notes + 1, sizeof *made->note);
    made->note[made->notes++] = (init_note){ .section = -1, .text = job->student
        ? mem_printf("%s learns from %s.", job->student, job->teacher)
        : mem_printf("%s, %g times as wide and %g times as deep, learns from it.", job->teacher, job->width,
                     job->depth) };
    set_batch(made, net);
    set_recipe(made, net);
    if (!cfg_find(taught, "letter_box")) return;
    cfg_set(net, "letter_box", "%d", cfg_int(taught, "letter_box", 0));
    init_remark(made, "letter_box", "as the teacher saw its images");
}

/* ---- [teacher] ---- */

/* tap=auto gives the same, in the same order. */
static int is_auto(const init_parts *parts)
{
    if (parts->student->heads != parts->teacher->heads) return 0;
    for (int i = 0; i < parts->student->heads; ++i)
        if (parts->taught[i] != i) return 0;
    return 1;
}

/* Its files, and its taps where they are not found by themselves in this order. */
void init_append_teacher(init_cfg *made, const init_parts *parts)
{
    const init_job *job = parts->job;
    cfg_section *teacher = cfg_append(made->cfg, "teacher", job->teacher, 0);
    cfg_set(teacher, "cfg", "%s", job->teacher);
    if (job->weights) cfg_set(teacher, "weights", "%s", job->weights);
    else init_remark(made, NULL, "To train, it needs the teacher's weights: weights=FILE below cfg=.");
    if (is_auto(parts)) return;
    int heads = parts->student->heads, *tap = mem_calloc((size_t)heads, sizeof *tap);
    for (int i = 0; i < heads; ++i) tap[i] = parts->teacher->head[parts->taught[i]].tap;
    cfg_set_ints(teacher, "tap", tap, heads);
    free(tap);
    init_remark(made, "tap", "in the order of the student's heads");
}

/* ---- [augment] ---- */

static const char *const stock_keys[] = { "min_crop", "max_crop", "min_ratio", "max_ratio", "angle", "aspect", NULL };

static int has_any(const cfg_section *section, const char *const *key)
{
    for (; *key; ++key)
        if (cfg_find(section, *key)) return 1;
    return 0;
}

/* Images as the teacher's author showed them, where its cfg tells and [augment] does not say otherwise. */
static void fit_as_teacher(init_cfg *made, const init_parts *parts, cfg_section *augment)
{
    const char *what;
    if (cfg_find(augment, "fit") || cfg_find(cfg_net(parts->teacher->cfg), "letter_box") ||
        !cfg_fork_sign(parts->teacher->cfg, &what)) return;
    cfg_set(augment, "fit", "stretch");
    init_remark(made, "fit", "as AlexeyAB's Darknet showed the teacher its images");
}

/* Boxes: moved and stretched as their head's cfg says, which goes with the head. */
static void augment_boxes(init_cfg *made, const init_parts *parts)
{
    const init_net *from = parts->student->head->out < 0 ? parts->teacher : parts->student;
    const cfg_section *head = cfg_layer(from->cfg, from->head->out);
    cfg_section *augment = cfg_append(made->cfg, "augment", head->file, head->line);
    cfg_set(augment, "flip", "1");
    cfg_set(augment, "jitter", "%s", cfg_str(head, "jitter", "0.2"));
    cfg_set(augment, "random", "%s", cfg_str(head, "random", "0"));
    if (cfg_float(head, "random", 0) > 0) init_remark(made, "random", "changing sizes; 0 is faster, and fits a cache");
    fit_as_teacher(made, parts, augment);
}

/* Small images: moved by an eighth, mirrored. */
static void augment_small(init_cfg *made, const init_parts *parts)
{
    enum { SMALL = 64, EIGHTH = 8 };
    const net_shape *shape = parts->student->shape;
    const cfg_section *net = cfg_net(parts->student->cfg);
    if (shape->w > SMALL || shape->h > SMALL || has_any(net, stock_keys)) return;
    cfg_section *augment = cfg_append(made->cfg, "augment", net->file, net->line);
    cfg_set(augment, "pad", "%d", shape->w / EIGHTH);
    cfg_set(augment, "flip", "%d", cfg_int(net, "flip", 1));
    init_remark(made, "flip", "0 for what means something else mirrored, as letters do");
}

/* The student's own, or what goes with its head, or what small images are trained with. Larger ones: stock Darknet's
 * augmentation is on where there is no [augment]. */
void init_append_augment(init_cfg *made, const init_parts *parts)
{
    const cfg_section *own = cfg_first(parts->student->cfg, "augment");
    cfg_section *copy = own ? cfg_append_copy(made->cfg, own) : NULL;
    int boxes = init_is_detector(parts->teacher);
    if (copy && boxes) fit_as_teacher(made, parts, copy);
    else if (!copy && boxes) augment_boxes(made, parts);
    else if (!copy) augment_small(made, parts);
}
