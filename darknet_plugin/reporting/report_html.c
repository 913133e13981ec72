/* Text, numbers and pictures in HTML (see report_html.h). */
#include "report_html.h"

#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/utf8.h"
#include "darknet_plugin/data/image_io.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { SMALL_SIDE = 128 };   /* up to here PNG is no larger than JPEG, or not by much */

static const char *escaped(unsigned char byte)
{
    switch (byte) {
    case '&': return "&amp;";
    case '<': return "&lt;";
    case '>': return "&gt;";
    case '"': return "&quot;";
    case '\'': return "&#39;";
    default: return byte < ' ' || byte == 0x7f ? "\xef\xbf\xbd" : NULL;
    }
}

/* Writes the character that begins at `text`; how many bytes it has. */
static size_t put_character(FILE *out, const char *text)
{
    size_t n = utf8_sequence((const unsigned char *)text);
    const char *instead = n < 2 ? escaped((unsigned char)*text) : NULL;
    if (!n) instead = "\xef\xbf\xbd";
    if (n == 2 && (unsigned char)text[0] == 0xc2 && (unsigned char)text[1] < 0xa0) instead = "\xef\xbf\xbd";
    if (instead) fputs(instead, out);
    else fwrite(text, 1, n, out);
    return n ? n : 1;
}

void html_text(FILE *out, const char *text)
{
    while (*text) text += put_character(out, text);
}

void html_print(FILE *out, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *text = mem_vprintf(fmt, ap);
    va_end(ap);
    html_text(out, text);
    free(text);
}

void html_short(FILE *out, const char *text, int most)
{
    int length = 0;
    for (const char *at = text; *at && length <= most; ++length) {
        size_t n = utf8_sequence((const unsigned char *)at);
        at += n ? n : 1;
    }
    int kept = length > most ? most - 1 : length;
    for (int i = 0; i < kept; ++i) text += put_character(out, text);
    if (kept < length) fputs("\xe2\x80\xa6", out);
}

void html_number(FILE *out, double value, int digits)
{
    if (isnan(value)) fputs("\xe2\x80\x93", out);
    else if (value < 0) fprintf(out, "\xe2\x88\x92%.*f", digits, -value);
    else fprintf(out, "%.*f", digits, value);
}

void html_signed(FILE *out, double value, int digits)
{
    if (value >= 0) fputc('+', out);
    html_number(out, value, digits);
}

void html_count(FILE *out, double value)
{
    char text[32];
    int n = snprintf(text, sizeof text, "%.0f", fmin(value, 1e18));
    for (int i = 0; i < n; ++i) {
        if (i && (n - i) % 3 == 0) fputc(',', out);
        fputc(text[i], out);
    }
}

void html_size(FILE *out, double value)
{
    static const struct { double from; const char *unit; } UNITS[] = {
        { 1e12, "T" }, { 1e9, "G" }, { 1e6, "M" }, { 1e3, "k" },
    };
    for (size_t i = 0; i < sizeof UNITS / sizeof *UNITS; ++i) {
        double part = value / UNITS[i].from;
        if (part < 1) continue;
        fprintf(out, "%.*f\xc2\xa0%s", part < 10 ? 2 : part < 100, part, UNITS[i].unit);
        return;
    }
    html_number(out, value, 0);
}

/* RFC 4648. */
static void put_base64(FILE *out, const uint8_t *byte, size_t n)
{
    static const char DIGIT[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i += 3) {
        size_t left = n - i;
        unsigned bits = (unsigned)byte[i] << 16;
        if (left > 1) bits |= (unsigned)byte[i + 1] << 8;
        if (left > 2) bits |= byte[i + 2];
        char four[4] = { DIGIT[bits >> 18], DIGIT[bits >> 12 & 63], '=', '=' };
        if (left > 1) four[2] = DIGIT[bits >> 6 & 63];
        if (left > 2) four[3] = DIGIT[bits & 63];
        fwrite(four, 1, sizeof four, out);
    }
}

int html_picture(FILE *out, const uint8_t *pixels, int w, int h, int c, int most, int exact, diag *d)
{
    char why[256];
    uint8_t *bytes;
    size_t n;
    int png = exact || (w <= SMALL_SIDE && h <= SMALL_SIDE);
    if (image_encode(png ? ".png" : ".jpg", pixels, w, h, c, most, &bytes, &n, why, sizeof why)) {
        diag_error(d, NULL, 0, NULL, "cannot put a picture of %dx%d into the page: %s", w, h, why);
        return -1;
    }
    fprintf(out, "data:image/%s;base64,", png ? "png" : "jpeg");
    put_base64(out, bytes, n);
    free(bytes);
    return 0;
}
