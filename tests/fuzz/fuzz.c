/* What the fuzz targets share (see fuzz.h): a folder in memory, files in it, and libFuzzer's two entries. */
#include "fuzz.h"

#include "layers/sections.h"

#include <fcntl.h>
#include <unistd.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static char folder[256];
static FILE *nowhere;

static void must(int ok, const char *what)
{
    if (ok) return;
    perror(what);
    _exit(3);
}

/* run.sh names a folder and removes it; run by hand, a new one is left in /dev/shm. */
static void enter_folder(void)
{
    const char *given = getenv("FUZZ_FOLDER");
    snprintf(folder, sizeof folder, "%s", given ? given : "/dev/shm/distill-fuzz-XXXXXX");
    must(given || mkdtemp(folder), folder);
    must(!chdir(folder), folder);
}

static char *absolute(const char *path)
{
    char *full = realpath(path, NULL);
    return full ? full : mem_strdup(path);
}

/* Paths among the arguments must hold in the new folder. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    for (int i = 1; i < *argc; ++i)
        if ((*argv)[i][0] != '-') (*argv)[i] = absolute((*argv)[i]);
    enter_folder();
    sections_register();
    nowhere = fopen("/dev/null", "w");
    must(nowhere != NULL, "/dev/null");
    fuzz_begin();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    fuzz_one(data, n);
    return 0;
}

void fuzz_write(const char *name, const void *data, size_t n)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    must(fd >= 0 && (!n || write(fd, data, n) == (ssize_t)n), name);
    close(fd);
}

void fuzz_write_text(const char *name, const char *text) { fuzz_write(name, text, strlen(text)); }

/* Where the line "%%" begins; `n` if there is none. */
static size_t next_cut(const uint8_t *data, size_t n)
{
    for (size_t i = 0; i + 2 < n; ++i)
        if (!memcmp(data + i, "%%\n", 3) && (!i || data[i - 1] == '\n')) return i;
    return n;
}

void fuzz_write_parts(const uint8_t *data, size_t n, const char *const *names, int count)
{
    for (int i = 0; i < count; ++i) {
        size_t cut = i + 1 < count ? next_cut(data, n) : n, step = cut < n ? cut + 3 : n;
        fuzz_write(names[i], data, cut);
        data += step;
        n -= step;
    }
}

void fuzz_use(double x)
{
    static volatile double sink;
    sink = x;
    (void)sink;
}

void fuzz_end(diag *d, int failed)
{
    if (!failed != !diag_errors(d)) {
        fprintf(stderr, "failed is %d, but these are the errors:\n", failed);
        diag_print(d, stderr);
        abort();
    }
    diag_print(d, nowhere);
    diag_free(d);
}
