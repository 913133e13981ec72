/* Collected diagnostics (see diag.h). */
#include "diag.h"

#include "in_file_list.h"
#include "mem.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum {
    KEPT = 1000,
    SAME_SHOWN = 3, KIND_SHOWN = 10   /* more of the same words, or of one kind, and one stands for all */
};

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
    free(message->kind);
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

/* Keeps a message, unless it is a warning that came before or too many have come; takes `text`. `kind` is its
 * format. */
static void add(diag *d, diag_level level, const char *file, int line, const char *section, const char *kind,
                char *text)
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
        .kind = kind ? mem_strdup(kind) : NULL,
    };
}

void diag_error(diag *d, const char *file, int line, const char *section, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    add(d, DIAG_ERROR, file, line, section, fmt, mem_vprintf(fmt, ap));
    va_end(ap);
}

void diag_warn(diag *d, const char *file, int line, const char *section, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    add(d, DIAG_WARNING, file, line, section, fmt, mem_vprintf(fmt, ap));
    va_end(ap);
}

void diag_append(diag *d, const diag *from, int as_warnings)
{
    for (int i = 0; i < from->count; ++i) {
        const diag_message *message = &from->message[i];
        add(d, as_warnings ? DIAG_WARNING : message->level, message->file, message->line, message->section,
            message->kind, mem_strdup(message->text));
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

/* `like` is how many more messages of this kind follow in its place, NULL none. */
static void print_one(const diag_message *message, const char *like, FILE *out)
{
    if (message->file && message->line) fprintf(out, "%s:%d: ", message->file, message->line);
    else if (message->file) fprintf(out, "%s: ", message->file);
    if (message->level == DIAG_WARNING) fprintf(out, "warning: ");
    else if (!message->file) fprintf(out, "error: ");
    if (message->section) fprintf(out, "[%s] ", message->section);
    fprintf(out, "%s%s\n", message->text, like ? like : "");
    if (message->hint) fprintf(out, "hint: %s\n", message->hint);
}

static int first_of_file(const diag *d, int i)
{
    int j = d->printed;
    while (!same_text(d->message[j].file, d->message[i].file)) ++j;
    return j;
}

/* A few dozen messages mostly: an insertion sort of their numbers keeps equals in order. */
static void sort_messages(const diag *d, int *order)
{
    for (int i = d->printed; i < d->count; ++i) {
        int j = i, f = first_of_file(d, i);
        for (; j > d->printed; --j) {
            int k = order[j - 1], g = first_of_file(d, k);
            if (g < f || (g == f && d->message[k].line <= d->message[i].line)) break;
            order[j] = k;
        }
        order[j] = i;
    }
}

/* A print under way; the arrays have room for all messages. */
typedef struct printing {
    const diag *d;
    int *order, *list;       /* numbers of messages: as they are printed; of those that are alike */
    char *done, *flood;      /* by number: printed; more than SAME_SHOWN have its words */
} printing;

/* Of one kind: the same level, file and section, and the same words, or the same sentence about other words. */
static int alike(const diag_message *one, const diag_message *other, int words)
{
    if (!one->line || !other->line || one->level != other->level || !same_text(one->file, other->file)) return 0;
    if (!same_text(one->section, other->section)) return 0;
    return words ? same_text(one->text, other->text) : one->kind && same_text(one->kind, other->kind);
}

/* Lists the messages from order[at] on that are like it; how many. */
static int find_alike(const printing *printing, int at, int words)
{
    const diag_message *message = printing->d->message, *one = &message[printing->order[at]];
    int n = 0;
    for (int i = at; i < printing->d->count; ++i) {
        int k = printing->order[i];
        if (!printing->done[k] && (words || !printing->flood[k]) && alike(one, &message[k], words))
            printing->list[n++] = k;
    }
    return n;
}

/* Marks those whose words come too often. */
static void find_floods(const printing *printing)
{
    for (int i = printing->d->printed; i < printing->d->count; ++i) {
        int n = printing->flood[printing->order[i]] ? 0 : find_alike(printing, i, 1);
        for (int k = 0; n > SAME_SHOWN && k < n; ++k) printing->flood[printing->list[k]] = 1;
    }
}

/* Prints message order[at], and stands it for all that are like it where they would be a flood. */
static void print_kind(const printing *printing, int at, FILE *out)
{
    const diag_message *message = printing->d->message;
    const int *list = printing->list, me = printing->order[at];
    int words = printing->flood[me], n = words || (message[me].kind && strcmp(message[me].kind, "%s"))
        ? find_alike(printing, at, words) : 1;
    char *like = NULL;
    if (words || n > KIND_SHOWN)
        like = mem_printf(" (%d %s, lines %d, %d, %d, ...)", n, words ? "times" : "of this kind", message[list[0]].line,
                          message[list[1]].line, message[list[2]].line);
    print_one(&message[me], like, out);
    printing->done[me] = 1;
    for (int i = 0; like && i < n; ++i) printing->done[list[i]] = 1;
    free(like);
}

void diag_print(const diag *d, FILE *out)
{
    size_t n = (size_t)d->count;
    printing printing = { .d = d, .order = mem_calloc(n, sizeof *printing.order), .done = mem_calloc(n, 1),
                          .list = mem_calloc(n, sizeof *printing.list), .flood = mem_calloc(n, 1) };
    sort_messages(d, printing.order);
    find_floods(&printing);
    for (int i = d->printed; i < d->count; ++i)
        if (!printing.done[printing.order[i]]) print_kind(&printing, i, out);
    int more = diag_errors(d) + diag_warnings(d) - d->count;
    if (more) fprintf(out, "and %d more\n", more);
    free(printing.flood);
    free(printing.done);
    free(printing.list);
    free(printing.order);
}

void diag_clear(diag *d) { d->printed = d->count; }

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
