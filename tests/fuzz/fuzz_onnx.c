/* ONNX models. */
#include "checkpoint.h"

void fuzz_begin(void) {}
void fuzz_one(const uint8_t *data, size_t n) { fuzz_checkpoint("m.onnx", data, n); }
