/* What distilling saves, in numbers. */
#ifndef DISTILL_LOWER_SAVINGS_H
#define DISTILL_LOWER_SAVINGS_H
#include "lower.h"

typedef struct lower_savings {
    size_t projector, teacher;   /* parameters; of all teachers */
    double teacher_macs;         /* multiply-adds, of all teachers */
    double pruning;              /* 1 - parameters(student, projector, classifier) / parameters(teachers), or 0 */
    double share;                /* the projector's, of the student's parameters */
} lower_savings;

/* Of a cfg lowered for deploying. */
lower_savings lower_saves(const lowered *low);

#endif
