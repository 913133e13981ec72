/* What the pickle machine's files share: pickle.c runs it, pickle_machine.c its stack and values, pickle_ops.c the
 * opcodes, pickle_globals.c the names. */
#ifndef DISTILL_PICKLE_MACHINE_H
#define DISTILL_PICKLE_MACHINE_H
#include "pickle.h"

/* Numbers 0 to 255, then these. */
enum { SHARED_NONE = 256, SHARED_TRUE, SHARED_FALSE, SHARED_MARK, SHARED_TUPLE, SHARED_OPAQUE, PICKLE_SHARED };

typedef struct pickle_machine {
    const char *path;
    const unsigned char *byte;        /* n, borrowed */
    size_t n, at;
    pickle *pickle;                   /* borrowed */
    pickle_value **stack, **memo;     /* owned; memo entries may be NULL */
    size_t depth, stack_room, memos;
    size_t memoized;                  /* how many MEMOIZE so far */
    size_t copied;                    /* items that calls have copied so far */
    size_t made;                      /* values and items of containers so far */
    size_t containers;                /* that hold something */
    pickle_value *shared[PICKLE_SHARED];   /* values that never change, made once: see pickle_shared */
    int stopped;
    diag *d;
} pickle_machine;

/* One row an opcode: what it does, or NULL = refused by its name. 0, or -1 after pickle_fail. */
typedef struct op_row {
    const char *name;
    int (*run)(pickle_machine *machine);
} op_row;
extern const op_row PICKLE_OPS[256];

/* One name of Python's that may occur. `call` builds what calling it would give; NULL after pickle_fail. */
typedef struct global_row {
    const char *module, *name;
    pickle_value *(*call)(pickle_machine *machine, pickle_value *args);
    int is_class;                     /* an object may be made of it without a call */
} global_row;

/* Adds "bad pickle at byte N: ..."; returns -1. */
int pickle_fail(pickle_machine *machine, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
pickle_value *pickle_new(pickle_machine *machine, pickle_kind kind);
/* A value of which there is only one. */
pickle_value *pickle_shared(pickle_machine *machine, int which);
void pickle_push(pickle_machine *machine, pickle_value *value);
/* Takes the top off; NULL after reporting where there is none, or a mark. */
pickle_value *pickle_pop(pickle_machine *machine);
void pickle_append(pickle_machine *machine, pickle_value *to, pickle_value *item);
/* n bytes of the program, NULL after reporting that it ends before. */
const unsigned char *pickle_take(pickle_machine *machine, size_t n);
/* A little-endian number of 1 to 8 bytes; -1 after reporting. */
int pickle_take_number(pickle_machine *machine, size_t bytes, uint64_t *number);
/* A value for module.name; NULL after refusing it. Texts are not terminated. */
pickle_value *pickle_global(pickle_machine *machine, const char *module, size_t module_len, const char *name,
                            size_t name_len);
/* What a persistent id stands for: a storage; NULL after reporting. */
pickle_value *pickle_new_storage(pickle_machine *machine, const pickle_value *id);

#endif
