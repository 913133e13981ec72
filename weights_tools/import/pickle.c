/* The machine that runs a pickle (see pickle.h): a stack, a memo of values to come back to, a list of all values made.
 * Each opcode takes at least a byte of the file and makes at most one value, so memory is bounded by the file's size
 * (calls that copy a list count its items); a memo's number may not exceed the number of bytes for the same reason. */
#include "pickle_machine.h"

#include <stdlib.h>

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
    while (!failed && !machine.stopped) failed = step(&machine);
    if (!failed) program->root = pickle_pop(&machine);
    program->bytes = machine.at;
    free(machine.stack);
    free(machine.memo);
    return failed || !program->root ? -1 : 0;
}

void pickle_free(pickle *program)
{
    for (pickle_value *v = program->all, *next; v; v = next) {
        next = v->next;
        free(v->item);
        free(v->storage);
        free(v->tensor);
        free(v);
    }
    *program = (pickle){ 0 };
}
