/* The map file of `weights import`: which layer a module's weights go to, where order and shape do not tell. */
#include "tensor_groups.h"

#include "darknet_plugin/base/mem.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* Without blanks around it, in place. */
static char *trimmed(char *text)
{
    text += strspn(text, " \t\r\n");
    size_t n = strlen(text);
    while (n && strchr(" \t\r\n", text[n - 1])) text[--n] = 0;
    return text;
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

/* "name = 7" or "name = none" as a row; a line without anything but a comment is none. */
static int read_line(import_map *map, char *text, int line, diag *d)
{
    int layer;
    text[strcspn(text, "#")] = 0;
    if (!*trimmed(text)) return 0;
    char *equals = strchr(text, '=');
    if (equals) *equals = 0;
    char *name = trimmed(text);
    if (!equals || !*name || layer_number(trimmed(equals + 1), &layer)) {
        diag_error(d, map->path, line, NULL, "expected 'name = layer number' or 'name = none'");
        return -1;
    }
    map->row = mem_realloc(map->row, (size_t)map->n + 1, sizeof *map->row);
    map->row[map->n++] = (map_row){ .name = mem_strdup(without_module(name)), .layer = layer, .line = line };
    return 0;
}

int import_map_read(const char *path, import_map *map, diag *d)
{
    char *text = NULL;
    size_t room = 0;
    int failed = 0, line = 0;
    *map = (import_map){ .path = path };
    FILE *file = fopen(path, "r");
    while (file && mem_getline(&text, &room, file) >= 0) failed |= read_line(map, text, ++line, d);
    if (!file || ferror(file)) {
        diag_error(d, path, 0, NULL, "cannot read this map: %s", strerror(errno));
        failed = -1;
    }
    if (file) fclose(file);
    free(text);
    return failed;
}

void import_map_free(import_map *map)
{
    for (int i = 0; i < map->n; ++i) free(map->row[i].name);
    free(map->row);
    *map = (import_map){ 0 };
}

/* "conv1" names module "conv1"; so does "conv1.weight". */
static int names_module(const char *said, const char *module)
{
    size_t n = strlen(module);
    return !strncmp(said, module, n) && (!said[n] || (said[n] == '.' && !strchr(said + n + 1, '.')));
}

map_row *import_map_find(const import_map *map, const char *module)
{
    module = without_module(module);
    for (int i = 0; i < map->n; ++i)
        if (names_module(map->row[i].name, module)) return &map->row[i];
    return NULL;
}
