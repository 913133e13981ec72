/* The tensors of a checkpoint, with dotted names.
 *
 * A checkpoint is a state dict, or a dict that has it under one of the names below, beside the optimiser and other
 * things; it is entered as long as one is there, and what else has tensors is noted by name. In what is found then,
 * dicts and lists are walked in order and names joined by dots; numbers and texts are skipped. Views are copied element
 * by element, by their strides. */
#include "torch_read.h"

#include "darknet_plugin/base/mem.h"

#include <stdlib.h>
#include <string.h>

enum { DEEPEST = 32, MOST_VISITS = 4 * TENSOR_MAX };

static const char *const MODEL_KEYS[] = { "state_dict", "model_state_dict", "model", "net", "network", NULL };
/* Beside a model that lies bare in the file. */
static const char *const NO_MODEL[] = { "optimizer", "optimizer_state_dict", "scheduler", "lr_scheduler", "scaler",
                                        NULL };

/* Which of the list a key is; NULL = none. */
static const char *any_of(const pickle_value *key, const char *const *list)
{
    for (; *list; ++list)
        if (pickle_text_is(key, *list)) return *list;
    return NULL;
}

typedef struct walk {
    named_tensors *tensors;
    diag *d;
    int visits;
} walk;

/* Tensors in a value, as far as they are counted. */
static int count_tensors(walk *walk, const pickle_value *value, int depth)
{
    int n = 0, dict = value->kind == PICKLE_DICT;
    if (value->kind == PICKLE_TENSOR) return 1;
    if ((!dict && value->kind != PICKLE_LIST && value->kind != PICKLE_TUPLE) || depth == DEEPEST) return 0;
    for (size_t i = (size_t)dict; i < value->n && ++walk->visits <= MOST_VISITS; i += 1 + (size_t)dict)
        n += count_tensors(walk, value->item[i], depth + 1);
    return n;
}

/* What a dict has beside `taken`: noted where there are tensors in it. */
static void note_aside(walk *walk, const pickle_value *dict, const pickle_value *taken)
{
    for (size_t i = 0; i + 1 < dict->n; i += 2) {
        const pickle_value *key = dict->item[i];
        int n = dict->item[i + 1] == taken || key->kind != PICKLE_TEXT ? 0 : count_tensors(walk, dict->item[i + 1], 0);
        if (!n) continue;
        char *name = mem_printf("%.*s", (int)(key->n > 200 ? 200 : key->n), key->text);
        named_tensors_aside(walk->tensors, name, n);
        free(name);
    }
}

static const pickle_value *find_model(walk *walk, const pickle_value *value)
{
    for (int depth = 0; depth < DEEPEST; ++depth) {
        const pickle_value *inner = NULL;
        for (const char *const *key = MODEL_KEYS; *key && !inner; ++key) inner = pickle_get(value, *key);
        if (!inner || inner->kind != PICKLE_DICT) return value;
        if (walk->visits < MOST_VISITS) note_aside(walk, value, inner);
        value = inner;
    }
    return value;
}

static int odd(const walk *walk, const char *what)
{
    diag_error(walk->d, walk->tensors->path, 0, NULL, "%s", what);
    return -1;
}

/* Copies a view: odometer over its sizes, first dimension slowest. */
static void copy_view(const pickle_tensor *tensor, float *out, size_t count)
{
    const pickle_storage *storage = tensor->storage;
    size_t at[TENSOR_MAX_DIMS] = { 0 }, from = tensor->offset;
    for (size_t i = 0; i < count; ++i) {
        out[i] = storage->type->read(storage->byte + from * storage->type->bytes);
        for (int k = tensor->dims - 1; k >= 0; --k) {
            from += tensor->stride[k];
            if (++at[k] < tensor->dim[k]) break;
            from -= at[k] * tensor->stride[k];
            at[k] = 0;
        }
    }
}

static int add_tensor(walk *walk, const char *name, const pickle_tensor *tensor)
{
    named_tensor *copy = named_tensors_add(walk->tensors, name, tensor->dims, tensor->dim, walk->d);
    if (!copy) return -1;
    copy->integer = tensor->storage->type->integer;
    copy_view(tensor, copy->data, copy->n);
    return 0;
}

static char *join(const char *prefix, const pickle_value *key, size_t index)
{
    const char *dot = *prefix ? "." : "";
    if (!key) return mem_printf("%s%s%zu", prefix, dot, index);
    if (key->kind == PICKLE_TEXT) return mem_printf("%s%s%.*s", prefix, dot, (int)(key->n > 1000 ? 1000 : key->n),
                                                    key->text);
    if (key->kind == PICKLE_INT || key->kind == PICKLE_BOOL)
        return mem_printf("%s%s%lld", prefix, dot, (long long)key->integer);
    return mem_printf("%s%s%zu", prefix, dot, index / 2);
}

static int visit(walk *walk, const char *name, const pickle_value *value, int depth);

/* Of a dict key and value in turn, of a list values alone. */
static int visit_items(walk *walk, const char *name, const pickle_value *value, int depth)
{
    int dict = value->kind == PICKLE_DICT, failed = 0;
    for (size_t i = 0; i < value->n && !failed; i += dict ? 2 : 1) {
        const pickle_value *key = dict ? value->item[i] : NULL;
        if (key && !depth && any_of(key, NO_MODEL)) {
            int n = count_tensors(walk, value->item[i + 1], 0);
            if (n) named_tensors_aside(walk->tensors, any_of(key, NO_MODEL), n);
            continue;
        }
        char *full = join(name, key, i);
        failed = visit(walk, full, value->item[i + (size_t)dict], depth + 1);
        free(full);
    }
    return failed;
}

static int visit(walk *walk, const char *name, const pickle_value *value, int depth)
{
    if (++walk->visits > MOST_VISITS) return odd(walk, "has more entries than any model");
    if (value->kind == PICKLE_TENSOR) return add_tensor(walk, name, value->tensor);
    if (value->kind != PICKLE_DICT && value->kind != PICKLE_LIST && value->kind != PICKLE_TUPLE) return 0;
    if (depth == DEEPEST) return odd(walk, "dicts and lists are nested too deeply, or contain themselves");
    return visit_items(walk, name, value, depth);
}

int torch_tensors(const pickle *pickle, named_tensors *tensors, diag *d)
{
    walk walk = { .tensors = tensors, .d = d };
    const pickle_value *model = find_model(&walk, pickle->root);
    walk.visits = 0;
    return visit(&walk, "", model, 0);
}

/* Below, at or above 0 as a storage's key is before, at or behind `key`. */
static int compare_key(const pickle_storage *storage, const char *key, size_t len)
{
    int order = memcmp(storage->key, key, storage->key_len < len ? storage->key_len : len);
    return order ? order : (storage->key_len > len) - (storage->key_len < len);
}

static int by_key(const void *one, const void *other)
{
    const pickle_storage *storage = *(pickle_storage *const *)other;
    return compare_key(*(pickle_storage *const *)one, storage->key, storage->key_len);
}

storage_list torch_storages(const pickle *pickle)
{
    storage_list list = { .n = pickle->storages };
    list.at = mem_calloc(list.n, sizeof *list.at);
    if (list.n) memcpy(list.at, pickle->storage, list.n * sizeof *list.at);
    qsort(list.at, list.n, sizeof *list.at, by_key);
    return list;
}

/* By bisection for the first. */
pickle_storage **torch_find_storage(const storage_list *list, const char *key, size_t key_len, size_t *count)
{
    size_t low = 0, high = list->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_key(list->at[middle], key, key_len) < 0) low = middle + 1;
        else high = middle;
    }
    *count = 0;
    while (low + *count < list->n && !compare_key(list->at[low + *count], key, key_len)) ++*count;
    return *count ? list->at + low : NULL;
}
