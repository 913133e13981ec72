/* Which of the four compilations of blocked layers a network gets (variant.h): halves in bf16, channels last where AMX
 * multiplies them; else blocks of 8 channels where it is made of depthwise convolutions and wider blocks would be empty
 * for a good part.
 *
 * Depthwise networks spend their time on moving maps; dense ones on arithmetic, which wide vectors do faster even with
 * some lanes empty. */
#include "state.h"

#include <string.h>

/* Narrow blocks pay where wide ones move this many tenths of what they move. */
enum { WORTH_IN_TENTHS = 11 };

/* Numbers of all convolutions' maps in blocks of so many lanes, of one image. */
static size_t moved(const network *net, int lanes)
{
    size_t floats = 0;
    for (int i = 0; i < net->n; ++i) {
        const layer *l = &net->layers[i];
        if (l->type == CONVOLUTIONAL) floats += cpu_whole((size_t)l->out_c, (size_t)lanes) * cpu_map(l);
    }
    return floats;
}

static int has_depthwise(const network *net)
{
    for (int i = 0; i < net->n; ++i) {
        const layer *l = &net->layers[i];
        if (l->type == CONVOLUTIONAL && l->groups > 1 && l->groups == l->c && l->groups == l->n) return 1;
    }
    return 0;
}

#ifdef DNNL
enum { WITH_DNNL = 1 };
#else
enum { WITH_DNNL = 0 };
#endif

/* Channels last? What `products` say, or as AMX wants it. */
static int has_channels_last(const char *products)
{
    const char *who = cpu_bf16_products();
    return products ? *products == CPU_PRODUCTS_LAST : who && !strcmp(who, "AMX");
}

/* What a test asks for, or what the maps' sizes say; alone, without oneDNN, Winograd has wide blocks only. */
const cpu_kernels *cpu_choose_kernels(const network *net, const cpu_options *options)
{
    if (options->precision == PRECISION_BF16)
        return WITH_DNNL && has_channels_last(options->products) ? &cpu_last : &cpu_half;
    if (!WITH_DNNL) return &cpu_wide;
    if (options->layouts == LAYOUTS_NARROW) return &cpu_narrow;
    if (options->layouts == LAYOUTS_BLOCKED && has_depthwise(net)
        && 10 * moved(net, cpu_wide.lanes) > WORTH_IN_TENTHS * moved(net, cpu_narrow.lanes)) return &cpu_narrow;
    return &cpu_wide;
}
