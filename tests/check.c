/* Shared by the tests (see check.h). */
#include "check.h"

#include <dirent.h>
#include <unistd.h>

void check_close(double a, double b, double tol, const char *what, size_t i)
{
    double scale = fabs(b) > 1 ? fabs(b) : 1;
    if (!(fabs(a - b) <= tol * scale)) fail_msg("%s[%zu]: %.9g, expected %.9g (tolerance %g)", what, i, a, b, tol);
}

void check_close_n(const float *a, const float *b, size_t n, double tol, const char *what)
{
    for (size_t i = 0; i < n; ++i) check_close(a[i], b[i], tol, what, i);
}

void check_fill(float *x, size_t n, uint64_t stream)
{
    rng r = rng_make(stream, 0, 0, RNG_TEST);
    for (size_t i = 0; i < n; ++i) x[i] = (float)rng_uniform(&r, -1, 1);
}

network *check_parse(const char *text)
{
    diag *d = diag_new();
    network *net = host_parse(text, strlen(text), "test.cfg", d);
    check_no_errors(d);
    assert_non_null(net);
    diag_free(d);
    return net;
}

void check_no_errors(const diag *d)
{
    if (!diag_errors(d)) return;
    diag_print(d, stderr);
    fail_msg("%d unexpected errors", diag_errors(d));
}

static char folder[256];
static pid_t owner;   /* children that exit() leave the folder alone */

static void remove_folder(void)
{
    if (getpid() != owner) return;
    char *cmd = mem_printf("rm -rf '%s'", folder);
    if (system(cmd)) fprintf(stderr, "could not remove %s\n", folder);
    free(cmd);
}

const char *check_folder(void)
{
    if (!folder[0]) {
        const char *tmp = getenv("TMPDIR");
        snprintf(folder, sizeof folder, "%s/distill-test-XXXXXX", tmp ? tmp : "/tmp");
        if (!mkdtemp(folder)) fail_msg("mkdtemp %s", folder);
        owner = getpid();
        atexit(remove_folder);
    }
    return folder;
}

char *check_path(const char *name) { return mem_printf("%s/%s", check_folder(), name); }

char *check_read(const char *path, size_t *len)
{
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("cannot read %s", path);
    char *text = NULL;
    size_t n = 0, room = 0, got;
    do {
        if (n + 4096 + 1 > room) text = mem_realloc(text, room = 2 * room + 8192, 1);
        n += got = fread(text + n, 1, 4096, f);
    } while (got);
    fclose(f);
    text[n] = 0;
    if (len) *len = n;
    return text;
}

void check_write(const char *path, const void *data, size_t len)
{
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, len, f) != len || fclose(f)) fail_msg("cannot write %s", path);
}

void check_same_file(const char *one, const char *other)
{
    size_t n, m;
    char *a = check_read(one, &n), *b = check_read(other, &m);
    assert_int_equal(n, m);
    assert_memory_equal(a, b, n);
    free(a);
    free(b);
}

image check_host_image(const uint8_t *pixels, int w, int h, int c)
{
    image im = make_image(w, h, c);
    for (int k = 0; k < c; ++k)
        for (int i = 0; i < w * h; ++i) im.data[k * w * h + i] = (float)((float)pixels[i * c + k] / 255.);
    return im;
}

int check_files_in(const char *folder)
{
    int n = 0;
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    while (readdir(dir)) ++n;
    closedir(dir);
    return n - 2;
}

int check_memcheck(void) { return getenv("DISTILL_MEMCHECK") != NULL; }
