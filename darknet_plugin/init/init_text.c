/* A distillation cfg as text, with its remarks as comments (see init.h). */
#include "init_internal.h"

#include "darknet_plugin/base/mem.h"

#include <stdlib.h>
#include <string.h>

enum { COLUMNS = 120, BEHIND = 26 };

/* Lines of comment, broken between words. */
static void print_comment(FILE *out, const char *text)
{
    int column = fprintf(out, "#");
    while (*text) {
        int word = (int)strcspn(text, " ");
        if (column > 1 && column + 1 + word > COLUMNS) {
            fputc('\n', out);
            column = fprintf(out, "#");
        }
        column += fprintf(out, " %.*s", word, text);
        text += word;
        while (*text == ' ') ++text;
    }
    fputc('\n', out);
}

/* The remark on a section's key, or on all of it; NULL if there is none. */
static const char *remark(const init_cfg *made, int section, const char *key)
{
    for (int i = 0; i < made->notes; ++i) {
        const init_note *note = &made->note[i];
        if (note->section != section || (!key) != (!note->key)) continue;
        if (!key || !strcmp(key, note->key)) return note->text;
    }
    return NULL;
}

/* A key, its reason behind it or, where that is long, above. */
static void print_pair(FILE *out, const cfg_pair *pair, const char *why)
{
    int column = (int)(strlen(pair->key) + strlen(pair->value)) + 1;
    int room = column < BEHIND ? BEHIND - column : 1;
    if (why && column + room + 2 + (int)strlen(why) > COLUMNS) {
        print_comment(out, why);
        why = NULL;
    }
    fprintf(out, "%s=%s", pair->key, pair->value);
    if (why) fprintf(out, "%*s# %s", room, "", why);
    fputc('\n', out);
}

static void print_section(FILE *out, const init_cfg *made, int i)
{
    const cfg_section *section = &made->cfg->section[i];
    if (remark(made, i, NULL)) print_comment(out, remark(made, i, NULL));
    fprintf(out, "[%s]\n", section->name);
    for (int k = 0; k < section->n; ++k) print_pair(out, &section->pair[k], remark(made, i, section->pair[k].key));
}

char *init_text(const init_cfg *made, size_t *len)
{
    char *text = NULL;
    FILE *out = mem_stream(&text, len);
    print_comment(out, remark(made, -1, NULL));
    print_comment(out, "Written by darknet distill init; the comments say why. After changes: darknet distill check");
    for (int i = 0; i < made->cfg->n; ++i) {
        if (i) fputc('\n', out);
        print_section(out, made, i);
    }
    mem_stream_end(out);
    return text;
}
