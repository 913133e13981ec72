/* JSON results: one object on stdout, and messages as part of one. */
#ifndef DISTILL_JSON_H
#define DISTILL_JSON_H
#include "diag.h"

#include <cjson/cJSON.h>
#include <stdio.h>

/* Prints `object` and a newline to `out`, then frees it. 0, or -1 with a message. */
int json_print(cJSON *object, FILE *out, diag *d);
/* An array of {level, file, line, section, text, hint}; the caller's. */
cJSON *json_messages(const diag *d);

#endif
