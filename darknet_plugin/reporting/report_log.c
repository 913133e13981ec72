/* Reading NAME.jsonl (see report_log.h). Nothing in it is believed: numbers are finite and of a sensible size or not
 * there, names have a length, and memory grows with the file. */
#include "report_log.h"

#include "darknet_plugin/base/in_file.h"
#include "darknet_plugin/base/mem.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LONGEST_LINE = 1 << 16, LONGEST_NAME = 40 };
static const double MOST = 1e15;

static double number(const cJSON *object, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsNumber(item) && fabs(item->valuedouble) < MOST ? item->valuedouble : NAN;
}

/* The first of two keys that is there: classifiers and detectors have other measures. */
static double either(const cJSON *object, const char *one, const char *other)
{
    double value = number(object, one);
    return isnan(value) ? number(object, other) : value;
}

static log_list empty_list(log_list *list)
{
    free(list->entry);
    return (log_list){ 0 };
}

static void add_entry(log_list *list, const log_entry *entry)
{
    while (list->n && list->entry[list->n - 1].step >= entry->step) --list->n;
    if (list->n == list->room) {
        list->room = 2 * list->room + 64;
        list->entry = mem_realloc(list->entry, list->room, sizeof *list->entry);
    }
    list->entry[list->n++] = *entry;
}

/* The number of a part of that name, which may be new; -1: there are too many. */
static int part_named(report_log *log, const char *name)
{
    for (int i = 0; i < log->parts; ++i)
        if (!strncmp(log->part[i], name, LONGEST_NAME)) return i;
    if (log->parts == LOG_PARTS) return -1;
    log->part[log->parts] = mem_printf("%.*s", LONGEST_NAME, name);
    return log->parts++;
}

static void take_parts(report_log *log, const cJSON *object, log_entry *entry)
{
    const cJSON *parts = cJSON_GetObjectItemCaseSensitive(object, "parts"), *part;
    for (int i = 0; i < LOG_PARTS; ++i) entry->part[i] = NAN;
    if (!cJSON_IsObject(parts)) return;
    cJSON_ArrayForEach(part, parts)
    {
        int i = part->string && cJSON_IsNumber(part) ? part_named(log, part->string) : -1;
        if (i >= 0 && fabs(part->valuedouble) < MOST) entry->part[i] = part->valuedouble;
    }
}

/* A line of kind step or epoch; one that does not say which step it is of counts as broken. */
static int take_entry(report_log *log, const cJSON *object, log_list *list)
{
    log_entry entry = { .step = number(object, "step"), .epoch = number(object, "epoch"),
                        .loss = number(object, "loss"), .score = either(object, "top1", "map50"),
                        .finer = either(object, "top5", "map") };
    if (!(entry.step >= 0)) return -1;
    take_parts(log, object, &entry);
    add_entry(list, &entry);
    return 0;
}

static int take_step(report_log *log, const cJSON *object) { return take_entry(log, object, &log->steps); }
static int take_epoch(report_log *log, const cJSON *object) { return take_entry(log, object, &log->epoch_ends); }

/* The last start counts: a run that goes on says the same again. */
static int take_start(report_log *log, const cJSON *object)
{
    const cJSON *teachers = cJSON_GetObjectItemCaseSensitive(object, "teachers"), *teacher;
    log->seed = number(object, "seed");
    log->epochs = number(object, "epochs");
    log->batch = number(object, "batch");
    log->images = number(object, "images");
    log->teachers = 0;
    if (!cJSON_IsArray(teachers)) return 0;
    cJSON_ArrayForEach(teacher, teachers)
        if (log->teachers < LOG_TEACHERS) log->teacher[log->teachers++] = either(teacher, "top1", "map50");
    return 0;
}

static const struct { const char *kind; int (*take)(report_log *log, const cJSON *object); } KINDS[] = {
    { "start", take_start }, { "step", take_step }, { "epoch", take_epoch },
};

static int take_object(report_log *log, const cJSON *object)
{
    const char *kind = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, "kind"));
    for (size_t i = 0; kind && i < sizeof KINDS / sizeof *KINDS; ++i) {
        if (strcmp(kind, KINDS[i].kind)) continue;
        int bad = KINDS[i].take(log, object);
        log->there |= !bad;
        return bad;
    }
    return kind ? 0 : -1;
}

static void take_line(report_log *log, const char *line, size_t length)
{
    while (length && (line[length - 1] == '\r' || line[length - 1] == ' ')) --length;
    if (!length) return;
    cJSON *object = length > LONGEST_LINE ? NULL : cJSON_ParseWithLength(line, length);
    log->broken += !cJSON_IsObject(object) || take_object(log, object);
    cJSON_Delete(object);
}

/* All lines that have an end: the last one may be in the middle of being written. */
static void take_text(report_log *log, const char *text, size_t length)
{
    for (const char *end; (end = memchr(text, '\n', length)); text = end + 1) {
        take_line(log, text, (size_t)(end - text));
        length -= (size_t)(end - text) + 1;
    }
}

static void warn(const char *path, const char *why, diag *d)
{
    diag_warn(d, path, 0, NULL, "cannot read what the training wrote of itself: %s", why);
    diag_hint(d, "the page has no curves of this run");
}

void report_log_read(report_log *log, const char *path, diag *d)
{
    size_t bytes;
    *log = (report_log){ .seed = NAN, .epochs = NAN, .batch = NAN, .images = NAN };
    if (access(path, F_OK)) return;
    diag *aside = diag_aside(d);
    int fd = in_file_open(path, "it", &bytes, aside);
    unsigned char *text = fd < 0 ? NULL : in_file_take(fd, bytes);
    if (fd < 0) warn(path, diag_get(aside, 0)->text, d);
    else if (!text) warn(path, strerror(errno), d);
    else take_text(log, (const char *)text, bytes);
    if (text && !log->there) warn(path, "no line of it is one", d);
    else if (log->broken) diag_warn(d, path, 0, NULL, "%zu lines are not understood and left out", log->broken);
    free(text);
    if (fd >= 0) close(fd);
    diag_free(aside);
}

void report_log_free(report_log *log)
{
    for (int i = 0; i < log->parts; ++i) free(log->part[i]);
    log->steps = empty_list(&log->steps);
    log->epoch_ends = empty_list(&log->epoch_ends);
    log->parts = 0;
}

double report_log_epochs(const report_log *log, const log_entry *entry)
{
    double epoch = log->batch > 0 && log->images > 0 ? entry->step * log->batch / log->images : NAN;
    const log_list *ends = &log->epoch_ends;
    const log_entry *last = ends->n ? &ends->entry[ends->n - 1] : NULL;
    if (isnan(epoch) && last && last->step > 0 && last->epoch > 0) epoch = entry->step * last->epoch / last->step;
    return isnan(epoch) ? entry->epoch : epoch;
}
