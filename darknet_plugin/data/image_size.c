/* Headers of the image formats that are accepted, a row each. OpenCV knows a dozen more, from DICOM to OpenEXR, and
 * would spend gigabytes on what a few bytes declare; none of them is met in training sets, so they are refused.
 *
 * How many pixels can a byte stand for? deflate's longest match is 258 bytes in 2 bits at best, a ratio of 1032, of
 * pixels of 1 bit: 8256. JPEG spends at least a bit on 8x8 pixels, 512 a byte; files that end early are filled with
 * grey, so it gets twice that. A BMP's runs skip up to 255x255 pixels in 4 bytes. TIFF has codes for white pages, WebP
 * for flat ones: no limit. */
#include "image_size.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

const char image_size_formats[] = "JPEG, PNG, BMP, PNM, TIFF or WebP";

enum { START = 32 };

/* The number in `bytes` bytes, the highest first, and the lowest first. */
static size_t big(const unsigned char *byte, int bytes)
{
    size_t v = 0;
    while (bytes--) v = v << 8 | *byte++;
    return v;
}

static size_t little(const unsigned char *byte, int bytes)
{
    size_t v = 0;
    while (bytes--) v = v << 8 | byte[bytes];
    return v;
}

/* ---- PNG (w3.org/TR/png, 11.2.2): IHDR comes first ---- */

static int png(FILE *file, const unsigned char *start, image_size *size)
{
    (void)file;
    size->w = big(start + 16, 4);
    size->h = big(start + 20, 4);
    return memcmp(start + 12, "IHDR", 4) ? -1 : 0;
}

/* Up to the last chunk, IEND. */
static int png_whole(FILE *file, size_t bytes)
{
    unsigned char b[8];
    for (size_t at = 8; bytes >= 12 && at <= bytes - 12; at += 12 + big(b, 4)) {
        if (fseek(file, (long)at, SEEK_SET) || fread(b, 1, 8, file) != 8) return 0;
        if (!memcmp(b + 4, "IEND", 4)) return 1;
    }
    return 0;
}

/* ---- JPEG (ISO 10918-1 B.1 and B.2.2): segments up to the frame header ---- */

/* The next marker: fill bytes, and as in libjpeg anything else, are passed over. -1 at the end. */
static int jpeg_marker(FILE *file)
{
    int c = getc(file);
    do {
        while (c != EOF && c != 0xff) c = getc(file);
        while (c == 0xff) c = getc(file);
    } while (c == 0);
    return c == EOF ? -1 : c;
}

static int stands_alone(int marker) { return marker == 1 || (marker >= 0xd0 && marker <= 0xd8); }
static int is_frame(int marker)
{
    return marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
}

/* EXIF's orientation, 1 to 8, of a segment of n bytes that begins here; 0: it has none. Nothing is left where it
 * was. */
static int exif_orientation(FILE *file, size_t n)
{
    enum { ORIENTATION = 0x112, HEAD = 14 };
    unsigned char b[HEAD], e[12];
    long begin = ftell(file) + 6;
    if (n < HEAD || fread(b, 1, HEAD, file) != HEAD || memcmp(b, "Exif\0", 6)) return 0;
    size_t (*word)(const unsigned char *, int) = b[6] == 'I' ? little : big;
    size_t at = word(b + 10, 4);
    if (at > n || fseek(file, begin + (long)at, SEEK_SET) || fread(e, 1, 2, file) != 2) return 0;
    for (size_t entries = word(e, 2); entries && fread(e, 1, 12, file) == 12; --entries)
        if (word(e, 2) == ORIENTATION) return (int)word(e + 8, 2);
    return 0;
}

/* Passes over a segment of n bytes, and notes in *turned whether it is one of EXIF that has the image on its side. */
static int jpeg_pass(FILE *file, int marker, size_t n, int *turned)
{
    long begin = ftell(file);
    int orientation = marker == 0xe1 ? exif_orientation(file, n) : 0;
    if (orientation) *turned = orientation >= 5 && orientation <= 8;
    return fseek(file, begin + (long)n, SEEK_SET);
}

/* Up to the frame header, passing over every other segment. An image on its side is decoded upright. */
static int jpeg(FILE *file, const unsigned char *start, image_size *size)
{
    unsigned char b[7];
    int turned = 0;
    (void)start;
    for (int m; (m = jpeg_marker(file)) >= 0;) {
        if (stands_alone(m)) continue;
        if (m == 0xd9 || m == 0xda || fread(b, 1, 2, file) != 2 || big(b, 2) < 2) return -1;
        if (!is_frame(m)) {
            if (jpeg_pass(file, m, big(b, 2) - 2, &turned)) return -1;
            continue;
        }
        if (fread(b, 1, 5, file) != 5) return -1;
        size->h = big(b + (turned ? 3 : 1), 2);
        size->w = big(b + (turned ? 1 : 3), 2);
        return 0;
    }
    return -1;
}

/* From just behind the first marker to the end, scan after scan. */
static int jpeg_scan(FILE *file)
{
    unsigned char b[2];
    for (int m; (m = jpeg_marker(file)) >= 0;) {
        if (m == 0xd9) return 1;
        if (stands_alone(m)) continue;
        if (fread(b, 1, 2, file) != 2 || big(b, 2) < 2 || fseek(file, (long)big(b, 2) - 2, SEEK_CUR)) return 0;
    }
    return 0;
}

enum { TAIL = 1024 };

/* Nearly all end on the mark of the end, or on zeros behind it; what does not is read through. */
static int jpeg_whole(FILE *file, size_t bytes)
{
    unsigned char tail[TAIL];
    size_t n = bytes < TAIL ? bytes : TAIL;
    if (fseek(file, (long)(bytes - n), SEEK_SET) || fread(tail, 1, n, file) != n) return 0;
    while (n && !tail[n - 1]) --n;
    if (n > 1 && tail[n - 2] == 0xff && tail[n - 1] == 0xd9) return 1;
    return !fseek(file, 2, SEEK_SET) && jpeg_scan(file);
}

/* ---- BMP: a header of 12 bytes with 16-bit sizes, or a longer one with signed 32-bit sizes ---- */

static int bmp(FILE *file, const unsigned char *start, image_size *size)
{
    (void)file;
    int old = little(start + 14, 4) == 12;
    int32_t h = (int32_t)(uint32_t)little(start + 22, 4);
    size->w = old ? little(start + 18, 2) : little(start + 18, 4);
    size->h = old ? little(start + 20, 2) : (size_t)llabs(h);   /* negative: the rows go down */
    return 0;
}

/* ---- PNM (netpbm.sourceforge.net/doc/ppm.html): two numbers between blanks and comments ---- */

/* -1 where there is none, or one that no image has. */
static int pnm_number(FILE *file, size_t *number)
{
    int c = getc(file);
    while (c == ' ' || (c >= '\t' && c <= '\r') || c == '#') {
        if (c == '#')
            while (c != EOF && c != '\n' && c != '\r') c = getc(file);
        else c = getc(file);
    }
    if (c < '0' || c > '9') return -1;
    for (*number = 0; c >= '0' && c <= '9' && *number < INT32_MAX; c = getc(file))
        *number = 10 * *number + (size_t)(c - '0');
    return 0;
}

static int pnm(FILE *file, const unsigned char *start, image_size *size)
{
    if (start[1] < '1' || start[1] > '6' || fseek(file, 2, SEEK_SET)) return -1;
    return pnm_number(file, &size->w) || pnm_number(file, &size->h) ? -1 : 0;
}

/* ---- TIFF 6.0: the first directory's entries (12 bytes: tag, type, count, value) ---- */

enum { WIDTH = 256, HEIGHT = 257, TILE_WIDTH = 322, TILE_HEIGHT = 323, SHORT = 3 };

/* A tile larger than the image is decoded all the same. */
static void enlarge(size_t *side, size_t to)
{
    if (to > *side) *side = to;
}

/* The first directory alone. */
static int tiff(FILE *file, const unsigned char *start, image_size *size)
{
    size_t (*word)(const unsigned char *, int) = *start == 'I' ? little : big;
    unsigned char e[12];
    if (fseek(file, (long)word(start + 4, 4), SEEK_SET) || fread(e, 1, 2, file) != 2) return -1;
    for (size_t n = word(e, 2); n && fread(e, 1, 12, file) == 12; --n) {
        size_t tag = word(e, 2), value = word(e + 8, word(e + 2, 2) == SHORT ? 2 : 4);
        if (tag == WIDTH || tag == TILE_WIDTH) enlarge(&size->w, value);
        if (tag == HEIGHT || tag == TILE_HEIGHT) enlarge(&size->h, value);
    }
    return size->w && size->h ? 0 : -1;
}

/* ---- WebP (RFC 9649): lossy, lossless, extended ---- */

/* Each of the three has its own header. */
static int webp(FILE *file, const unsigned char *start, image_size *size)
{
    (void)file;
    if (!memcmp(start + 12, "VP8 ", 4) && !memcmp(start + 23, "\x9d\x01\x2a", 3)) {
        size->w = little(start + 26, 2) & 0x3fff;
        size->h = little(start + 28, 2) & 0x3fff;
    } else if (!memcmp(start + 12, "VP8L", 4) && start[20] == 0x2f) {
        size->w = (little(start + 21, 4) & 0x3fff) + 1;
        size->h = (little(start + 21, 4) >> 14 & 0x3fff) + 1;
    } else if (!memcmp(start + 12, "VP8X", 4)) {
        size->w = little(start + 24, 3) + 1;
        size->h = little(start + 27, 3) + 1;
    } else {
        return -1;
    }
    return 0;
}

/* RIFF says how long it is. */
static int webp_whole(FILE *file, size_t bytes)
{
    unsigned char b[8];
    return !fseek(file, 0, SEEK_SET) && fread(b, 1, 8, file) == 8 && little(b + 4, 4) <= bytes - 8;
}

/* To add a format, add its row, and its name above; there is nothing else to do. */
static const struct {
    const char *magic;
    size_t n, at;            /* its bytes, and where they stand */
    size_t per_byte;
    int (*read)(FILE *file, const unsigned char *start, image_size *size);
    int (*whole)(FILE *file, size_t bytes);   /* NULL: who decodes it finds out */
} FORMATS[] = {
    { "\xff\xd8\xff", 3, 0, 1024, jpeg, jpeg_whole }, { "\x89PNG\r\n\x1a\n", 8, 0, 8256, png, png_whole },
    { "BM", 2, 0, 16384, bmp, NULL }, { "P", 1, 0, 8, pnm, NULL },
    { "II*\0", 4, 0, 0, tiff, NULL }, { "MM\0*", 4, 0, 0, tiff, NULL }, { "WEBP", 4, 8, 0, webp, webp_whole },
};
enum { N_FORMATS = sizeof FORMATS / sizeof *FORMATS };

/* The row of the file that begins so, N_FORMATS if there is none. */
static size_t format_of(const unsigned char *start)
{
    size_t i = 0;
    while (i < N_FORMATS && memcmp(start + FORMATS[i].at, FORMATS[i].magic, FORMATS[i].n)) ++i;
    return i;
}

int image_size_is_whole(FILE *file, size_t bytes)
{
    unsigned char b[START] = { 0 };
    size_t n = fseek(file, 0, SEEK_SET) ? 0 : fread(b, 1, sizeof b, file), i = n ? format_of(b) : N_FORMATS;
    clearerr(file);
    return i < N_FORMATS && (!FORMATS[i].whole || FORMATS[i].whole(file, bytes));
}

int image_size_read(FILE *file, image_size *size)
{
    unsigned char b[START] = { 0 };
    size_t n = fread(b, 1, sizeof b, file);
    *size = (image_size){ 0 };
    size_t i = n ? format_of(b) : N_FORMATS;
    if (i == N_FORMATS) return -1;
    size->per_byte = FORMATS[i].per_byte;
    clearerr(file);
    return FORMATS[i].read == jpeg && fseek(file, 2, SEEK_SET) ? -1 : FORMATS[i].read(file, b, size);
}
