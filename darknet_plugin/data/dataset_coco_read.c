/* Reading a COCO file into tables (see dataset_coco.h): {"images": [{"id", "file_name", "width", "height"}, ...],
 * "annotations": [{"image_id", "category_id", "bbox": [left, top, w, h], "iscrowd"}, ...], "categories": [{"id",
 * "name"}, ...]}, in any order; all else, polygons of hundreds of megabytes above all, is read over. */
#include "dataset_coco.h"
#include "darknet_plugin/base/in_file.h"
#include "darknet_plugin/base/json_walk.h"
#include "darknet_plugin/base/mem.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct coco_reader {
    coco_file *file;
    box_reader *boxes;
    json_span all;               /* the file's bytes */
    int seen;                    /* bits of the arrays that were there */
} coco_reader;

/* One of the three arrays: what an element of it becomes. */
typedef struct coco_array {
    const char *name;
    int (*element)(coco_reader *reader, json_span value, size_t at);   /* 0, or -1 after reporting */
} coco_array;

/* ---- places ---- */

static int line_of(const coco_reader *reader, const char *at)
{
    int line = 1;
    for (const char *p = reader->all.at; p < at; ++p) line += *p == '\n';
    return line;
}

/* Reports what is no element of an array as COCO has it. */
static int wrong_element(const coco_reader *reader, const char *array, size_t index, const char *at,
                         const char *expected)
{
    diag_error(reader->boxes->d, reader->file->path, line_of(reader, at), NULL, "%s[%zu]: expected %s (byte %zu)",
               array, index, expected, (size_t)(at - reader->all.at) + 1);
    return -1;
}

static int broken(const coco_reader *reader, const char *at)
{
    diag_error(reader->boxes->d, reader->file->path, line_of(reader, at), NULL, "not JSON, or cut short (byte %zu)",
               (size_t)(at - reader->all.at) + 1);
    return -1;
}

/* ---- elements ---- */

/* A string, owned; NULL: it is none. */
static char *text_of(json_span value)
{
    cJSON *v = json_value(value);
    char *text = cJSON_IsString(v) && *v->valuestring ? mem_strdup(v->valuestring) : NULL;
    cJSON_Delete(v);
    return text;
}

/* Room for one more of `n` entries of `size` bytes. */
static void *grown(void *entry, size_t n, size_t *room, size_t size)
{
    if (n < *room) return entry;
    *room = *room ? 2 * *room : 64;
    return mem_realloc(entry, *room, size);
}

/* A size that is no number counts as none: the image's own is asked for. */
static void image_member(coco_image *image, int *has_id, const json_item *item)
{
    if (json_key_is(item, "id")) *has_id = !json_number(item->value, &image->id);
    if (json_key_is(item, "width")) (void)json_number(item->value, &image->w);
    if (json_key_is(item, "height")) (void)json_number(item->value, &image->h);
    if (!json_key_is(item, "file_name")) return;
    free(image->name);
    image->name = text_of(item->value);
}

/* images[index]. */
static int read_image(coco_reader *reader, json_span value, size_t index)
{
    coco_file *file = reader->file;
    coco_image image = { 0 };
    json_item item;
    const char *at = NULL;
    int more, has_id = 0;
    while ((more = json_next(value, &at, &item)) > 0) image_member(&image, &has_id, &item);
    if (more || !has_id || !image.name) {
        free(image.name);
        if (more) return broken(reader, at);
        return wrong_element(reader, "images", index, value.at, "\"id\", a number, and \"file_name\", a text");
    }
    file->image = grown(file->image, file->images, &file->image_room, sizeof *file->image);
    file->image[file->images++] = image;
    return 0;
}

/* categories[index]. */
static int read_category(coco_reader *reader, json_span value, size_t index)
{
    coco_file *file = reader->file;
    coco_category category = { 0 };
    json_item item;
    const char *at = NULL;
    int more, has_id = 0;
    while ((more = json_next(value, &at, &item)) > 0) {
        if (json_key_is(&item, "id")) has_id = !json_number(item.value, &category.id);
        if (!json_key_is(&item, "name")) continue;
        free(category.name);
        category.name = text_of(item.value);
    }
    if (more || !has_id || !category.name) {
        free(category.name);
        if (more) return broken(reader, at);
        return wrong_element(reader, "categories", index, value.at, "\"id\", a number, and \"name\", a text");
    }
    file->category = grown(file->category, file->categories, &file->category_room, sizeof *file->category);
    file->category[file->categories++] = category;
    return 0;
}

/* [left, top, w, h]; -1: it is something else. */
static int read_bbox(coco_box *box, json_span value)
{
    double *const side[] = { &box->x, &box->y, &box->w, &box->h };
    json_item item;
    const char *at = NULL;
    int more, n = 0;
    for (; (more = json_next(value, &at, &item)) > 0; ++n)
        if (n == 4 || item.key.n || json_number(item.value, side[n])) return -1;
    return more || n != 4 ? -1 : 0;
}

/* Bits: image, category, bbox are there; and one is a crowd. */
enum { HAS_IMAGE = 1, HAS_CATEGORY = 2, HAS_BOX = 4, HAS_ALL = 7, IS_CROWD = 8 };

static int box_member(coco_box *box, const json_item *item)
{
    double crowd;
    if (json_key_is(item, "image_id")) return json_number(item->value, &box->image) ? 0 : HAS_IMAGE;
    if (json_key_is(item, "category_id")) return json_number(item->value, &box->category) ? 0 : HAS_CATEGORY;
    if (json_key_is(item, "bbox")) return read_bbox(box, item->value) ? 0 : HAS_BOX;
    if (json_key_is(item, "iscrowd")) return !json_number(item->value, &crowd) && crowd > 0 ? IS_CROWD : 0;
    return 0;
}

/* What is an object but no annotation of a box is dropped with a warning. */
static int read_annotation(coco_reader *reader, json_span value, size_t index)
{
    coco_file *file = reader->file;
    coco_box box = { .at = index };
    json_item item;
    const char *at = NULL;
    int more, has = 0;
    while ((more = json_next(value, &at, &item)) > 0) has |= box_member(&box, &item);
    if (more) return broken(reader, at);
    if (has & IS_CROWD) {
        ++file->crowds;
        return 0;
    }
    if (has != HAS_ALL) {
        char *place = mem_printf("annotations[%zu]", index);
        int line = reader->boxes->dropped < 10 ? line_of(reader, value.at) : 0;    /* of those that are shown */
        box_drop(reader->boxes, file->path, line, place,
                 "expected image_id and category_id, numbers, and bbox, four of them");
        free(place);
        return 0;
    }
    file->box = grown(file->box, file->boxes, &file->box_room, sizeof *file->box);
    file->box[file->boxes++] = box;
    return 0;
}

/* ---- the file ---- */

static const coco_array arrays[] = {
    { "images", read_image }, { "annotations", read_annotation }, { "categories", read_category },
};
enum { ARRAYS = sizeof arrays / sizeof *arrays };

/* Element after element of images, annotations or categories. */
static int read_array(coco_reader *reader, const coco_array *array, json_span value)
{
    json_item item;
    const char *at = NULL;
    int more, bad = 0;
    if (*value.at != '[') {
        diag_error(reader->boxes->d, reader->file->path, line_of(reader, value.at), NULL, "\"%s\" is no array",
                   array->name);
        return -1;
    }
    for (size_t i = 0; !bad && (more = json_next(value, &at, &item)) > 0; ++i) {
        bad = *item.value.at != '{' ? wrong_element(reader, array->name, i, item.value.at, "an object")
                                    : array->element(reader, item.value, i);
    }
    if (!bad && more < 0) bad = broken(reader, at);
    return bad;
}

/* Are all three there? */
static int check_whole(const coco_reader *reader)
{
    char *missing = NULL;
    for (int i = 0; i < ARRAYS && !missing; ++i)
        if (!(reader->seen >> i & 1)) missing = mem_printf("\"%s\"", arrays[i].name);
    if (!missing) return 0;
    diag_error(reader->boxes->d, reader->file->path, 0, NULL, "no COCO file of boxes: it has no %s", missing);
    diag_hint(reader->boxes->d, "instances_*.json are such, with \"images\", \"annotations\" and \"categories\"");
    free(missing);
    return -1;
}

/* The members of the outermost object. */
static int read_all(coco_reader *reader)
{
    json_item item;
    const char *at = NULL, *p = reader->all.at, *end = p + reader->all.n;
    int more, bad = 0;
    if (reader->all.n > 2 && !memcmp(p, "\xef\xbb\xbf", 3)) p += 3;
    while (p < end && strchr(" \t\r\n", *p) && *p) ++p;
    json_span object = { p, (size_t)(end - p) };
    if (p == end || *p != '{') return broken(reader, p);
    while (!bad && (more = json_next(object, &at, &item)) > 0)
        for (int i = 0; !bad && i < ARRAYS; ++i) {
            if (!json_key_is(&item, arrays[i].name)) continue;
            reader->seen |= 1 << i;
            bad = read_array(reader, &arrays[i], item.value);
        }
    if (!bad && more < 0) bad = broken(reader, at);
    return bad || check_whole(reader) ? -1 : 0;
}

int coco_file_read(coco_file *file, box_reader *boxes)
{
    coco_reader reader = { .file = file, .boxes = boxes };
    size_t n = 0;
    int fd = in_file_open(file->path, "this file of labels", &n, boxes->d);
    if (fd < 0) return -1;
    unsigned char *byte = in_file_take(fd, n);
    close(fd);
    if (!byte) {
        diag_error(boxes->d, file->path, 0, NULL, "cannot be read: %s", strerror(errno));
        return -1;
    }
    reader.all = (json_span){ (const char *)byte, n };
    int bad = read_all(&reader);
    free(byte);
    return bad;
}

void coco_file_free(coco_file *file)
{
    for (size_t i = 0; i < file->images; ++i) free(file->image[i].name);
    for (size_t i = 0; i < file->categories; ++i) free(file->category[i].name);
    free(file->image);
    free(file->box);
    free(file->category);
}
