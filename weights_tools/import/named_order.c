/* The order of tensors in files that have them sorted by name, as safetensors' usual writer does and whoever passes a
 * state dict through sorted(): their order in the model is lost. Where all names stand in order, numbers in them are
 * ordered by value (layer1.2 before layer1.10), which is as near to the model's order as names can tell. */
#include "named_tensors.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* Text as bytes, runs of digits as numbers. */
static int natural(const char *a, const char *b)
{
    while (*a && *b) {
        if (isdigit((unsigned char)*a) && isdigit((unsigned char)*b)) {
            size_t n = strspn(a += strspn(a, "0"), "0123456789"), m = strspn(b += strspn(b, "0"), "0123456789");
            int c = n != m ? (n > m) - (n < m) : strncmp(a, b, n);
            if (c) return c;
            a += n;
            b += m;
        } else if (*a != *b) {
            return (unsigned char)*a - (unsigned char)*b;
        } else {
            ++a;
            ++b;
        }
    }
    return (*a != 0) - (*b != 0);
}

static int by_name(const void *a, const void *b)
{
    const named_tensor *x = a, *y = b;
    int c = natural(x->name, y->name);
    return c ? c : strcmp(x->name, y->name);
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
