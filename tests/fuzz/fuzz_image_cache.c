/* The cache of decoded images: header, blocks of entries, pixels. The first byte says whether the rest is the whole file,
 * or what follows a right header; and whether checksums of entries and pixels are put right, which nothing else could get
 * past. */
#include "fuzz.h"

#include "darknet_plugin/data/image_cache.h"
#include "darknet_plugin/data/image_io.h"

#include <zlib.h>

enum { HEADER = 4096, BLOCK = 65536, UNIT = 128, CRC = 120 };

void fuzz_begin(void) {}

/* Marks and checksums of all that may be an entry or a head, where they are told apart by their place. */
static void put_right(uint8_t *file, size_t n)
{
    for (size_t at = HEADER; at + UNIT <= n && at < HEADER + BLOCK; at += UNIT) {
        uint32_t mark = at == HEADER ? 0x4b434c42 : 0x47414d49, crc, size[3];
        uint64_t pixels, hash;
        memcpy(&pixels, file + at + 40, 8);
        memcpy(size, file + at + 56, sizeof size);
        uint64_t bytes = (uint64_t)(size[0] & 0xff) * (size[1] & 0xff) * (size[2] & 3);
        if (at > HEADER && pixels <= n && bytes <= n - pixels) {
            hash = data_hash(file + pixels, bytes);
            memcpy(file + at + 48, &hash, 8);
        }
        crc = (uint32_t)crc32_z(0, file + at, CRC);
        memcpy(file + at + CRC, &crc, 4);
        memcpy(file + at + CRC + 4, &mark, 4);
    }
}

/* `data` behind the header: entries from the first on, then pixels. */
static void write_file(const uint8_t *data, size_t n, int flags)
{
    size_t header = flags & 1 ? HEADER : 0, all = flags & 1 && n < BLOCK ? HEADER + BLOCK + n : header + n;
    uint8_t *file = mem_calloc(all + 1, 1);
    if (header) snprintf((char *)file, HEADER, "darknet-distill images 1\ndecoder=%s, %s\n", image_io_version(), image_decode_version());
    memcpy(file + header, data, n);
    if (all > header + n) memcpy(file + HEADER + BLOCK, data, n);
    if (flags & 2) put_right(file, all);
    fuzz_write("f.images", file, all);
    free(file);
}

/* Every image that the bytes may name, of each kind. */
static void read_images(image_cache *cache, const uint8_t *data, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i + 8 <= n && i < 4096; i += 8) {
        data_print print = { .inode = 1 };
        memcpy(&print.hash, data + i, 8);
        (void)image_cache_know(cache, &print);
        for (int channels = 1; channels <= 3; channels += 2) {
            image_pixels image;
            if (!image_cache_get(cache, &print, (image_kind){ channels, 0 }, &image)) continue;
            for (size_t k = 0; k < (size_t)image.w * (size_t)image.h * (size_t)channels; ++k) sum += image.pixels[k];
            free(image.pixels);
        }
    }
    fuzz_use(sum);
}

void fuzz_one(const uint8_t *data, size_t n)
{
    if (!n) return;
    write_file(data + 1, n - 1, data[0]);
    diag *d = diag_new();
    image_cache *cache = image_cache_open("f.images", data[0] & 4 ? 1 : 0, d);
    if (cache) read_images(cache, data + 1, n - 1);
    if (cache && data[0] & 4) image_cache_put(cache, &(data_print){ .hash = 7 }, (image_kind){ 3, 0 }, &(image_pixels){ (uint8_t[3]){ 0 }, 1, 1 });
    int failed = !cache;
    image_cache_close(cache);
    fuzz_end(d, failed);
}
