/* What is done with a file of a detector's labels, whatever its kind: the set of its images is opened, and every box used. */
#ifndef DISTILL_TESTS_FUZZ_LABEL_FILE_H
#define DISTILL_TESTS_FUZZ_LABEL_FILE_H
#include "fuzz.h"

#include "darknet_plugin/data/dataset.h"

static data_file *labelled;

/* Writes the .data file and reads it; the images that `text` leads to, of 4 x 2 pixels, are there. */
static inline void fuzz_labelled(const char *text)
{
    static const char image[] = "P5 4 2 255 12345678";
    diag *d = diag_new();
    fuzz_write("a.pgm", image, sizeof image - 1);
    fuzz_write("b.pgm", image, sizeof image - 1);
    fuzz_write_text("one", "a.pgm\n");
    fuzz_write_text("two", "a.pgm\nb.pgm\n");
    fuzz_write_text("names", "cat\ndog\nfire truck\n");
    fuzz_write_text("t.data", text);
    labelled = data_file_read("t.data", d);
    fuzz_end(d, !labelled);
}

static inline void fuzz_labels(const char *name, const uint8_t *data, size_t n)
{
    float sum = 0;
    fuzz_write(name, data, n);
    diag *d = diag_new();
    dataset *set = dataset_open(labelled, DATA_TRAIN, 0, DATA_BOXES, d);
    for (size_t i = 0; set && i < dataset_count(set); ++i) {
        int boxes;
        const data_box *box = dataset_boxes(set, i, &boxes);
        for (int k = 0; k < boxes; ++k) sum += box[k].x + box[k].y + box[k].w + box[k].h + (float)box[k].class;
    }
    fuzz_use(sum);
    fuzz_end(d, !set);
    dataset_free(set);
}

#endif
