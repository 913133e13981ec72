/* A folder of images: all that are in it and in the folders below, none of which says a class.
 *
 * For who needs no classes: distilling without labels, images of unlabelled=, and detectors, whose boxes stand in label
 * files. What is an image is decided by how its name ends; in each folder images and folders come in the order of
 * their names' bytes. A link that leads back up is not followed. */
#include "dataset_internal.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/path.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct images_reader {
    dataset *set;
    const data_request *request;
    diag *d;
    data_noted ignored;
    data_flood unreadable;
} images_reader;

/* A folder and those around it. */
typedef struct folder_chain {
    const struct folder_chain *around;    /* NULL: none */
    dev_t device;
    ino_t inode;
} folder_chain;

/* Does a link lead back to it? */
static int is_around(const folder_chain *chain, const struct stat *st)
{
    for (; chain; chain = chain->around)
        if (chain->device == st->st_dev && chain->inode == st->st_ino) return 1;
    return 0;
}

/* Label files, which stand beside a detector's images. */
static int is_labels(const char *name)
{
    static const char *const endings[] = { ".txt", ".xml", ".json" };
    return path_ends_in(name, endings, sizeof endings / sizeof *endings);
}

/* Takes `path`. */
static void read_file(images_reader *reader, char *path)
{
    const char *problem = data_is_image(path) ? path_problem(path) : NULL;
    int detector = reader->request->need & (DATA_DETECTOR | DATA_BOXES);
    if (data_is_image(path) && !problem) {
        data_add_image(reader->set, path, DATA_NO_CLASS);
        return;
    }
    if (problem) data_flood_add(&reader->unreadable, path, 0, NULL, mem_strdup(problem));
    else if (!detector || !is_labels(path)) data_note(&reader->ignored, path);
    free(path);
}

/* All that is in a folder, and in those below. */
static void read_folder(images_reader *reader, const char *folder, const folder_chain *around)
{
    struct stat st;
    int n;
    if (stat(folder, &st) || is_around(around, &st)) return;
    folder_chain chain = { around, st.st_dev, st.st_ino };
    char **path = data_paths_in(folder, &n, reader->d);
    for (int i = 0; i < n; ++i) {
        if (!data_is_folder(path[i])) {
            read_file(reader, path[i]);
            continue;
        }
        read_folder(reader, path[i], &chain);
        free(path[i]);
    }
    free(path);
}

/* One of the split's folders. */
static void read_top(images_reader *reader, const char *folder)
{
    read_folder(reader, folder, NULL);
    data_flood_end(&reader->unreadable, DIAG_ERROR, folder, "images in it cannot be read", NULL, reader->d);
    if (reader->ignored.n)
        diag_warn(reader->d, folder, 0, NULL, "%zu files in it are ignored, as no images: %s", reader->ignored.n,
                  reader->ignored.names);
    free(reader->ignored.names);
    reader->ignored = (data_noted){ 0 };
}

/* All of them. */
static int images_open(dataset *set, const data_request *request, diag *d)
{
    int errors = diag_errors(d);
    images_reader reader = { .set = set, .request = request, .d = d };
    for (int i = 0; i < request->paths; ++i) {
        if (request->need & DATA_CLASSES) data_report_no_classes(request, request->path[i], d);
        else read_top(&reader, request->path[i]);
    }
    return diag_errors(d) > errors ? -1 : 0;
}

const data_format data_images = {
    .name = "images", .what = "a folder of images without classes", .boxes = 1, .problem = data_folder_problem,
    .open = images_open, DATA_IN_FILES
};
