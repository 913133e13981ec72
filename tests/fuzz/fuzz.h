/* Fuzz targets: each hands bytes nobody has checked to one reader, and whatever they are it must come back with a result or
 * a message, touching no memory that is not its own, leaking none, asking for none that the file's size does not explain.
 * libFuzzer (https://llvm.org/docs/LibFuzzer.html) changes the bytes and keeps what reaches new code.
 *
 * To add a target, write fuzz_NAME.c with the two functions below and put a few small files into corpus/NAME/; there is
 * nothing else to do. */
#ifndef DISTILL_TESTS_FUZZ_H
#define DISTILL_TESTS_FUZZ_H
#include "darknet_plugin/base/diag.h"
#include "darknet_plugin/base/mem.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Once, in an empty folder in memory that is the working directory: files that stay the same. */
void fuzz_begin(void);
/* One file. */
void fuzz_one(const uint8_t *data, size_t n);

/* For targets: writes a file of the working directory. */
void fuzz_write(const char *name, const void *data, size_t n);
void fuzz_write_text(const char *name, const char *text);
/* Several texts in one: cut at the lines "%%", each becomes the file of its name; those that are not there are empty. */
void fuzz_write_parts(const uint8_t *data, size_t n, const char *const *names, int count);
/* Prints what was said into nothing, as the program would at its end, and frees. Aborts where `failed` and no error was said,
 * or the other way round. */
void fuzz_end(diag *d, int failed);
/* A value that was read is used for something. */
void fuzz_use(double x);

#endif
