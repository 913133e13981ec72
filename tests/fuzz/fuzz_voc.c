/* The XML file of labels of an image, as VOC has it. */
#include "label_file.h"

void fuzz_begin(void) { fuzz_labelled("classes=3\nnames=names\ntrain=one\n"); }

void fuzz_one(const uint8_t *data, size_t n) { fuzz_labels("a.xml", data, n); }
