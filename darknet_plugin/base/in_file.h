/* Opening a file that is read as a whole: a regular one, of a known size. A pipe or a device must neither hang us nor
 * go on for ever. */
#ifndef DISTILL_IN_FILE_H
#define DISTILL_IN_FILE_H
#include "diag.h"

/* A descriptor, the caller's to close, and *bytes, the file's size. -1 with a message: "cannot read WHAT: reason". */
int in_file_open(const char *path, const char *what, size_t *bytes, diag *d);
/* The next n bytes, the caller's to free. NULL and errno: a failure, or fewer are there; no memory. */
unsigned char *in_file_take(int fd, size_t n);

#endif
