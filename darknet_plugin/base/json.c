/* What all JSON results share (see json.h), written with cJSON. */
#include "json.h"

#include <stdlib.h>

int json_print(cJSON *object, FILE *out, diag *d)
{
    char *text = cJSON_PrintUnformatted(object);
    int failed = !text || fprintf(out, "%s\n", text) < 0;
    if (failed) diag_error(d, NULL, 0, NULL, "cannot write the JSON result");
    free(text);
    cJSON_Delete(object);
    return failed ? -1 : 0;
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
