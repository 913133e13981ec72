/* A COCO file of labels, of two images. */
#include "label_file.h"

void fuzz_begin(void) { fuzz_labelled("classes=3\nnames=names\ntrain=two\ntrain_labels=c.json\n"); }

void fuzz_one(const uint8_t *data, size_t n) { fuzz_labels("c.json", data, n); }
