/* Decoding (see image_io.h): everyday JPEG by libjpeg alone, all else by OpenCV.
 *
 * OpenCV asks the same library, then swaps red and blue in a plain loop, and who wants RGB swaps them back: a quarter
 * of the time, and two more pictures in memory. Whatever is not an everyday file is left to OpenCV, so that no picture
 * depends on who decoded it: four components, a picture that Exif turns, and all that the library warns of. */
#include "image_io.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

typedef struct decoding {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    jmp_buf out;                   /* where a file that cannot be decoded ends */
    uint8_t *pixels;               /* owned until they are handed over */
} decoding;

static void give_up(j_common_ptr jpeg) { longjmp(((decoding *)jpeg->client_data)->out, 1); }
static void say_nothing(j_common_ptr jpeg) { (void)jpeg; }

/* Where a tag 0x0112, the orientation, may stand, in either byte order: is it one number, and that 1, upright? */
static int is_upright(const uint8_t *at, size_t left)
{
    static const uint8_t big[10] = { 0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, 1 };
    static const uint8_t little[10] = { 0x12, 0x01, 3, 0, 1, 0, 0, 0, 1, 0 };
    return left >= sizeof big && (!memcmp(at, big, sizeof big) || !memcmp(at, little, sizeof little));
}

/* May Exif turn the picture? Said of every marker in which the tag's bytes stand with another value behind them. */
static int may_turn(const struct jpeg_decompress_struct *jpeg)
{
    for (jpeg_saved_marker_ptr marker = jpeg->marker_list; marker; marker = marker->next)
        for (size_t i = 0; i + 1 < marker->data_length; ++i) {
            const uint8_t *at = marker->data + i;
            int tag = (at[0] == 0x01 && at[1] == 0x12) || (at[0] == 0x12 && at[1] == 0x01);
            if (tag && !is_upright(at, marker->data_length - i)) return 1;
        }
    return 0;
}

static int is_everyday(const struct jpeg_decompress_struct *jpeg, int channels)
{
    int known = jpeg->jpeg_color_space == JCS_YCbCr || jpeg->jpeg_color_space == JCS_GRAYSCALE;
    return (known || (channels == 3 && jpeg->jpeg_color_space == JCS_RGB)) && !may_turn(jpeg);
}

/* The header's size is the one that was looked at before. */
static int read_header(decoding *decoding, const image_file *file, int channels)
{
    struct jpeg_decompress_struct *jpeg = &decoding->jpeg;
    jpeg_mem_src(jpeg, file->byte, (unsigned long)(file->n + IMAGE_PADDING));
    jpeg_save_markers(jpeg, JPEG_APP0 + 1, 0xffff);
    if (jpeg_read_header(jpeg, TRUE) != JPEG_HEADER_OK || !is_everyday(jpeg, channels)) return -1;
    if (jpeg->image_width != file->size.w || jpeg->image_height != file->size.h) return -1;
    jpeg->out_color_space = channels == 3 ? JCS_RGB : JCS_GRAYSCALE;
    return 0;
}

/* All rows, or none: a row that does not come, or a warning, and the file is not for us. */
static int read_rows(decoding *decoding, int channels)
{
    struct jpeg_decompress_struct *jpeg = &decoding->jpeg;
    if (!jpeg_start_decompress(jpeg) || jpeg->output_components != channels) return -1;
    size_t row = (size_t)jpeg->output_width * (size_t)channels;
    decoding->pixels = malloc(row * jpeg->output_height);
    if (!decoding->pixels) return -1;
    while (jpeg->output_scanline < jpeg->output_height) {
        JSAMPROW line = decoding->pixels + row * jpeg->output_scanline;
        if (jpeg_read_scanlines(jpeg, &line, 1) != 1) return -1;
    }
    return !jpeg_finish_decompress(jpeg) || decoding->errors.num_warnings ? -1 : 0;
}

/* Begins, so that it can be ended whatever happens. */
static int decode(decoding *decoding, const image_file *file, int channels)
{
    decoding->jpeg.err = jpeg_std_error(&decoding->errors);
    decoding->errors.error_exit = give_up;
    decoding->errors.output_message = say_nothing;
    decoding->jpeg.client_data = decoding;
    if (setjmp(decoding->out)) return -1;
    jpeg_create_decompress(&decoding->jpeg);
    return read_header(decoding, file, channels) || read_rows(decoding, channels) ? -1 : 0;
}

/* -1: no JPEG, or none that is decoded here. */
static int decode_jpeg(const image_file *file, int channels, uint8_t **pixels, int *w, int *h)
{
    if (file->n < 2 || file->byte[0] != 0xff || file->byte[1] != 0xd8) return -1;
    decoding *d = calloc(1, sizeof *d);
    if (!d) return -1;
    int failed = decode(d, file, channels);
    *w = (int)d->jpeg.output_width;
    *h = (int)d->jpeg.output_height;
    jpeg_destroy_decompress(&d->jpeg);
    if (failed) free(d->pixels);
    *pixels = failed ? NULL : d->pixels;
    free(d);
    return failed;
}

int image_decode_file(const image_file *file, int channels, uint8_t **pixels, int *w, int *h, char *why,
                      size_t why_len)
{
    int known = channels == 1 || channels == 3;
    if (known && !decode_jpeg(file, channels, pixels, w, h)) return 0;
    return image_decode_opencv(file, channels, pixels, w, h, why, why_len);
}

int image_decode(const char *path, int channels, uint8_t **pixels, int *w, int *h, char *why, size_t why_len)
{
    image_file file;
    *pixels = NULL;
    if (image_file_read(path, &file, why, why_len)) return -1;
    int failed = image_decode_file(&file, channels, pixels, w, h, why, why_len);
    image_file_free(&file);
    return failed;
}

#define QUOTED(text) #text
#define TEXT(macro) QUOTED(macro)

const char *image_decode_version(void)
{
#ifdef LIBJPEG_TURBO_VERSION
    return "libjpeg-turbo " TEXT(LIBJPEG_TURBO_VERSION);
#else
    return "libjpeg " TEXT(JPEG_LIB_VERSION);
#endif
}
