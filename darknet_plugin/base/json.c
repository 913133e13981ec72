/* What all JSON results share (see json.h), written with cJSON. */
#include "json.h"

#include "utf8.h"

#include <math.h>
#include <stdlib.h>

/* Names of files and tensors may be any bytes; JSON is UTF-8. A byte that is none becomes the character of its number.
 * */
static int print_valid(const char *text, FILE *out)
{
    const unsigned char *p = (const unsigned char *)text;
    int failed = 0;
    while (*p && !failed) {
        size_t n = utf8_sequence(p);
        failed = n ? fwrite(p, 1, n, out) != n : fprintf(out, "\\u%04x", (unsigned)*p) < 0;
        p += n ? n : 1;
    }
    return failed || fputc('\n', out) == EOF ? -1 : 0;
}

int json_print(cJSON *object, FILE *out, diag *d)
{
    char *text = cJSON_PrintUnformatted(object);
    int failed = !text || print_valid(text, out);
    if (failed) diag_error(d, NULL, 0, NULL, "cannot write the JSON result");
    free(text);
    cJSON_Delete(object);
    return failed ? -1 : 0;
}

void json_add(cJSON *object, const char *key, double value)
{
    char text[32];
    snprintf(text, sizeof text, "%.9g", value);
    if (isfinite(value)) cJSON_AddNumberToObject(object, key, strtod(text, NULL));
    else cJSON_AddNullToObject(object, key);
}

double json_get(const cJSON *object, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsNumber(item) ? item->valuedouble : NAN;
}

const char *json_text(const cJSON *object, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsString(item) ? item->valuestring : "";
}

cJSON *json_messages(const diag *d)
{
    cJSON *list = cJSON_CreateArray();
    for (int i = 0; i < diag_count(d); ++i) {
        const diag_message *m = diag_get(d, i);
        cJSON *o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "level", m->level == DIAG_ERROR ? "error" : "warning");
        if (m->file) cJSON_AddStringToObject(o, "file", m->file);
        if (m->line) cJSON_AddNumberToObject(o, "line", m->line);
        if (m->section) cJSON_AddStringToObject(o, "section", m->section);
        cJSON_AddStringToObject(o, "text", m->text);
        if (m->hint) cJSON_AddStringToObject(o, "hint", m->hint);
        cJSON_AddItemToArray(list, o);
    }
    return list;
}
