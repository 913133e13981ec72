/* What readers of label files share (see dataset_boxes.h). */
#include "dataset_boxes.h"
#include "darknet_plugin/base/mem.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN = 10, SIZES_LOOKED_AT = 1000 };
const char *const BOX_NO_CLASS = "the class is out of range";

const char *box_check(const data_box *box)
{
    if (!(box->w > 0 && box->h > 0)) return "the box has no size";
    if (fabsf(box->x) > 2 || fabsf(box->y) > 2 || box->w > 2 || box->h > 2)
        return "x y w h are not relative to the image, 0 to 1";
    if (box->x + box->w / 2 <= 0 || box->x - box->w / 2 >= 1 || box->y + box->h / 2 <= 0 || box->y - box->h / 2 >= 1)
        return "the box lies beside the image";
    return NULL;
}

const char *box_add(box_reader *reader, const data_box *box)
{
    if (reader->boxes - reader->first_of_image == INT_MAX / 8) return "too many boxes";
    if (reader->boxes == reader->room) {
        reader->room = reader->room ? 2 * reader->room : 1024;
        reader->set->box = mem_realloc(reader->set->box, reader->room, sizeof *reader->set->box);
    }
    reader->set->box[reader->boxes++] = *box;
    return NULL;
}

void box_drop(box_reader *reader, const char *path, int line, const char *text, const char *wrong)
{
    size_t length = strcspn(text, "\r\n");
    int i = 0;
    while (i < BOX_KINDS - 1 && reader->kind[i].wrong && strcmp(reader->kind[i].wrong, wrong)) ++i;
    reader->kind[i].wrong = wrong;
    ++reader->kind[i].n;
    if (reader->dropped++ >= SHOWN) return;
    diag_warn(reader->first, path, line, NULL, "box dropped: %s: \"%.*s\"", wrong, (int)(length < 60 ? length : 60),
              text);
    if (wrong == BOX_NO_CLASS)
        diag_hint(reader->first, "classes=%d, so a class is 0 to %d", reader->set->classes, reader->set->classes - 1);
}

/* Counts a box of a class that names= does not have. */
static void note_unknown(box_reader *reader, const char *name)
{
    enum { MOST_NAMES = 1000 };
    size_t i = 0;
    ++reader->of_unknown;
    while (i < reader->unknowns && strcmp(reader->unknown[i].name, name)) ++i;
    if (i == MOST_NAMES) return;
    if (i == reader->unknowns) {
        reader->unknown = mem_realloc(reader->unknown, i + 1, sizeof *reader->unknown);
        reader->unknown[reader->unknowns++] = (unknown_class){ mem_strdup(name), 0 };
    }
    ++reader->unknown[i].n;
}

/* corner: left, top, right, bottom. What is half outside is as it is in Darknet's texts: left so. */
void box_add_named(box_reader *reader, const char *path, int line, const char *text, const char *name,
                   const double corner[4], double w, double h)
{
    int class = data_class_named(&reader->known, name);
    if (class == DATA_NO_CLASS) {
        note_unknown(reader, name);
        return;
    }
    data_box box = { (float)((corner[0] + corner[2]) / 2 / w), (float)((corner[1] + corner[3]) / 2 / h),
                     (float)((corner[2] - corner[0]) / w), (float)((corner[3] - corner[1]) / h), class };
    const char *wrong = class == DATA_SEVERAL_CLASSES ? "its class is a name that stands twice in names=" : NULL;
    if (!wrong) wrong = box_check(&box);
    if (wrong && wrong[0] == 'x') wrong = "the box lies beside the image, or is larger than two of it";
    if (!wrong) wrong = box_add(reader, &box);
    if (wrong) box_drop(reader, path, line, text, wrong);
}

int box_needs_names(const box_reader *reader, const char *path)
{
    if (reader->known.n) return 0;
    diag_error(reader->d, path, 0, NULL, "classes have names there, and none in %s", reader->request->data->path);
    diag_hint(reader->d, "add a line `names = FILE`, a file with the name of a class a line");
    return -1;
}

/* Are sides in another proportion, by more than two in a hundred? Boxes stay right where an image was made smaller. */
static int is_other_shape(double w, double h, double real_w, double real_h)
{
    return fabs(w * real_h - real_w * h) > .02 * w * real_h + w + h;
}

int box_image_size(box_reader *reader, size_t image, const char *labels, double *w, double *h)
{
    size_t step = reader->request->need & DATA_LOOK ? 1 : reader->set->count / SIZES_LOOKED_AT + 1;
    int real_w, real_h, given = *w >= 1 && *h >= 1;
    if (given && image % step) return 0;
    if (reader->set->format->size(reader->set, image, &real_w, &real_h)) return given ? 0 : -1;
    if (given && is_other_shape(*w, *h, real_w, real_h))
        data_flood_add(&reader->shapes, reader->set->path[image], 0, NULL,
                       mem_printf("%d x %d pixels, and %.0f x %.0f by %s", real_w, real_h, *w, *h, labels));
    if (given) return 0;
    *w = real_w;
    *h = real_h;
    return 0;
}
