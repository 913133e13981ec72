/* Results as tables for people and as JSON for scripts. */
#ifndef DISTILL_RESULTS_H
#define DISTILL_RESULTS_H
#include "evaluate_detect.h"

#include <cjson/cJSON.h>

/* Prints `object` and a newline to `out`, then frees it. 0, or -1 with a message. */
int results_print_json(cJSON *object, FILE *out, diag *d);
/* {"images":N,"student":{...},"teacher":{...},"agreement":..,"feature_mse":..}; a plain cfg has only student.
 * Several teachers: these are of the one whose classifier ends the network; "teachers":[{"name":..., the same}] has all. */
cJSON *results_evaluation(const evaluation *e);
/* {"images":N,"objects":N,"student":{"map50":..,"map":..,"map50_darknet":..,"precision":..,"recall":..,"classes":[...]},...} */
cJSON *results_detect_evaluation(const detect_evaluation *e, const data_file *f);
/* The same as a table, classes that have objects one a line. */
void results_print_detect_evaluation(const detect_evaluation *e, const data_file *f, FILE *out);
cJSON *results_messages(const diag *d);     /* array of {level,file,line,section,text,hint} */

#endif
