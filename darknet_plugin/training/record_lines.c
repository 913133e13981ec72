/* What a record says, as JSON (see record_lines.h). Keys are never renamed: programs read them. */
#include "record_lines.h"

#include "darknet_plugin/base/path.h"

#include <math.h>
#include <stdlib.h>
#include <time.h>

static cJSON *line_of(const char *kind)
{
    cJSON *line = cJSON_CreateObject();
    cJSON_AddStringToObject(line, "kind", kind);
    return line;
}

static void add_time(cJSON *line)
{
    char text[32] = "";
    time_t now = time(NULL);
    struct tm utc;
    if (gmtime_r(&now, &utc)) strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
    cJSON_AddStringToObject(line, "time", text);
}

static void add_count(cJSON *line, const char *key, uint64_t count)
{
    cJSON_AddNumberToObject(line, key, (double)count);
}

/* Where it was measured. */
static void add_measure(cJSON *line, const char *key, double value)
{
    if (isfinite(value)) json_add(line, key, value);
}

/* ---- the start ---- */

/* By its name, or that of its cfg; with its score where it was measured. */
static void add_teacher(cJSON *list, const teacher_spec *spec, const run_teacher *score)
{
    cJSON *one = cJSON_CreateObject();
    char *stem = path_stem(spec->cfg_path);
    cJSON_AddStringToObject(one, "name", *spec->name ? spec->name : stem);
    cJSON_AddStringToObject(one, "cfg", spec->cfg_path);
    if (score) {
        add_measure(one, "top1", score->top1);
        add_measure(one, "top5", score->top5);
        add_measure(one, "map50", score->map50);
        add_measure(one, "map", score->map);
    }
    free(stem);
    cJSON_AddItemToArray(list, one);
}

static void add_teachers(cJSON *line, const trainer_options *options)
{
    const lowered *low = options->model->low;
    cJSON *list = cJSON_AddArrayToObject(line, "teachers");
    for (int i = 0; options->model->teacher && i < low->teachers; ++i)
        add_teacher(list, &low->teacher[i], options->teachers ? &options->teachers[i] : NULL);
}

/* What is trained on what, and for how long. */
cJSON *record_line_start(const record_start *start)
{
    const trainer_options *options = start->options;
    const model *model = options->model;
    cJSON *line = line_of("start");
    add_time(line);
    cJSON_AddStringToObject(line, "name", options->name);
    cJSON_AddStringToObject(line, "cfg", model->low->source->path);
    cJSON_AddStringToObject(line, "data", options->names->path);
    cJSON_AddBoolToObject(line, "from_labels", !model->teacher && model->low->teachers > 0);
    add_count(line, "seed", options->seed);
    add_count(line, "batch", start->per_step);
    add_count(line, "images", start->images);
    add_count(line, "classes", (uint64_t)options->names->classes);
    json_add(line, "epochs", options->epochs ? options->epochs : (double)start->end / (double)start->images);
    add_count(line, "steps", start->end / start->per_step);
    add_count(line, "from_step", start->from / start->per_step);
    cJSON_AddBoolToObject(line, "detector", model_is_detector(model));
    add_teachers(line, options);
    return line;
}

/* ---- steps and epochs ---- */

static void add_loss(cJSON *line, const record_loss *loss)
{
    json_add(line, "loss", loss->loss / loss->count);
    cJSON *parts = cJSON_AddObjectToObject(line, "parts");
    for (int i = 0; i < loss->parts; ++i) json_add(parts, loss->name[i], loss->part[i] / loss->count);
}

static cJSON *line_with(const char *kind, const record_numbers *numbers)
{
    cJSON *line = line_of(kind);
    add_count(line, "step", numbers->step);
    add_count(line, "epoch", numbers->epoch);
    add_loss(line, &numbers->loss);
    json_add(line, "rate", numbers->rate);
    add_measure(line, "images_per_s", numbers->images_per_s);
    return line;
}

cJSON *record_line_step(const record_numbers *numbers) { return line_with("step", numbers); }

static void add_shares(cJSON *line, const record_shares *shares)
{
    if (!isfinite(shares->data)) return;
    cJSON *wait = cJSON_AddObjectToObject(line, "wait");
    json_add(wait, "data", shares->data);
    add_measure(wait, "teacher", shares->teacher);
    json_add(wait, "student", shares->student);
    add_measure(wait, "ranks", shares->ranks);
}

cJSON *record_line_epoch(const record_numbers *numbers, const measured *found, int best, const record_shares *shares)
{
    cJSON *line = line_with("epoch", numbers);
    add_measure(line, "top1", found->top1);
    add_measure(line, "top5", found->top5);
    add_measure(line, "map50", found->map50);
    add_measure(line, "map", found->map);
    cJSON_AddBoolToObject(line, "best", best);
    json_add(line, "seconds", numbers->seconds);
    add_shares(line, shares);
    return line;
}

cJSON *record_line_end(uint64_t step, double epoch, double seconds, const char *weights, int stopped)
{
    cJSON *line = line_of("end");
    add_count(line, "step", step);
    json_add(line, "epoch", epoch);
    json_add(line, "seconds", seconds);
    cJSON_AddStringToObject(line, "weights", weights);
    cJSON_AddBoolToObject(line, "stopped", stopped);
    return line;
}
