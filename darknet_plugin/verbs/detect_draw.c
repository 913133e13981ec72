/* Boxes into pictures (see detect_draw.h).
 *
 * Class k of n gets the hue (k s mod n) / n, s the whole number next to n * 0.618 that has no factor in common with n:
 * steps near the golden section set classes with close numbers apart, and every multiple of 1/n comes up once. Full
 * colour, but for every second class a darker one, since close hues are hard to tell. */
#include "detect_draw.h"

#include "darknet_plugin/data/image_io.h"

#include <math.h>
#include <stdio.h>

static int common_factor(int a, int b)
{
    while (b) {
        int rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static int hue_step(int n)
{
    int s = (int)(.618 * n);
    if (s < 1) s = 1;
    while (common_factor(s, n) != 1) ++s;
    return s;
}

/* How much of one primary colour is in a hue: a trapezoid over the circle, its middle at `centre` sixths. */
static double primary(double hue, int centre)
{
    double away = fabs(6 * hue - centre);
    if (away > 3) away = 6 - away;
    return fmin(1, fmax(0, 2 - away));
}

static void class_colour(int label, int classes, uint8_t rgb[3])
{
    int n = classes > 0 ? classes : 1;
    double hue = (double)((long)label * hue_step(n) % n) / n, bright = label % 2 ? 176 : 255;
    for (int k = 0; k < 3; ++k) rgb[k] = (uint8_t)(bright * primary(hue, 2 * k) + .5);
}

/* A part of `size` pixels, in pixels; far outside is still a number that fits. */
static int pixel(double part, int size)
{
    return (int)lround(fmin(1e6, fmax(-1e6, part * size)));
}

static image_box in_pixels(const detect_box *box, int w, int h)
{
    double x = (double)box->x, y = (double)box->y, half_w = (double)box->w / 2, half_h = (double)box->h / 2;
    return (image_box){ pixel(x - half_w, w), pixel(y - half_h, h), pixel(x + half_w, w), pixel(y + half_h, h) };
}

static int draw_one(uint8_t *pixels, int w, int h, const detect_box *box, char *const *name, int classes)
{
    char text[96];
    uint8_t colour[3];
    class_colour(box->label, classes, colour);
    if (name) snprintf(text, sizeof text, "%.80s %.2f", name[box->label], (double)box->probability);
    else snprintf(text, sizeof text, "%d %.2f", box->label, (double)box->probability);
    return image_draw_box(pixels, w, h, in_pixels(box, w, h), colour, text);
}

int detect_draw_label(uint8_t *pixels, int w, int h, const data_box *box, const char *name, int classes)
{
    detect_box placed = { .x = box->x, .y = box->y, .w = box->w, .h = box->h };
    uint8_t colour[3];
    class_colour(box->class, classes, colour);
    return image_draw_box(pixels, w, h, in_pixels(&placed, w, h), colour, name);
}

int detect_draw(uint8_t *pixels, int w, int h, const detect_box *box, size_t n, float threshold, char *const *name,
                int classes)
{
    int drawn = 0;
    for (size_t i = n; i-- > 0;) {
        if (!(box[i].probability > threshold)) continue;
        if (draw_one(pixels, w, h, &box[i], name, classes)) return -1;
        ++drawn;
    }
    return drawn;
}
