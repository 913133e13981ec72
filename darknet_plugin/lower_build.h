/* What the files of the lowering share; see lower.h for what it does.
 *   lower.c          reading, triples, putting it together      lower_deploy.c   the subset every reader understands
 *   lower_layers.c   stock sections, [projector], [feature_l2]   lower_tail.c     [reused_classifier]
 *   teacher_spec.c   [teacher]                                  augment_spec.c   [augment] */
#ifndef DISTILL_LOWER_BUILD_H
#define DISTILL_LOWER_BUILD_H
#include "lower.h"

/* A lowering under way. */
typedef struct lower_build {
    lowered *l;
    lower_mode mode;
    diag *d;                     /* borrowed */
    int *map;                    /* the lowered layer that stands for each source layer; owned */
    int errors;                  /* in `d` before it began */
    int student_bad;             /* a stock section is wrong: shapes after it would only repeat that */
    int head;                    /* the head being built */
    int lowered_layers, room;    /* entries of l->role */
} lower_build;

/* Layer i as the user wrote it; borrowed. */
static inline const cfg_section *lower_at(const lower_build *b, int i)
{
    return cfg_layer(b->l->source, i);
}
/* Gives the layers appended to l->cfg since the last call their role. */
void lower_mark(lower_build *b, layer_role role);

/* One source section each; 0, -1 after reporting, -2 where going on makes no sense. */
int lower_stock(lower_build *b, int i);
int lower_projector(lower_build *b, int i);
int lower_loss(lower_build *b, int i);
int lower_tail(lower_build *b, int i);

/* The finished cfg against the teacher: copied layers must have its parameter shapes. 0, or -1 after reporting. */
int lower_check_tails(const lower_build *b);
/* Turns a section into what deploys everywhere. */
void lower_deploy_net(cfg_section *s);
void lower_deploy_layer(cfg_section *s);
/* Darknet's default of a section's activation key; NULL if it has no such key. */
const char *lower_default_activation(const char *section);
/* Takes keys out of a copied teacher layer that would change how it loads or trains. */
void lower_strip_frozen(cfg_section *s);

/* [teacher] of `source`; NULL after reporting. `weights` = 1: its weights file must be there. */
teacher_spec *teacher_read(const cfg_file *source, int weights, diag *d);
void teacher_free(teacher_spec *t);
void augment_read(const cfg_file *source, augment_spec *a);

#endif
