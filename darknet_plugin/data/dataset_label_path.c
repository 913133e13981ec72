/* Where a detector's label file is.
 *
 * Where Darknet looks for the file of an image: the first "images" of the path becomes "labels", then so do
 * "JPEGImages" and "raw", and the extension .txt (fill_truth_detection in its data.c). That misses where a folder above
 * has such a word in its name, so the last folder of just that name is tried next, then the image's own folder, where
 * AlexeyAB's users keep label files. */
#include "dataset_internal.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/path.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char *const image_folders[] = { "images", "JPEGImages", "raw" };
enum { FOLDERS = sizeof image_folders / sizeof *image_folders };

/* `text` with the first `from` turned into "labels"; takes and returns an owned text. */
static char *replace_first(char *text, const char *from)
{
    char *at = strstr(text, from);
    if (!at) return text;
    char *out = mem_printf("%.*slabels%s", (int)(at - text), text, at + strlen(from));
    free(text);
    return out;
}

/* The path without the extension of its last part, and .txt instead; takes and returns an owned text. */
static char *as_text_file(char *path)
{
    const char *base = path_base_name(path), *dot = strrchr(base, '.');
    size_t keep = dot && dot > base ? (size_t)(dot - path) : strlen(path);
    char *out = mem_printf("%.*s.txt", (int)keep, path);
    free(path);
    return out;
}

static char *darknets_path(const char *image)
{
    char *path = mem_strdup(image);
    for (int i = 0; i < FOLDERS; ++i) path = replace_first(path, image_folders[i]);
    return as_text_file(path);
}

static int is_image_folder(const char *name, size_t len)
{
    for (int i = 0; i < FOLDERS; ++i)
        if (strlen(image_folders[i]) == len && !strncmp(name, image_folders[i], len)) return 1;
    return 0;
}

/* The last folder of the path that is named as images are becomes "labels"; NULL if there is none. */
static char *folders_path(const char *image)
{
    const char *at = NULL, *end = NULL;
    for (const char *p = image, *slash; (slash = strchr(p, '/')); p = slash + 1)
        if (is_image_folder(p, (size_t)(slash - p))) {
            at = p;
            end = slash;
        }
    return at ? as_text_file(mem_printf("%.*slabels%s", (int)(at - image), image, end)) : NULL;
}

static int is_there(const char *path)
{
    struct stat st;
    return path && !stat(path, &st);
}

char *data_label_path(const char *image)
{
    char *path[3] = { darknets_path(image), folders_path(image), as_text_file(mem_strdup(image)) };
    int pick = 0;
    while (pick < 3 && !is_there(path[pick])) ++pick;
    if (pick == 3) pick = path[1] ? 1 : 0;
    for (int i = 0; i < 3; ++i)
        if (i != pick) free(path[i]);
    return path[pick];
}
