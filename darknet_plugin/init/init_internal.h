/* What the files of init share; see init.h for what it does. */
#ifndef DISTILL_INIT_INTERNAL_H
#define DISTILL_INIT_INTERNAL_H
#include "init.h"

/* A plain network with its answers. */
typedef struct init_net {
    cfg_file *cfg;                   /* owned */
    net_shape *shape;                /* owned */
    tap_head *head;                  /* owned; of an encoder alone one, whose out and classifier are -1 */
    int heads;
} init_net;

/* Takes `cfg` over: its shapes and answers. `encoder`: it may end without an answer, too. 0, or -1 after reporting;
 * free it with init_net_free in either case. */
int init_net_open(init_net *net, cfg_file *cfg, int encoder, diag *d);
/* The same of a file, which must be no distillation. */
int init_net_read(init_net *net, const char *path, int encoder, diag *d);
void init_net_free(init_net *net);
/* The last layer that goes when an answer does: what follows its tap up to there is replaced. */
int init_head_end(const init_net *net, const tap_head *head);
/* Sets the marks, one a layer, of all that goes with the answers. */
void init_mark_answers(const init_net *net, char *mark);
/* Does it find boxes? */
int init_is_detector(const init_net *net);
/* How many classes an answer knows; 0: unknown. */
int init_classes(const init_net *net, const tap_head *head);
/* The layer whose number a section means by `number`. */
static inline int init_meant(const cfg_section *section, int number)
{
    return number < 0 ? section->index + number : number;
}
/* A student has no [crop]: a copy of the cfg without one at its beginning, the input as large as what that leaves. It
 * is said; the caller frees. */
cfg_file *init_uncropped(const cfg_file *cfg, diag *d);

/* A student of the teacher's own architecture: new cfgs, the caller's to free. A depth that changes nothing is said. */
cfg_file *init_shallower(const init_net *teacher, double depth, diag *d);
cfg_file *init_narrower(const init_net *teacher, double width);

/* The parts of a distillation. */
typedef struct init_parts {
    const init_job *job;             /* borrowed, as all here */
    const init_net *student, *teacher;
    const net_shape *taught_shape;   /* the teacher's, as it sees the student's images */
    const int *taught;               /* for each of the student's answers one of the teacher's */
} init_parts;

/* Fills in which it learns; 0, or -1 after reporting. parts->taught is not looked at. */
int init_match(const init_parts *parts, int *taught, diag *d);
/* Puts them together; NULL after reporting. */
init_cfg *init_build(const init_parts *parts, diag *d);
/* Adds a remark to the section appended last, or to one of its keys. */
void init_remark(init_cfg *made, const char *key, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* The sections that are written by the tables of init_recipe.c. `head`: which of the student's answers; the new
 * sections are said to come from `origin`. */
void init_append_net(init_cfg *made, const init_parts *parts);
void init_append_teacher(init_cfg *made, const init_parts *parts);
void init_append_augment(init_cfg *made, const init_parts *parts);
void init_append_triple(init_cfg *made, const init_parts *parts, int head, const cfg_section *origin);
/* How many sections a triple has, with the losses that follow it. */
int init_triple_sections(const init_parts *parts);

#endif
