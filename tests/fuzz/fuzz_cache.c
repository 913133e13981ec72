/* The feature cache: header, index, records. The first byte says whether the rest is the whole file, or what follows a right
 * header; and whether each record's checksum is put right, which nothing else could get past. */
#include "fuzz.h"

#include "darknet_plugin/model/feature_cache.h"

#include <unistd.h>
#include <zlib.h>

enum { HEADER = 4096, HEAD = 64, COUNT = 2, VIEWS = 2, INDEX = 16 * COUNT * VIEWS };
static const char key[] = "teacher=1\nimages=2\n";

void fuzz_begin(void) {}

static void put_right(uint8_t *file, size_t n)
{
    for (size_t i = HEADER; i + 16 <= HEADER + INDEX && i + 16 <= n; i += 16) {
        uint64_t at, bytes;
        memcpy(&at, file + i, 8);
        memcpy(&bytes, file + i + 8, 8);
        if (at < HEADER + INDEX || at > n || n - at < HEAD || bytes > n - at - HEAD) continue;
        uint32_t crc = (uint32_t)crc32_z(0, file + at + HEAD, bytes);
        memcpy(file + at + 4, &crc, 4);
        memcpy(file + at + 24, &bytes, 8);
    }
}

static void write_file(const uint8_t *data, size_t n, int flags)
{
    uint8_t *file = mem_calloc(HEADER + n, 1);
    size_t header = flags & 1 ? HEADER : 0;
    if (header) snprintf((char *)file, HEADER, "darknet-distill features 2\n%s", key);
    memcpy(file + header, data, n);
    if (flags & 2) put_right(file, header + n);
    fuzz_write("f.feat", file, header + n);
    free(file);
}

static void read_records(const feature_cache *c, const feature_cache_spec *s)
{
    void *room = mem_aligned(feature_cache_maps_bytes(c), 1);
    feature_map maps[FEATURE_TAPS];
    float sum = 0;
    for (uint64_t v = 0; v < VIEWS; ++v)
        for (uint64_t i = 0; i < COUNT; ++i) {
            if (feature_cache_get(c, v, i, 0, room, maps) != 1) continue;
            for (int t = 0; t < s->taps; ++t)
                for (size_t k = 0; k < (size_t)(s->tap[t].c * s->tap[t].h * s->tap[t].w); ++k)
                    sum += feature_value(maps[t].values, maps[t].range, maps[t].type, k / (size_t)(s->tap[t].h * s->tap[t].w), k);
        }
    fuzz_use(sum);
    free(room);
}

void fuzz_one(const uint8_t *data, size_t n)
{
    if (!n) return;
    feature_cache_spec s = { .key = key, .type = (feature_type)((data[0] >> 2) % FEATURE_TYPES), .taps = 2, .count = COUNT, .views = VIEWS, .prints = data[0] >> 4 & 1,
                             .tap = { { 2, 2, 2 }, { 1, 3, 3 } } };
    write_file(data + 1, n - 1, data[0]);
    diag *d = diag_new();
    feature_cache *c = feature_cache_open("f.feat", &s, d);
    if (c) read_records(c, &s), (void)feature_cache_missing(c);
    feature_cache_close(c);
    fuzz_end(d, !c);
}
