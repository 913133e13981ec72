/* Results as tables for people and as JSON for scripts. */
#ifndef DISTILL_RESULTS_H
#define DISTILL_RESULTS_H
#include "darknet_plugin/base/json.h"
#include "darknet_plugin/model/evaluate_detect.h"

/* {"images":N,"student":{...},"teacher":{...},"agreement":..,"feature_mse":..}; a plain cfg has only student.
 * Several teachers: these are of the one whose classifier ends the network, or, beside "combined":true, of what all
 * give together; "teachers":[{"name":...}] has all. */
cJSON *results_evaluation(const evaluation *evaluation);
/* {"images":N,"objects":N,"student":{"map50":..,"map":..,"precision":..,"recall":..,"map50_darknet":..,
 * "classes":[...]},...}; several teachers as above. */
cJSON *results_detect_evaluation(const detect_evaluation *evaluation, const data_file *file);
/* The same as a table, classes that have objects one a line. */
void results_print_detect_evaluation(const detect_evaluation *evaluation, const data_file *file, FILE *out);

#endif
