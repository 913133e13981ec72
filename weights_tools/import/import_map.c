/* The map file of `weights import`: which layer a module's weights go to, where order and shape do not tell. */
#include "tensor_groups.h"

#include "darknet_plugin/base/mem.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* Without blanks around it, in place. */
static char *trimmed(char *s)
{
    s += strspn(s, " \t\r\n");
    size_t n = strlen(s);
    while (n && strchr(" \t\r\n", s[n - 1])) s[--n] = 0;
    return s;
}

static int layer_number(const char *text, int *layer)
{
    char *end;
    *layer = MAP_NONE;
    if (!strcmp(text, "none")) return 0;
    errno = 0;
    long v = strtol(text, &end, 10);
    *layer = (int)v;
    return errno || end == text || *end || v < 0 || v > INT_MAX ? -1 : 0;
}

static const char *without_module(const char *name)
{
    return strncmp(name, "module.", 7) ? name : name + 7;
}

static int read_line(import_map *m, char *text, int line, diag *d)
{
    int layer;
    text[strcspn(text, "#")] = 0;
    if (!*trimmed(text)) return 0;
    char *equals = strchr(text, '=');
    if (equals) *equals = 0;
    char *name = trimmed(text);
    if (!equals || !*name || layer_number(trimmed(equals + 1), &layer)) {
        diag_error(d, m->path, line, NULL, "expected 'name = layer number' or 'name = none'");
        return -1;
    }
    m->row = mem_realloc(m->row, (size_t)m->n + 1, sizeof *m->row);
    m->row[m->n++] = (map_row){ .name = mem_strdup(without_module(name)), .layer = layer, .line = line };
    return 0;
}

int import_map_read(const char *path, import_map *m, diag *d)
{
    char *text = NULL;
    size_t room = 0;
    int failed = 0, line = 0;
    *m = (import_map){ .path = path };
    FILE *f = fopen(path, "r");
    while (f && mem_getline(&text, &room, f) >= 0) failed |= read_line(m, text, ++line, d);
    if (!f || ferror(f)) {
        diag_error(d, path, 0, NULL, "cannot read this map: %s", strerror(errno));
        failed = -1;
    }
    if (f) fclose(f);
    free(text);
    return failed;
}

void import_map_free(import_map *m)
{
    for (int i = 0; i < m->n; ++i) free(m->row[i].name);
    free(m->row);
    *m = (import_map){ 0 };
}

/* "conv1" names module "conv1"; so does "conv1.weight". */
static int names_module(const char *said, const char *module)
{
    size_t n = strlen(module);
    return !strncmp(said, module, n) && (!said[n] || (said[n] == '.' && !strchr(said + n + 1, '.')));
}

map_row *import_map_find(const import_map *m, const char *module)
{
    module = without_module(module);
    for (int i = 0; i < m->n; ++i)
        if (names_module(m->row[i].name, module)) return &m->row[i];
    return NULL;
}
