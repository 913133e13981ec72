/* What is done with any file of another program's: read by what it contains, then brought together layer by layer. */
#ifndef DISTILL_TESTS_FUZZ_CHECKPOINT_H
#define DISTILL_TESTS_FUZZ_CHECKPOINT_H
#include "fuzz.h"

#include "weights_tools/import/tensor_groups.h"

static inline void fuzz_group(const named_tensors *t)
{
    import_map map = { 0 };
    tensor_groups g;
    diag *d = diag_new();
    int failed = tensor_groups_make(t, &map, &g, d);
    tensor_groups_free(&g);
    fuzz_end(d, failed);
}

static inline void fuzz_checkpoint(const char *name, const uint8_t *data, size_t n)
{
    fuzz_write(name, data, n);
    diag *d = diag_new();
    named_tensors *t = named_tensors_read(name, d);
    fuzz_end(d, !t);
    if (t) fuzz_group(t);
    named_tensors_free(t);
}

#endif
