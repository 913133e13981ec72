/* What tells whether a file still holds what it held: the hash of its contents, and, so that it need not be read again
 * to know, its inode, size and times. While these agree the hash is believed; else the file is read. A file that is
 * younger than the clock ticks when it is read has no times: it could change without their changing. */
#ifndef DISTILL_DATASET_PRINTS_H
#define DISTILL_DATASET_PRINTS_H
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct data_print {
    uint64_t hash;                  /* of the contents; 0: they have not been read */
    uint64_t inode, bytes;          /* inode 0: no file, not to be believed */
    int64_t modified, changed;      /* its contents; these or its inode, in ns since 1970 */
} data_print;

/* Of what stat says, without a hash. */
data_print data_print_of(const struct stat *st);
/* Is it the same file, unchanged as far as can be told without reading it? */
int data_print_agrees(const data_print *one, const data_print *other);
/* The hash of n bytes, which is never 0. */
uint64_t data_hash(const void *bytes, size_t n);

#ifdef __cplusplus
}
#endif
#endif
