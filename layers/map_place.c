/* Sizes of maps that a loss compares (see map_place.h). */
#include "map_place.h"

int map_place_pool(const loss_place *place)
{
    int k = place->teacher_h / place->h;
    return k > 0 && place->teacher_h == k * place->h && place->teacher_w == k * place->w ? k : 0;
}

int map_place_check(const cfg_section *section, const loss_place *place, int channels, diag *d)
{
    if (map_place_pool(place) && (!channels || place->c == place->teacher_c)) return 0;
    diag_error(d, section->file, section->line, section->name, "the student's map is %dx%dx%d, teacher layer %d is %dx%dx%d",
               place->c, place->h, place->w, cfg_int(section, "teacher_layer", 0), place->teacher_c, place->teacher_h,
               place->teacher_w);
    diag_hint(d, "[projector] before it brings the student's map to the teacher's size");
    return -1;
}
