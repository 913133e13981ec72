/* The table of our layer sections (see sections.h). */
#include "sections.h"

#include "attention_transfer.h"
#include "cross_entropy.h"
#include "feature_l2.h"
#include "kd.h"
#include "kd_boxes.h"
#include "logits_l2.h"
#include "similarity.h"
#include "variational.h"

#include <string.h>

#define WHOLE(key, least) { .name = key, .type = KEY_INT, .min = least, .max = 2147483647. }
#define NUMBER(key, least, most) { .name = key, .type = KEY_FLOAT, .min = least, .max = most }
#define SCALE { .name = "scale", .type = KEY_FLOAT, .min = 0, .max = 1e30, .choices = "auto" }
#define FADE NUMBER("fade", 0, 1)
#define CHOICE(key, words) { .name = key, .type = KEY_CHOICE, .choices = words }
#define TEXT(key) { .name = key, .type = KEY_STR }
#define END { .name = NULL }
/* Where a loss of maps stands and what it learns from. */
#define LEARNS WHOLE("tap", 0), WHOLE("teacher_layer", 0), TEXT("teacher")

#ifdef GPU
#define ON_DEVICE(name) .to_device = bind_##name##_layer_gpu, .from_device = unbind_##name##_layer_gpu
#define MAP_ON_DEVICE(name) .to_device = bind_##name##_layer_gpu, .from_device = map_loss_from_device
#else
#define MAP_ON_DEVICE(name) ON_DEVICE(name)
#define ON_DEVICE(name) .to_device = NULL, .from_device = NULL
#endif

static const key_row projector_keys[] = {
    WHOLE("reduction", 1), CHOICE("stack", "bottleneck|1x1|1x1-1x1|depthwise|linear|none"),
    CHOICE("activation", "auto|" CFG_ACTIVATIONS), WHOLE("tap", 0), TEXT("teacher"), END
};
static const key_row feature_l2_keys[] = {
    SCALE, FADE, CHOICE("reduction", "mean|sum"), CHOICE("normalise", "none|channel"), CHOICE("metric", "map|head"),
    CHOICE("weight", "none|teacher"), NUMBER("floor", 0, 1),
    { .name = "pooled", .type = KEY_INT, .min = 0, .max = 1 }, LEARNS, END
};
static const key_row map_loss_keys[] = { NUMBER("scale", 0, 1e30), FADE, LEARNS, END };
static const key_row reused_classifier_keys[] = {
    { .name = "layers", .type = KEY_INTS, .min = 0, .max = 2147483647. }, NUMBER("labels", 0, 1e30), WHOLE("tap", 0),
    TEXT("teacher"), { .name = "deploy", .type = KEY_INT, .min = 0, .max = 1 }, END
};
static const key_row kd_keys[] = {
    NUMBER("temperature", 1e-3, 1e3), SCALE, FADE, { .name = "standardise", .type = KEY_INT, .max = 1 },
    NUMBER("decouple", 0, 1e3), NUMBER("focal", 0, 5), CHOICE("iou_loss", "mse|iou|giou|diou|ciou"),
    NUMBER("iou_normalizer", 0, 1e30), TEXT("teacher"), END
};
static const key_row cross_entropy_keys[] = { NUMBER("scale", 0, 1e30), FADE, END };
static const key_row logits_l2_keys[] = { NUMBER("scale", 0, 1e30), FADE, TEXT("teacher"), END };

/* A loss of feature maps takes the place of [feature_l2] in a triple, or says teacher_layer= and stands anywhere. */
#define MAP_LOSS(section, fits)                                                                                     \
    .name = #section, .before = "projector", .after = "reused_classifier", .role = ROLE_LOSS, .keys = map_loss_keys, \
    .hint = "teacher_layer=N, a layer of the teacher's, lets it stand anywhere", .asks = TEACH_MAP, .check = fits,   \
    .make = make_##section##_section, .free = map_loss_free, .forward = forward_##section##_layer,                  \
    .set_target = map_loss_teach, .scale = map_loss_scale, MAP_ON_DEVICE(section)

static const section_type types[] = {
    { .name = "projector", .after = "feature_l2", .role = ROLE_PROJECTOR, .keys = projector_keys,
      .hint = "[feature_l2] is the loss that trains it" },
    { .name = "feature_l2", .before = "projector", .after = "reused_classifier", .role = ROLE_LOSS,
      .keys = feature_l2_keys, .asks = TEACH_MAP, .check = check_feature_l2_section,
      .hint = "a triple is [projector], [feature_l2], [reused_classifier]; without layers of its own the first is "
              "[projector] stack=none",
      .make = make_feature_l2_section, .free = free_feature_l2_layer,
      .forward = forward_feature_l2_layer, .set_target = teach_feature_l2_layer, .scale = scale_of_feature_l2_layer,
      .weighs = feature_l2_weighs,
      .reads_means = feature_l2_reads_means, .see_teacher = feature_l2_see_teacher, .facts = feature_l2_facts,
      .look = feature_l2_look, .looked = feature_l2_looked, .error = feature_l2_error, ON_DEVICE(feature_l2) },
    { .name = "reused_classifier", .before = "feature_l2", .role = ROLE_TAIL, .keys = reused_classifier_keys,
      .hint = "the order is [projector], [feature_l2], [reused_classifier]" },
    { .name = "kd", .role = ROLE_LOSS, .keys = kd_keys, .asks = TEACH_ANSWER, .check = check_kd_section,
      .make = make_kd_section, .free = free_kd_layer, .forward = forward_kd_layer, .set_target = teach_kd_layer,
      .weighs = kd_weighs,
      .scale = scale_of_kd_layer, ON_DEVICE(kd) },
    { .name = "cross_entropy", .role = ROLE_LOSS, .keys = cross_entropy_keys, .asks = TEACH_LABELS,
      .check = check_cross_entropy_section, .make = make_cross_entropy_section, .free = free_cross_entropy_layer,
      .forward = forward_cross_entropy_layer, .scale = scale_of_cross_entropy_layer, ON_DEVICE(cross_entropy) },
    { .name = "logits_l2", .role = ROLE_LOSS, .keys = logits_l2_keys, .asks = TEACH_ANSWER, .check = check_kd_section,
      .make = make_logits_l2_section, .free = map_loss_free, .forward = forward_logits_l2_layer,
      .set_target = map_loss_teach, .scale = map_loss_scale, MAP_ON_DEVICE(logits_l2) },
    { MAP_LOSS(attention_transfer, map_loss_check_maps) },
    { MAP_LOSS(similarity, NULL) },
    { MAP_LOSS(variational, map_loss_check_alike), .append = append_variational_section },
    { .name = "kd", .on_boxes = 1, .role = ROLE_LOSS, .asks = TEACH_HEAD, .check = check_kd_boxes_section,
      .make = make_kd_boxes_section, .free = free_kd_boxes_layer, .forward = forward_kd_boxes_layer,
      .set_target = map_loss_teach, .scale = map_loss_scale, .see_teacher = kd_boxes_see_teacher,
      ON_DEVICE(kd_boxes) },
};
enum { TYPES = sizeof types / sizeof *types };

static const section_type *named(const char *name, int on_boxes)
{
    for (int i = 0; i < TYPES; ++i)
        if (types[i].on_boxes == on_boxes && !strcmp(name, types[i].name)) return &types[i];
    return NULL;
}

const section_type *section_type_named(const char *name) { return named(name, 0); }

const section_type *section_type_on_boxes(const char *name)
{
    const section_type *type = named(name, 1);
    return type ? type : named(name, 0);
}

const section_type *section_type_of_layer(const layer *l)
{
    for (int i = 0; i < TYPES; ++i)
        if (types[i].forward && l->forward == types[i].forward) return &types[i];
    return NULL;
}

int section_scale_is_auto(const cfg_section *section)
{
    return !strcmp(cfg_str(section, "scale", ""), "auto");
}

void sections_register(void)
{
    static section_row row[TYPES];
    int n = 0;
    for (int i = 0; i < TYPES; ++i)
        if (!types[i].on_boxes)
            row[n++] = (section_row){ .name = types[i].name, .kind = SECTION_PLUGIN, .keys = types[i].keys };
    cfg_register_sections(row, n);
}
