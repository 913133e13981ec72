/* The names that may occur in a checkpoint, and what calling them gives.
 *
 *   collections.OrderedDict()                                   an empty dict; () or ([[key, value], ...],)
 *   torch._utils._rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks)     a view of a storage
 *   torch._utils._rebuild_parameter(tensor, requires_grad, hooks)                            the tensor
 *   torch.FloatStorage ...                                      a number type, never called
 *   persistent id ('storage', type, key, place, n)              a storage of n elements
 *
 * A dict may be made of one list again and again: all their items may not be more than the file has bytes.
 * A view's last element must lie within its storage. An expanded tensor (stride 0) has more elements than its storage:
 * who copies it asks how many the file explains (named_tensors_add).
 *
 * What training loops put beside the weights (arguments, counters, sets, numpy's scalars and arrays, devices, types) is
 * read as something opaque. */
#include "pickle_machine.h"

#include "darknet_plugin/base/mem.h"

#include <string.h>

static pickle_value *bad(pickle_machine *machine, const char *what)
{
    pickle_fail(machine, "%s", what);
    return NULL;
}

static int is_sequence(const pickle_value *value) { return value->kind == PICKLE_LIST || value->kind == PICKLE_TUPLE; }

/* Empty, or of a list of pairs, whose items are copied. */
static pickle_value *ordered_dict(pickle_machine *machine, pickle_value *args)
{
    pickle_value *dict = pickle_new(machine, PICKLE_DICT);
    if (!args->n) return dict;
    const pickle_value *list = args->item[0];
    if (args->n != 1 || !is_sequence(list)) return bad(machine, "an OrderedDict of something odd");
    if (list->n > machine->n - machine->copied) return bad(machine, "more copies of a list than its bytes explain");
    machine->copied += list->n;
    for (size_t i = 0; i < list->n; ++i) {
        const pickle_value *pair = list->item[i];
        if (!is_sequence(pair) || pair->n != 2) return bad(machine, "an OrderedDict of something odd");
        pickle_append(machine, dict, pair->item[0]);
        pickle_append(machine, dict, pair->item[1]);
    }
    return dict;
}

/* A whole number that is not negative; -1 otherwise. */
static int whole(const pickle_value *value, size_t *number)
{
    if (value->kind != PICKLE_INT || value->integer < 0) return -1;
    *number = (size_t)value->integer;
    return 0;
}

static int read_sizes(const pickle_value *size, const pickle_value *stride, pickle_tensor *tensor)
{
    if (size->kind != PICKLE_TUPLE || stride->kind != PICKLE_TUPLE || size->n != stride->n || size->n > TENSOR_MAX_DIMS)
        return -1;
    tensor->dims = (int)size->n;
    for (int i = 0; i < tensor->dims; ++i)
        if (whole(size->item[i], &tensor->dim[i]) || whole(stride->item[i], &tensor->stride[i])) return -1;
    return 0;
}

/* Does every element lie within the storage? */
static int view_fits(const pickle_tensor *tensor)
{
    size_t n, last = tensor->offset, way;
    if (tensor_count(tensor->dims, tensor->dim, &n)) return 0;
    if (!n) return 1;
    for (int i = 0; i < tensor->dims; ++i) {
        if (__builtin_mul_overflow(tensor->dim[i] - 1, tensor->stride[i], &way)) return 0;
        if (__builtin_add_overflow(last, way, &last)) return 0;
    }
    return last < tensor->storage->n;
}

/* A view of a storage, checked against it; its bytes come later. */
static pickle_value *rebuild_tensor(pickle_machine *machine, pickle_value *args)
{
    if (args->n < 4 || args->item[0]->kind != PICKLE_STORAGE) return bad(machine, "a tensor without a storage");
    pickle_value *value = pickle_new(machine, PICKLE_TENSOR);
    pickle_tensor *tensor = mem_calloc(1, sizeof *tensor);
    value->tensor = tensor;
    tensor->storage = args->item[0]->storage;
    if (whole(args->item[1], &tensor->offset) || read_sizes(args->item[2], args->item[3], tensor))
        return bad(machine, "a tensor's offset, sizes or strides are no lists of whole numbers from 0");
    if (view_fits(tensor)) return value;
    char text[TENSOR_TEXT];
    pickle_fail(machine, "a tensor of %s from element %zu on does not fit its storage of %zu elements",
                tensor_text(tensor->dims, tensor->dim, text), tensor->offset, tensor->storage->n);
    return NULL;
}

static pickle_value *rebuild_parameter(pickle_machine *machine, pickle_value *args)
{
    if (args->n < 1 || args->item[0]->kind != PICKLE_TENSOR) return bad(machine, "a parameter without a tensor");
    return args->item[0];
}

static pickle_value *opaque(pickle_machine *machine, pickle_value *args)
{
    (void)args;
    return pickle_shared(machine, SHARED_OPAQUE);
}

/* What makes its missing values is of no interest; items follow. */
static pickle_value *some_dict(pickle_machine *machine, pickle_value *args)
{
    (void)args;
    return pickle_new(machine, PICKLE_DICT);
}

static pickle_value *list(pickle_machine *machine, pickle_value *args)
{
    (void)args;
    return pickle_new(machine, PICKLE_LIST);
}

/* torch.Size((2, 3)) is the tuple. */
static pickle_value *size(pickle_machine *machine, pickle_value *args)
{
    return args->n == 1 && args->item[0]->kind == PICKLE_TUPLE ? args->item[0]
        : bad(machine, "a torch.Size of something odd");
}

static const global_row GLOBALS[] = {
    { "collections", "OrderedDict", ordered_dict, 0 }, { "collections", "defaultdict", some_dict, 0 },
    { "torch._utils", "_rebuild_tensor_v2", rebuild_tensor, 0 }, { "torch._utils", "_rebuild_tensor", rebuild_tensor,
                                                                   0 },
    { "torch._utils", "_rebuild_parameter", rebuild_parameter, 0 }, { "torch", "Size", size, 0 },
    { "torch", "device", opaque, 0 }, { "collections", "Counter", opaque, 1 }, { "collections", "deque", list, 0 },
    { "argparse", "Namespace", opaque, 1 }, { "types", "SimpleNamespace", opaque, 1 },
    { "builtins", "set", opaque, 1 }, { "__builtin__", "set", opaque, 1 }, { "builtins", "frozenset", opaque, 1 },
    { "__builtin__", "frozenset", opaque, 1 }, { "builtins", "dict", NULL, 0 }, { "__builtin__", "dict", NULL, 0 },
    { "builtins", "list", NULL, 0 }, { "__builtin__", "list", NULL, 0 }, { "builtins", "int", NULL, 0 },
    { "__builtin__", "int", NULL, 0 }, { "builtins", "float", NULL, 0 }, { "__builtin__", "float", NULL, 0 },
    { "builtins", "object", NULL, 0 }, { "__builtin__", "object", NULL, 0 },
    { "copyreg", "_reconstructor", opaque, 0 }, { "copy_reg", "_reconstructor", opaque, 0 },
    { "_codecs", "encode", opaque, 0 }, { "numpy", "dtype", opaque, 1 }, { "numpy", "ndarray", NULL, 0 },
    { "numpy.core.multiarray", "scalar", opaque, 0 }, { "numpy._core.multiarray", "scalar", opaque, 0 },
    { "numpy.core.multiarray", "_reconstruct", opaque, 0 }, { "numpy._core.multiarray", "_reconstruct", opaque, 0 },
    { "pathlib", "PosixPath", opaque, 0 }, { "pathlib", "WindowsPath", opaque, 0 }, { "datetime", "datetime", opaque,
        0 },
};

/* torch.float32 and its like: names of types, which nobody calls. */
static const global_row DTYPE = { "torch", "dtype", NULL, 0 };
static const char *const DTYPES[] = {
    "float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool", "float", "double",
    "half", "long", "int", "short", "strided", "channels_last", "contiguous_format", "preserve_format",
};

static int same(const char *name, const char *text, size_t len)
{
    return strlen(name) == len && !memcmp(name, text, len);
}

static int refuse(pickle_machine *machine, const char *module, size_t module_len, const char *name, size_t name_len)
{
    pickle_fail(machine, "refuses global %.*s.%.*s", (int)(module_len > 200 ? 200 : module_len), module,
                (int)(name_len > 200 ? 200 : name_len), name);
    diag_hint(machine->d,
              "nothing in a file is executed: save the weights alone, torch.save(model.state_dict(), 'model.pt')");
    return -1;
}

pickle_value *pickle_global(pickle_machine *machine, const char *module, size_t module_len, const char *name,
                            size_t name_len)
{
    pickle_value *value = pickle_new(machine, PICKLE_GLOBAL);
    for (size_t i = 0; i < sizeof GLOBALS / sizeof *GLOBALS; ++i)
        if (same(GLOBALS[i].module, module, module_len) && same(GLOBALS[i].name, name, name_len))
            value->global = &GLOBALS[i];
    for (size_t i = 0; i < sizeof DTYPES / sizeof *DTYPES; ++i)
        if (same("torch", module, module_len) && same(DTYPES[i], name, name_len)) value->global = &DTYPE;
    if (value->global) return value;
    if (same("torch", module, module_len) && (value->element = element_of_torch(name, name_len))) {
        value->kind = PICKLE_TYPE;
        return value;
    }
    refuse(machine, module, module_len, name, name_len);
    return NULL;
}

pickle_value *pickle_new_storage(pickle_machine *machine, const pickle_value *id)
{
    pickle_value *const *part = id->item;
    if (id->kind != PICKLE_TUPLE || id->n < 5 || !pickle_text_is(part[0], "storage"))
        return bad(machine, "a persistent id that is no storage");
    if (id->n > 5 && part[5]->kind != PICKLE_NONE) return bad(machine, "refuses a storage that is a view of another");
    pickle_value *value = pickle_new(machine, PICKLE_STORAGE);
    pickle_storage *storage = mem_calloc(1, sizeof *storage);
    value->storage = storage;
    if (part[1]->kind != PICKLE_TYPE) return bad(machine, "a storage of an unknown type");
    storage->type = part[1]->element;
    if (part[2]->kind != PICKLE_TEXT || whole(part[4], &storage->n))
        return bad(machine, "a storage without a key or a size");
    storage->key = part[2]->text;
    storage->key_len = part[2]->n;
    pickle *program = machine->pickle;
    if (program->storages % 256 == 0)
        program->storage = mem_realloc(program->storage, program->storages + 256, sizeof(pickle_storage *));
    program->storage[program->storages++] = storage;
    return value;
}
