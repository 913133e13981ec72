/* What the files of the verification share; see verify.h.
 *   verify.c         the table of readers, libdarknet, OpenCV      verify_stock.c   the stock program
 *   verify_layers.c  the first layer that differs                  verify_kit.c     the comparison, the host's library
 *   verify_boxes.c   a detector's boxes */
#ifndef DISTILL_VERIFY_INTERNAL_H
#define DISTILL_VERIFY_INTERNAL_H
#include "darknet_plugin/base/unfinished.h"
#include "darknet_plugin/host/host.h"
#include "verify.h"

#include <stdio.h>

#define VERIFY_STOCK_PROGRAM "/usr/bin/darknet"

static inline size_t verify_image_bytes(const verify_job *job)
{
    return (size_t)job->c * (size_t)job->h * (size_t)job->w;
}
/* Does `obstacle` keep a reader from being asked? Then `why`, of `len` characters, says so. */
static inline int verify_is_kept(const char *obstacle, char *why, size_t len)
{
    if (obstacle) snprintf(why, len, "not asked: it does not take %s", obstacle);
    return obstacle != NULL;
}
/* Compares image's (values) with the training network's; what is not a number is an infinite difference. */
void verify_compare(const verify_job *job, int image, const float *got, verify_result *result);
/* The deployed files in the unmodified host library; NULL with a message. The caller frees with host_free. */
network *verify_open_host(const verify_job *job, diag *d);

/* The stock program's work folder: as many names, `images` pictures as PNG (job's, again from the first where they are
 * fewer), the list of them, and stock.data: classes=, names= and the lines of `more`. 0, or -1 and errno. */
int verify_write_stock_files(const verify_job *job, int classes, int images, const char *more, const char *folder);
/* Waits for a child process: 0 if it ended well. */
int verify_wait(unfinished *child);
/* Fills result; 0, or -1 after reporting. */
int verify_stock(const verify_job *job, verify_result *result, diag *d);
/* Adds a hint to the message added last: the first layer of `reader` that differs on image result->worst. */
void verify_name_layer(const verify_job *job, int reader, const verify_result *result, diag *d);

#endif
