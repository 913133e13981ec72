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

/* "12x12 of [upsample] (line 119)"; the caller frees. */
static char *map_text(const shape_run *run, int at)
{
    const layer_shape *l = &run->layer[at];
    return mem_printf("%dx%d of [%s] (line %d)", l->w, l->h, run->at[at]->name, run->at[at]->line);
}

static void say_unlike(const shape_run *run, const cfg_section *route, int first, int other)
{
    char *one = map_text(run, first), *two = map_text(run, other);
    diag_error(run->d, route->file, cfg_line(route, "layers"), route->name,
               "joins maps of unlike sizes, %s and %s, but [%s] (line %d) needs one image", one, two,
               run->section->name, run->section->line);
    diag_hint(run->d, "is it the layer that was meant? Else make width= and height=, %dx%d, a multiple of all strides",
              run->net_w, run->net_h);
    free(one);
    free(two);
}

int shape_blame_route(shape_run *run)
{
    const cfg_section *route = run->i ? run->at[run->i - 1] : NULL;
    int *from = NULL, n = route && cfg_is(route, "route") ? cfg_ints(route, "layers", &from) : 0, other = 0;
    for (int k = 0; k < n; ++k) from[k] += from[k] < 0 ? run->i - 1 : 0;
    while (other < n && run->layer[from[other]].h == run->layer[from[0]].h &&
           run->layer[from[other]].w == run->layer[from[0]].w) ++other;
    int found = other < n;
    if (found) run->failed = 1;
    if (found && !diag_told(run->d, route->file, cfg_line(route, "layers")))
        say_unlike(run, route, from[0], from[other]);
    free(from);
    return found;
}
