/* Judging all boxes of a set together (see boxes_statistics.h). */
#include "boxes_statistics.h"

enum { FEW = 4, ENOUGH = 10 };   /* boxes: of fewer nothing is said, of as many it is sure */

static int within(float low, float high)
{
    const float border = .01f;
    return low >= -border && high <= 1 + border;
}

void box_statistics_add(box_statistics *all, long class, int classes, const data_box *box)
{
    float x = box->x, y = box->y, w = box->w, h = box->h;
    ++all->boxes;
    all->of_first += class == 0;
    all->beyond_last += class == classes;
    all->of_other += class < 0 || class > classes;
    all->inside += within(x - w / 2, x + w / 2) && within(y - h / 2, y + h / 2);
    all->corners += x >= 0 && x < w && w <= 1 && y >= 0 && y < h && h <= 1;
    all->corner_sizes += w > 0 && h > 0 && within(x, x + w) && within(y, y + h);
}

/* Classes: -1 where they begin at 1. */
static int judge_classes(const box_statistics *all, const char *list, int classes, diag *d)
{
    if (all->of_first || all->of_other || !all->boxes) return 0;
    if (all->beyond_last) {
        diag_error(d, list, 0, NULL, "classes in the label files seem to begin at 1: of %zu boxes none is of class 0, "
                   "and %zu are of class %d", all->boxes, all->beyond_last, classes);
        diag_hint(d, "classes=%d, so a class is 0 to %d: subtract 1 in every label file", classes, classes - 1);
        return -1;
    }
    if (classes < 2 || all->boxes < FEW) return 0;
    diag_warn(d, list, 0, NULL, "none of %zu boxes is of class 0, the first in names=", all->boxes);
    diag_hint(d, "do the classes in the label files begin at 1? They are 0 to %d here", classes - 1);
    return 0;
}

/* What they are meant as, as far as that can be seen; NULL: as they should be. */
static const char *meant_as(const box_statistics *all)
{
    if (all->boxes < FEW || 4 * (all->boxes - all->inside) < all->boxes) return NULL;
    if (all->corners == all->boxes) return "corners, x1 y1 x2 y2";
    return all->corner_sizes == all->boxes ? "the top left corner and the size, left top w h" : NULL;
}

static int judge_boxes(const box_statistics *all, const char *list, diag *d)
{
    const char *meant = meant_as(all);
    int sure = all->boxes >= ENOUGH;
    if (!meant) return 0;
    (sure ? diag_error : diag_warn)(d, list, 0, NULL, "boxes in the label files seem to be %s: read so, all %zu are "
                                    "right, and as x y w h %zu reach out of their images", meant, all->boxes,
                                    all->boxes - all->inside);
    diag_hint(d, "a line is `class x y w h`: centre and size, relative to the image");
    return sure ? -1 : 0;
}

int box_statistics_judge(const box_statistics *all, const char *list, int classes, diag *d)
{
    int bad = judge_classes(all, list, classes, d);
    return judge_boxes(all, list, d) ? -1 : bad;
}
