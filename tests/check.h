/* What several tests need: cmocka, exact and close comparison, central differences. */
#ifndef DISTILL_TESTS_CHECK_H
#define DISTILL_TESTS_CHECK_H
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "darknet_plugin/base/diag.h"
#include "darknet_plugin/host/host.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/rng.h"

/* Fails, naming the place, unless |a - b| <= tol * max(1, |b|); NaN fails. */
void check_close(double a, double b, double tol, const char *what, size_t i);
/* The same for n floats. */
void check_close_n(const float *a, const float *b, size_t n, double tol, const char *what);
/* Fills with uniform numbers in [-1, 1) from a fixed stream. */
void check_fill(float *x, size_t n, uint64_t stream);
/* Parses a stock cfg text; fails the test if the host refuses. */
network *check_parse(const char *text);
/* Fails, printing them, if there are any errors. */
void check_no_errors(const diag *d);
/* A fresh folder under $TMPDIR, removed at exit; borrowed. */
const char *check_folder(void);
/* The path of a file there; the caller frees. */
char *check_path(const char *name);
/* How many entries a folder has. */
int check_files_in(const char *folder);
/* Whole file as text; the caller frees; fails the test if unreadable. */
char *check_read(const char *path, size_t *len);
void check_write(const char *path, const void *data, size_t len);
/* Two files hold the same bytes. */
void check_same_file(const char *one, const char *other);
/* Pixels (h, w, c) as the host has them; free with free_image. */
image check_host_image(const uint8_t *pixels, int w, int h, int c);
/* Under valgrind (tests/memcheck.sh), where a test does less of the same. */
int check_memcheck(void);

#endif
