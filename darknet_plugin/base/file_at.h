/* Whole reads and writes at a place of an open file, whatever part of it the system does at a time. */
#ifndef DISTILL_FILE_AT_H
#define DISTILL_FILE_AT_H
#include <stddef.h>
#include <stdint.h>

/* All n bytes at byte `at`; 0, or -1 with errno set. */
int file_write_at(int fd, const void *data, size_t n, uint64_t at);
/* The same; -1, too, where the file ends before, errno is then as it was. */
int file_read_at(int fd, void *data, size_t n, uint64_t at);

#endif
