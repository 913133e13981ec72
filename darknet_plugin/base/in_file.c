/* Opening files and noting them (see in_file.h). */
#include "in_file.h"

#include "in_file_list.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int in_file_open(const char *path, const char *what, size_t *bytes, diag *d)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st)) diag_error(d, path, 0, NULL, "cannot read %s: %s", what, strerror(errno));
    else if (S_ISDIR(st.st_mode)) diag_error(d, path, 0, NULL, "cannot read %s: %s", what, strerror(EISDIR));
    else if (!S_ISREG(st.st_mode)) diag_error(d, path, 0, NULL, "cannot read %s: not a regular file", what);
    else {
        in_file_list_add(diag_files(d), &st);
        *bytes = (size_t)st.st_size;
        return fd;
    }
    if (fd >= 0) close(fd);
    return -1;
}

unsigned char *in_file_take(int fd, size_t n)
{
    unsigned char *byte = malloc(n ? n : 1);
    for (size_t at = 0; byte && at < n;) {
        ssize_t got = read(fd, byte + at, n - at);
        if (got < 0 && errno == EINTR) continue;
        if (got > 0) {
            at += (size_t)got;
            continue;
        }
        if (!got) errno = EIO;     /* it got shorter meanwhile */
        free(byte);
        return NULL;
    }
    return byte;
}

void in_file_note(const char *path, diag *d)
{
    struct stat st;
    if (!stat(path, &st) && S_ISREG(st.st_mode)) in_file_list_add(diag_files(d), &st);
}

FILE *in_file_stream(const char *path, diag *d)
{
    FILE *file = fopen(path, "rbe");
    int why = errno;
    if (file) in_file_note(path, d);
    errno = why;
    return file;
}
