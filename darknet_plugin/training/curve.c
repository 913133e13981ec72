/* Points out of a record's lines (see curve.h). Names and numbers come out of a file: there is room for so many, and no
 * more are taken. */
#include "curve.h"

#include "darknet_plugin/base/json.h"
#include "darknet_plugin/base/mem.h"
#include "run_log.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void add_point(curve_series *series, double x, double y)
{
    if (!isfinite(x) || !isfinite(y)) return;
    if (series->n == series->room) {
        series->room = series->room ? 2 * series->room : 64;
        series->x = mem_realloc(series->x, series->room, sizeof *series->x);
        series->y = mem_realloc(series->y, series->room, sizeof *series->y);
    }
    series->x[series->n] = x;
    series->y[series->n++] = y;
}

/* The first line: what is trained, and what teachers are worth. */
static void take_start(curve *curve, const cJSON *line)
{
    const cJSON *one;
    const char *score;
    if (curve->name) return;
    curve->name = mem_strdup(json_text(line, "name"));
    curve->detector = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(line, "detector"));
    curve->steps = json_get(line, "steps");
    curve->epochs = json_get(line, "epochs");
    score = curve->detector ? "map50" : "top1";
    cJSON_ArrayForEach(one, cJSON_GetObjectItemCaseSensitive(line, "teachers")) {
        double value = json_get(one, score);
        if (!isfinite(value) || curve->teachers == CURVE_TEACHERS) continue;
        curve->teacher_name[curve->teachers] = mem_strdup(json_text(one, "name"));
        curve->teacher[curve->teachers++] = value;
    }
}

/* The part's number; -1: there is no room for another one. */
static int part_named(curve *curve, const char *name)
{
    for (int i = 0; i < curve->parts; ++i)
        if (!strcmp(curve->part_name[i], name)) return i;
    if (curve->parts == CURVE_PARTS) return -1;
    curve->part_name[curve->parts] = mem_strdup(name);
    return curve->parts++;
}

static void take_step(curve *curve, const cJSON *line)
{
    const cJSON *one;
    double step = json_get(line, "step");
    add_point(&curve->loss, step, json_get(line, "loss"));
    cJSON_ArrayForEach(one, cJSON_GetObjectItemCaseSensitive(line, "parts")) {
        int i = cJSON_IsNumber(one) && one->string ? part_named(curve, one->string) : -1;
        if (i >= 0) add_point(&curve->part[i], step, one->valuedouble);
    }
}

void curve_take(curve *curve, const cJSON *line)
{
    const char *kind = json_text(line, "kind");
    if (!strcmp(kind, "start")) take_start(curve, line);
    if (!strcmp(kind, "step")) take_step(curve, line);
    if (!strcmp(kind, "epoch"))
        add_point(&curve->score, json_get(line, "step"), json_get(line, curve->detector ? "map50" : "top1"));
}

static void take_line(void *to, const char *text, const cJSON *line)
{
    (void)text;
    curve_take(to, line);
}

void curve_read(curve *curve, const char *path)
{
    diag *unsaid = diag_new();
    run_log_read(path, take_line, curve, unsaid);
    diag_free(unsaid);
}

static void free_series(curve_series *series)
{
    free(series->x);
    free(series->y);
}

void curve_free(curve *curve)
{
    free(curve->name);
    free_series(&curve->loss);
    free_series(&curve->score);
    for (int i = 0; i < curve->parts; ++i) {
        free(curve->part_name[i]);
        free_series(&curve->part[i]);
    }
    for (int i = 0; i < curve->teachers; ++i) free(curve->teacher_name[i]);
    *curve = (struct curve){ .name = NULL };
}
