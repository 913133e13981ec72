/* CIFAR's records. The first byte says of which kind, and whether the format is asked for or to be found out. */
#include "fuzz.h"

#include "darknet_plugin/data/dataset.h"

static data_file *f[4];

void fuzz_begin(void)
{
    static const char *const text[] = { "classes=10\nformat=cifar10\n", "classes=100\nformat=cifar100\n", "classes=10\n", "classes=100\n" };
    for (int i = 0; i < 4; ++i) {
        diag *d = diag_new();
        char *all = mem_printf("%strain=c.bin\n", text[i]);
        fuzz_write_text("t.data", all);
        f[i] = data_file_read("t.data", d);
        fuzz_end(d, !f[i]);
        free(all);
    }
}

void fuzz_one(const uint8_t *data, size_t n)
{
    uint8_t *pixels;
    int w, h;
    char why[128];
    if (!n) return;
    fuzz_write("c.bin", data + 1, n - 1);
    diag *d = diag_new();
    dataset *s = dataset_open(f[data[0] & 3], DATA_TRAIN, 0, DATA_CLASSES, d);
    for (size_t i = 0; s && i < dataset_count(s); ++i) {
        if (dataset_read(s, i, data[0] & 4 ? 1 : 3, &pixels, &w, &h, why, sizeof why)) diag_error(d, NULL, 0, NULL, "%s", why);
        free(pixels);
    }
    fuzz_end(d, !s);
    dataset_free(s);
}
