/* Mistakes that come in floods (see dataset_internal.h): few are told one by one, many in one line. */
#include "dataset_internal.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/words.h"

#include <stdlib.h>

static char *copied(const char *text) { return text ? mem_strdup(text) : NULL; }

void data_flood_add(data_flood *flood, const char *file, int line, const char *detail, char *text)
{
    if (flood->n++ < FLOOD_SHOWN)
        flood->first[flood->n - 1] = (data_mistake){ mem_strdup(file), line, copied(detail), text };
    else free(text);
}

/* "a.list:3 x.png, a.list:7 y.png, a.list:9 z.png, ..."; the caller frees. */
static char *places(const data_flood *flood)
{
    char *list = NULL;
    int words = 0;
    for (size_t i = 0; i < FLOOD_SHOWN; ++i) {
        const data_mistake *at = &flood->first[i];
        const char *gap = at->detail ? " " : "", *detail = at->detail ? at->detail : "";
        char *place = at->line ? mem_printf("%s:%d%s%s", at->file, at->line, gap, detail)
                               : mem_printf("%s%s%s", at->file, gap, detail);
        words_list(&list, &words, FLOOD_SHOWN, place);
        free(place);
    }
    words_list(&list, &words, FLOOD_SHOWN, "");
    return list;
}

void data_flood_end(data_flood *flood, diag_level level, const char *file, const char *many, const char *hint, diag *d)
{
    void (*say)(diag *, const char *, int, const char *, const char *, ...) = level == DIAG_ERROR ? diag_error
                                                                                                  : diag_warn;
    char *list = flood->n > FLOOD_SHOWN ? places(flood) : NULL;
    if (list) say(d, file, 0, NULL, "%zu %s: %s", flood->n, many, list);
    if (list && hint) diag_hint(d, "%s", hint);
    for (size_t i = 0; i < flood->n && i < FLOOD_SHOWN; ++i) {
        data_mistake *at = &flood->first[i];
        if (!list) say(d, at->file, at->line, NULL, "%s", at->text);
        if (!list && hint) diag_hint(d, "%s", hint);
        free(at->file);
        free(at->detail);
        free(at->text);
    }
    free(list);
    *flood = (data_flood){ 0 };
}
