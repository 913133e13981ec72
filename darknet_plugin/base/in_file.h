/* Files that are read. Whatever a command reads is noted in its diag, directly or through one of these, and out_file.h
 * refuses to write any of it. */
#ifndef DISTILL_IN_FILE_H
#define DISTILL_IN_FILE_H
#include "diag.h"

#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Opening a file that is read as a whole: a regular one, of a known size. A pipe or a device must neither hang us nor
 * go on for ever. A descriptor, the caller's to close, and *bytes, the file's size. -1 with a message: "cannot read
 * WHAT: reason". */
int in_file_open(const char *path, const char *what, size_t *bytes, diag *d);
/* The next n bytes, the caller's to free. NULL and errno: a failure, or fewer are there; no memory. */
unsigned char *in_file_take(int fd, size_t n);

/* fopen for reading, binary. NULL and errno. */
FILE *in_file_stream(const char *path, diag *d);
/* For files that others open: this one is read. What is not there is not noted. */
void in_file_note(const char *path, diag *d);

#ifdef __cplusplus
}
#endif
#endif
