/* The opcodes, one row each; names and meaning as in Python's Lib/pickletools.py. Those of protocol 0 (decimal text)
 * are refused: torch.save writes protocol 2. Those that make objects of classes make something opaque. */
#include "pickle_machine.h"

#include "darknet_plugin/base/mem.h"

#include <stdlib.h>
#include <string.h>

static int push(pickle_machine *machine, pickle_value *value)
{
    if (!value) return -1;
    pickle_push(machine, value);
    return 0;
}

static int op_proto(pickle_machine *machine)
{
    uint64_t v;
    if (pickle_take_number(machine, 1, &v)) return -1;
    return v <= 5 ? 0 : pickle_fail(machine, "protocol %d, expected at most 5", (int)v);
}

static int op_frame(pickle_machine *machine)
{
    uint64_t length;
    return pickle_take_number(machine, 8, &length);
}

static int op_stop(pickle_machine *machine)
{
    machine->stopped = 1;
    return 0;
}

static int op_pop(pickle_machine *machine)
{
    if (!machine->depth) return pickle_fail(machine, "nothing left on the stack");
    --machine->depth;
    return 0;
}

static int op_dup(pickle_machine *machine)
{
    pickle_value *v = pickle_pop(machine);
    if (!v) return -1;
    pickle_push(machine, v);
    pickle_push(machine, v);
    return 0;
}

static int op_mark(pickle_machine *machine) { return push(machine, pickle_shared(machine, SHARED_MARK)); }
static int op_none(pickle_machine *machine) { return push(machine, pickle_shared(machine, SHARED_NONE)); }
static int op_list(pickle_machine *machine) { return push(machine, pickle_new(machine, PICKLE_LIST)); }
static int op_dict(pickle_machine *machine) { return push(machine, pickle_new(machine, PICKLE_DICT)); }
static int op_tuple0(pickle_machine *machine) { return push(machine, pickle_shared(machine, SHARED_TUPLE)); }

/* ---- numbers ---- */

static int push_int(pickle_machine *machine, int64_t i)
{
    if (i >= 0 && i < SHARED_NONE) return push(machine, pickle_shared(machine, (int)i));
    pickle_value *v = pickle_new(machine, PICKLE_INT);
    v->integer = i;
    return push(machine, v);
}

static int op_true(pickle_machine *machine) { return push(machine, pickle_shared(machine, SHARED_TRUE)); }
static int op_false(pickle_machine *machine) { return push(machine, pickle_shared(machine, SHARED_FALSE)); }

static int unsigned_int(pickle_machine *machine, size_t bytes)
{
    uint64_t v;
    return pickle_take_number(machine, bytes, &v) ? -1 : push_int(machine, (int64_t)v);
}

static int op_int1(pickle_machine *machine) { return unsigned_int(machine, 1); }
static int op_int2(pickle_machine *machine) { return unsigned_int(machine, 2); }

/* Two's complement of 0 to 8 bytes. */
static int signed_int(pickle_machine *machine, size_t bytes)
{
    uint64_t v;
    if (bytes > 8) return pickle_fail(machine, "a whole number of %zu bytes, expected at most 8", bytes);
    if (pickle_take_number(machine, bytes, &v)) return -1;
    if (bytes && bytes < 8 && v >> (8 * bytes - 1)) v |= UINT64_MAX << 8 * bytes;
    return push_int(machine, (int64_t)v);
}

static int op_int4(pickle_machine *machine) { return signed_int(machine, 4); }

static int op_long(pickle_machine *machine, size_t width)
{
    uint64_t bytes;
    return pickle_take_number(machine, width, &bytes) ? -1 : signed_int(machine, (size_t)bytes);
}

static int op_long1(pickle_machine *machine) { return op_long(machine, 1); }
static int op_long4(pickle_machine *machine) { return op_long(machine, 4); }

/* Big-endian, unlike everything else. */
static int op_float(pickle_machine *machine)
{
    const unsigned char *p = pickle_take(machine, 8);
    uint64_t bits = 0;
    if (!p) return -1;
    for (int i = 0; i < 8; ++i) bits = bits << 8 | p[i];
    pickle_value *v = pickle_new(machine, PICKLE_FLOAT);
    memcpy(&v->real, &bits, sizeof v->real);
    return push(machine, v);
}

/* ---- text ---- */

static int text(pickle_machine *machine, size_t width)
{
    uint64_t n;
    if (pickle_take_number(machine, width, &n)) return -1;
    const unsigned char *p = pickle_take(machine, (size_t)n);
    if (!p) return -1;
    pickle_value *v = pickle_new(machine, PICKLE_TEXT);
    v->text = (const char *)p;
    v->n = (size_t)n;
    return push(machine, v);
}

static int op_text1(pickle_machine *machine) { return text(machine, 1); }
static int op_text4(pickle_machine *machine) { return text(machine, 4); }
static int op_text8(pickle_machine *machine) { return text(machine, 8); }

/* ---- containers ---- */

/* Index behind the topmost mark, at least 1; 0 after reporting that there is none. */
static size_t behind_mark(pickle_machine *machine)
{
    for (size_t i = machine->depth; i > 0; --i)
        if (machine->stack[i - 1]->kind == PICKLE_MARK) return i;
    pickle_fail(machine, "no mark on the stack");
    return 0;
}

/* Moves what lies above the mark into `to`, takes the mark off. */
static int collect(pickle_machine *machine, pickle_value *to)
{
    size_t from = behind_mark(machine);
    if (!from) return -1;
    for (size_t i = from; i < machine->depth; ++i) pickle_append(machine, to, machine->stack[i]);
    machine->depth = from - 1;
    return 0;
}

static int collected(pickle_machine *machine, pickle_kind kind)
{
    pickle_value *v = pickle_new(machine, kind);
    if (collect(machine, v)) return -1;
    if (kind == PICKLE_DICT && v->n % 2) return pickle_fail(machine, "a key without a value");
    return push(machine, v);
}

static int op_tuple(pickle_machine *machine) { return collected(machine, PICKLE_TUPLE); }
static int op_make_list(pickle_machine *machine) { return collected(machine, PICKLE_LIST); }
static int op_make_dict(pickle_machine *machine) { return collected(machine, PICKLE_DICT); }

static int op_pop_mark(pickle_machine *machine)
{
    size_t from = behind_mark(machine);
    if (from) machine->depth = from - 1;
    return from ? 0 : -1;
}

static int tuple_of(pickle_machine *machine, size_t items)
{
    pickle_value *tuple = pickle_new(machine, PICKLE_TUPLE);
    if (machine->depth < items) return pickle_fail(machine, "nothing left on the stack");
    for (size_t i = machine->depth - items; i < machine->depth; ++i) {
        if (machine->stack[i]->kind == PICKLE_MARK) return pickle_fail(machine, "nothing left on the stack");
        pickle_append(machine, tuple, machine->stack[i]);
    }
    machine->depth -= items;
    return push(machine, tuple);
}

static int op_tuple1(pickle_machine *machine) { return tuple_of(machine, 1); }
static int op_tuple2(pickle_machine *machine) { return tuple_of(machine, 2); }
static int op_tuple3(pickle_machine *machine) { return tuple_of(machine, 3); }

/* The container on top of the stack; NULL after reporting. */
static pickle_value *top(pickle_machine *machine, pickle_kind kind, const char *what)
{
    if (machine->depth && machine->stack[machine->depth - 1]->kind == kind) return machine->stack[machine->depth - 1];
    pickle_fail(machine, "no %s to add to", what);
    return NULL;
}

static int op_append(pickle_machine *machine)
{
    pickle_value *v = pickle_pop(machine), *to = v ? top(machine, PICKLE_LIST, "list") : NULL;
    if (to) pickle_append(machine, to, v);
    return to ? 0 : -1;
}

/* Adds what lies above the mark to the container below it. */
static int add_all(pickle_machine *machine, pickle_kind kind, const char *what)
{
    size_t from = behind_mark(machine), n = machine->depth;
    if (!from) return -1;
    if (kind == PICKLE_DICT && (n - from) % 2) return pickle_fail(machine, "a key without a value");
    machine->depth = from - 1;
    pickle_value *to = top(machine, kind, what);
    for (size_t i = from; to && i < n; ++i) pickle_append(machine, to, machine->stack[i]);
    return to ? 0 : -1;
}

static int op_appends(pickle_machine *machine) { return add_all(machine, PICKLE_LIST, "list"); }
static int op_set_items(pickle_machine *machine) { return add_all(machine, PICKLE_DICT, "dict"); }

static int op_set_item(pickle_machine *machine)
{
    pickle_value *value = pickle_pop(machine), *key = value ? pickle_pop(machine) : NULL;
    pickle_value *to = key ? top(machine, PICKLE_DICT, "dict") : NULL;
    if (!to) return -1;
    pickle_append(machine, to, key);
    pickle_append(machine, to, value);
    return 0;
}

/* ---- memo ---- */

/* The top of the stack as number i of the memo. */
static int put(pickle_machine *machine, size_t i)
{
    if (!machine->depth || machine->stack[machine->depth - 1]->kind == PICKLE_MARK)
        return pickle_fail(machine, "nothing to remember");
    if (i >= machine->n) return pickle_fail(machine, "memo number %zu in a pickle of %zu bytes", i, machine->n);
    if (i >= machine->memos) {
        size_t room = 2 * i + 64;
        machine->memo = mem_realloc(machine->memo, room, sizeof *machine->memo);
        memset(machine->memo + machine->memos, 0, (room - machine->memos) * sizeof *machine->memo);
        machine->memos = room;
    }
    machine->memo[i] = machine->stack[machine->depth - 1];
    return 0;
}

static int op_put1(pickle_machine *machine)
{
    uint64_t i;
    return pickle_take_number(machine, 1, &i) ? -1 : put(machine, (size_t)i);
}

static int op_put4(pickle_machine *machine)
{
    uint64_t i;
    return pickle_take_number(machine, 4, &i) ? -1 : put(machine, (size_t)i);
}

/* Numbers the value by how many were remembered before. */
static int op_memoize(pickle_machine *machine)
{
    return put(machine, machine->memoized++);
}

static int get(pickle_machine *machine, size_t width)
{
    uint64_t i;
    if (pickle_take_number(machine, width, &i)) return -1;
    if (i >= machine->memos || !machine->memo[i])
        return pickle_fail(machine, "memo number %zu was never set", (size_t)i);
    return push(machine, machine->memo[i]);
}

static int op_get1(pickle_machine *machine) { return get(machine, 1); }
static int op_get4(pickle_machine *machine) { return get(machine, 4); }

/* ---- names and calls ---- */

/* Up to the next newline, which is skipped; NULL after reporting. */
static const char *line(pickle_machine *machine, size_t *len)
{
    const unsigned char *from = machine->byte + machine->at, *end = memchr(from, '\n', machine->n - machine->at);
    if (!end) {
        pickle_fail(machine, "a name without an end");
        return NULL;
    }
    *len = (size_t)(end - from);
    machine->at += *len + 1;
    return (const char *)from;
}

static int op_global(pickle_machine *machine)
{
    size_t module_len, name_len;
    const char *module = line(machine, &module_len), *name = module ? line(machine, &name_len) : NULL;
    return name ? push(machine, pickle_global(machine, module, module_len, name, name_len)) : -1;
}

static int op_stack_global(pickle_machine *machine)
{
    pickle_value *name = pickle_pop(machine), *module = name ? pickle_pop(machine) : NULL;
    if (!module) return -1;
    if (name->kind != PICKLE_TEXT || module->kind != PICKLE_TEXT) return pickle_fail(machine, "a name that is no text");
    return push(machine, pickle_global(machine, module->text, module->n, name->text, name->n));
}

static int op_reduce(pickle_machine *machine)
{
    pickle_value *args = pickle_pop(machine), *callee = args ? pickle_pop(machine) : NULL;
    if (!callee) return -1;
    if (args->kind != PICKLE_TUPLE || callee->kind != PICKLE_GLOBAL || !callee->global->call)
        return pickle_fail(machine, "refuses to call that");
    return push(machine, callee->global->call(machine, args));
}

/* An object of a class, without a call: nobody knows what is in it. */
static int op_new_object(pickle_machine *machine)
{
    pickle_value *args = pickle_pop(machine), *callee = args ? pickle_pop(machine) : NULL;
    if (!callee) return -1;
    if (callee->kind != PICKLE_GLOBAL || !callee->global->is_class)
        return pickle_fail(machine, "refuses opcode NEWOBJ of that");
    return push(machine, pickle_shared(machine, SHARED_OPAQUE));
}

static int op_set(pickle_machine *machine) { return push(machine, pickle_shared(machine, SHARED_OPAQUE)); }

/* Into a set, which keeps nothing. */
static int op_add_items(pickle_machine *machine)
{
    if (op_pop_mark(machine)) return -1;
    return top(machine, PICKLE_OPAQUE, "set") ? 0 : -1;
}

static int op_frozen_set(pickle_machine *machine) { return op_pop_mark(machine) ? -1 : op_set(machine); }

/* Attributes of a value: a state dict keeps its modules' versions there. Not needed. */
static int op_build(pickle_machine *machine)
{
    pickle_value *state = pickle_pop(machine), *v = state ? pickle_pop(machine) : NULL;
    if (!v) return -1;
    if (v->kind != PICKLE_DICT && v->kind != PICKLE_OPAQUE)
        return pickle_fail(machine, "refuses to set attributes of anything but a dict");
    return push(machine, v);
}

static int op_persistent(pickle_machine *machine)
{
    pickle_value *id = pickle_pop(machine);
    return id ? push(machine, pickle_new_storage(machine, id)) : -1;
}

const op_row PICKLE_OPS[256] = {
    [0x80] = { "PROTO", op_proto }, [0x95] = { "FRAME", op_frame }, ['.'] = { "STOP", op_stop },
    ['0'] = { "POP", op_pop }, ['1'] = { "POP_MARK", op_pop_mark }, ['2'] = { "DUP", op_dup },
    ['('] = { "MARK", op_mark }, ['N'] = { "NONE", op_none },
    [0x88] = { "NEWTRUE", op_true }, [0x89] = { "NEWFALSE", op_false },
    ['J'] = { "BININT", op_int4 }, ['K'] = { "BININT1", op_int1 }, ['M'] = { "BININT2", op_int2 },
    [0x8a] = { "LONG1", op_long1 }, [0x8b] = { "LONG4", op_long4 }, ['G'] = { "BINFLOAT", op_float },
    ['X'] = { "BINUNICODE", op_text4 }, [0x8c] = { "SHORT_BINUNICODE", op_text1 }, [0x8d] = { "BINUNICODE8", op_text8 },
    ['T'] = { "BINSTRING", op_text4 }, ['U'] = { "SHORT_BINSTRING", op_text1 },
    ['B'] = { "BINBYTES", op_text4 }, ['C'] = { "SHORT_BINBYTES", op_text1 },
    [']'] = { "EMPTY_LIST", op_list }, ['a'] = { "APPEND", op_append }, ['e'] = { "APPENDS", op_appends },
    ['l'] = { "LIST", op_make_list }, [')'] = { "EMPTY_TUPLE", op_tuple0 }, ['t'] = { "TUPLE", op_tuple },
    [0x85] = { "TUPLE1", op_tuple1 }, [0x86] = { "TUPLE2", op_tuple2 }, [0x87] = { "TUPLE3", op_tuple3 },
    ['}'] = { "EMPTY_DICT", op_dict }, ['s'] = { "SETITEM", op_set_item }, ['u'] = { "SETITEMS", op_set_items },
    ['d'] = { "DICT", op_make_dict },
    ['q'] = { "BINPUT", op_put1 }, ['r'] = { "LONG_BINPUT", op_put4 }, [0x94] = { "MEMOIZE", op_memoize },
    ['h'] = { "BINGET", op_get1 }, ['j'] = { "LONG_BINGET", op_get4 },
    ['c'] = { "GLOBAL", op_global }, [0x93] = { "STACK_GLOBAL", op_stack_global },
    ['R'] = { "REDUCE", op_reduce }, ['b'] = { "BUILD", op_build }, ['Q'] = { "BINPERSID", op_persistent },
    ['i'] = { "INST", NULL }, ['o'] = { "OBJ", NULL }, [0x81] = { "NEWOBJ", op_new_object },
        [0x92] = { "NEWOBJ_EX", NULL },
    [0x82] = { "EXT1", NULL }, [0x83] = { "EXT2", NULL }, [0x84] = { "EXT4", NULL }, ['P'] = { "PERSID", NULL },
    ['I'] = { "INT", NULL }, ['L'] = { "LONG", NULL }, ['F'] = { "FLOAT", NULL }, ['S'] = { "STRING", NULL },
    ['V'] = { "UNICODE", NULL }, ['p'] = { "PUT", NULL }, ['g'] = { "GET", NULL },
    [0x8f] = { "EMPTY_SET", op_set }, [0x90] = { "ADDITEMS", op_add_items }, [0x91] = { "FROZENSET", op_frozen_set },
    [0x8e] = { "BINBYTES8", op_text8 }, [0x96] = { "BYTEARRAY8", NULL }, [0x97] = { "NEXT_BUFFER", NULL },
    [0x98] = { "READONLY_BUFFER", NULL },
};
