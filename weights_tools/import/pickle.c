/* The machine that runs a pickle (see pickle.h): a stack, a memo of values to come back to, a list of all values made.
 * Each opcode takes at least a byte of the file and makes at most one value, so memory is bounded by the file's size
 * (calls that copy a list count its items); a memo's number may not exceed the number of bytes for the same reason. A
 * byte can make a value of many, so values and the stack have limits of their own, which no checkpoint comes near: it
 * has some ten bytes a value, and lists and tuples, which take most, are a few of these. */
#include "pickle_machine.h"

#include <stdlib.h>

enum { DEEPEST_STACK = 1 << 18, VALUES_AT_LEAST = 1 << 20, BYTES_A_VALUE = 8 };
enum { CONTAINERS_AT_LEAST = 1 << 16, BYTES_A_CONTAINER = 128 };   /* a tensor has four, in some 200 bytes */

static int check_size(pickle_machine *machine)
{
    if (machine->depth > DEEPEST_STACK) return pickle_fail(machine, "a stack of more than %d values", DEEPEST_STACK);
    if (machine->made <= VALUES_AT_LEAST + machine->n / BYTES_A_VALUE &&
        machine->containers <= CONTAINERS_AT_LEAST + machine->n / BYTES_A_CONTAINER) return 0;
    return pickle_fail(machine, "more values than a checkpoint of %zu bytes has", machine->n);
}

static int step(pickle_machine *machine)
{
    const unsigned char *op = pickle_take(machine, 1);
    if (!op) return -1;
    const op_row *row = &PICKLE_OPS[*op];
    if (row->run) return row->run(machine);
    --machine->at;
    if (row->name) return pickle_fail(machine, "refuses opcode %s", row->name);
    return pickle_fail(machine, "refuses opcode 0x%02x", *op);
}

int pickle_read(const char *path, const unsigned char *byte, size_t n, pickle *program, diag *d)
{
    pickle_machine machine = { .path = path, .byte = byte, .n = n, .pickle = program, .d = d };
    int failed = 0;
    *program = (pickle){ 0 };
    while (!failed && !machine.stopped) failed = step(&machine) || check_size(&machine);
    if (!failed) program->root = pickle_pop(&machine);
    program->bytes = machine.at;
    free(machine.stack);
    free(machine.memo);
    return failed || !program->root ? -1 : 0;
}

static void free_value(pickle_value *value)
{
    if (value->kind == PICKLE_TUPLE || value->kind == PICKLE_LIST || value->kind == PICKLE_DICT) free(value->item);
    if (value->kind == PICKLE_STORAGE) free(value->storage);
    if (value->kind == PICKLE_TENSOR) free(value->tensor);
}

void pickle_free(pickle *program)
{
    for (pickle_block *block = program->all, *next; block; block = next) {
        next = block->next;
        for (size_t i = 0; i < block->n; ++i) free_value(&block->value[i]);
        free(block);
    }
    free(program->storage);
    *program = (pickle){ 0 };
}
