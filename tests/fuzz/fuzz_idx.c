/* IDX images and labels, plain or gzipped. The first two bytes say how long the label file behind them is. */
#include "fuzz.h"

#include "darknet_plugin/data/dataset.h"

static data_file *f;

void fuzz_begin(void)
{
    diag *d = diag_new();
    fuzz_write_text("t.data", "classes=10\nformat=idx\ntrain=images-idx3\nvalid=images-idx3, images-idx3\nvalid_labels=labels-idx1, labels-idx1\n");
    f = data_file_read("t.data", d);
    fuzz_end(d, !f);
}

static void read_images(const dataset *s, diag *d)
{
    uint8_t *pixels;
    char why[128];
    int w, h;
    for (size_t i = 0; i < dataset_count(s) && i < 4; ++i) {
        if (dataset_read(s, i, i % 2 ? 3 : 1, &pixels, &w, &h, why, sizeof why)) diag_error(d, NULL, 0, NULL, "%s", why);
        free(pixels);
    }
}

static void open_as(data_split split, int need)
{
    diag *d = diag_new();
    dataset *s = dataset_open(f, split, 0, need, d);
    if (s) read_images(s, d), (void)dataset_identity(s);
    fuzz_end(d, !s);
    dataset_free(s);
}

void fuzz_one(const uint8_t *data, size_t n)
{
    size_t labels = n < 2 ? 0 : (size_t)(data[0] | data[1] << 8);
    if (n < 2 || labels > n - 2) return;
    fuzz_write("labels-idx1", data + 2, labels);
    fuzz_write("images-idx3", data + 2 + labels, n - 2 - labels);
    open_as(DATA_TRAIN, DATA_CLASSES);
    open_as(DATA_VALID, DATA_IMAGES);
}
