/* NAME.jsonl, what a training wrote of itself, a JSON object a line, read for the report:
 *
 *   {"kind":"start","name":..,"seed":..,"batch":..,"images":..,"epochs":..,"teachers":[{"name":..,"top1":..}],...}
 *   {"kind":"step","step":..,"epoch":..,"loss":..,"parts":{"feature_l2":..},...}
 *   {"kind":"epoch","epoch":..,"step":..,"loss":..,"parts":{..},"top1":..,"top5":..,"map50":..,"map":..,...}
 *   {"kind":"end",...}
 *
 * Kinds and fields that are not known are passed over, and so is a last line that was cut off. Where a run went on from
 * an earlier step, or was begun anew under the same name, what comes later in the file counts. */
#ifndef DISTILL_REPORT_LOG_H
#define DISTILL_REPORT_LOG_H
#include "darknet_plugin/base/diag.h"

#include <stddef.h>

enum { LOG_PARTS = 12, LOG_TEACHERS = 8 };

/* A line of kind step or epoch. Numbers that are not there are NaN. */
typedef struct log_entry {
    double step, epoch, loss, score, finer;   /* score: top1 or map50; finer: top5 or map; percent */
    double part[LOG_PARTS];
} log_entry;

typedef struct log_list {
    log_entry *entry;        /* n, owned, their steps rising */
    size_t n, room;
} log_list;

typedef struct report_log {
    int there;               /* the file was read, and something in it was a line of these kinds */
    double seed, epochs, batch, images;       /* NaN: unknown */
    double teacher[LOG_TEACHERS];             /* their scores, percent; NaN: unknown */
    int teachers;
    char *part[LOG_PARTS];   /* names of the loss's parts, owned */
    int parts;
    log_list steps, epoch_ends;
    size_t broken;           /* lines that are no such object */
} report_log;

/* Reads it; what is not there leaves log->there 0. A file that cannot be read, and lines that are not understood, are a
 * warning. The caller ends it with report_log_free. */
void report_log_read(report_log *log, const char *path, diag *d);
void report_log_free(report_log *log);
/* How many epochs lie before an entry: by steps, where it is known how many an epoch has, else by its number. */
double report_log_epochs(const report_log *log, const log_entry *entry);

#endif
