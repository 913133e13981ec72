/* An image list and the names of its classes: with classes, without, and as a detector's; and the same names beside a folder
 * of folders. */
#include "fuzz.h"

#include "darknet_plugin/data/dataset.h"

#include <sys/stat.h>

void fuzz_begin(void)
{
    static const char *const folders[] = { "photos", "photos/cat", "photos/dog 1" };
    static const char *const images[] = { "a.png", "b c.png", "cat.png", "dog 1.png" };
    for (size_t i = 0; i < sizeof images / sizeof *images; ++i) fuzz_write_text(images[i], "");
    for (size_t i = 0; i < sizeof folders / sizeof *folders; ++i) mkdir(folders[i], 0700);
    fuzz_write_text("photos/cat/1.png", "");
    fuzz_write_text("photos/dog 1/x.txt", "");
    fuzz_write_text("folders.data", "classes=2\nnames=names\ntrain=photos\nvalid=photos, photos\n");
    fuzz_write_text("t.data", "classes=3\nnames=names\ntrain=list\nvalid=list, list\n");
}

static void open_as(const data_file *f, data_split split, int need)
{
    diag *d = diag_new();
    char name[64];
    dataset *s = dataset_open(f, split, 0, need, d);
    for (size_t i = 0; s && i < dataset_count(s); ++i) (void)dataset_name(s, i, name, sizeof name), (void)dataset_label(s, i);
    if (s) (void)dataset_identity(s);
    fuzz_end(d, !s);
    dataset_free(s);
}

static void open_all(const char *data)
{
    diag *d = diag_new();
    data_file *f = data_file_read(data, d);
    if (f) {
        open_as(f, DATA_TRAIN, DATA_CLASSES);
        open_as(f, DATA_VALID, DATA_IMAGES);
        open_as(f, DATA_TRAIN, DATA_DETECTOR);
    }
    fuzz_end(d, !f);
    data_file_free(f);
}

void fuzz_one(const uint8_t *data, size_t n)
{
    static const char *const names[] = { "list", "names" };
    fuzz_write_parts(data, n, names, 2);
    open_all("t.data");
    open_all("folders.data");
}
