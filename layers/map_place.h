/* Where a loss of feature maps may stand: the teacher's map is as large as the student's, or its sides are a whole
 * multiple of them and it is average-pooled. */
#ifndef DISTILL_MAP_PLACE_H
#define DISTILL_MAP_PLACE_H
#include "sections.h"

/* k of the k x k blocks of the teacher's map that the student's elements are held against; 0 where there is none. */
int map_place_pool(const loss_place *place);
/* Do the maps fit each other? 0, or -1 after reporting for `section`. `channels`: of both alike. */
int map_place_check(const cfg_section *section, const loss_place *place, int channels, diag *d);

#endif
