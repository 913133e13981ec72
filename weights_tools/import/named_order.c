/* The order of tensors in files that have them sorted by name, as safetensors' usual writer does and whoever passes a
 * state dict through sorted(): their order in the model is lost. Where all names stand in order, numbers in them are
 * ordered by value (layer1.2 before layer1.10), which is as near to the model's order as names can tell. */
#include "named_tensors.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static size_t skip_zeros(const char **digits)
{
    *digits += strspn(*digits, "0");
    return strspn(*digits, "0123456789");
}

/* Below, at or above 0 as `name` comes before, is or comes after `other`: text as bytes, runs of digits as numbers. */
static int natural(const char *name, const char *other)
{
    while (*name && *other) {
        size_t digits = 1, others = 1;
        int order;
        if (isdigit((unsigned char)*name) && isdigit((unsigned char)*other)) {
            digits = skip_zeros(&name);
            others = skip_zeros(&other);
            order = digits == others ? strncmp(name, other, digits) : (digits > others) - (digits < others);
        } else {
            order = (unsigned char)*name - (unsigned char)*other;
        }
        if (order) return order;
        name += digits;
        other += others;
    }
    return (*name != 0) - (*other != 0);
}

static int by_name(const void *one, const void *other)
{
    const char *a = ((const named_tensor *)one)->name, *b = ((const named_tensor *)other)->name;
    int order = natural(a, b);
    return order ? order : strcmp(a, b);
}

void named_tensors_restore_order(named_tensors *tensors)
{
    const char *last = "";
    if (!tensors->n) return;
    for (int i = 0; i < tensors->n; ++i) {
        if (tensors->tensor[i].integer) continue;     /* sorted apart, by their type */
        if (strcmp(last, tensors->tensor[i].name) > 0) return;
        last = tensors->tensor[i].name;
    }
    qsort(tensors->tensor, (size_t)tensors->n, sizeof *tensors->tensor, by_name);
}
