/* Every section and key that this Darknet reads, and our preamble. One row each; the reader (cfg_read.c) does the rest.
 * Layer sections of ours come from layers/sections.c (cfg_register_sections).
 *
 * Taken from what the host's parser asks for, with the ranges outside of which it divides by zero, overruns a
 * buffer or computes something else in silence. Keys of AlexeyAB's fork that change what a network computes are
 * listed with the one value at which both agree, or as NEVER where there is none; those that only steer its training or
 * its speed are ELSEWHERE. FORK_... are its keys that are read here, too, TRAINING_... those of them that are no part
 * of a deployed network. */
#include "cfg_keys.h"
#include "darknet_plugin/base/words.h"

#include <string.h>

#define BIG 2147483647.0
#define INT(n, lo, hi) { .name = n, .type = KEY_INT, .min = lo, .max = hi }
#define FLAG(n) INT(n, 0, 1)
#define COUNT(n) INT(n, 1, BIG)
#define FLOAT(n, lo, hi) { .name = n, .type = KEY_FLOAT, .min = lo, .max = hi }
#define REAL(n) FLOAT(n, -1e30, 1e30)
#define POSITIVE(n) FLOAT(n, 0, 1e30)
#define INTS(n, lo, hi) { .name = n, .type = KEY_INTS, .min = lo, .max = hi }
#define FLOATS(n, lo, hi) { .name = n, .type = KEY_FLOATS, .min = lo, .max = hi }
#define TEXT(n) { .name = n, .type = KEY_STR }
#define CHOICE(n, c, h) { .name = n, .type = KEY_CHOICE, .choices = c, .hint = h }
#define FOREIGN(n, v) { .name = n, .type = KEY_INT, .min = v, .max = v, .hint = NOT_HERE, .fork = 1 }
#define FORK_INT(n, lo, hi) { .name = n, .type = KEY_INT, .min = lo, .max = hi, .fork = 1 }
#define FORK_FLOAT(n, lo, hi) { .name = n, .type = KEY_FLOAT, .min = lo, .max = hi, .fork = 1 }
#define TRAINING_FLAG(n) { .name = n, .type = KEY_INT, .min = 0, .max = 1, .training = 1 }
#define TRAINING_FLOAT(n, hi) { .name = n, .type = KEY_FLOAT, .min = 0, .max = hi, .training = 1 }
#define TRAINING_CHOICE(n, c, h) { .name = n, .type = KEY_CHOICE, .choices = c, .hint = h, .training = 1 }
#define ELSEWHERE(n) { .name = n, .type = KEY_STR, .elsewhere = 1 }
#define NEVER(n) { .name = n, .type = KEY_STR, .never = 1, .hint = NOT_HERE, .fork = 1 }
#define FORK_CHOICE(n, c) { .name = n, .type = KEY_CHOICE, .choices = c, .fork = 1 }
#define END { .name = NULL }

#define NOT_HERE "this Darknet does not have that key and would compute something else"
#define ACTIVATION CHOICE("activation", CFG_ACTIVATIONS, "this Darknet would silently use relu")
#define STOCK_ACTIVATION CHOICE("activation", CFG_STOCK_ACTIVATIONS, "the host computes this section, and has no other")
#define HOST_ACTIVATION CHOICE("activation", CFG_STOCK_ACTIVATIONS, "AlexeyAB's Darknet has no other here")

/* Above 1 it is another way of saying cutmix=1 and mosaic=1. */
#define NET_MIXUP { .name = "mixup", .type = KEY_INT, .min = 0, .max = 4, .training = 1, .elsewhere_above = 1 }
static const key_row net_keys[] = {
    COUNT("batch"), COUNT("subdivisions"), COUNT("time_steps"),
    INT("width", 0, BIG), INT("height", 0, BIG), INT("channels", 0, BIG), INT("inputs", 0, BIG),
    POSITIVE("learning_rate"), FLOAT("momentum", 0, 1), POSITIVE("decay"),
    FLAG("adam"), FLOAT("B1", 0, 1), FLOAT("B2", 0, 1), POSITIVE("eps"),
    CHOICE("policy", "constant|step|steps|exp|poly|sigmoid|random|sgdr", "this Darknet would silently use constant"),
    INT("burn_in", 0, BIG), REAL("power"), COUNT("step"), REAL("scale"), REAL("gamma"),
    INTS("steps", -1, BIG), FLOATS("scales", 0, 1e30), INT("max_batches", 0, BIG),
    COUNT("max_crop"), COUNT("min_crop"), POSITIVE("max_ratio"), POSITIVE("min_ratio"), FLAG("center"),
    POSITIVE("clip"), REAL("angle"), POSITIVE("aspect"), POSITIVE("saturation"), POSITIVE("exposure"),
    POSITIVE("hue"), FLAG("flip"), FLAG("random"), FLAG("notruth"), INT("seen", 0, BIG),
    TRAINING_FLAG("mosaic"), NET_MIXUP, ELSEWHERE("mosaic_bound"), ELSEWHERE("cutmix"), ELSEWHERE("blur"),
    ELSEWHERE("gaussian_noise"),
    ELSEWHERE("max_chart_loss"), ELSEWHERE("dynamic_minibatch"), ELSEWHERE("ema_alpha"),
    ELSEWHERE("use_cuda_graph"), ELSEWHERE("adversarial_lr"), ELSEWHERE("optimized_memory"),
    ELSEWHERE("workspace_size_limit_MB"), ELSEWHERE("learning_rate_min"), ELSEWHERE("sgdr_cycle"),
    ELSEWHERE("sgdr_mult"), ELSEWHERE("seq_scales"), ELSEWHERE("track"), ELSEWHERE("augment_speed"),
    ELSEWHERE("sequential_subdivisions"), ELSEWHERE("try_fix_nan"), ELSEWHERE("weights_reject_freq"),
    ELSEWHERE("equidistant_point"), ELSEWHERE("badlabels_rejection_percentage"),
    ELSEWHERE("num_sigmas_reject_badlabels"), ELSEWHERE("loss_scale"), ELSEWHERE("contrastive"),
    ELSEWHERE("contrastive_jit_flip"), ELSEWHERE("contrastive_color"), ELSEWHERE("unsupervised"),
    ELSEWHERE("label_smooth_eps"), ELSEWHERE("resize_step"), ELSEWHERE("attention"),
    ELSEWHERE("show_receptive_field"), FORK_INT("letter_box", 0, 1),
    ELSEWHERE("input_calibration"), ELSEWHERE("max_epochs"), END
};

#define XNOR { .name = "xnor", .type = KEY_INT, .min = 0, .max = 1, .warn = \
    "stock Darknet pads a map of plus and minus ones with zeros, AlexeyAB's with minus ones; here as in stock Darknet" }

static const key_row convolutional_keys[] = {
    COUNT("filters"), COUNT("size"), COUNT("stride"), INT("pad", 0, BIG), INT("padding", 0, BIG), COUNT("groups"),
    FLAG("batch_normalize"), ACTIVATION, FLAG("binary"), XNOR, FLAG("flipped"), REAL("dot"),
    FORK_INT("dilation", 1, BIG), FORK_INT("stride_x", -1, BIG), FORK_INT("stride_y", -1, BIG),
    FOREIGN("antialiasing", 0), FOREIGN("cbn", 0), FOREIGN("bin_output", 0),
    FOREIGN("coordconv", 0), NEVER("share_index"),
    ELSEWHERE("assisted_excitation"), ELSEWHERE("sway"), ELSEWHERE("rotate"), ELSEWHERE("stretch"),
    ELSEWHERE("stretch_sway"), ELSEWHERE("angle"), ELSEWHERE("reverse"), ELSEWHERE("grad_centr"),
    ELSEWHERE("stream"), ELSEWHERE("wait_stream"), END
};
static const key_row deconvolutional_keys[] = {
    COUNT("filters"), COUNT("size"), COUNT("stride"), INT("pad", 0, BIG), INT("padding", 0, BIG),
    FLAG("batch_normalize"), STOCK_ACTIVATION, END
};
static const key_row local_keys[] = {
    COUNT("filters"), COUNT("size"), COUNT("stride"), INT("pad", 0, BIG), STOCK_ACTIVATION, END
};
static const key_row connected_keys[] = { COUNT("output"), FLAG("batch_normalize"), ACTIVATION, END };
static const key_row rnn_keys[] = {
    COUNT("output"), INT("hidden", 0, BIG), FLAG("batch_normalize"), FLAG("shortcut"), STOCK_ACTIVATION,
    FOREIGN("logistic", 0), END
};
static const key_row gru_keys[] = { COUNT("output"), FLAG("batch_normalize"), FLAG("tanh"), END };
static const key_row lstm_keys[] = { COUNT("output"), FLAG("batch_normalize"), END };
static const key_row crnn_keys[] = {
    COUNT("output_filters"), COUNT("hidden_filters"), FLAG("batch_normalize"), FLAG("shortcut"), STOCK_ACTIVATION, END
};
static const key_row maxpool_keys[] = {
    COUNT("size"), COUNT("stride"), INT("padding", 0, BIG), FOREIGN("maxpool_depth", 0), ELSEWHERE("out_channels"),
    FOREIGN("antialiasing", 0), FOREIGN("maxpool_zero_nonmax", 0), INT("stride_x", -1, BIG),
    INT("stride_y", -1, BIG), END
};
static const key_row dropout_keys[] = {
    FLOAT("probability", 0, .999999), ELSEWHERE("dropblock"), ELSEWHERE("dropblock_size_rel"),
    ELSEWHERE("dropblock_size_abs"), END
};
static const key_row normalization_keys[] = { REAL("alpha"), REAL("beta"), REAL("kappa"), COUNT("size"), END };
static const key_row activation_keys[] = { ACTIVATION, END };
static const key_row no_keys[] = { END };
static const key_row softmax_keys[] = {
    COUNT("groups"), FLOAT("temperature", 1e-30, 1e30), TEXT("tree"), FLOAT("spatial", 0, 1), FLAG("noloss"), END
};
static const key_row cost_keys[] = {
    CHOICE("type", "sse|masked|L1|smooth|seg|wgan", "this Darknet would silently use sse"),
    REAL("scale"), REAL("ratio"), REAL("noobj"), REAL("thresh"), END
};
static const key_row crop_keys[] = {
    COUNT("crop_height"), COUNT("crop_width"), FLAG("flip"), REAL("angle"), POSITIVE("saturation"),
    POSITIVE("exposure"), REAL("shift"), FLAG("noadjust"), END
};
static const key_row reorg_keys[] = {
    COUNT("stride"), FLAG("reverse"), FLAG("flatten"), INT("extra", 0, BIG), END
};
static const key_row upsample_keys[] = { INT("stride", -BIG, BIG), REAL("scale"), END };
static const key_row route_keys[] = {
    { .name = "layers", .type = KEY_INTS, .min = -BIG, .max = BIG, .required = 1 },
    FORK_INT("groups", 1, BIG), FORK_INT("group_id", 0, BIG), ELSEWHERE("stream"), ELSEWHERE("wait_stream"), END
};
static const key_row shortcut_keys[] = {
    { .name = "from", .type = KEY_INTS, .min = -BIG, .max = BIG, .required = 1 },
    ACTIVATION, REAL("alpha"), REAL("beta"),
    FORK_CHOICE("weights_type", "none|per_feature|per_layer|per_channel"),
    FORK_CHOICE("weights_normalization", "none|relu|avg_relu|softmax"), END
};
/* AlexeyAB's; the slope of what these may activate is known from the output alone, as of the host's. */
static const key_row scale_channels_keys[] = {
    { .name = "from", .type = KEY_INT, .min = -BIG, .max = BIG, .required = 1 },
    FLAG("scale_wh"), HOST_ACTIVATION, END
};
static const key_row sam_keys[] = {
    { .name = "from", .type = KEY_INT, .min = -BIG, .max = BIG, .required = 1 }, HOST_ACTIVATION, END
};
static const key_row reorg3d_keys[] = {
    COUNT("stride"),
    { .name = "reverse", .type = KEY_INT, .hint = "AlexeyAB's is not the opposite of its forward" }, END
};
/* How boxes are thinned out, of the last head: see detect.h. */
#define NMS { .name = "nms_kind", .type = KEY_CHOICE, .choices = "default|greedynms|diounms", .fork = 1, \
              .hint = "AlexeyAB's Darknet would silently use default" }, \
    FORK_FLOAT("beta_nms", 1e-6, 100)
static const key_row yolo_keys[] = {
    COUNT("classes"), COUNT("num"), INTS("mask", 0, BIG), FLOATS("anchors", 0, 1e30), COUNT("max"), REAL("jitter"),
    REAL("ignore_thresh"), REAL("truth_thresh"), POSITIVE("random"), TEXT("map"), FORK_INT("new_coords", 0, 1),
    FORK_FLOAT("scale_x_y", 1, 4),   /* boxes are decoded and learnt with it here, not by the host */
    /* the loss: layers/yolo_loss.h */
    TRAINING_CHOICE("iou_loss", "mse|iou|giou|diou|ciou", "AlexeyAB's Darknet would silently use iou"),
    TRAINING_CHOICE("iou_thresh_kind", "iou|giou|diou|ciou", "AlexeyAB's Darknet would silently use iou"),
    TRAINING_FLOAT("iou_thresh", 1e30), TRAINING_FLOAT("iou_normalizer", 1e30), TRAINING_FLOAT("obj_normalizer", 1e30),
    TRAINING_FLOAT("cls_normalizer", 1e30), TRAINING_FLOAT("delta_normalizer", 1e30),
    TRAINING_FLOAT("max_delta", 1e30), TRAINING_FLOAT("label_smooth_eps", 1), TRAINING_FLAG("objectness_smooth"),
    TRAINING_FLAG("focal_loss"), NMS,
    FLAG("deploy"),                  /* ours: see lower_stock */
    ELSEWHERE("uc_normalizer"), ELSEWHERE("beta1"), ELSEWHERE("resize"), ELSEWHERE("counters_per_class"),
    ELSEWHERE("show_details"), ELSEWHERE("track_history_size"),
    ELSEWHERE("sim_thresh"), ELSEWHERE("embedding_layer"), ELSEWHERE("dets_for_track"), ELSEWHERE("dets_for_show"),
    ELSEWHERE("track_ciou_norm"), END
};
static const key_row gaussian_yolo_keys[] = {
    COUNT("classes"), COUNT("num"), INTS("mask", 0, BIG), FLOATS("anchors", 0, 1e30), COUNT("max"), REAL("jitter"),
    REAL("ignore_thresh"), REAL("truth_thresh"), POSITIVE("random"), TEXT("map"), FORK_FLOAT("scale_x_y", 1, 4), NMS,
    CHOICE("yolo_point", "center", "boxes around a corner are not supported"),
    ELSEWHERE("iou_thresh"), ELSEWHERE("uc_normalizer"), ELSEWHERE("cls_normalizer"), ELSEWHERE("iou_normalizer"),
    ELSEWHERE("obj_normalizer"), ELSEWHERE("delta_normalizer"), ELSEWHERE("iou_loss"), ELSEWHERE("iou_thresh_kind"),
    ELSEWHERE("max_delta"), ELSEWHERE("resize"), ELSEWHERE("counters_per_class"), ELSEWHERE("label_smooth_eps"),
    ELSEWHERE("objectness_smooth"), ELSEWHERE("focal_loss"), ELSEWHERE("show_details"), END
};
static const key_row region_keys[] = {
    INT("coords", 0, BIG), COUNT("classes"), COUNT("num"), FLOATS("anchors", 0, 1e30), COUNT("max"), FLAG("log"),
    FLAG("sqrt"), FLAG("softmax"), FLAG("background"), REAL("jitter"), FLAG("rescore"), REAL("thresh"),
    INT("classfix", -BIG, BIG), FLAG("absolute"), POSITIVE("random"), REAL("coord_scale"), REAL("object_scale"),
    REAL("noobject_scale"), REAL("mask_scale"), REAL("class_scale"), FLAG("bias_match"), TEXT("tree"), TEXT("map"),
    FLAG("deploy"),
    ELSEWHERE("focal_loss"), ELSEWHERE("resize"), END
};
static const key_row detection_keys[] = {
    INT("coords", 0, BIG), COUNT("classes"), FLAG("rescore"), COUNT("num"), COUNT("side"), FLAG("softmax"),
    FLAG("sqrt"), COUNT("max"), REAL("coord_scale"), FLAG("forced"), REAL("object_scale"), REAL("noobject_scale"),
    REAL("class_scale"), REAL("jitter"), POSITIVE("random"), FLAG("reorg"), ELSEWHERE("resize"),
    END
};
static const key_row iseg_keys[] = { COUNT("classes"), INT("ids", 0, BIG), END };

static const key_row teacher_keys[] = {
    { .name = "cfg", .type = KEY_STR, .required = 1 }, TEXT("weights"),
    { .name = "tap", .type = KEY_INTS, .min = 0, .max = BIG, .choices = "auto" },
    COUNT("width"), COUNT("height"),
    { .name = "mean", .type = KEY_FLOATS, .min = -1e6, .max = 1e6, .counts = 1u << 1 | 1u << 3 },
    { .name = "std", .type = KEY_FLOATS, .min = 1e-6, .max = 1e6, .counts = 1u << 1 | 1u << 3 },
    FLOAT("eps", 1e-12, 1), CHOICE("fit", "crop|letterbox|stretch", NULL), TEXT("name"), TEXT("cache"),
    CHOICE("cache_type", "f16|f32|u8", NULL),
    INT("views", 1, 1000000), END
};
/* How several teachers' answers become one. */
static const key_row teachers_keys[] = {
    TEXT("combine"),
    { .name = "weights", .type = KEY_FLOATS, .min = 1e-6, .max = 1e6, .choices = "confidence",
      .hint = "a teacher whose answer is not to count: leave out its sections, or let combine= name another" }, END
};
static const key_row augment_keys[] = {
    INT("pad", 0, BIG), FLAG("flip"), FLOAT("jitter", 0, .9), FLOAT("random", 0, 4),
    CHOICE("fit", "crop|letterbox|stretch", NULL), FLOAT("mixup", 0, 1000), INT("cutout", 0, BIG),
    FLOAT("label_smoothing", 0, .999), FLAG("mosaic"), END
};
/* Above 1 it is AlexeyAB's, which stops there in so many steps at the beginning of a training. */
#define STOP_BACKWARD { .name = "stopbackward", .type = KEY_INT, .min = 0, .max = BIG, .elsewhere_above = 1 }
/* What the host asks of every layer section. */
static const key_row layer_keys[] = {
    FLAG("truth"), FLAG("onlyforward"), STOP_BACKWARD, FLAG("dontsave"), FLAG("dontload"),
    INT("numload", 0, BIG), FLAG("dontloadscales"), POSITIVE("learning_rate"), REAL("smooth"), ELSEWHERE("clip"),
    ELSEWHERE("dont_update"), ELSEWHERE("burnin_update"), ELSEWHERE("train_only_bn"), END
};

static const section_row sections[] = {
    { "net", "network", SECTION_PREAMBLE, net_keys },
    { "teacher", NULL, SECTION_PREAMBLE, teacher_keys },
    { "teachers", NULL, SECTION_PREAMBLE, teachers_keys },
    { "augment", NULL, SECTION_PREAMBLE, augment_keys },
    { "convolutional", "conv", SECTION_STOCK, convolutional_keys },
    { "deconvolutional", "deconv", SECTION_STOCK, deconvolutional_keys },
    { "local", NULL, SECTION_STOCK, local_keys },
    { "connected", "conn", SECTION_STOCK, connected_keys },
    { "maxpool", "max", SECTION_STOCK, maxpool_keys },
    { "avgpool", "avg", SECTION_STOCK, no_keys },
    { "softmax", "soft", SECTION_STOCK, softmax_keys },
    { "route", NULL, SECTION_STOCK, route_keys },
    { "shortcut", NULL, SECTION_STOCK, shortcut_keys },
    { "upsample", NULL, SECTION_STOCK, upsample_keys },
    { "reorg", NULL, SECTION_STOCK, reorg_keys },
    { "route_lhalf", NULL, SECTION_STOCK, route_keys },   /* read as [route] groups=2 */
    { "scale_channels", NULL, SECTION_STOCK, scale_channels_keys },
    { "sam", NULL, SECTION_STOCK, sam_keys },
    { "reorg3d", NULL, SECTION_STOCK, reorg3d_keys },
    { "dropout", NULL, SECTION_STOCK, dropout_keys },
    { "cost", NULL, SECTION_STOCK, cost_keys },
    { "yolo", NULL, SECTION_STOCK, yolo_keys },
    { "Gaussian_yolo", NULL, SECTION_STOCK, gaussian_yolo_keys },
    { "region", NULL, SECTION_STOCK, region_keys },
    { "detection", NULL, SECTION_STOCK, detection_keys },
    { "iseg", NULL, SECTION_STOCK, iseg_keys },
    { "activation", NULL, SECTION_STOCK, activation_keys },
    { "logistic", NULL, SECTION_STOCK, no_keys },
    { "l2norm", NULL, SECTION_STOCK, no_keys },
    { "normalization", "lrn", SECTION_STOCK, normalization_keys },
    { "batchnorm", NULL, SECTION_STOCK, no_keys },
    { "crop", NULL, SECTION_STOCK, crop_keys },
    { "rnn", NULL, SECTION_STOCK, rnn_keys },
    { "gru", NULL, SECTION_STOCK, gru_keys },
    { "lstm", NULL, SECTION_STOCK, lstm_keys },
    { "crnn", NULL, SECTION_STOCK, crnn_keys },
};
enum { SECTIONS = sizeof sections / sizeof *sections, MOST_KEYS = 128, MOST_NAMES = 128 };

/* Those of a room above; borrowed. */
static const section_row *registered;
static int registered_n;

void cfg_register_sections(const section_row *rows, int n)
{
    registered = rows;
    registered_n = n;
}

static const section_row *row_at(int i) { return i < SECTIONS ? &sections[i] : &registered[i - SECTIONS]; }

const section_row *cfg_section_row(const char *name)
{
    for (int i = 0; i < SECTIONS + registered_n; ++i) {
        const section_row *row = row_at(i);
        if (!strcmp(name, row->name) || (row->aka && !strcmp(name, row->aka))) return row;
    }
    return NULL;
}

/* Those of a room above; borrowed. */
static const key_row *registered_net_keys = no_keys;

void cfg_register_net_keys(const key_row *rows) { registered_net_keys = rows; }

/* The keys that every section of this kind may have besides its own. */
static const key_row *common_keys(const section_row *row)
{
    if (row->keys == net_keys) return registered_net_keys;
    return row->kind == SECTION_STOCK ? layer_keys : no_keys;
}

const key_row *cfg_key_row(const section_row *row, const char *key)
{
    const key_row *list[] = { row->keys, common_keys(row) };
    for (int i = 0; i < 2; ++i)
        for (const key_row *k = list[i]; k->name; ++k)
            if (!strcmp(k->name, key)) return k;
    return NULL;
}

int cfg_is_fork_section(const char *name)
{
    static const char *const names[] = { "Gaussian_yolo", "route_lhalf", "scale_channels", "sam", "reorg3d" };
    for (size_t i = 0; i < sizeof names / sizeof *names; ++i)
        if (!strcmp(name, names[i])) return 1;
    return 0;
}

int cfg_is_fork_value(const key_row *row, const char *value)
{
    if (row->fork || row->elsewhere || row->training) return 1;
    return row->type == KEY_CHOICE && !strcmp(row->name, "activation") && !words_one_of(value, CFG_STOCK_ACTIVATIONS);
}

const char *cfg_nearest_section(const char *name)
{
    const char *names[MOST_NAMES];
    int n = 0;
    for (int i = 0; i < SECTIONS + registered_n && n + 1 < MOST_NAMES; ++i) {
        names[n++] = row_at(i)->name;
        if (row_at(i)->aka) names[n++] = row_at(i)->aka;
    }
    return nearest_name(name, names, n);
}

const char *cfg_nearest_key(const section_row *row, const char *key)
{
    const char *names[MOST_KEYS];
    int n = 0;
    const key_row *list[] = { row->keys, common_keys(row) };
    for (int i = 0; i < 2; ++i)
        for (const key_row *k = list[i]; k->name && n < MOST_KEYS; ++k) names[n++] = k->name;
    return nearest_name(key, names, n);
}

