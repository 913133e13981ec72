/* JSON results: one object on stdout, and messages as part of one. */
#ifndef DISTILL_JSON_H
#define DISTILL_JSON_H
#include "diag.h"

#include <cjson/cJSON.h>
#include <stdio.h>

/* Prints `object` and a newline to `out`, then frees it. 0, or -1 with a message. */
int json_print(cJSON *object, FILE *out, diag *d);
/* A number to nine digits, which name any float; null where it is none. */
void json_add(cJSON *object, const char *key, double value);
/* A number, or NAN where there is none of that name. `object` may be NULL. */
double json_get(const cJSON *object, const char *key);
/* A text, borrowed, or "". */
const char *json_text(const cJSON *object, const char *key);
/* An array of {level, file, line, section, text, hint}; the caller's. */
cJSON *json_messages(const diag *d);

#endif
