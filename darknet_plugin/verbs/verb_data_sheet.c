/* A picture of sixteen training images with their labels (see verb_data.h): with a cfg those that a training of this
 * -seed sees first, augmented by the loader that trains; without one some that are drawn from train=, whole, within
 * grey.
 *
 * A detector's boxes are those that it learns from, clipped, the small ones dropped; an image's class is the frame
 * around it, of an image that is mixed with another both are named. */
#include "verb_data.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/data/image_io.h"
#include "darknet_plugin/data/loader.h"
#include "detect_draw.h"

#include <stdlib.h>
#include <string.h>

enum { COLUMNS = 4, TILES = COLUMNS * COLUMNS, GAP = 6, LEAST_SIDE = 240, MOST_BOXES = 500 };

/* Image i of the batch as bytes, (h * by, w * by, 3): each pixel is a square of `by`. */
static uint8_t *tile_of(const batch *batch, int i, int c, int by)
{
    int w = batch->w * by, h = batch->h * by;
    size_t plane = (size_t)batch->w * (size_t)batch->h;
    const float *x = batch->x + (size_t)i * (size_t)c * plane;
    uint8_t *to = mem_calloc((size_t)w * (size_t)h, 3);
    for (int row = 0; row < h; ++row)
        for (int column = 0; column < w; ++column)
            for (int k = 0; k < 3; ++k) {
                float v = x[(size_t)(c == 3 ? k : 0) * plane + (size_t)(row / by) * (size_t)batch->w +
                            (size_t)(column / by)];
                v = v < 0 ? 0 : v;
                to[3 * ((size_t)row * (size_t)w + (size_t)column) + (size_t)k] = (uint8_t)(v < 1 ? 255 * v + .5f : 255);
            }
    return to;
}

/* Boxes, or a frame for the class. -1 if OpenCV refuses. */
static int draw_labels(const data_file *file, const batch *batch, int i, uint8_t *tile, int w, int h)
{
    char buf[16], other[16];
    int failed = 0;
    if (batch->truth) {
        const float *truth = batch->truth + (size_t)i * MOST_BOXES * 5;
        for (int k = 0; k < MOST_BOXES && truth[0] > 0 && truth[2] > 0; ++k, truth += 5) {
            data_box box = { truth[0], truth[1], truth[2], truth[3], (int)truth[4] };
            failed |= detect_draw_label(tile, w, h, &box, data_file_class(file, box.class, buf, sizeof buf),
                                        file->classes);
        }
        return failed;
    }
    data_box whole = { .5f, .5f, 1, 1, batch->label[i] };
    if (whole.class < 0) return 0;
    char *name = mem_strdup(data_file_class(file, whole.class, buf, sizeof buf));
    if (batch->label2 && batch->label2[i] >= 0 && batch->mix[i] < 1) {
        char *both = mem_printf("%.2f %s + %s", (double)batch->mix[i], name,
                                data_file_class(file, batch->label2[i], other, sizeof other));
        free(name);
        name = both;
    }
    failed = detect_draw_label(tile, w, h, &whole, name, file->classes);
    free(name);
    return failed;
}

/* Copies a tile to its place on the sheet. */
static void paste(image_rgb *sheet, const uint8_t *tile, int w, int h, int i)
{
    int left = GAP + i % COLUMNS * (w + GAP), top = GAP + i / COLUMNS * (h + GAP);
    for (int row = 0; row < h; ++row)
        memcpy(sheet->pixels + 3 * ((size_t)(top + row) * (size_t)sheet->w + (size_t)left),
               tile + 3 * (size_t)row * (size_t)w, 3 * (size_t)w);
}

/* The whole batch on one picture. */
static int save(const data_file *file, const batch *batch, int c, const char *path, diag *d)
{
    int least = batch->w < batch->h ? batch->w : batch->h, by = (LEAST_SIDE + least - 1) / least;
    int w = batch->w * by, h = batch->h * by, failed = 0;
    image_rgb sheet = { NULL, COLUMNS * (w + GAP) + GAP, (batch->n + COLUMNS - 1) / COLUMNS * (h + GAP) + GAP };
    sheet.pixels = mem_calloc((size_t)sheet.w * (size_t)sheet.h, 3);
    memset(sheet.pixels, 32, 3 * (size_t)sheet.w * (size_t)sheet.h);
    for (int i = 0; i < batch->n; ++i) {
        uint8_t *tile = tile_of(batch, i, c, by);
        failed |= draw_labels(file, batch, i, tile, w, h);
        paste(&sheet, tile, w, h, i);
        free(tile);
    }
    if (failed) diag_error(d, path, 0, NULL, "OpenCV cannot draw the labels");
    else failed = image_save(path, sheet.pixels, sheet.w, sheet.h, 3, d);
    free(sheet.pixels);
    return failed ? -1 : 0;
}

/* What was said of the set was said when it was looked at: only what ends this is told. */
static dataset *open_train(const data_file *file, int detector, diag *d)
{
    diag *aside = diag_aside(d);
    dataset *set = dataset_open(file, DATA_TRAIN, 0, detector ? DATA_BOXES : DATA_IMAGES, aside);
    if (!set) diag_append(d, aside, 0);
    diag_free(aside);
    return set;
}

int verb_data_sheet(const data_file *file, const contents *train, const data_input *input, const char *path, diag *d)
{
    int detector = input->cfg ? input->augment.detector : train->detector;
    dataset *set = open_train(file, detector, d);
    if (!set) return -1;
    loader_options how = {
        .data = set, .how = LOAD_TRAIN, .batch = TILES, .c = input->c, .h = input->h,
        .w = input->w, .augment = input->augment, .seed = input->seed, .view_seed = input->seed, .threads = 2,
        .max_boxes = detector ? MOST_BOXES : 0, .step_images = TILES,
    };
    how.augment.detector = detector;
    loader *loader = loader_start(&how, d);
    const batch *batch = loader ? loader_next(loader, d) : NULL;
    int failed = !batch || save(file, batch, input->c, path, d);
    if (loader) loader_stop(loader);
    dataset_free(set);
    return failed;
}
