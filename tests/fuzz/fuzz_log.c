/* What a training wrote of itself, as the report reads it. */
#include "fuzz.h"

#include "darknet_plugin/reporting/report_log.h"

void fuzz_begin(void) {}

void fuzz_one(const uint8_t *data, size_t n)
{
    report_log log;
    fuzz_write("run.jsonl", data, n);
    diag *d = diag_new();
    report_log_read(&log, "run.jsonl", d);
    for (size_t i = 0; i < log.steps.n; ++i) fuzz_use(report_log_epochs(&log, &log.steps.entry[i]));
    for (size_t i = 0; i < log.epoch_ends.n; ++i) fuzz_use(report_log_epochs(&log, &log.epoch_ends.entry[i]));
    report_log_free(&log);
    fuzz_end(d, 0);
}
