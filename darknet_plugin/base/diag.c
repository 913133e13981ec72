/* Collected diagnostics (see diag.h). */
#include "diag.h"

#include "mem.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { KEPT = 1000 };

struct diag {
    diag_message *m;   /* owned, n of them */
    int n;
    int said[2];       /* of each level, with those not kept */
    int printed;       /* the first so many have been flushed */
    int silent;        /* the last message was left out, so its hint is, too */
};

diag *diag_new(void)
{
    return mem_calloc(1, sizeof(diag));
}

void diag_free(diag *d)
{
    if (!d) return;
    for (int i = 0; i < d->n; ++i) {
        free(d->m[i].file);
        free(d->m[i].section);
        free(d->m[i].text);
        free(d->m[i].hint);
    }
    free(d->m);
    free(d);
}

static int same_text(const char *a, const char *b) { return a == b || (a && b && !strcmp(a, b)); }

/* A cfg that is read twice warns once. */
static int said(const diag *d, const char *file, int line, const char *text)
{
    for (int i = 0; i < d->n; ++i)
        if (d->m[i].level == DIAG_WARNING && d->m[i].line == line && same_text(d->m[i].file, file) && !strcmp(d->m[i].text, text)) return 1;
    return 0;
}

static void add(diag *d, diag_level level, const char *file, int line, const char *section, char *text)
{
    int repeated = level == DIAG_WARNING && said(d, file, line, text);
    d->silent = repeated || d->said[level] >= KEPT;
    d->said[level] += !repeated;
    if (d->silent) {
        free(text);
        return;
    }
    d->m = mem_realloc(d->m, (size_t)d->n + 1, sizeof *d->m);
    d->m[d->n++] = (diag_message){
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
    for (int i = 0; i < from->n; ++i) {
        const diag_message *m = &from->m[i];
        add(d, as_warnings ? DIAG_WARNING : m->level, m->file, m->line, m->section, mem_strdup(m->text));
        if (m->hint) diag_hint(d, "%s", m->hint);
    }
}

void diag_hint(diag *d, const char *fmt, ...)
{
    if (d->n <= d->printed || d->silent) return;
    va_list ap;
    va_start(ap, fmt);
    diag_message *m = &d->m[d->n - 1];
    free(m->hint);
    m->hint = mem_vprintf(fmt, ap);
    va_end(ap);
}

int diag_errors(const diag *d) { return d->said[DIAG_ERROR]; }
int diag_warnings(const diag *d) { return d->said[DIAG_WARNING]; }
int diag_count(const diag *d) { return d->n; }
const diag_message *diag_get(const diag *d, int i) { return &d->m[i]; }

static void print_one(const diag_message *m, FILE *out)
{
    if (m->file && m->line) fprintf(out, "%s:%d: ", m->file, m->line);
    else if (m->file) fprintf(out, "%s: ", m->file);
    if (m->level == DIAG_WARNING) fprintf(out, "warning: ");
    else if (!m->file) fprintf(out, "error: ");
    if (m->section) fprintf(out, "[%s] ", m->section);
    fprintf(out, "%s\n", m->text);
    if (m->hint) fprintf(out, "hint: %s\n", m->hint);
}

static int same_file(const diag_message *a, const diag_message *b)
{
    if (!a->file || !b->file) return a->file == b->file;
    return strcmp(a->file, b->file) == 0;
}

static int first_of_file(const diag *d, int i)
{
    int j = d->printed;
    while (!same_file(&d->m[j], &d->m[i])) ++j;
    return j;
}

/* A few dozen messages mostly: an insertion sort of their numbers keeps equals in order. */
void diag_print(const diag *d, FILE *out)
{
    int *order = mem_calloc((size_t)d->n, sizeof *order);
    for (int i = d->printed; i < d->n; ++i) {
        int j = i, f = first_of_file(d, i);
        for (; j > d->printed; --j) {
            int k = order[j - 1], g = first_of_file(d, k);
            if (g < f || (g == f && d->m[k].line <= d->m[i].line)) break;
            order[j] = k;
        }
        order[j] = i;
    }
    for (int i = d->printed; i < d->n; ++i) print_one(&d->m[order[i]], out);
    int more = diag_errors(d) + diag_warnings(d) - d->n;
    if (more) fprintf(out, "and %d more\n", more);
    free(order);
}

void diag_flush(diag *d, FILE *out)
{
    diag_print(d, out);
    d->printed = d->n;
}

int diag_told(const diag *d, const char *file, int line)
{
    for (int i = 0; i < diag_count(d); ++i) {
        const diag_message *m = diag_get(d, i);
        if (m->level == DIAG_ERROR && m->line == line && m->file && file && !strcmp(m->file, file)) return 1;
    }
    return 0;
}
