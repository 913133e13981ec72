/* `darknet distill init`: a distillation cfg from the cfgs of a student and a teacher.
 *
 *   init_make       the whole: reads, or makes the student smaller than its teacher; matches heads; writes the triples
 *     init_net      a network, its shapes and its answers
 *     init_depth    fewer repeated blocks            init_width    fewer filters
 *     init_match    which of the teacher's answers each of the student's learns
 *     init_build    the student's sections, each answer a triple, every layer number rewritten
 *     init_recipe   THE tables: losses, projector, what [net] and [augment] say, each with its reason
 *   init_text       as text, its reasons as comments
 *   init_sizes      what the smaller students cost
 *
 * Sections keep the file and line they come from; those that are new have those of what they stand for, so that
 * mistakes are told of the user's own files. */
#ifndef DISTILL_INIT_H
#define DISTILL_INIT_H
#include "darknet_plugin/lowering/lower.h"
#include "layers/cpu/cpu.h"

typedef struct init_job {
    const char *student;             /* NULL: made of the teacher */
    const char *teacher, *weights;   /* weights NULL: there are none yet */
    const char *out;                 /* what the cfg will be called: names in it are looked up from there */
    double width, depth;             /* without a student: above 0, at most 1 */
} init_job;

/* A remark on a section, or on one of its keys. */
typedef struct init_note {
    int section;                     /* its place in cfg->section; -1: on the whole */
    char *key;                       /* owned; NULL = the section */
    char *text;                      /* owned */
} init_note;

typedef struct init_cfg {
    cfg_file *cfg;                   /* owned */
    init_note *note;                 /* owned */
    int notes;
} init_cfg;

/* The distillation, which passes every check that needs no weights. NULL after reporting. Free with init_free. */
init_cfg *init_make(const init_job *job, diag *d);
void init_free(init_cfg *made);
/* With its remarks, as a user would write it; the caller frees. */
char *init_text(const init_cfg *made, size_t *len);

/* A student made of its teacher, and what it costs when deployed, projector and classifier included. */
typedef struct init_size {
    double width, depth;
    size_t params;
    double macs;                     /* multiply-adds of an image */
    double seconds;                  /* an image at a time, here; 0: not measured */
} init_size;

enum { INIT_SIZES = 4 };
/* The sizes of the teacher's that there are to choose from, the largest first; `measured`: in seconds, too. 0, or -1
 * after reporting. */
int init_sizes(const init_job *job, int measured, init_size size[INIT_SIZES], diag *d);

/* What -target says: at most so many seconds an image, or so many parameters; the other is 0. */
typedef struct init_target {
    double seconds, params;
} init_target;
/* "5ms", "2M", "500k". 0, or -1 after reporting. */
int init_read_target(const char *text, init_target *target, diag *d);
/* The largest that fits; -1 after reporting that none does. */
int init_choose(const init_size size[INIT_SIZES], const init_target *target, diag *d);

#endif
