/* Small files and .data files for the tests of datasets, all in check_folder(), and the images of a loader. */
#ifndef DISTILL_TESTS_CHECK_DATA_H
#define DISTILL_TESTS_CHECK_DATA_H
#include "check.h"

#include "darknet_plugin/data/dataset.h"
#include "darknet_plugin/data/loader.h"

void data_put(const char *name, const void *data, size_t len);
void data_put_text(const char *name, const char *text);
/* A picture of 3x2 grey pixels. */
void data_put_image(const char *name, uint8_t grey);
/* Writes the text as t.data and reads it; NULL if it was refused. */
data_file *data_read_text(const char *text, diag *d);
/* Some message holds `text`. */
void data_expect(const diag *d, const char *text);
/* The .data text is refused with `message`. */
void data_refuse(const char *text, const char *message);
/* Its train= split: opened, opened without errors, refused with `message`. */
dataset *data_open_train(const char *data, size_t limit, int need_labels, diag *d);
dataset *data_must_open(const char *data, size_t limit, int need_labels);
void data_refuse_set(const char *data, const char *message);

/* Calls take(ctx, batch, j) for each image of so many batches, -1: of all there are; how many images that were. Fails if
 * one could not be loaded. */
typedef void (*data_take)(void *ctx, const batch *batch, int j);
int data_each_image(const loader_options *options, int batches, data_take take, void *ctx);

/* A box of the input in the image: boxes_to_input undone. */
data_box data_box_in_image(const image_place *place, data_box box);

#endif
