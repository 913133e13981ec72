/* Pieces of the page that all parts write: text that is safe in it whatever it holds, numbers, pictures. */
#ifndef DISTILL_REPORT_HTML_H
#define DISTILL_REPORT_HTML_H
#include "darknet_plugin/base/diag.h"

#include <stdint.h>
#include <stdio.h>

/* As text, also within the quotes of an attribute: what HTML would read as something else is escaped, bytes that are no
 * UTF-8 and control characters become U+FFFD. */
void html_text(FILE *out, const char *text);
/* The same of what is formatted. */
void html_print(FILE *out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* At most `most` characters of it, the last of them an ellipsis where it is longer. */
void html_short(FILE *out, const char *text, int most);

/* A number with so many digits behind the point; a dash where it is NaN. */
void html_number(FILE *out, double value, int digits);
/* With its sign. */
void html_signed(FILE *out, double value, int digits);
/* 12,345,678. */
void html_count(FILE *out, double value);
/* A short one: 1.23 M. */
void html_size(FILE *out, double value);

/* An 8-bit picture (h, w, c) as the value of src= or href=, shrunk until no side exceeds `most`; small ones and `exact`
 * ones as PNG, others as JPEG. -1 with a message. */
int html_picture(FILE *out, const uint8_t *pixels, int w, int h, int c, int most, int exact, diag *d);

#endif
