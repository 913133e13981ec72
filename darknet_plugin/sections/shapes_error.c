/* Where a shape is impossible: one message a line of the cfg. Of two mistakes on one line only the first is told, so
 * that a malformed number is not also a wrong shape. */
#include "shapes_layers.h"

#include "darknet_plugin/base/mem.h"

#include <stdarg.h>
#include <stdlib.h>

void shape_error(shape_run *run, const char *key, const char *fmt, ...)
{
    const cfg_section *section = run->section;
    int line = key ? cfg_line(section, key) : section->line;
    va_list ap;
    run->failed = 1;
    if (diag_told(run->d, section->file, line)) return;
    va_start(ap, fmt);
    char *text = mem_vprintf(fmt, ap);
    va_end(ap);
    diag_error(run->d, section->file, line, section->name, "%s", text);
    free(text);
}
