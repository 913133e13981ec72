/* 64-bit FNV-1a (Fowler, Noll, Vo): names contents that nobody forges. Start with HASH_START, go on with the result. */
#ifndef DISTILL_HASH_H
#define DISTILL_HASH_H
#include <stddef.h>
#include <stdint.h>

#define HASH_START 0xcbf29ce484222325u

static inline uint64_t hash_bytes(const void *data, size_t n, uint64_t h)
{
    const unsigned char *p = data;
    for (size_t i = 0; i < n; ++i) h = (h ^ p[i]) * 0x100000001b3u;
    return h;
}

#endif
