/* The map file of `weights import`. */
#include "fuzz.h"

#include "weights_tools/import/tensor_groups.h"

void fuzz_begin(void) {}

void fuzz_one(const uint8_t *data, size_t n)
{
    import_map m;
    fuzz_write("m.map", data, n);
    diag *d = diag_new();
    int failed = import_map_read("m.map", &m, d);
    for (int i = 0; i < m.n; ++i) (void)import_map_find(&m, m.row[i].name);
    import_map_free(&m);
    fuzz_end(d, failed);
}
