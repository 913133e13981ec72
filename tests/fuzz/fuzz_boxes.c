/* The label file of a detector's image. */
#include "label_file.h"

void fuzz_begin(void) { fuzz_labelled("classes=3\ntrain=one\n"); }

void fuzz_one(const uint8_t *data, size_t n) { fuzz_labels("a.txt", data, n); }
