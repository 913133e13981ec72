/* What the files of init share (see init_internal.h). */
#include "init_internal.h"

#include "darknet_plugin/base/mem.h"

#include <stdarg.h>
#include <stdlib.h>

void init_remark(init_cfg *made, const char *key, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *text = mem_vprintf(fmt, ap);
    va_end(ap);
    made->note = mem_realloc(made->note, (size_t)made->notes + 1, sizeof *made->note);
    made->note[made->notes++] = (init_note){ .section = made->cfg->n - 1, .key = key ? mem_strdup(key) : NULL,
                                             .text = text };
}

void init_free(init_cfg *made)
{
    if (!made) return;
    for (int i = 0; i < made->notes; ++i) {
        free(made->note[i].key);
        free(made->note[i].text);
    }
    free(made->note);
    cfg_free(made->cfg);
    free(made);
}
