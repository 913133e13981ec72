/* The host believes these files:
 *
 *   tree=   [softmax], [region]: a line a class, `name parent`; parent is an earlier line, counted from 0, or -1. The
 *           host reads the name into 256 bytes, writes to the parent's entry wherever that is, and walks up for ever
 *           where a class is its own ancestor.
 *   map=    [yolo], [region]: line i is the network's class of the data's class i. The host writes to that class's
 *           output wherever that is, and reads on behind the last line. */
#include "host_files.h"

#include "darknet_plugin/base/in_file.h"
#include "darknet_plugin/base/mem.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_NAME = 255, MAX_BYTES = 1 << 26 };

typedef struct named_file {
    const cfg_section *section;   /* that names it */
    const char *key, *path;
    int lines;              /* read so far */
} named_file;

/* Is this line of the file right? 0, or -1 with a message. */
typedef int (*line_check)(const named_file *file, const char *text, diag *d);

static int wrong(const named_file *file, diag *d, const char *what)
{
    const cfg_section *section = file->section;
    diag_error(d, section->file, cfg_line(section, file->key), section->name, "%s=%s, line %d: %s", file->key,
               file->path, file->lines, what);
    return -1;
}

/* The whole number that ends a line; -1 where there is none. */
static int last_number(const char *text, long *value)
{
    char *end;
    errno = 0;
    *value = strtol(text, &end, 10);
    return errno || end == text || end[strspn(end, " \t\r\n")] ? -1 : 0;
}

static int check_tree_line(const named_file *file, const char *text, diag *d)
{
    size_t name = strcspn(text, " \t\r\n\v\f");
    long parent;
    if (!name || name > MAX_NAME || last_number(text + name, &parent))
        return wrong(file, d, "expected a name of up to 255 letters and a number");
    if (parent >= -1 && parent < file->lines - 1) return 0;
    return wrong(file, d, "a parent is -1 or an earlier line, counted from 0");
}

static int check_map_line(const named_file *file, const char *text, diag *d)
{
    long class;
    if (last_number(text, &class)) return wrong(file, d, "expected a whole number");
    if (class >= 0 && class < cfg_classes(file->section)) return 0;
    return wrong(file, d, "the section has no such class");
}

/* Checks line after line until one is wrong. */
static int check_lines(named_file *file, FILE *in, line_check check, diag *d)
{
    char *text = NULL;
    size_t room = 0;
    int bad = 0;
    for (ssize_t n; !bad && (n = mem_getline(&text, &room, in)) >= 0;) {
        ++file->lines;
        bad = memchr(text, 0, (size_t)n) ? wrong(file, d, "not a text") : check(file, text, d);
    }
    if (!bad && ferror(in)) bad = wrong(file, d, strerror(errno));
    free(text);
    return bad;
}

static int not_there(const named_file *file, diag *d)
{
    const cfg_section *s = file->section;
    diag_error(d, s->file, cfg_line(s, file->key), s->name, "cannot open %s: %s", file->path, strerror(errno));
    return -1;
}

/* The host reads through a NULL file where it is not there. */
static int check_file(named_file *file, line_check check, diag *d)
{
    struct stat st;
    if (stat(file->path, &st)) return not_there(file, d);
    if (!S_ISREG(st.st_mode) || st.st_size > MAX_BYTES) return wrong(file, d, "not a regular file, or too large");
    FILE *in = in_file_stream(file->path, d);
    int bad = in ? check_lines(file, in, check, d) : 0;
    if (in) fclose(in);
    return bad;
}

static int check_key(const cfg_section *section, const char *key, line_check check, int *lines, diag *d)
{
    named_file file = { .section = section, .key = key, .path = cfg_str(section, key, NULL) };
    int bad = file.path ? check_file(&file, check, d) : 0;
    *lines = file.lines;
    return bad;
}

int host_files_check(const cfg_file *cfg, diag *d)
{
    int bad = 0, lines;
    for (int i = 0; i < cfg->n; ++i) {
        bad |= check_key(&cfg->section[i], "tree", check_tree_line, &lines, d);
        bad |= check_key(&cfg->section[i], "map", check_map_line, &lines, d);
    }
    return bad;
}

/* Classes behind a map's last line are class 0: no data that fits the map has them. */
static void complete_map(layer *l, int lines)
{
    if (lines >= l->classes) return;
    l->map = mem_realloc(l->map, (size_t)l->classes, sizeof *l->map);
    memset(l->map + lines, 0, (size_t)(l->classes - lines) * sizeof *l->map);
}

static int fit_layer(const cfg_section *section, layer *l, diag *d)
{
    int lines, classes = l->type == REGION ? l->classes : l->inputs;
    if (l->map && !check_key(section, "map", check_map_line, &lines, d)) complete_map(l, lines);
    if (!l->softmax_tree || l->softmax_tree->n == classes) return 0;
    diag_error(d, section->file, cfg_line(section, "tree"), section->name, "the tree has %d classes, the layer %d",
               l->softmax_tree->n, classes);
    return -1;
}

int host_files_fit(const cfg_file *cfg, network *net, diag *d)
{
    int bad = 0;
    for (int i = 0; i < net->n; ++i) {
        const cfg_section *section = cfg_layer(cfg, i);
        if (section) bad |= fit_layer(section, &net->layers[i], d);
    }
    return bad;
}
