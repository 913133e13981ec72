/* A .data file and the two files of names it may name. */
#include "fuzz.h"

#include "darknet_plugin/data/dataset.h"

void fuzz_begin(void) {}

void fuzz_one(const uint8_t *data, size_t n)
{
    static const char *const names[] = { "t.data", "names", "labels" };
    char buf[64];
    fuzz_write_parts(data, n, names, 3);
    diag *d = diag_new();
    data_file *f = data_file_read("t.data", d);
    for (int i = 0; f && i < f->classes && i < 1000; ++i) (void)data_file_class(f, i, buf, sizeof buf);
    fuzz_end(d, !f);
    data_file_free(f);
}
