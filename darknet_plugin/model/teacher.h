/* The live teacher-feature loader: the teacher is its own frozen network, given the batch the student sees, on a
 * CPU a few images at a time: maps that fit the processor's cache run faster, and need less memory. */
#ifndef DISTILL_TEACHER_H
#define DISTILL_TEACHER_H
#include "darknet_plugin/lowering/lower.h"
#include "layers/cpu/cpu.h"

/* What to do about variances at which epsilon matters. */
#define TEACHER_EPSILON_REMEDY "if it was trained there, write eps=.00001 in [teacher]"

typedef struct teacher {
    network *net;                /* owned, all layers frozen */
    const teacher_spec *spec;    /* borrowed from the lowered cfg */
    float *host_input;           /* net->input as the host allocated it, owned by net */
    /* (net->batch, c, h, w) normalised or resized, owned; NULL if the student's batch will do */
    float *prepared;
    int c, h, w;                 /* the student's input */
    cpu_precision precision;
    int parts;                   /* the student's batch is this many of net->batch */
    float **feature;             /* per teacher_kept layer: (batch, tc, th, tw), owned; NULL if parts is 1 */
    float *answer;               /* (batch, outputs), owned; NULL if parts is 1 */
    float **out;                 /* per detection layer of spec: (batch, outputs), owned; NULL if parts is 1 */
} teacher;

/* How many layers' outputs are read besides the last's, and their numbers: the taps, then the answer if it is asked
 * for. */
static inline int teacher_kept(const teacher_spec *spec) { return spec->taps + (spec->answer >= 0); }
static inline int teacher_kept_layer(const teacher_spec *spec, int i)
{
    return i < spec->taps ? spec->tap[i] : spec->answer;
}

typedef struct teacher_options {
    int c, h, w;                 /* the student's input */
    cpu_backend backend;
    cpu_precision precision;
    const char *products;        /* cpu_options.products */
} teacher_options;

/* Parses, binds and loads the teacher. NULL with messages in `d`; close with teacher_close. */
teacher *teacher_open(const teacher_spec *spec, const teacher_options *options, diag *d);
void teacher_close(teacher *teacher);

/* Runs layers up to the deepest tap or the answer, or all of them (whole = 1), on the student's batch
 * x = (batch, c, h, w). */
void teacher_forward(teacher *teacher, const float *x, int whole);
/* After teacher_forward what a tap's layer, or that of spec->answer, put out: (batch, tc, th, tw), borrowed until the
 * next forward. */
const float *teacher_feature(const teacher *teacher, int layer);
/* The same for a loss: in the device's memory where the teacher is on one. */
const float *teacher_target(const teacher *teacher, int layer);
/* The teacher's own answer, (batch, outputs), after a whole forward. */
const float *teacher_answer(const teacher *teacher);
int teacher_outputs(const teacher *teacher);
/* Of a detector: what its k-th [yolo] or [region] layer answered, (batch, outputs). */
const float *teacher_detections(const teacher *teacher, int k);
/* From now on the student's input is w x h, and the teacher's too. 0, or -1 with a message. */
int teacher_resize(teacher *teacher, int w, int h, diag *d);

#endif
