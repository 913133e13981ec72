/* Parameters of student, projector and teachers held against each other (see lower_savings.h). */
#include "lower_savings.h"

lower_savings lower_saves(const lowered *low)
{
    lower_savings sums = { 0 };
    size_t all = low->shape->params;
    for (int i = 0; i < low->shape->n; ++i)
        if (low->role[i] == ROLE_PROJECTOR) sums.projector += low->shape->layer[i].params;
    for (int i = 0; i < low->teachers; ++i) {
        sums.teacher += low->teacher[i].shape->params;
        sums.teacher_macs += low->teacher[i].shape->macs;
    }
    sums.share = all ? (double)sums.projector / (double)all : 0;
    if (low->teacher) sums.pruning = 1 - (double)all / (double)sums.teacher;
    return sums;
}
