/* The pickle alone: in a zip archive a checksum would keep changed ones out. Each storage gets as many bytes as it asks for,
 * if those are not more than the file's. */
#include "checkpoint.h"

#include "weights_tools/import/torch_read.h"

void fuzz_begin(void) {}

/* The elements of each storage, in memory of just that size; -1 where one is larger than the file. */
static int lend(const storage_list *l, unsigned char **byte, size_t n)
{
    for (size_t i = 0; i < l->n; ++i) {
        size_t bytes;
        if (__builtin_mul_overflow(l->at[i]->n, l->at[i]->type->bytes, &bytes) || bytes > n) return -1;
        l->at[i]->byte = byte[i] = mem_calloc(bytes, 1);
    }
    return 0;
}

void fuzz_one(const uint8_t *data, size_t n)
{
    diag *d = diag_new();
    pickle p;
    named_tensors *t = named_tensors_new("m.pt", n);
    unsigned char *copy = mem_calloc(n, 1);
    if (n) memcpy(copy, data, n);
    int failed = pickle_read("m.pt", copy, n, &p, d);
    storage_list l = torch_storages(&p);
    unsigned char **byte = mem_calloc(l.n, sizeof *byte);
    int lent = !failed && !lend(&l, byte, n);
    if (lent) failed = torch_tensors(&p, t, d);
    fuzz_end(d, failed);
    if (lent && !failed) fuzz_group(t);
    for (size_t i = 0; i < l.n; ++i) free(byte[i]);
    free(byte);
    free(l.at);
    pickle_free(&p);
    named_tensors_free(t);
    free(copy);
}
