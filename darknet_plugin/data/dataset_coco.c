/* COCO's labels of a detector's images: one JSON file, or several, for all of them (see dataset_boxes.h).
 *
 * Categories are matched with names= by their names; ids need not be 0, 1, ... . An image is matched with file_name
 * by as many parts of its path as agree, from the end: "train2017/9.jpg" is .../train2017/9.jpg before it is
 * .../val2017/9.jpg. An image that is in "images" and has no annotation is one without objects. Annotations with
 * iscrowd=1 are left out, as COCO leaves them out of AP; what is found there counts as wrong in mAP. */
#include "dataset_coco.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/path.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* An image of one of the files. */
typedef struct coco_entry {
    coco_file *file;
    coco_image *image;
    int parts;                   /* of the paths that agree best with it: how many parts of them */
    size_t user;                 /* the first such image of the data set, + 1; 0: none */
} coco_entry;

/* The entry of a data set's image. */
typedef struct coco_match {
    coco_entry *entry;           /* borrowed; NULL: there is none */
    int parts;
} coco_match;

struct coco_labels {
    coco_file *file;             /* files, owned */
    int files;
    coco_entry *entry;           /* entries, owned, sorted by the last part of file_name */
    size_t entries;
    coco_match *match;           /* one for each image of the data set, owned */
    data_flood several, shared;  /* images that have several entries; entries that several images have */
};

/* ---- a file's tables ---- */

#define BY_ID(type)                                                                   \
    static int by_##type##_id(const void *left, const void *right)                    \
    {                                                                                 \
        const coco_##type *a = left, *b = right;                                      \
        return a->id < b->id ? -1 : a->id > b->id;                                    \
    }
BY_ID(image)
BY_ID(category)

static int by_image(const void *left, const void *right)
{
    const coco_box *a = left, *b = right;
    if (a->image != b->image) return a->image < b->image ? -1 : 1;
    return a->at < b->at ? -1 : a->at > b->at;
}

/* Sorts by id; -1 after reporting one that stands twice. */
static int sort_tables(coco_file *file, diag *d)
{
    if (file->images) qsort(file->image, file->images, sizeof *file->image, by_image_id);
    if (file->categories) qsort(file->category, file->categories, sizeof *file->category, by_category_id);
    for (size_t i = 1; i < file->images; ++i)
        if (file->image[i].id == file->image[i - 1].id) {
            diag_error(d, file->path, 0, NULL, "two images have the id %.0f: %s and %s", file->image[i].id,
                       file->image[i - 1].name, file->image[i].name);
            return -1;
        }
    for (size_t i = 1; i < file->categories; ++i)
        if (file->category[i].id == file->category[i - 1].id) {
            diag_error(d, file->path, 0, NULL, "two categories have the id %.0f: %s and %s", file->category[i].id,
                       file->category[i - 1].name, file->category[i].name);
            return -1;
        }
    return 0;
}

/* Ids of a box become numbers in the tables. -1: there is no such image, or category. */
static int resolve(const coco_file *file, coco_box *box)
{
    coco_image image = { .id = box->image };
    coco_category category = { .id = box->category };
    const coco_image *its = file->images ? bsearch(&image, file->image, file->images, sizeof image, by_image_id) : NULL;
    const coco_category *kind = file->categories ? bsearch(&category, file->category, file->categories, sizeof category,
                                                           by_category_id) : NULL;
    if (!its || !kind) return -1;
    box->image = (double)(its - file->image);
    box->category = (double)(kind - file->category);
    return 0;
}

/* Boxes go to their images; those of none are dropped. */
static void share_out(coco_file *file, box_reader *reader)
{
    size_t kept = 0;
    for (size_t i = 0; i < file->boxes; ++i) {
        coco_box *box = &file->box[i];
        if (!resolve(file, box)) {
            file->box[kept++] = *box;
            continue;
        }
        char *place = mem_printf("annotations[%zu]", box->at);
        box_drop(reader, file->path, 0, place, "no image, or no category, has that id");
        free(place);
    }
    file->boxes = kept;
    if (kept) qsort(file->box, kept, sizeof *file->box, by_image);
    for (size_t i = kept; i-- > 0;) {
        coco_image *image = &file->image[(size_t)file->box[i].image];
        image->first = i;
        ++image->n;
    }
}

/* ---- names ---- */

/* Classes of names= that no category is called: often a name that is written otherwise. */
static void warn_classes(const coco_file *file, const box_reader *reader)
{
    const data_file *data = reader->request->data;
    data_noted missing = { 0 };
    char *seen = mem_calloc((size_t)data->classes, 1);
    for (size_t i = 0; i < file->categories; ++i) {
        int class = data_class_named(&reader->known, file->category[i].name);
        if (class >= 0) seen[class] = 1;
    }
    for (int i = 0; i < data->classes; ++i)
        if (!seen[i]) data_note(&missing, data->name[i]);
    if (missing.n)
        diag_warn(reader->d, file->path, 0, NULL, "%zu of %d classes in names= are no category of it: %s", missing.n,
                  data->classes, missing.names);
    free(missing.names);
    free(seen);
}

/* Not one category in names= is another data set's file, or other names. */
static int check_categories(const coco_file *file, const box_reader *reader)
{
    data_noted all = { 0 };
    size_t known = 0;
    for (size_t i = 0; i < file->categories; ++i) {
        known += data_class_named(&reader->known, file->category[i].name) != DATA_NO_CLASS;
        data_note(&all, file->category[i].name);
    }
    if (!known) {
        diag_error(reader->d, file->path, 0, NULL, "none of its %zu categories is in names=: %s", file->categories,
                   all.names ? all.names : "there is none");
        diag_hint(reader->d, "a category is the class of the same name in %s", reader->request->data->names_path);
    } else {
        warn_classes(file, reader);
    }
    free(all.names);
    return known ? 0 : -1;
}

/* ---- images ---- */

static int by_base_name(const void *left, const void *right)
{
    const coco_entry *a = left, *b = right;
    return strcmp(path_base_name(a->image->name), path_base_name(b->image->name));
}

static void list_entries(coco_labels *coco)
{
    for (int i = 0; i < coco->files; ++i) coco->entries += coco->file[i].images;
    coco->entry = mem_calloc(coco->entries ? coco->entries : 1, sizeof *coco->entry);
    size_t n = 0;
    for (int i = 0; i < coco->files; ++i)
        for (size_t k = 0; k < coco->file[i].images; ++k)
            coco->entry[n++] = (coco_entry){ .file = &coco->file[i], .image = &coco->file[i].image[k] };
    qsort(coco->entry, n, sizeof *coco->entry, by_base_name);
}

/* How many parts of two paths agree, from the end. */
static int parts_in_common(const char *one, const char *other)
{
    const char *a = one + strlen(one), *b = other + strlen(other);
    int parts = 0;
    while (a > one && b > other && a[-1] == b[-1]) {
        --a;
        --b;
        parts += *a == '/';
    }
    int whole = (a == one || a[-1] == '/') && (b == other || b[-1] == '/');
    return parts + whole;
}

/* The first entry of that last part, as bsearch would find any. */
static size_t first_entry(const coco_labels *coco, const char *base)
{
    size_t lo = 0, hi = coco->entries;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (strcmp(path_base_name(coco->entry[mid].image->name), base) < 0) lo = mid + 1;
        else hi = mid;
    }
    return lo;
}

/* The entry that agrees best with a path; NULL: none does, or several do as well, which is noted. */
static coco_match find_entry(coco_labels *coco, const char *path)
{
    const char *base = path_base_name(path);
    coco_match best = { 0 };
    int equals = 0;
    for (size_t i = first_entry(coco, base); i < coco->entries; ++i) {
        coco_entry *entry = &coco->entry[i];
        if (strcmp(path_base_name(entry->image->name), base)) break;
        int parts = parts_in_common(entry->image->name, path);
        equals = parts > best.parts ? 0 : equals + (parts == best.parts);
        if (parts > best.parts) best = (coco_match){ entry, parts };
    }
    if (!equals) return best;
    data_flood_add(&coco->several, path, 0, NULL, mem_printf("several images of %s fit it: %s", best.entry->file->path,
                                                             best.entry->image->name));
    return (coco_match){ 0 };
}

/* The image has that entry, unless another one agrees better with it. */
static void claim(const coco_match *match, size_t image)
{
    if (!match->entry || match->parts <= match->entry->parts) return;
    match->entry->parts = match->parts;
    match->entry->user = image + 1;
}

/* Two images that one entry fits as well: one of them is another picture of the same name. */
static void settle(coco_labels *coco, const dataset *set, size_t image)
{
    coco_match *match = &coco->match[image];
    if (!match->entry) return;
    const char *path = set->path[image], *other = set->path[match->entry->user - 1];
    if (match->parts < match->entry->parts) match->entry = NULL;
    else if (strcmp(other, path))
        data_flood_add(&coco->shared, path, 0, NULL, mem_printf("file_name \"%s\" in %s fits it, and %s, too",
                                                                match->entry->image->name, match->entry->file->path,
                                                                other));
}

static void match_images(coco_labels *coco, const dataset *set)
{
    coco->match = mem_calloc(set->count, sizeof *coco->match);
    for (size_t i = 0; i < set->count; ++i) {
        coco->match[i] = find_entry(coco, set->path[i]);
        claim(&coco->match[i], i);
    }
    for (size_t i = 0; i < set->count; ++i) settle(coco, set, i);
}

/* ---- what the boxes' reader calls ---- */

int coco_read(box_reader *reader, size_t image)
{
    const coco_entry *entry = reader->coco->match[image].entry;
    if (!entry) return -1;
    const coco_file *file = entry->file;
    double w = entry->image->w, h = entry->image->h;
    if (box_image_size(reader, image, file->path, &w, &h)) return -1;
    for (size_t i = entry->image->first; i < entry->image->first + entry->image->n; ++i) {
        const coco_box *box = &file->box[i];
        char place[64];
        double corner[4] = { box->x, box->y, box->x + box->w, box->y + box->h };
        snprintf(place, sizeof place, "annotations[%zu]", box->at);
        box_add_named(reader, file->path, 0, place, file->category[(size_t)box->category].name, corner, w, h);
    }
    return 0;
}

int coco_end(box_reader *reader)
{
    coco_labels *coco = reader->coco;
    const char *list = reader->request->path[0];
    int bad = coco->several.n || coco->shared.n;
    data_flood_end(&coco->several, DIAG_ERROR, list, "images have several entries in the file of labels",
                   "let file_name say the folder, too", reader->d);
    data_flood_end(&coco->shared, DIAG_ERROR, list, "images share an entry of the file of labels with another",
                   "let file_name say the folder, too", reader->d);
    for (int i = 0; i < coco->files; ++i) reader->set->passed_over += coco->file[i].crowds;
    return bad ? -1 : 0;
}

/* The files one by one, then which of their images is which of the set's. */
coco_labels *coco_open(box_reader *reader)
{
    coco_labels *coco = mem_calloc(1, sizeof *coco);
    int bad = box_needs_names(reader, reader->labels[0]);
    coco->file = mem_calloc((size_t)reader->n_labels, sizeof *coco->file);
    for (; !bad && coco->files < reader->n_labels; ++coco->files) {
        coco_file *file = &coco->file[coco->files];
        file->path = reader->labels[coco->files];
        bad = coco_file_read(file, reader) || sort_tables(file, reader->d) || check_categories(file, reader);
        if (!bad) share_out(file, reader);
    }
    if (!bad) {
        list_entries(coco);
        match_images(coco, reader->set);
        return coco;
    }
    coco_free(coco);
    return NULL;
}

void coco_free(coco_labels *coco)
{
    if (!coco) return;
    for (int i = 0; i < coco->files; ++i) coco_file_free(&coco->file[i]);
    free(coco->entry);
    free(coco->match);
    free(coco->file);
    free(coco);
}
