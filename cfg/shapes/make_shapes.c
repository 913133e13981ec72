/* Draws a small data set for detectors: circles, squares and triangles on noisy gradients, the same for the same seed.
 *
 *   build/make_shapes OUT [TRAIN [VALID [SEED]]]     2000 and 500 pictures of 96x96, seed 1
 *
 * writes pictures to OUT/images, their boxes to OUT/labels, and OUT/train.list, valid.list, shapes.names and
 * shapes.data. A picture holds none to six shapes of 12 to 40 pixels, turned at random, their boxes covered to at most
 * a quarter, and a few lines that are none. A pixel is covered by what .5 minus its distance from the shape's edge,
 * negative inside, is of 0 to 1; for a polygon that is the largest of the distances from its sides. Pictures are keyed
 * by (seed, part, number): asking for more of them leaves the first as they were. */
#include "darknet_plugin/base/diag.h"
#include "layers/network.h"
#include "darknet_plugin/data/image_io.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/rng.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { SIDE = 96, MOST = 6, CORNERS = 4, KINDS = 3 };
static const char *const kind_names[KINDS] = { "circle", "square", "triangle" };
#define PI 3.14159265358979323846

typedef struct shape {
    int kind;
    double x, y, r;                       /* centre and radius of the circle around it, in pixels */
    double corner[CORNERS][2];            /* of a polygon, clockwise as y points down */
    int corners;                          /* 0: a circle */
    double left, top, right, bottom;
    double colour[3];
} shape;

typedef struct picture {
    double ends[2][3];                    /* the background's two colours */
    double x[3 * SIDE * SIDE];            /* (h, w, 3), 0..1 */
    shape shape[MOST];
    int shapes;
} picture;

static void draw_colour(rng *rng, double c[3])
{
    for (int k = 0; k < 3; ++k) c[k] = rng_uniform(rng, .05, .95);
}

static double colour_distance(const double a[3], const double b[3])
{
    return sqrt((a[0] - b[0]) * (a[0] - b[0]) + (a[1] - b[1]) * (a[1] - b[1]) + (a[2] - b[2]) * (a[2] - b[2]));
}

/* A colour that stands out from both ends of the background. */
static void draw_visible_colour(rng *rng, const picture *picture, double c[3])
{
    do draw_colour(rng, c);
    while (colour_distance(c, picture->ends[0]) < .3 || colour_distance(c, picture->ends[1]) < .3);
}

/* A slope from one colour to another of about its kind, in any direction. */
static void draw_background(rng *rng, picture *picture)
{
    draw_colour(rng, picture->ends[0]);
    for (int k = 0; k < 3; ++k) picture->ends[1][k] = fmin(fmax(picture->ends[0][k] + rng_uniform(rng, -.4, .4), 0), 1);
    double angle = rng_uniform(rng, 0, 2 * PI), dx = cos(angle) / SIDE, dy = sin(angle) / SIDE;
    for (int y = 0; y < SIDE; ++y)
        for (int x = 0; x < SIDE; ++x) {
            double t = fmin(fmax(.5 + (x - SIDE / 2) * dx + (y - SIDE / 2) * dy, 0), 1);
            for (int k = 0; k < 3; ++k)
                picture->x[3 * (y * SIDE + x) + k] = (1 - t) * picture->ends[0][k] + t * picture->ends[1][k];
        }
}

/* ---- shapes ---- */

/* Corners on a circle of radius r, and the box around them. */
static void place_corners(shape *shape, double turn)
{
    shape->left = shape->top = SIDE;
    shape->right = shape->bottom = 0;
    for (int i = 0; i < shape->corners; ++i) {
        double a = turn + 2 * PI * i / shape->corners;
        shape->corner[i][0] = shape->x + shape->r * cos(a);
        shape->corner[i][1] = shape->y + shape->r * sin(a);
        shape->left = fmin(shape->left, shape->corner[i][0]);
        shape->right = fmax(shape->right, shape->corner[i][0]);
        shape->top = fmin(shape->top, shape->corner[i][1]);
        shape->bottom = fmax(shape->bottom, shape->corner[i][1]);
    }
}

/* A shape that lies in the picture, turned at random. */
static shape draw_shape(rng *rng)
{
    shape s = { .kind = (int)rng_below(rng, KINDS) };
    static const int corners[KINDS] = { 0, 4, 3 };
    s.corners = corners[s.kind];
    double side = rng_uniform(rng, 12, 40);
    s.r = s.corners ? side / 1.7 : side / 2;
    s.x = rng_uniform(rng, s.r + 1, SIDE - s.r - 1);
    s.y = rng_uniform(rng, s.r + 1, SIDE - s.r - 1);
    double turn = rng_uniform(rng, 0, 2 * PI);
    s.left = s.x - s.r;
    s.right = s.x + s.r;
    s.top = s.y - s.r;
    s.bottom = s.y + s.r;
    if (s.corners) place_corners(&s, turn);
    return s;
}

static double area(const shape *shape) { return (shape->right - shape->left) * (shape->bottom - shape->top); }

/* Whether the boxes share more than a quarter of the smaller one. */
static int crowded(const shape *one, const shape *other)
{
    double w = fmin(one->right, other->right) - fmax(one->left, other->left);
    double h = fmin(one->bottom, other->bottom) - fmax(one->top, other->top);
    return w > 0 && h > 0 && w * h > .25 * fmin(area(one), area(other));
}

static int fits(const picture *picture, const shape *shape)
{
    for (int i = 0; i < picture->shapes; ++i)
        if (crowded(shape, &picture->shape[i])) return 0;
    return 1;
}

static double distance(const shape *shape, double x, double y)
{
    if (!shape->corners) return hypot(x - shape->x, y - shape->y) - shape->r;
    double most = -1e9;
    for (int i = 0; i < shape->corners; ++i) {
        const double *a = shape->corner[i], *b = shape->corner[(i + 1) % shape->corners];
        double dx = b[0] - a[0], dy = b[1] - a[1];
        most = fmax(most, ((x - a[0]) * dy - (y - a[1]) * dx) / hypot(dx, dy));
    }
    return most;
}

static void blend(picture *picture, int x, int y, const double colour[3], double cover)
{
    double *to = picture->x + 3 * (y * SIDE + x);
    for (int k = 0; k < 3; ++k) to[k] += cover * (colour[k] - to[k]);
}

static void paint_shape(picture *picture, const shape *shape)
{
    for (int y = (int)shape->top - 1; y <= (int)shape->bottom + 1 && y < SIDE; ++y)
        for (int x = (int)shape->left - 1; x <= (int)shape->right + 1 && x < SIDE; ++x) {
            double cover = fmin(fmax(.5 - distance(shape, x + .5, y + .5), 0), 1);
            if (cover > 0) blend(picture, x, y, shape->colour, cover);
        }
}

static void add_shapes(rng *rng, picture *picture)
{
    int want = (int)rng_below(rng, MOST + 1);
    for (int tries = 0; picture->shapes < want && tries < 50; ++tries) {
        shape s = draw_shape(rng);
        draw_visible_colour(rng, picture, s.colour);
        if (!fits(picture, &s)) continue;
        paint_shape(picture, &s);
        picture->shape[picture->shapes++] = s;
    }
}

/* A line one to two pixels thick. */
static void add_line(rng *rng, picture *picture)
{
    double a[2] = { rng_uniform(rng, 0, SIDE), rng_uniform(rng, 0, SIDE) }, turn = rng_uniform(rng, 0, 2 * PI);
    double length = rng_uniform(rng, 15, 50), half = rng_uniform(rng, .5, 1), colour[3];
    draw_visible_colour(rng, picture, colour);
    for (int y = 0; y < SIDE; ++y)
        for (int x = 0; x < SIDE; ++x) {
            double dx = x + .5 - a[0], dy = y + .5 - a[1], along = dx * cos(turn) + dy * sin(turn);
            double far = fmax(fabs(dy * cos(turn) - dx * sin(turn)) - half, fmax(-along, along - length));
            double cover = fmin(fmax(.5 - far, 0), 1);
            if (cover > 0) blend(picture, x, y, colour, cover);
        }
}

/* Noise of variance 1, as the sum of two uniform numbers. */
static double draw_noise(rng *rng)
{
    uint64_t u = rng_u64(rng);
    return ((double)(u >> 32) + (double)(uint32_t)u) * 0x1p-32 * 2.449489742783178 - 2.449489742783178;
}

/* Picture `number` of a part: background, lines, shapes, noise; as bytes in `pixels`. */
static void make_picture(uint64_t seed, uint64_t part, uint64_t number, picture *picture, uint8_t *pixels)
{
    rng r = rng_make(seed, part, number, RNG_PICTURE);
    picture->shapes = 0;
    draw_background(&r, picture);
    int lines = (int)rng_below(&r, 4);
    for (int i = 0; i < lines; ++i) add_line(&r, picture);
    add_shapes(&r, picture);
    double noise = rng_uniform(&r, .01, .1);
    for (int i = 0; i < 3 * SIDE * SIDE; ++i)
        pixels[i] = (uint8_t)lround(255 * fmin(fmax(picture->x[i] + noise * draw_noise(&r), 0), 1));
}

/* ---- files ---- */

static FILE *open_file(const char *path, diag *d)
{
    FILE *f = fopen(path, "w");
    if (!f) diag_error(d, path, 0, NULL, "cannot be written: %s", strerror(errno));
    return f;
}

static int close_file(FILE *file, const char *path, diag *d)
{
    int failed = ferror(file);
    if (!fclose(file) && !failed) return 0;
    diag_error(d, path, 0, NULL, "cannot be written: %s", strerror(errno));
    return -1;
}

static int write_labels(const picture *picture, const char *path, diag *d)
{
    FILE *f = open_file(path, d);
    if (!f) return -1;
    for (int i = 0; i < picture->shapes; ++i) {
        const shape *s = &picture->shape[i];
        fprintf(f, "%d %.6f %.6f %.6f %.6f\n", s->kind, (s->left + s->right) / 2 / SIDE,
                (s->top + s->bottom) / 2 / SIDE, (s->right - s->left) / SIDE, (s->bottom - s->top) / SIDE);
    }
    return close_file(f, path, d);
}

/* The picture, its boxes, and its line in `list`. */
static int write_picture(const char *out, const char *part, int number, const picture *picture, const uint8_t *pixels,
                         FILE *list, diag *d)
{
    char *image = mem_printf("%s/images/%s%05d.png", out, part, number);
    char *labels = mem_printf("%s/labels/%s%05d.txt", out, part, number);
    int failed = image_write(image, pixels, SIDE, SIDE, 3);
    if (failed) diag_error(d, image, 0, NULL, "cannot be written");
    else failed = write_labels(picture, labels, d);
    fprintf(list, "%s\n", image);
    free(image);
    free(labels);
    return failed;
}

/* Pictures 0 to n-1 of a part, and their list. */
static int write_part(const char *out, const char *part, uint64_t seed, uint64_t key, int n, diag *d)
{
    static picture p;
    static uint8_t pixels[3 * SIDE * SIDE];
    char *path = mem_printf("%s/%s.list", out, part);
    FILE *list = open_file(path, d);
    int failed = !list;
    for (int i = 0; i < n && !failed; ++i) {
        make_picture(seed, key, (uint64_t)i, &p, pixels);
        failed = write_picture(out, part, i, &p, pixels, list, d);
    }
    if (list && close_file(list, path, d)) failed = 1;
    free(path);
    return failed;
}

/* OUT/name with this text. */
static int write_text(const char *out, const char *name, const char *text, diag *d)
{
    char *path = mem_printf("%s/%s", out, name);
    FILE *f = open_file(path, d);
    int failed = !f;
    if (f) {
        fputs(text, f);
        failed = close_file(f, path, d);
    }
    free(path);
    return failed;
}

static int write_description(const char *out, diag *d)
{
    char *names = mem_printf("%s\n%s\n%s\n", kind_names[0], kind_names[1], kind_names[2]);
    char *data = mem_printf("classes = %d\ntrain = %s/train.list\nvalid = %s/valid.list\n"
                            "names = %s/shapes.names\nbackup = backup\n", KINDS, out, out, out);
    int failed = write_text(out, "shapes.names", names, d) || write_text(out, "shapes.data", data, d);
    free(names);
    free(data);
    return failed;
}

/* `path` and its folders images and labels; its full name, which the caller frees, or NULL. */
static char *make_folders(const char *path, diag *d)
{
    const char *const inside[] = { "", "/images", "/labels" };
    for (int i = 0; i < 3; ++i) {
        char *folder = mem_printf("%s%s", path, inside[i]);
        if (mkdir(folder, 0777) && errno != EEXIST)
            diag_error(d, folder, 0, NULL, "cannot be made: %s", strerror(errno));
        free(folder);
    }
    return diag_errors(d) ? NULL : realpath(path, NULL);
}

/* Argument i as a number up to 99999, or `def`. */
static int number(int argc, char **argv, int i, int def, diag *d)
{
    if (i >= argc) return def;
    char *end;
    long n = strtol(argv[i], &end, 10);
    if (*end || end == argv[i] || n < 0 || n > 99999)
        diag_error(d, NULL, 0, NULL, "'%s' is not a number from 0 to 99999", argv[i]);
    return (int)n;
}

/* OUT, how many pictures to train and to measure on, and the seed. */
int main(int argc, char **argv)
{
    network_init();
    diag *d = diag_new();
    if (argc < 2 || argc > 5) diag_error(d, NULL, 0, NULL, "usage: make_shapes OUT [TRAIN [VALID [SEED]]]");
    int train = number(argc, argv, 2, 2000, d), valid = number(argc, argv, 3, 500, d);
    uint64_t seed = (uint64_t)number(argc, argv, 4, 1, d);
    char *out = diag_errors(d) ? NULL : make_folders(argv[1], d);
    if (out && !write_part(out, "train", seed, 0, train, d) && !write_part(out, "valid", seed, 1, valid, d))
        write_description(out, d);
    free(out);
    diag_print(d, stderr);
    int failed = diag_errors(d) > 0;
    diag_free(d);
    return failed;
}
