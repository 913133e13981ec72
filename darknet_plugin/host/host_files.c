/* The host believes these files:
 *
 *   tree=   [softmax], [region]: a line a class, `name parent`; parent is an earlier line, counted from 0, or -1. The host
 *           reads the name into 256 bytes, writes to the parent's entry wherever that is, and walks up for ever where a class
 *           is its own ancestor.
 *   map=    [yolo], [region]: line i is the network's class of the data's class i. The host writes to that class's output
 *           wherever that is, and reads on behind the last line. */
#include "host_files.h"

#include "darknet_plugin/base/mem.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_NAME = 255, MAX_BYTES = 1 << 26 };

typedef struct named_file {
    const cfg_section *s;   /* that names it */
    const char *key, *path;
    int lines;              /* read so far */
} named_file;

static int wrong(const named_file *f, diag *d, const char *what)
{
    diag_error(d, f->s->file, cfg_line(f->s, f->key), f->s->name, "%s=%s, line %d: %s", f->key, f->path, f->lines, what);
    return -1;
}

/* The whole number that ends a line; -1 where there is none. */
static int last_number(const char *text, long *v)
{
    char *end;
    errno = 0;
    *v = strtol(text, &end, 10);
    return errno || end == text || end[strspn(end, " \t\r\n")] ? -1 : 0;
}

static int check_tree_line(const named_file *f, const char *text, diag *d)
{
    size_t name = strcspn(text, " \t\r\n\v\f");
    long parent;
    if (!name || name > MAX_NAME || last_number(text + name, &parent)) return wrong(f, d, "expected a name of up to 255 letters and a number");
    return parent >= -1 && parent < f->lines - 1 ? 0 : wrong(f, d, "a parent is -1 or an earlier line, counted from 0");
}

static int check_map_line(const named_file *f, const char *text, diag *d)
{
    long class;
    if (last_number(text, &class)) return wrong(f, d, "expected a whole number");
    return class >= 0 && class < cfg_int(f->s, "classes", 20) ? 0 : wrong(f, d, "the section has no such class");
}

/* Checks line after line until one is wrong. */
static int check_lines(named_file *f, FILE *in, int (*check)(const named_file *f, const char *text, diag *d), diag *d)
{
    char *text = NULL;
    size_t room = 0;
    int bad = 0;
    for (ssize_t n; !bad && (n = mem_getline(&text, &room, in)) >= 0;) {
        ++f->lines;
        bad = memchr(text, 0, (size_t)n) ? wrong(f, d, "not a text") : check(f, text, d);
    }
    if (!bad && ferror(in)) bad = wrong(f, d, strerror(errno));
    free(text);
    return bad;
}

/* 0 too where it is not there. */
static int check_file(named_file *f, int (*check)(const named_file *f, const char *text, diag *d), diag *d)
{
    struct stat st;
    if (stat(f->path, &st)) return 0;
    if (!S_ISREG(st.st_mode) || st.st_size > MAX_BYTES) return wrong(f, d, "not a regular file, or too large");
    FILE *in = fopen(f->path, "r");
    int bad = in ? check_lines(f, in, check, d) : 0;
    if (in) fclose(in);
    return bad;
}

static int check_key(const cfg_section *s, const char *key, int (*check)(const named_file *f, const char *text, diag *d), int *lines, diag *d)
{
    named_file f = { .s = s, .key = key, .path = cfg_str(s, key, NULL) };
    int bad = f.path ? check_file(&f, check, d) : 0;
    *lines = f.lines;
    return bad;
}

int host_files_check(const cfg_file *c, diag *d)
{
    int bad = 0, lines;
    for (int i = 0; i < c->n; ++i) bad |= check_key(&c->section[i], "tree", check_tree_line, &lines, d) | check_key(&c->section[i], "map", check_map_line, &lines, d);
    return bad;
}

/* Classes behind a map's last line are class 0: no data that fits the map has them. */
static void complete_map(layer *l, int lines)
{
    if (lines >= l->classes) return;
    l->map = mem_realloc(l->map, (size_t)l->classes, sizeof *l->map);
    memset(l->map + lines, 0, (size_t)(l->classes - lines) * sizeof *l->map);
}

static int fit_layer(const cfg_section *s, layer *l, diag *d)
{
    int lines, classes = l->type == REGION ? l->classes : l->inputs;
    if (l->map && !check_key(s, "map", check_map_line, &lines, d)) complete_map(l, lines);
    if (!l->softmax_tree || l->softmax_tree->n == classes) return 0;
    diag_error(d, s->file, cfg_line(s, "tree"), s->name, "the tree has %d classes, the layer %d", l->softmax_tree->n, classes);
    return -1;
}

int host_files_fit(const cfg_file *c, network *net, diag *d)
{
    int bad = 0;
    for (int i = 0; i < net->n; ++i) {
        const cfg_section *s = cfg_layer(c, i);
        if (s) bad |= fit_layer(s, &net->layers[i], d);
    }
    return bad;
}
