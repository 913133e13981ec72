/* Memory that the layers of one network share (cpu_shared, see state.h). */
#include "state.h"

#include "darknet_plugin/base/mem.h"

#include <stdlib.h>

void cpu_reserve(cpu_shared *shared, int slot, size_t bytes)
{
    bytes = (bytes + 63) / 64 * 64;
    if (bytes <= shared->bytes[slot]) return;
    float *p = mem_aligned(bytes, 1);     /* another plan instead would give other weights for the same seed */
    free(shared->slot[slot]);
    shared->slot[slot] = p;
    shared->bytes[slot] = bytes;
}

cpu_shared *cpu_part_of(cpu_shared *shared, int i)
{
    while (shared->parts <= i) {
        shared->part = mem_realloc(shared->part, (size_t)shared->parts + 1, sizeof *shared->part);
        cpu_shared *part = shared->part[shared->parts++] = mem_calloc(1, sizeof *part);
        part->users = 1;
        part->kernels = shared->kernels;
        part->precision = shared->precision;
    }
    return shared->part[i];
}

void *cpu_take(cpu_shared *shared, size_t bytes)
{
    cpu_block *best = NULL;
    for (int i = 0; i < shared->blocks; ++i) {
        cpu_block *b = &shared->block[i];
        if (!b->taken && b->bytes >= bytes && (!best || b->bytes < best->bytes)) best = b;
    }
    if (!best) {
        shared->block = mem_realloc(shared->block, (size_t)shared->blocks + 1, sizeof *shared->block);
        best = &shared->block[shared->blocks++];
        *best = (cpu_block){ .data = mem_aligned(bytes, 1), .bytes = bytes };
    }
    best->taken = 1;
    return best->data;
}

void cpu_give(cpu_shared *shared, const void *memory)
{
    for (int i = 0; memory && i < shared->blocks; ++i)
        if (shared->block[i].data == memory) shared->block[i].taken = 0;
}

void *cpu_refit(cpu_shared *shared, void *have, size_t *bytes, size_t want)
{
    if (have && *bytes == want) return have;
    cpu_give(shared, have);
    *bytes = want;
    return cpu_take(shared, want);
}

void cpu_leave_shared(cpu_shared *shared)
{
    if (--shared->users > 0) return;
    for (int i = 0; i < shared->parts; ++i) cpu_leave_shared(shared->part[i]);
    for (int i = 0; i < SLOTS; ++i) free(shared->slot[i]);
    free(shared->part);
    for (int i = 0; i < shared->blocks; ++i) free(shared->block[i].data);
    free(shared->block);
    free(shared->products);
    free(shared->state);
    free(shared);
}
