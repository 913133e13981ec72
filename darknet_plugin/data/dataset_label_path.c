/* Where a detector's label file is.
 *
 * Where Darknet looks for the file of an image: the first "images" of the path becomes "labels", then so do
 * "JPEGImages" and "raw", and the extension .txt (fill_truth_detection in its data.c). That misses where a folder above
 * has such a word in its name, so the last folder of just that name is tried next, then the image's own folder, where
 * AlexeyAB's users keep label files. Then VOC's: the last "JPEGImages" or "images" becomes "Annotations", and the
 * extension .xml; and the image's own folder again. In a folder that was named, a file is looked for under the image's
 * own folder there, then without it, so that images of one name in two folders have files of their own. */
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

/* The path without the extension of its last part, and another instead; takes and returns an owned text. */
static char *as_file(char *path, const char *extension)
{
    const char *base = path_base_name(path), *dot = strrchr(base, '.');
    size_t keep = dot && dot > base ? (size_t)(dot - path) : strlen(path);
    char *out = mem_printf("%.*s%s", (int)keep, path, extension);
    free(path);
    return out;
}

static char *as_text_file(char *path) { return as_file(path, ".txt"); }

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

/* The last folder of the path that is named as images are becomes `labels`; NULL if there is none. */
static char *folders_path(const char *image, const char *labels, const char *extension)
{
    const char *at = NULL, *end = NULL;
    for (const char *p = image, *slash; (slash = strchr(p, '/')); p = slash + 1)
        if (is_image_folder(p, (size_t)(slash - p))) {
            at = p;
            end = slash;
        }
    return at ? as_file(mem_printf("%.*s%s%s", (int)(at - image), image, labels, end), extension) : NULL;
}

static int is_there(const char *path)
{
    struct stat st;
    return path && !stat(path, &st);
}

/* The first of n paths that is there, or number `otherwise`; frees the others, and all NULLs are passed over. */
static char *pick(char **path, int n, int otherwise)
{
    int at = 0;
    while (at < n && !is_there(path[at])) ++at;
    if (at == n) at = otherwise;
    for (int i = 0; i < n; ++i)
        if (i != at) free(path[i]);
    return path[at];
}

/* Where the file of an image would be that stands in one of the folders. */
static char *path_in(const char *image, char *const *folder, int folders)
{
    const char *base = path_base_name(image), *parent = base > image ? base - 1 : image;
    while (parent > image && parent[-1] != '/') --parent;
    char *found = NULL;
    for (int i = 0; i < folders && !is_there(found); ++i) {
        free(found);
        char *path[4];
        for (int k = 0; k < 4; ++k)
            path[k] = as_file(mem_printf("%s/%s", folder[i], k < 2 ? parent : base), k % 2 ? ".xml" : ".txt");
        found = pick(path, 4, 2);
    }
    return found;
}

char *data_label_path(const char *image, char *const *folder, int folders)
{
    if (folders) return path_in(image, folder, folders);
    char *path[] = { darknets_path(image), folders_path(image, "labels", ".txt"), as_text_file(mem_strdup(image)),
                     folders_path(image, "Annotations", ".xml"), as_file(mem_strdup(image), ".xml") };
    return pick(path, sizeof path / sizeof *path, path[1] ? 1 : 0);
}
