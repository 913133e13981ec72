/* A folder of folders: each folder in it is a class and holds that class's images.
 *
 * A folder is named as in names= (or labels=), or by its class's number, so that numbers do not depend on which
 * folders are there; one of another name is an error, one that is missing or empty a warning. Images of a class come in
 * the order of their names' bytes, whatever the locale, and classes mixed: image k of a class of n stands where
 * (k + 1/2) / n says, so that the first or last images of the set are of all classes, as -limit, -labelled and -holdout
 * want them. What is an image is decided by how its name ends; folders inside the folders of classes are not looked
 * into. Names that begin with a dot are hidden; symbolic links are followed. */
#include "dataset_internal.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/path.h"

#include <stdlib.h>
#include <string.h>

typedef struct folders_reader {
    dataset *set;
    const data_request *request;
    const char *top;             /* the folder of folders being read, borrowed */
    diag *d;
    data_names known;
    data_noted classes, strange, ignored, unreadable;   /* of `top` */
} folders_reader;

/* ---- reading ---- */

/* Takes `path`. */
static void read_image(folders_reader *reader, char *path, int class)
{
    const char *problem = data_is_image(path) ? path_problem(path) : NULL;
    if (!data_is_image(path) || (problem && data_is_folder(path))) {
        data_note(&reader->ignored, path);
    } else if (problem) {
        char *text = mem_printf("%s: %s", path, problem);
        data_note(&reader->unreadable, text);
        free(text);
    } else {
        data_add_image(reader->set, path, class);
        return;
    }
    free(path);
}

/* One folder of the top one. */
static void read_class(folders_reader *reader, const char *folder)
{
    const char *name = path_base_name(folder);
    int class = data_class_written(&reader->known, name, reader->set->classes), n;
    data_note(&reader->classes, name);
    if (class == DATA_NO_CLASS) data_note(&reader->strange, name);
    if (class == DATA_SEVERAL_CLASSES)
        diag_error(reader->d, folder, 0, NULL, "the folder's name stands twice among the labels");
    if (class < 0) return;
    char **path = data_paths_in(folder, &n, reader->d);
    for (int i = 0; i < n; ++i) read_image(reader, path[i], class);
    free(path);
}

/* ---- what is wrong ---- */

/* Folders that are no class: who there are, and who is expected. */
static void report_strange(const folders_reader *reader, const char *expected)
{
    const data_file *data = reader->request->data;
    if (!expected) {
        diag_error(reader->d, reader->top, 0, NULL, "%zu folders, whose classes have no names in %s: %s",
                   reader->classes.n, data->path, reader->classes.names);
        diag_hint(reader->d, "add a line `names = FILE`, a file with the name of a folder a line; classes=%zu; "
                  "format=images takes all images in it without a class", reader->classes.n);
        return;
    }
    diag_error(reader->d, reader->top, 0, NULL, "%zu of %zu folders have no class's name: %s", reader->strange.n,
               reader->classes.n, reader->strange.names);
    diag_hint(reader->d, "the names of the %d classes, from %s: %s; format=images takes all images without a class",
              data->classes, data->names_path, expected);
}

/* All there is to say of one top folder. */
static void report(const folders_reader *reader)
{
    char *expected = data_expected_names(reader->request->data);
    if (!reader->classes.n) data_report_no_classes(reader->request, reader->top, reader->d);
    if (reader->strange.n) report_strange(reader, expected);
    if (reader->unreadable.n)
        diag_error(reader->d, reader->top, 0, NULL, "%zu images in it cannot be read: %s", reader->unreadable.n,
                   reader->unreadable.names);
    if (reader->ignored.n)
        diag_warn(reader->d, reader->top, 0, NULL,
                  "%zu files and folders in it are ignored, as no images of a class: %s", reader->ignored.n,
                  reader->ignored.names);
    free(expected);
}

/* Classes without an image, of all folders together. */
static void warn_empty(const dataset *set, const data_request *request, diag *d)
{
    size_t *images = mem_calloc((size_t)set->classes, sizeof *images);
    data_noted empty = { 0 };
    char buf[16];
    for (size_t i = 0; i < set->count; ++i) ++images[set->label[i]];
    for (int i = 0; i < set->classes; ++i)
        if (!images[i]) data_note(&empty, data_file_class(request->data, i, buf, sizeof buf));
    if (empty.n) diag_warn(d, request->path[0], 0, NULL, "%zu of %d classes have no images: %s", empty.n, set->classes,
                           empty.names);
    free(empty.names);
    free(images);
}

/* ---- classes mixed ---- */

/* Where an image stands among all: (2 k + 1) / (2 n), of the k-th of its class's n. */
typedef struct mixed {
    size_t k, n, from;           /* from: its number in the order of folders */
} mixed;

static int by_place(const void *left, const void *right)
{
    const mixed *a = left, *b = right;
    unsigned __int128 x = (unsigned __int128)(2 * a->k + 1) * b->n, y = (unsigned __int128)(2 * b->k + 1) * a->n;
    if (x != y) return x < y ? -1 : 1;
    return a->from < b->from ? -1 : a->from > b->from;
}

static mixed *places(const dataset *set)
{
    size_t *n = mem_calloc((size_t)set->classes, sizeof *n), *k = mem_calloc((size_t)set->classes, sizeof *k);
    mixed *place = mem_calloc(set->count, sizeof *place);
    for (size_t i = 0; i < set->count; ++i) ++n[set->label[i]];
    for (size_t i = 0; i < set->count; ++i)
        place[i] = (mixed){ k[set->label[i]]++, n[set->label[i]], i };
    free(n);
    free(k);
    return place;
}

/* From class after class to all classes mixed. */
static void mix(dataset *set)
{
    mixed *place = places(set);
    char **path = mem_calloc(set->count, sizeof *path);
    int *label = mem_calloc(set->count, sizeof *label);
    qsort(place, set->count, sizeof *place, by_place);
    for (size_t i = 0; i < set->count; ++i) {
        path[i] = set->path[place[i].from];
        label[i] = set->label[place[i].from];
    }
    memcpy(set->path, path, set->count * sizeof *path);
    memcpy(set->label, label, set->count * sizeof *label);
    free(path);
    free(label);
    free(place);
}

/* ---- the row ---- */

/* One top folder; what was noted is of it alone. */
static void read_folders(folders_reader *reader)
{
    data_noted *const lists[] = { &reader->classes, &reader->strange, &reader->ignored, &reader->unreadable };
    int n, errors = diag_errors(reader->d);
    char **path = data_paths_in(reader->top, &n, reader->d);
    for (int i = 0; i < n; ++i)
        if (data_is_folder(path[i])) read_class(reader, path[i]);
        else data_note(&reader->ignored, path[i]);
    data_free_strings(path, (size_t)n);
    if (n || diag_errors(reader->d) == errors) report(reader);
    for (size_t i = 0; i < sizeof lists / sizeof *lists; ++i) {
        free(lists[i]->names);
        *lists[i] = (data_noted){ 0 };
    }
}

/* All of them. */
static int folders_open(dataset *set, const data_request *request, diag *d)
{
    int errors = diag_errors(d);
    folders_reader reader = { .set = set, .request = request, .d = d };
    data_names_add(&reader.known, request->data->name, request->data->classes);
    data_names_add(&reader.known, request->data->tag, request->data->classes);
    for (int i = 0; i < request->paths; ++i) {
        reader.top = request->path[i];
        read_folders(&reader);
    }
    free(reader.known.entry);
    if (diag_errors(d) > errors) return -1;
    if (!set->count) return 0;
    warn_empty(set, request, d);
    mix(set);
    return 0;
}

static int has_folders(const char *path, int classes)
{
    (void)classes;
    return data_has_folders(path);
}

const data_format data_folders = {
    .name = "folders", .what = "a folder with a folder of images for each class", .by_class = 1,
    .problem = data_folder_problem, .probe = has_folders, .open = folders_open, DATA_IN_FILES
};
