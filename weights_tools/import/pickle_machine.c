/* What the pickle machine's opcodes work with (see pickle_machine.h): its stack, its list of values, the bytes it reads. */
#include "pickle_machine.h"

#include "darknet_plugin/base/mem.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

int pickle_fail(pickle_machine *m, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *text = mem_vprintf(fmt, ap);
    va_end(ap);
    printable(text);
    diag_error(m->d, m->path, 0, NULL, "bad pickle at byte %zu: %s", m->at, text);
    free(text);
    return -1;
}

pickle_value *pickle_new(pickle_machine *m, pickle_kind kind)
{
    pickle_value *v = mem_calloc(1, sizeof *v);
    v->kind = kind;
    v->next = m->p->all;
    return m->p->all = v;
}

void pickle_push(pickle_machine *m, pickle_value *v)
{
    if (m->depth == m->stack_room) {
        m->stack_room = 2 * m->stack_room + 64;
        m->stack = mem_realloc(m->stack, m->stack_room, sizeof *m->stack);
    }
    m->stack[m->depth++] = v;
}

pickle_value *pickle_pop(pickle_machine *m)
{
    if (m->depth && m->stack[m->depth - 1]->kind != PICKLE_MARK) return m->stack[--m->depth];
    pickle_fail(m, "nothing left on the stack");
    return NULL;
}

void pickle_append(pickle_value *to, pickle_value *item)
{
    if (to->n == to->room) {
        to->room = 2 * to->room + 4;
        to->item = mem_realloc(to->item, to->room, sizeof(pickle_value *));
    }
    to->item[to->n++] = item;
}

const unsigned char *pickle_take(pickle_machine *m, size_t n)
{
    if (n > m->n - m->at) {
        pickle_fail(m, "it ends here, %zu more bytes are wanted", n);
        return NULL;
    }
    m->at += n;
    return m->byte + m->at - n;
}

int pickle_take_number(pickle_machine *m, size_t bytes, uint64_t *v)
{
    const unsigned char *p = pickle_take(m, bytes);
    *v = 0;
    for (size_t i = 0; p && i < bytes; ++i) *v |= (uint64_t)p[i] << 8 * i;
    return p ? 0 : -1;
}

int pickle_text_is(const pickle_value *v, const char *text)
{
    return v->kind == PICKLE_TEXT && v->n == strlen(text) && !memcmp(v->text, text, v->n);
}

const pickle_value *pickle_get(const pickle_value *dict, const char *key)
{
    if (dict->kind != PICKLE_DICT) return NULL;
    for (size_t i = 0; i + 1 < dict->n; i += 2)
        if (pickle_text_is(dict->item[i], key)) return dict->item[i + 1];
    return NULL;
}
