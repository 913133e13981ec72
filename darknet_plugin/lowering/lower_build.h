/* What the files of the lowering share; see lower.h for what it does.
 *   lower.c          reading, triples, putting it together      lower_deploy.c   the subset every reader understands
 *   lower_layers.c   stock sections, [projector], losses         lower_tail.c     [reused_classifier]
 *   teacher_spec.c   [teacher]                                  lower_augment.c  [augment]
 *   lower_prune.c    what only feeds losses goes                lower_labels.c   learning from labels instead
 *   lower_advice.c   what is no mistake, and hardly wanted      lower_combine.c  [teachers] */
#ifndef DISTILL_LOWER_BUILD_H
#define DISTILL_LOWER_BUILD_H
#include "lower.h"

/* A lowering under way. */
typedef struct lower_build {
    lowered *low;
    lower_mode mode;
    int without_weights;         /* the teachers' files need not be there */
    diag *d;                     /* borrowed */
    int *map;                    /* the lowered layer that stands for each source layer; owned */
    int errors;                  /* in `d` before it began */
    int student_bad;             /* a stock section is wrong: shapes after it would only repeat that */
    int head;                    /* the head being built */
    const section_type *type;    /* row of the source section being lowered; NULL = a stock section */
    int lowered_layers, room;    /* entries of low->role, type and trained_as */
    int answers;                 /* triples whose tail is an answer of the network */
    int training_layers;         /* how many there would be, were it lowered for training */
} lower_build;

/* Layer i as the user wrote it; borrowed. */
static inline const cfg_section *lower_at(const lower_build *build, int i)
{
    return cfg_layer(build->low->source, i);
}
/* Gives the layers appended to low->cfg since the last call their role. */
void lower_mark(lower_build *build, layer_role role);
/* The same for layers that are there when deploying only. */
void lower_mark_deployed(lower_build *build, layer_role role);

/* One source section each; 0, -1 after reporting, -2 where going on makes no sense. */
int lower_stock(lower_build *build, int i);
int lower_projector(lower_build *build, int i);
int lower_loss(lower_build *build, int i);
int lower_tail(lower_build *build, int i);

/* Is it a loss of feature maps that names its teacher layer, and so stands where it likes? */
int lower_is_free(const cfg_section *section);
/* The nearest source layer before (step -1) or after (1) layer i that is none of those; NULL if there is none. */
const cfg_section *lower_neighbour(const lower_build *build, int i, int step);
/* Is it a [projector] of no triple, which feeds such a loss alone? */
int lower_is_regressor(const lower_build *build, const cfg_section *section);
/* Does the student end on an answer, not on a loss of maps? 0, or -1 after reporting. */
int lower_check_end(const lower_build *build);
/* Deploying: takes out the layers that no answer of the network reads. 0, or -1 after reporting. */
int lower_prune(lower_build *build);

/* Where a loss gets its stand-in: of the section being lowered; behind the frozen tail of a triple, what its
 * [reused_classifier] and the losses after it ask for; there, too, one of scale 0 that only measures. */
typedef enum { LOSS_OWN, LOSS_BEHIND_TAIL, LOSS_YARDSTICK } loss_kind;
/* Appends the stand-in of `section`, by row `type`; its place is filled in when all shapes are known. */
void lower_append_loss(lower_build *build, const cfg_section *section, const section_type *type, loss_kind kind);
/* The [reused_classifier] whose class scores the loss of source layer i reads, since it stands behind it: itself for a
 * [reused_classifier]; -1 for every other section. */
int lower_behind_tail(const lower_build *build, int i);
/* Fills in where each loss stands, and asks its row whether it fits. 0, or -1 after reporting. */
int lower_place_losses(lower_build *build);
/* The finished cfg against the teacher: copied layers must have its parameter shapes. 0, or -1 after reporting. */
int lower_check_tails(const lower_build *build);
/* The host has room for so many boxes an image, whatever max= says, and would read on behind them. */
void lower_limit_boxes(cfg_section *section);
/* What learns from labels in this mode: its loss is on, whatever its cfg says. */
void lower_for_labels(cfg_section *section);
/* LOWER_LABELS: is there something that learns from labels, all of it from the same ones? 0, or -1 after reporting. */
int lower_check_labels(const lower_build *build);
/* Turns a section into what deploys everywhere. */
void lower_deploy_net(cfg_section *section);
void lower_deploy_layer(cfg_section *section);
/* (lower_deploy.c, too) Appends the [maxpool] that takes over the stride of a 1x1 convolution; call it before that
 * one. */
void lower_append_stride(lower_build *build, const cfg_section *section, layer_role role);
/* Darknet's default of a section's activation key; NULL if it has no such key. */
const char *lower_default_activation(const char *section);
/* Takes keys out of a copied teacher layer that would change how it loads or trains. */
void lower_strip_frozen(cfg_section *section);

/* The teacher of a head. */
static inline const teacher_spec *lower_teacher(const lower_build *build, const lower_head *head)
{
    return &build->low->teacher[head->teacher];
}

/* Shapes of what stands so far; NULL after reporting (once: a cfg that is known to be wrong is not blamed again). */
net_shape *lower_shapes_so_far(const lower_build *build);

/* When it is known which triple is whose: which of them are answers, by deploy= and [teachers]; then, when all layers
 * are there, the classifier that combines them is appended. 0, or -1 after reporting. */
int lower_choose_answers(lower_build *build);
int lower_combine(lower_build *build);
/* Where weights=confidence asks for it: can all losses weigh images? 0, or -1 after reporting. */
int lower_check_confidence(const lower_build *build);
/* When tails have been held against the teacher's: those that are in a combined classifier are in no weights file. */
void lower_leave_out_combined(lower_build *build);

/* Which triple learns from which tap, and whose answers are asked for; 0, or -1 after reporting. */
int lower_assign_taps(lower_build *build);
/* Before it: a single teacher with more taps than there are triples keeps those of the triples' strides, in their
 * order, and it is said; it is left alone where they cannot be told so. */
void lower_taps_by_stride(lower_build *build);
int lower_assign_answers(lower_build *build);
/* The same for losses anywhere in the student: the layers they name are added to what their teachers keep. */
int lower_assign_layers(lower_build *build);
/* The place of a layer among those the teacher keeps; teacher->taps if it is none. */
int lower_tap_index(const teacher_spec *teacher, int layer);
/* The teacher whom the loss of source layer i, which is of no triple, asks: a place in low->teacher; -1 after
 * reporting. */
int lower_answering_teacher(const lower_build *build, int i);
/* Has it a section that learns from labels? */
int lower_label_loss(const cfg_file *cfg);
/* Resolves [augment] and [net] of `source`; what means nothing to this kind of network is warned of. */
void augment_read(const cfg_file *source, const cfg_file *stock, augment_spec *augment, diag *d);
/* Warns of teachers whose cfg says that they saw their images otherwise. */
void augment_check_teachers(const lowered *low, diag *d);
/* When the shapes are known: is [augment] fit for this network? 0, or -1 after reporting. */
int lower_check_augment(lower_build *build);

#endif
