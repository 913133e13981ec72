/* A folder of folders: each folder in it is a class and holds that class's images.
 *
 * A folder is named as in names= (or labels=), which give its class a number, so that numbers do not depend on which
 * folders are there; one of another name is an error, one that is missing or empty a warning. Folders, and images in
 * each, come in the order of their names' bytes, whatever the locale. What is an image is decided by how its name ends;
 * folders inside the folders of classes are not looked into. Names that begin with a dot are hidden; symbolic links are
 * followed. */
#include "dataset_internal.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/path.h"
#include "darknet_plugin/base/words.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SHOWN = 10 };

/* How many there are of something, and the names of the first SHOWN for a message. */
typedef struct noted {
    size_t n;
    char *names;                 /* owned; NULL where there are none */
    int words;
} noted;

typedef struct folders_reader {
    dataset *set;
    const data_request *request;
    const char *top;             /* the folder of folders being read, borrowed */
    diag *d;
    data_names known;
    noted classes, strange, ignored, unreadable;   /* of `top` */
} folders_reader;

static void note(noted *noted, const char *name)
{
    words_list(&noted->names, &noted->words, SHOWN, name);
    ++noted->n;
}

/* ---- what is there ---- */

static const char *folder_problem(const char *path)
{
    struct stat st;
    if (stat(path, &st)) return strerror(errno);
    if (!S_ISDIR(st.st_mode)) return "not a folder";
    return access(path, R_OK | X_OK) ? strerror(errno) : NULL;
}

static int is_folder(const char *path)
{
    struct stat st;
    return !stat(path, &st) && S_ISDIR(st.st_mode);
}

static int is_image(const char *name)
{
    static const char *const endings[] = { ".jpg", ".jpeg", ".png", ".bmp", ".pgm", ".ppm", ".tif", ".tiff", ".webp" };
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && i < sizeof endings / sizeof *endings; ++i)
        if (!strcasecmp(dot, endings[i])) return 1;
    return 0;
}

static int is_visible(const struct dirent *entry) { return entry->d_name[0] != '.'; }

static int by_bytes(const struct dirent **left, const struct dirent **right)
{
    return strcmp((*left)->d_name, (*right)->d_name);
}

/* Paths of all that is in a folder and not hidden, sorted, each owned, as is the array. NULL after reporting, or where
 * there is nothing. */
static char **paths_in(const char *folder, int *count, diag *d)
{
    struct dirent **entry;
    *count = scandir(folder, &entry, is_visible, by_bytes);
    if (*count < 0) {
        diag_error(d, folder, 0, NULL, "cannot be read: %s", strerror(errno));
        *count = 0;
        return NULL;
    }
    size_t length = strlen(folder);
    while (length && folder[length - 1] == '/') --length;
    char **path = *count ? mem_calloc((size_t)*count, sizeof *path) : NULL;
    for (int i = 0; i < *count; ++i) {
        path[i] = mem_printf("%.*s/%s", (int)length, folder, entry[i]->d_name);
        free(entry[i]);
    }
    free(entry);
    return path;
}

/* ---- reading ---- */

/* Takes `path`. */
static void read_image(folders_reader *reader, char *path, int class)
{
    const char *problem = is_image(path) ? path_problem(path) : NULL;
    if (!is_image(path) || (problem && is_folder(path))) {
        note(&reader->ignored, path);
    } else if (problem) {
        char *text = mem_printf("%s: %s", path, problem);
        note(&reader->unreadable, text);
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
    int class = data_class_named(&reader->known, name), n;
    note(&reader->classes, name);
    if (class == DATA_NO_CLASS) note(&reader->strange, name);
    if (class == DATA_SEVERAL_CLASSES)
        diag_error(reader->d, folder, 0, NULL, "the folder's name stands twice among the labels");
    if (class < 0) return;
    char **path = paths_in(folder, &n, reader->d);
    for (int i = 0; i < n; ++i) read_image(reader, path[i], class);
    free(path);
}

/* ---- what is wrong ---- */

/* "cat, dog, ..." as the .data file names them, NULL without names; the caller frees. */
static char *expected_names(const data_file *data)
{
    noted expected = { 0 };
    for (int i = 0; data->name && i < data->classes; ++i) note(&expected, data->name[i]);
    return expected.names;
}

static void report_no_folders(const folders_reader *reader, const char *expected)
{
    diag_error(reader->d, reader->top, 0, NULL, "there is no folder in it, expected one for each class%s%s",
               expected ? ": " : "", expected ? expected : "");
    diag_hint(reader->d, "move each image into the folder of its class, or let %s= name a list of images",
              reader->request->key);
}

/* Folders that are no class: who there are, and who is expected. */
static void report_strange(const folders_reader *reader, const char *expected)
{
    const data_file *data = reader->request->data;
    if (!expected) {
        diag_error(reader->d, reader->top, 0, NULL, "%zu folders, whose classes have no names in %s: %s",
                   reader->classes.n, data->path, reader->classes.names);
        diag_hint(reader->d, "add a line `names = FILE`, a file with the name of a folder a line; classes=%zu",
                  reader->classes.n);
        return;
    }
    diag_error(reader->d, reader->top, 0, NULL, "%zu of %zu folders have no class's name: %s", reader->strange.n,
               reader->classes.n, reader->strange.names);
    diag_hint(reader->d, "the names of the %d classes, from %s: %s", data->classes, data->names_path, expected);
}

/* All there is to say of one top folder. */
static void report(const folders_reader *reader)
{
    char *expected = expected_names(reader->request->data);
    if (!reader->classes.n) report_no_folders(reader, expected);
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
    noted empty = { 0 };
    for (size_t i = 0; i < set->count; ++i) ++images[set->label[i]];
    for (int i = 0; i < set->classes; ++i)
        if (!images[i]) note(&empty, request->data->name[i]);
    if (empty.n) diag_warn(d, request->path[0], 0, NULL, "%zu of %d classes have no images: %s", empty.n, set->classes,
                           empty.names);
    free(empty.names);
    free(images);
}

/* ---- the row ---- */

/* One top folder; what was noted is of it alone. */
static void read_folders(folders_reader *reader)
{
    noted *const lists[] = { &reader->classes, &reader->strange, &reader->ignored, &reader->unreadable };
    int n, errors = diag_errors(reader->d);
    char **path = paths_in(reader->top, &n, reader->d);
    for (int i = 0; i < n; ++i)
        if (is_folder(path[i])) read_class(reader, path[i]);
        else note(&reader->ignored, path[i]);
    data_free_strings(path, (size_t)n);
    if (n || diag_errors(reader->d) == errors) report(reader);
    for (size_t i = 0; i < sizeof lists / sizeof *lists; ++i) {
        free(lists[i]->names);
        *lists[i] = (noted){ 0 };
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
    if (set->count) warn_empty(set, request, d);
    return 0;
}

const data_format data_folders = {
    .name = "folders", .what = "a folder with a folder of images for each class", .problem = folder_problem,
    .open = folders_open, DATA_IN_FILES
};
