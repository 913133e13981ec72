/* What formats of folders share (see dataset_internal.h): what is in a folder, in the order of the names' bytes,
 * whatever the locale, and what of it is an image. Names that begin with a dot are hidden; symbolic links are
 * followed. */
#include "dataset_internal.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/path.h"
#include "darknet_plugin/base/words.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SHOWN = 10 };

void data_note(data_noted *noted, const char *name)
{
    words_list(&noted->names, &noted->words, SHOWN, name);
    ++noted->n;
}

const char *data_folder_problem(const char *path)
{
    struct stat st;
    if (stat(path, &st)) return strerror(errno);
    if (!S_ISDIR(st.st_mode)) return "not a folder";
    return access(path, R_OK | X_OK) ? strerror(errno) : NULL;
}

int data_is_folder(const char *path)
{
    struct stat st;
    return !stat(path, &st) && S_ISDIR(st.st_mode);
}

int data_is_image(const char *name)
{
    static const char *const endings[] = { ".jpg", ".jpeg", ".png", ".bmp", ".pgm", ".ppm", ".tif", ".tiff", ".webp" };
    return path_ends_in(name, endings, sizeof endings / sizeof *endings);
}

static int is_visible(const struct dirent *entry) { return entry->d_name[0] != '.'; }

static int by_bytes(const struct dirent **left, const struct dirent **right)
{
    return strcmp((*left)->d_name, (*right)->d_name);
}

char **data_paths_in(const char *folder, int *count, diag *d)
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

int data_has_folders(const char *path)
{
    diag *quiet = diag_new();
    int n, found = 0;
    char **in = data_paths_in(path, &n, quiet);
    for (int i = 0; i < n && !found; ++i) found = data_is_folder(in[i]);
    data_free_strings(in, (size_t)n);
    diag_free(quiet);
    return found;
}

char *data_expected_names(const data_file *data)
{
    data_noted expected = { 0 };
    for (int i = 0; data->name && i < data->classes; ++i) data_note(&expected, data->name[i]);
    return expected.names;
}

void data_report_no_classes(const data_request *request, const char *folder, diag *d)
{
    char *expected = data_expected_names(request->data);
    diag_error(d, folder, 0, NULL, "there is no folder in it, expected one for each class%s%s", expected ? ": " : "",
               expected ? expected : "");
    diag_hint(d, "move each image into the folder of its class, or let %s= name a list of images", request->key);
    free(expected);
}
