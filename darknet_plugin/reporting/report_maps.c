/* Feature maps of student and teacher side by side with their difference, for a few validation images: the channels in
 * which the teacher says most, and the mean over all of them.
 *
 * A row's three maps have one scale, from the least to the largest value of teacher and student there; the difference
 * begins at 0 and is as wide. Colours go from dark blue to yellow, ever lighter: who tells no red from green reads them
 * as well as anybody, and so does a grey print. */
#include "report_internal.h"

#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/path.h"
#include "darknet_plugin/model/model_maps.h"

#include <math.h>
#include <stdlib.h>

enum { IMAGES = 3, CHANNELS = 3, HEADS = 3, INPUT_SIDE = 160, ALL_CHANNELS = -1 };

/* One image's maps of one head, (c, h, w) each. */
typedef struct image_maps {
    size_t image;
    int there;
    float *student, *teacher;    /* owned */
} image_maps;

struct report_maps {
    learnt_map map[HEADS];
    int heads;
    size_t wanted[IMAGES];       /* numbers of images */
    image_maps of[IMAGES][HEADS];
    const dataset *set;          /* borrowed */
};

/* ---- colours ---- */

static const double ANCHOR[][3] = {
    { 15, 24, 72 }, { 38, 68, 120 }, { 88, 112, 128 }, { 146, 148, 116 }, { 205, 184, 92 }, { 253, 226, 96 },
};
enum { ANCHORS = sizeof ANCHOR / sizeof *ANCHOR };

void report_colour(double value, uint8_t rgb[3])
{
    double at = fmin(1, fmax(0, value)) * (ANCHORS - 1);
    int i = (int)at < ANCHORS - 1 ? (int)at : ANCHORS - 2;
    for (int k = 0; k < 3; ++k)
        rgb[k] = (uint8_t)(ANCHOR[i][k] + (at - i) * (ANCHOR[i + 1][k] - ANCHOR[i][k]) + .5);
}

static void put_scale(FILE *out)
{
    fputs("<span class=\"ramp\" style=\"background:linear-gradient(90deg", out);
    for (int i = 0; i < ANCHORS; ++i)
        fprintf(out, ",rgb(%.0f %.0f %.0f)", ANCHOR[i][0], ANCHOR[i][1], ANCHOR[i][2]);
    fputs(")\"></span>", out);
}

/* ---- looking ---- */

report_maps *report_maps_begin(const model *model, const dataset *set)
{
    report_maps *maps = mem_calloc(1, sizeof *maps);
    size_t n = dataset_count(set);
    maps->set = set;
    maps->heads = model_learnt_maps(model, maps->map, HEADS);
    for (int k = 0; k < IMAGES; ++k) maps->wanted[k] = n * (size_t)(2 * k + 1) / (2 * IMAGES);
    if (maps->heads) return maps;
    free(maps);
    return NULL;
}

/* Copies the maps of images that are wanted, when their batch comes by. */
void report_maps_look(report_maps *maps, const model *model, const batch *batch)
{
    for (int k = 0; k < IMAGES; ++k)
        for (int b = 0; b < batch->n; ++b)
            for (int i = 0; batch->index[b] == maps->wanted[k] && i < maps->heads && !maps->of[k][i].there; ++i) {
                const learnt_map *map = &maps->map[i];
                size_t n = (size_t)map->c * (size_t)map->h * (size_t)map->w;
                image_maps *to = &maps->of[k][i];
                *to = (image_maps){ .image = batch->index[b], .there = 1, .student = mem_calloc(n, sizeof(float)),
                                    .teacher = mem_calloc(n, sizeof(float)) };
                model_copy_maps(model, map, b, to->student, to->teacher);
            }
}

/* ---- which channels ---- */

/* How much a channel of the teacher varies, over all images that were looked at. */
static double variance_of(const report_maps *maps, int head, int channel)
{
    size_t plane = (size_t)maps->map[head].h * (size_t)maps->map[head].w, n = 0;
    double sum = 0, squares = 0;
    for (int k = 0; k < IMAGES; ++k) {
        const float *map = maps->of[k][head].there ? maps->of[k][head].teacher + (size_t)channel * plane : NULL;
        for (size_t i = 0; map && i < plane; ++i) {
            sum += (double)map[i];
            squares += (double)map[i] * (double)map[i];
        }
        if (map) n += plane;
    }
    return n ? squares / (double)n - sum / (double)n * (sum / (double)n) : 0;
}

/* The channels that vary most, most first; returns how many. */
static int choose_channels(const report_maps *maps, int head, int chosen[CHANNELS])
{
    double best[CHANNELS];
    int n = 0;
    for (int c = 0; c < maps->map[head].c; ++c) {
        double variance = variance_of(maps, head, c);
        int at = n;
        while (at > 0 && best[at - 1] < variance) --at;
        if (at >= CHANNELS) continue;
        if (n < CHANNELS) ++n;
        for (int i = n - 1; i > at; --i) {
            best[i] = best[i - 1];
            chosen[i] = chosen[i - 1];
        }
        best[at] = variance;
        chosen[at] = c;
    }
    return n;
}

/* ---- pictures ---- */

/* One channel, or the mean of all channels' magnitudes; of both maps, and their difference. */
typedef struct row {
    float *teacher, *student, *difference;   /* (h, w), owned */
    double low, high;
} row;

/* The values of a row, place by place, and what they lie between. */
static row take_row(const learnt_map *map, const image_maps *of, int channel)
{
    size_t plane = (size_t)map->h * (size_t)map->w;
    int from = channel == ALL_CHANNELS ? 0 : channel, to = channel == ALL_CHANNELS ? map->c : channel + 1;
    row row = { mem_calloc(plane, sizeof(float)), mem_calloc(plane, sizeof(float)), mem_calloc(plane, sizeof(float)),
                INFINITY, -INFINITY };
    for (size_t i = 0; i < plane; ++i) {
        for (int c = from; c < to; ++c) {
            float t = of->teacher[(size_t)c * plane + i], s = of->student[(size_t)c * plane + i];
            row.difference[i] += fabsf(t - s) / (float)(to - from);
            row.teacher[i] += (channel == ALL_CHANNELS ? fabsf(t) : t) / (float)(to - from);
            row.student[i] += (channel == ALL_CHANNELS ? fabsf(s) : s) / (float)(to - from);
        }
        row.low = fmin(row.low, (double)fminf(row.teacher[i], row.student[i]));
        row.high = fmax(row.high, (double)fmaxf(row.teacher[i], row.student[i]));
    }
    return row;
}

static void free_row(row *row)
{
    free(row->teacher);
    free(row->student);
    free(row->difference);
}

/* One map as a picture, a pixel a place; values are taken from `low` on and `width` wide. */
static int put_map(FILE *out, const learnt_map *map, const float *value, double low, double width, const char *alt,
                   diag *d)
{
    size_t plane = (size_t)map->h * (size_t)map->w;
    uint8_t *pixels = mem_calloc(plane, 3);
    for (size_t i = 0; i < plane; ++i)
        report_colour(width > 0 ? ((double)value[i] - low) / width : 0, pixels + 3 * i);
    fputs("<img class=\"map\" src=\"", out);
    int failed = html_picture(out, pixels, map->w, map->h, 3, 0, 1, d);
    fputs("\" alt=\"", out);
    html_text(out, alt);
    fputs("\">", out);
    free(pixels);
    return failed;
}

/* Teacher, student, difference. */
static int put_row(FILE *out, const learnt_map *map, const image_maps *of, int channel, diag *d)
{
    row row = take_row(map, of, channel);
    double width = row.high - row.low;
    if (channel == ALL_CHANNELS) fprintf(out, "<div class=\"row\">mean of %d</div>", map->c);
    else fprintf(out, "<div class=\"row\">channel %d</div>", channel);
    int failed = put_map(out, map, row.teacher, row.low, width, "teacher", d) ||
                 put_map(out, map, row.student, row.low, width, "student", d) ||
                 put_map(out, map, row.difference, 0, width, "absolute difference", d);
    free_row(&row);
    return failed;
}

/* Mean absolute difference over the whole map, and how large the teacher's values are. */
static void put_distance(FILE *out, const learnt_map *map, const image_maps *of)
{
    size_t n = (size_t)map->c * (size_t)map->h * (size_t)map->w;
    double difference = 0, size = 0;
    for (size_t i = 0; i < n; ++i) {
        difference += (double)fabsf(of->teacher[i] - of->student[i]);
        size += (double)fabsf(of->teacher[i]);
    }
    fprintf(out, "<p class=\"note\">mean absolute difference %.4g; the teacher's mean magnitude %.4g</p>",
            difference / (double)n, size / (double)n);
}

/* The maps of one image that one head learns. */
static int put_head(const report_maps *maps, int image, int head, FILE *out, diag *d)
{
    const learnt_map *map = &maps->map[head];
    const image_maps *of = &maps->of[image][head];
    int chosen[CHANNELS], n = choose_channels(maps, head, chosen), failed = 0;
    if (maps->heads > 1)
        fprintf(out, "<h4>Head %d: %d\xc3\x97%d\xc3\x97%d</h4>", map->head + 1, map->c, map->h, map->w);
    fputs("<div class=\"maps\"><div></div><div>teacher</div><div>student</div><div>|difference|</div>", out);
    for (int i = 0; i < n && !failed; ++i) failed = put_row(out, map, of, chosen[i], d);
    failed = failed || put_row(out, map, of, ALL_CHANNELS, d);
    fputs("</div>", out);
    put_distance(out, map, of);
    return failed;
}

/* What the image is, above its maps. */
static int put_input(const report *report, size_t image, FILE *out, diag *d)
{
    char name[512], number[16];
    int w, h, label = dataset_label(report->set, image);
    fputs("<figure class=\"card\"><figcaption><img class=\"input\" src=\"", out);
    if (report_image(report, image, INPUT_SIDE, out, &w, &h, d)) return -1;
    fputs("\" alt=\"\"><span><b>", out);
    if (!report->detector && label >= 0) html_text(out, data_file_class(report->file, label, number, sizeof number));
    fputs("</b><span class=\"path\">", out);
    html_short(out, path_base_name(dataset_name(report->set, image, name, sizeof name)), 40);
    fputs("</span></span></figcaption>", out);
    return 0;
}

static int put_image(const report_maps *maps, const report *report, int image, FILE *out, diag *d)
{
    if (put_input(report, maps->of[image][0].image, out, d)) return -1;
    for (int i = 0; i < maps->heads; ++i)
        if (put_head(maps, image, i, out, d)) return -1;
    fputs("</figure>", out);
    return 0;
}

static void free_maps(report_maps *maps)
{
    for (int k = 0; k < IMAGES; ++k)
        for (int i = 0; i < maps->heads; ++i) {
            free(maps->of[k][i].student);
            free(maps->of[k][i].teacher);
        }
    free(maps);
}

int report_maps_end(report_maps *maps, const report *report, char **html, diag *d)
{
    size_t len;
    int failed = 0;
    FILE *out = mem_stream(html, &len);
    fputs("<p>What the student's projector makes of an image, beside the teacher's own map that it was trained on. "
          "Brighter is more; the three maps of a row have one scale. Low ", out);
    put_scale(out);
    fputs(" high.</p><div class=\"cards wide\">", out);
    for (int k = 0; report && k < IMAGES && !failed; ++k)
        if (maps->of[k][0].there && (!k || maps->wanted[k] != maps->wanted[k - 1]))
            failed = put_image(maps, report, k, out, d);
    fputs("</div>", out);
    mem_stream_end(out);
    free_maps(maps);
    return failed;
}
