/* Darknet's .cfg text as sections with line numbers.
 *
 * Reading checks everything that can be known from the text alone, by the tables in
 * cfg_keys.c: unknown section (nearest name suggested), unknown key, duplicate key,
 * malformed or out-of-range value, missing required key, line without '='. Short names
 * ([conv], [max], ...) are turned into the full ones. A value ends at whitespace + '#'.
 *
 * Layer sections are numbered as the user sees them: [net], [teacher], [teachers] and
 * [augment] have no number (-1), the rest count from 0. */
#ifndef DISTILL_CFG_H
#define DISTILL_CFG_H
#include "darknet_plugin/base/diag.h"

#include <stddef.h>

typedef struct cfg_pair {
    char *key, *value;   /* owned */
    int line;
} cfg_pair;

typedef struct cfg_section {
    char *name;          /* full lower-case name without brackets, owned */
    char *file;          /* where it was written, for messages; owned */
    int line;
    int index;           /* layer number, -1 for a preamble section */
    int n;
    cfg_pair *pair;      /* n, owned */
} cfg_section;

typedef struct cfg_file {
    char *path;          /* as given, owned */
    int n;
    cfg_section *section;   /* n, owned; section[0] is [net] */
} cfg_file;

/* Reads and checks a cfg. Messages go to `d`. Returns a cfg that the caller frees with cfg_free even
 * where there were errors in it, so that later checks can go on; NULL only if nothing could be read. */
cfg_file *cfg_read(const char *path, diag *d);
/* The same from memory; `path` only names it in messages. */
cfg_file *cfg_parse(const char *path, const char *text, size_t len, diag *d);
void cfg_free(cfg_file *cfg);

/* An empty cfg to build sections into. `path` is copied. */
cfg_file *cfg_new(const char *path);
/* Appends a section (texts copied); index = -1 for the preamble, else the next layer number.
 * The result is borrowed and valid until the next append. */
cfg_section *cfg_append(cfg_file *cfg, const char *name, const char *file, int line);
/* Appends a deep copy of `section`, renumbered like cfg_append. */
cfg_section *cfg_append_copy(cfg_file *cfg, const cfg_section *section);
/* All of it anew; the caller frees. */
cfg_file *cfg_copy(const cfg_file *cfg);
/* Makes it a section of another name, by its full name. */
void cfg_rename(cfg_section *section, const char *name);
/* Sets (replaces or adds) or removes a key. */
void cfg_set(cfg_section *section, const char *key, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Sets a key to n numbers, "1,2,3". */
void cfg_set_ints(cfg_section *section, const char *key, const int *number, int n);
void cfg_unset(cfg_section *section, const char *key);

/* Look-ups. The value of a key or the default; first of duplicates, as Darknet does. */
const cfg_pair *cfg_find(const cfg_section *section, const char *key);            /* NULL if absent */
const char *cfg_str(const cfg_section *section, const char *key, const char *def);
int cfg_int(const cfg_section *section, const char *key, int def);
double cfg_float(const cfg_section *section, const char *key, double def);
int cfg_line(const cfg_section *section, const char *key);   /* the key's, else the section's */
int cfg_is(const cfg_section *section, const char *name);
int cfg_is_boxes(const cfg_section *section);   /* [yolo], [Gaussian_yolo] or [region]: a detector's output */
enum { CFG_CLASSES = 20 };                      /* the host's of such an output that does not say */
int cfg_classes(const cfg_section *boxes);
/* A [convolutional]'s or [maxpool]'s two strides: stride_x and stride_y, each `stride` where it is absent or below 1.
 * 1 where they differ. */
int cfg_strides(const cfg_section *section, int *x, int *y);
/* A [convolutional]'s: 1 for a kernel of one pixel, whatever the key says. */
int cfg_dilation(const cfg_section *section);
/* Is it a [shortcut] beyond the host's: of several layers, or with weights? */
int cfg_is_shortcut_sum(const cfg_section *section);
/* "1,2 , -3" -> numbers; returns how many, *out is the caller's to free (NULL if none). */
int cfg_ints(const cfg_section *section, const char *key, int **out);
int cfg_floats(const cfg_section *section, const char *key, float **out);

const cfg_section *cfg_net(const cfg_file *cfg);                              /* [net]; NULL if it has none */
const cfg_section *cfg_first(const cfg_file *cfg, const char *name);          /* first section of that name */
const cfg_section *cfg_layer(const cfg_file *cfg, int index);                 /* layer `index`, NULL if out of range */
int cfg_layers(const cfg_file *cfg);                                          /* number of layers */
int cfg_is_distillation(const cfg_file *cfg);                                 /* has any plugin section */

/* The first section of the cfg with something that only AlexeyAB's Darknet has: NULL if there is none. *what: the key,
 * or NULL where it is the section itself. Both borrowed. */
const cfg_section *cfg_fork_sign(const cfg_file *cfg, const char **what);

/* The cfg as text that every Darknet reads (no comments, "key=value"); the caller frees. */
char *cfg_text(const cfg_file *cfg, size_t *len);

#endif
