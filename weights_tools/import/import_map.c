/* The map file of `weights import`: which layer a module's weights go to, where order and shape do not tell. */
#include "tensor_groups.h"

#include "darknet_plugin/base/in_file.h"
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

static int is_there(const import_map *map, const char *name, int prefix)
{
    for (int i = 0; i < map->n; ++i)
        if (map->row[i].prefix == prefix && !strcmp(map->row[i].name, name)) return map->row[i].line;
    return 0;
}

/* Appends a row; -1 with a message where its name is there already, or is a beginning that gets a number. */
static int add_row(import_map *map, char *name, int layer, int line, diag *d)
{
    size_t n = strlen(name);
    int prefix = name[n - 1] == '*', before;
    if (prefix) name[n - 1] = 0;
    name += without_module(name) - name;
    if ((before = is_there(map, name, prefix)))
        diag_error(d, map->path, line, NULL, "'%s%s' is there twice, first in line %d", name, prefix ? "*" : "",
                   before);
    else if (prefix && layer != MAP_NONE)
        diag_error(d, map->path, line, NULL, "'%s*' are many, a layer takes one: a beginning can only be left out",
                   name);
    else {
        map->row = mem_realloc(map->row, (size_t)map->n + 1, sizeof *map->row);
        map->row[map->n++] = (map_row){ .name = mem_strdup(name), .prefix = prefix, .layer = layer, .line = line };
        return 0;
    }
    return -1;
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
    if (equals && *name && !layer_number(trimmed(equals + 1), &layer)) return add_row(map, name, layer, line, d);
    diag_error(d, map->path, line, NULL, "expected 'name = layer number' or 'name = none'");
    return -1;
}

int import_map_read(const char *path, import_map *map, diag *d)
{
    char *text = NULL;
    size_t room = 0;
    int failed = 0, line = 0;
    *map = (import_map){ .path = path };
    FILE *file = in_file_stream(path, d);
    for (ssize_t n; file && (n = mem_getline(&text, &room, file)) >= 0;) {
        ++line;
        if (strlen(text) == (size_t)n) failed |= read_line(map, text, line, d);
        else {
            diag_error(d, path, line, NULL, "a byte of value 0, which no line of text has");
            failed = -1;
        }
    }
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

/* The beginning that leaves a name out; NULL if there is none. */
static map_row *by_beginning(const import_map *map, const char *name)
{
    for (int i = 0; i < map->n; ++i)
        if (map->row[i].prefix && !strncmp(map->row[i].name, name, strlen(map->row[i].name))) return &map->row[i];
    return NULL;
}

/* "conv1" names module "conv1"; "conv1.weight = 3" does, too: the rest of the module goes where its weight goes. */
static int names_module(const map_row *row, const char *module)
{
    size_t n = strlen(module);
    if (row->prefix || strncmp(row->name, module, n)) return 0;
    return !row->name[n] || (row->layer != MAP_NONE && !strcmp(row->name + n, ".weight"));
}

map_row *import_map_find(const import_map *map, const char *module)
{
    module = without_module(module);
    for (int i = 0; i < map->n; ++i)
        if (names_module(&map->row[i], module)) return &map->row[i];
    return by_beginning(map, module);
}

map_row *import_map_left_out(const import_map *map, const char *tensor)
{
    tensor = without_module(tensor);
    const char *dot = strrchr(tensor, '.');
    size_t n = dot ? (size_t)(dot - tensor) : strlen(tensor);
    map_row *module = NULL;
    for (int i = 0; i < map->n; ++i) {
        map_row *row = &map->row[i];
        if (row->prefix) continue;
        if (!strcmp(row->name, tensor)) return row->layer == MAP_NONE ? row : NULL;
        if (!strncmp(row->name, tensor, n) && !row->name[n]) module = row;
    }
    if (!module) module = by_beginning(map, tensor);
    return module && module->layer == MAP_NONE ? module : NULL;
}
