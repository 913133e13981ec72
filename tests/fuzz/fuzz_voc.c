/* The XML file of labels of an image that is 4 x 2 pixels, as VOC has it. */
#include "fuzz.h"

#include "darknet_plugin/data/dataset.h"

static data_file *f;

void fuzz_begin(void)
{
    static const char image[] = "P5 4 2 255 12345678";
    diag *d = diag_new();
    fuzz_write("a.pgm", image, sizeof image - 1);
    fuzz_write_text("list", "a.pgm\n");
    fuzz_write_text("names", "cat\ndog\nfire truck\n");
    fuzz_write_text("t.data", "classes=3\nnames=names\ntrain=list\n");
    f = data_file_read("t.data", d);
    fuzz_end(d, !f);
}

void fuzz_one(const uint8_t *data, size_t n)
{
    float sum = 0;
    fuzz_write("a.xml", data, n);
    diag *d = diag_new();
    dataset *s = dataset_open(f, DATA_TRAIN, 0, DATA_BOXES, d);
    for (size_t i = 0; s && i < dataset_count(s); ++i) {
        int boxes;
        const data_box *b = dataset_boxes(s, i, &boxes);
        for (int k = 0; k < boxes; ++k) sum += b[k].x + b[k].y + b[k].w + b[k].h + (float)b[k].class;
    }
    fuzz_use(sum);
    fuzz_end(d, !s);
    dataset_free(s);
}
