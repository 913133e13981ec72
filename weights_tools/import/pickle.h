/* Python's pickle, read without executing anything.
 *
 * A pickle is a program for a small stack machine. Of its 68 opcodes this one has those that numbers, strings, lists,
 * tuples, dicts and tensors need; of all that Python can import it knows a handful of names (pickle_globals.c). Calling
 * one of them builds a value here and does nothing else; of those that are no numbers, texts or tensors (a Namespace,
 * a Counter, a set) the value is opaque: something stood there. Everything else is refused by name: "refuses global
 * os.system".
 *
 * Values may contain themselves (a list appended to itself): whoever walks them limits the depth. */
#ifndef DISTILL_PICKLE_H
#define DISTILL_PICKLE_H
#include "elements.h"
#include "named_tensors.h"

#include <stdint.h>

typedef enum {
    PICKLE_NONE, PICKLE_BOOL, PICKLE_INT, PICKLE_FLOAT, PICKLE_TEXT, PICKLE_TUPLE, PICKLE_LIST, PICKLE_DICT,
    PICKLE_GLOBAL, PICKLE_TYPE, PICKLE_STORAGE, PICKLE_TENSOR, PICKLE_OPAQUE, PICKLE_MARK
} pickle_kind;

typedef struct pickle_value pickle_value;

typedef struct pickle_storage {
    const element_row *type;
    const char *key;                  /* borrowed from the file, not terminated */
    size_t key_len, n;                /* n elements */
    const unsigned char *byte;        /* n elements, borrowed, once the container has been asked; NULL before */
} pickle_storage;

typedef struct pickle_tensor {
    pickle_storage *storage;          /* borrowed */
    size_t offset;                    /* elements; every element lies within the storage: checked */
    int dims;
    size_t dim[TENSOR_MAX_DIMS], stride[TENSOR_MAX_DIMS];
} pickle_tensor;

/* Small, since a byte of the file may make one. */
struct pickle_value {
    pickle_kind kind;
    uint32_t room;
    size_t n;                         /* TEXT: bytes; TUPLE, LIST: items; DICT: items, key and value in turn */
    union {                           /* by kind */
        int64_t integer;              /* BOOL, INT */
        double real;                  /* FLOAT */
        const char *text;             /* TEXT: borrowed from the file, not terminated */
        pickle_value **item;          /* n, the array owned, the values the pickle's */
        const struct global_row *global;
        const element_row *element;   /* TYPE: of a storage */
        pickle_storage *storage;      /* owned */
        pickle_tensor *tensor;        /* owned */
    };
};

enum { PICKLE_BLOCK = 1000 };
typedef struct pickle_block {
    struct pickle_block *next;
    size_t n;
    pickle_value value[PICKLE_BLOCK];
} pickle_block;

typedef struct pickle {
    pickle_value *root;               /* what the pickle says; borrowed */
    pickle_block *all;                /* every value, owned */
    pickle_storage **storage;         /* storages of them, borrowed; the array owned */
    size_t storages;
    size_t bytes;                     /* how long it was */
} pickle;

/* Runs one pickle of at most n bytes (the first STOP ends it). 0, or -1 with a message; *program is to be freed either
 * way. `byte` must live as long as it. */
int pickle_read(const char *path, const unsigned char *byte, size_t n, pickle *program, diag *d);
void pickle_free(pickle *program);
int pickle_text_is(const pickle_value *value, const char *text);
/* The value of a text key in a dict; NULL if there is none. */
const pickle_value *pickle_get(const pickle_value *dict, const char *key);

#endif
