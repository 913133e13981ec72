/* What the pickle machine's opcodes work with (see pickle_machine.h): its stack, its list of values, the bytes it
 * reads. */
#include "pickle_machine.h"

#include "darknet_plugin/base/mem.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

int pickle_fail(pickle_machine *machine, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *text = mem_vprintf(fmt, ap);
    va_end(ap);
    printable(text);
    diag_error(machine->d, machine->path, 0, NULL, "bad pickle at byte %zu: %s", machine->at, text);
    free(text);
    return -1;
}

/* Takes the next value of the block, or of a new one. */
pickle_value *pickle_new(pickle_machine *machine, pickle_kind kind)
{
    pickle_block *block = machine->pickle->all;
    if (!block || block->n == PICKLE_BLOCK) {
        block = mem_calloc(1, sizeof *block);
        block->next = machine->pickle->all;
        machine->pickle->all = block;
    }
    pickle_value *value = &block->value[block->n++];
    value->kind = kind;
    ++machine->made;
    return value;
}

pickle_value *pickle_shared(pickle_machine *machine, int which)
{
    static const pickle_kind kinds[] = { PICKLE_NONE, PICKLE_BOOL, PICKLE_BOOL, PICKLE_MARK, PICKLE_TUPLE,
                                         PICKLE_OPAQUE };
    pickle_value **v = &machine->shared[which];
    if (*v) return *v;
    *v = pickle_new(machine, which < SHARED_NONE ? PICKLE_INT : kinds[which - SHARED_NONE]);
    if (which < SHARED_NONE) (*v)->integer = which;
    if (which == SHARED_TRUE) (*v)->integer = 1;
    return *v;
}

void pickle_push(pickle_machine *machine, pickle_value *value)
{
    if (machine->depth == machine->stack_room) {
        machine->stack_room = 2 * machine->stack_room + 64;
        machine->stack = mem_realloc(machine->stack, machine->stack_room, sizeof *machine->stack);
    }
    machine->stack[machine->depth++] = value;
}

pickle_value *pickle_pop(pickle_machine *machine)
{
    if (machine->depth && machine->stack[machine->depth - 1]->kind != PICKLE_MARK)
        return machine->stack[--machine->depth];
    pickle_fail(machine, "nothing left on the stack");
    return NULL;
}

void pickle_append(pickle_machine *machine, pickle_value *to, pickle_value *item)
{
    machine->containers += !to->room;
    if (to->n == to->room) {
        to->room = 2 * to->room + 2;
        to->item = mem_realloc(to->item, to->room, sizeof(pickle_value *));
    }
    to->item[to->n++] = item;
    ++machine->made;
}

const unsigned char *pickle_take(pickle_machine *machine, size_t n)
{
    if (n > machine->n - machine->at) {
        pickle_fail(machine, "it ends here, %zu more bytes are wanted", n);
        return NULL;
    }
    machine->at += n;
    return machine->byte + machine->at - n;
}

int pickle_take_number(pickle_machine *machine, size_t bytes, uint64_t *number)
{
    const unsigned char *from = pickle_take(machine, bytes);
    *number = 0;
    for (size_t i = 0; from && i < bytes; ++i) *number |= (uint64_t)from[i] << 8 * i;
    return from ? 0 : -1;
}

int pickle_text_is(const pickle_value *value, const char *text)
{
    return value->kind == PICKLE_TEXT && value->n == strlen(text) && !memcmp(value->text, text, value->n);
}

const pickle_value *pickle_get(const pickle_value *dict, const char *key)
{
    if (dict->kind != PICKLE_DICT) return NULL;
    for (size_t i = 0; i + 1 < dict->n; i += 2)
        if (pickle_text_is(dict->item[i], key)) return dict->item[i + 1];
    return NULL;
}
