/* Collected diagnostics (see diag.h). */
#include "diag.h"

#include "in_file_list.h"
#include "mem.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { KEPT = 1000 };

struct diag {
    diag_message *message;   /* owned, `count` of them */
    int count;
    int said[2];       /* of each level, with those not kept */
    int printed;       /* the first so many have been flushed */
    int silent;        /* the last message was left out, so its hint is, too */
    in_file_list *files;   /* owned, but for one that is aside */
    int aside;
};

diag *diag_new(void)
{
    diag *d = mem_calloc(1, sizeof *d);
    d->files = in_file_list_new();
    return d;
}

diag *diag_aside(diag *d)
{
    diag *aside = mem_calloc(1, sizeof *aside);
    aside->files = d->files;
    aside->aside = 1;
    return aside;
}

in_file_list *diag_files(const diag *d) { return d->files; }

static void free_texts(diag_message *message)
{
    free(message->file);
    free(message->section);
    free(message->text);
    free(message->hint);
}

void diag_free(diag *d)
{
    if (!d) return;
    for (int i = 0; i < d->count; ++i) free_texts(&d->message[i]);
    if (!d->aside) in_file_list_free(d->files);
    free(d->message);
    free(d);
}

static int same_text(const char *one, const char *other)
{
    return one == other || (one && other && !strcmp(one, other));
}

/* A cfg that is read twice warns once. */
static int said(const diag *d, const char *file, int line, const char *text)
{
    for (int i = 0; i < d->count; ++i) {
        const diag_message *message = &d->message[i];
        if (message->level != DIAG_WARNING || message->line != line || strcmp(message->text, text)) continue;
        if (same_text(message->file, file)) return 1;
    }
    return 0;
}

/* Keeps a message, unless it is a warning that came before or too many have come; takes `text`. */
static void add(diag *d, diag_level level, const char *file, int line, const char *section, char *text)
{
    int repeated = level == DIAG_WARNING && said(d, file, line, text);
    d->silent = repeated || d->said[level] >= KEPT;
    d->said[level] += !repeated;
    if (d->silent) {
        free(text);
        return;
    }
    d->message = mem_realloc(d->message, (size_t)d->count + 1, sizeof *d->message);
    d->message[d->count++] = (diag_message){
        .level = level, .file = file ? mem_strdup(file) : NULL, .line = line,
        .section = section ? mem_strdup(section) : NULL, .text = text,
    };
}

void diag_error(diag *d, const char *file, int line, const char *section, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    add(d, DIAG_ERROR, file, line, section, mem_vprintf(fmt, ap));
    va_end(ap);
}

void diag_warn(diag *d, const char *file, int line, const char *section, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    add(d, DIAG_WARNING, file, line, section, mem_vprintf(fmt, ap));
    va_end(ap);
}

void diag_append(diag *d, const diag *from, int as_warnings)
{
    for (int i = 0; i < from->count; ++i) {
        const diag_message *message = &from->message[i];
        add(d, as_warnings ? DIAG_WARNING : message->level, message->file, message->line, message->section,
            mem_strdup(message->text));
        if (message->hint) diag_hint(d, "%s", message->hint);
    }
}

void diag_hint(diag *d, const char *fmt, ...)
{
    if (d->count <= d->printed || d->silent) return;
    va_list ap;
    va_start(ap, fmt);
    diag_message *message = &d->message[d->count - 1];
    free(message->hint);
    message->hint = mem_vprintf(fmt, ap);
    va_end(ap);
}

int diag_errors(const diag *d) { return d->said[DIAG_ERROR]; }
int diag_warnings(const diag *d) { return d->said[DIAG_WARNING]; }
int diag_count(const diag *d) { return d->count; }
const diag_message *diag_get(const diag *d, int i) { return &d->message[i]; }

static void print_one(const diag_message *message, FILE *out)
{
    if (message->file && message->line) fprintf(out, "%s:%d: ", message->file, message->line);
    else if (message->file) fprintf(out, "%s: ", message->file);
    if (message->level == DIAG_WARNING) fprintf(out, "warning: ");
    else if (!message->file) fprintf(out, "error: ");
    if (message->section) fprintf(out, "[%s] ", message->section);
    fprintf(out, "%s\n", message->text);
    if (message->hint) fprintf(out, "hint: %s\n", message->hint);
}

static int first_of_file(const diag *d, int i)
{
    int j = d->printed;
    while (!same_text(d->message[j].file, d->message[i].file)) ++j;
    return j;
}

/* A few dozen messages mostly: an insertion sort of their numbers keeps equals in order. */
void diag_print(const diag *d, FILE *out)
{
    int *order = mem_calloc((size_t)d->count, sizeof *order);
    for (int i = d->printed; i < d->count; ++i) {
        int j = i, f = first_of_file(d, i);
        for (; j > d->printed; --j) {
            int k = order[j - 1], g = first_of_file(d, k);
            if (g < f || (g == f && d->message[k].line <= d->message[i].line)) break;
            order[j] = k;
        }
        order[j] = i;
    }
    for (int i = d->printed; i < d->count; ++i) print_one(&d->message[order[i]], out);
    int more = diag_errors(d) + diag_warnings(d) - d->count;
    if (more) fprintf(out, "and %d more\n", more);
    free(order);
}

void diag_flush(diag *d, FILE *out)
{
    diag_print(d, out);
    d->printed = d->count;
}

int diag_told(const diag *d, const char *file, int line)
{
    for (int i = 0; i < d->count; ++i) {
        const diag_message *message = &d->message[i];
        if (message->level == DIAG_ERROR && message->line == line && file && same_text(message->file, file)) return 1;
    }
    return 0;
}
