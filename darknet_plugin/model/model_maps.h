/* The feature maps that a student learns, beside its teacher's: what a loss compares, to be looked at. */
#ifndef DISTILL_MODEL_MAPS_H
#define DISTILL_MODEL_MAPS_H
#include "model.h"

typedef struct learnt_map {
    int head;                /* the triple: its place in low->head */
    int teacher;             /* whose map: place in low->teacher */
    int c, h, w;             /* of the student's map, which is as large as what it is compared with */
} learnt_map;

/* All triples that learn a map itself, in the cfg's order, `most` at most; returns how many. */
int model_learnt_maps(const model *model, learnt_map *map, int most);
/* Image b's maps of the last model_predict and model_run_teachers (same x), (c, h, w) each: the student's, and the
 * teacher's averaged over blocks where it is larger. */
void model_copy_maps(const model *model, const learnt_map *map, int b, float *student, float *teacher);

#endif
