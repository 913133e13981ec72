/* Reads and writes that go on where a signal or the system cut them short (see file_at.h). */
#include "file_at.h"

#include <errno.h>
#include <unistd.h>

int file_write_at(int fd, const void *data, size_t n, uint64_t at)
{
    const char *p = data;
    while (n) {
        ssize_t w = pwrite(fd, p, n, (off_t)at);
        if (w < 0 && errno == EINTR) continue;
        if (w <= 0) return -1;
        p += w;
        at += (uint64_t)w;
        n -= (size_t)w;
    }
    return 0;
}

int file_read_at(int fd, void *data, size_t n, uint64_t at)
{
    char *p = data;
    while (n) {
        ssize_t r = pread(fd, p, n, (off_t)at);
        if (r < 0 && errno == EINTR) continue;
        if (r <= 0) return -1;
        p += r;
        at += (uint64_t)r;
        n -= (size_t)r;
    }
    return 0;
}
