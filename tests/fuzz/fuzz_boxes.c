/* The label file of a detector's image. */
#include "fuzz.h"

#include "darknet_plugin/data/dataset.h"

static data_file *f;

void fuzz_begin(void)
{
    diag *d = diag_new();
    fuzz_write_text("a.png", "");
    fuzz_write_text("list", "a.png\n");
    fuzz_write_text("t.data", "classes=3\ntrain=list\n");
    f = data_file_read("t.data", d);
    fuzz_end(d, !f);
}

void fuzz_one(const uint8_t *data, size_t n)
{
    int boxes = 0;
    float sum = 0;
    fuzz_write("a.txt", data, n);
    diag *d = diag_new();
    dataset *s = dataset_open(f, DATA_TRAIN, 0, DATA_BOXES, d);
    const data_box *b = s ? dataset_boxes(s, 0, &boxes) : NULL;
    for (int i = 0; i < boxes; ++i) sum += b[i].x + b[i].y + b[i].w + b[i].h + (float)b[i].class;
    fuzz_use(sum);
    fuzz_end(d, !s);
    dataset_free(s);
}
