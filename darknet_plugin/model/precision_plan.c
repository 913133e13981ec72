/* Reading a plan (see precision_plan.h). */
#include "precision_plan.h"

#include "darknet_plugin/base/mem.h"
#include "model.h"

#include <string.h>

/* The entry's text, *length of it; NULL: there is none. */
static const char *entry_of(const char *plan, int network, size_t *length)
{
    for (int i = 0; plan && i < network; ++i) {
        plan = strchr(plan, ',');
        if (plan) ++plan;
    }
    if (plan) *length = strcspn(plan, ",");
    return plan;
}

static int bad_plan(int network, diag *d)
{
    diag_error(d, NULL, 0, NULL, "what '-precision auto' chose when the run began is not for network %d of this cfg",
               network);
    return -1;
}

int precision_of(const model_options *options, int network, int layers, cpu_precision *precision, char **products,
                 diag *d)
{
    size_t length = 0, begin = strlen("bf16 ");
    const char *entry = entry_of(options->plan, network, &length);
    *precision = options->precision;
    *products = NULL;
    if (!options->plan) {
        if (!options->products) return 0;
        *products = mem_calloc((size_t)layers + 1, 1);
        memset(*products, options->products, (size_t)layers);
        return 0;
    }
    if (!entry) return bad_plan(network, d);
    *precision = strncmp(entry, "bf16 ", begin) ? PRECISION_FP32 : PRECISION_BF16;
    if (*precision == PRECISION_FP32) return length == strlen("fp32") ? 0 : bad_plan(network, d);
    if (length != begin + (size_t)layers) return bad_plan(network, d);
    *products = mem_printf("%.*s", layers, entry + begin);
    return 0;
}
