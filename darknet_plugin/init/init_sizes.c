/* What smaller students cost, and the largest that fits (see init.h). */
#include "init_internal.h"

#include "darknet_plugin/deploying/bench.h"

#include <stdlib.h>
#include <string.h>

static const struct { double width, depth; } SIZES[INIT_SIZES] = { { .75, 1 }, { .5, 1 }, { .5, .5 }, { .25, 1 } };

static const double SECONDS = .5;    /* each is run for */

/* One of them, as it deploys. 0, or -1 after reporting. */
static int measure(const init_job *job, int measured, init_size *size, diag *d)
{
    init_job smaller = *job;
    smaller.student = NULL;
    smaller.width = size->width;
    smaller.depth = size->depth;
    init_cfg *made = init_make(&smaller, d);
    lowered *low = made ? lower_cfg(cfg_copy(made->cfg), LOWER_DEPLOY, d) : NULL;
    init_free(made);
    if (!low) return -1;
    size->params = low->shape->params;
    size->macs = low->shape->macs;
    size->seconds = measured ? bench_alone(low, BACKEND_DNNL, SECONDS, d) : 0;
    lower_free(low);
    return size->seconds < 0 ? -1 : 0;
}

/* Warnings would come once for each of them: those of the one that is written are enough. */
int init_sizes(const init_job *job, int measured, init_size size[INIT_SIZES], diag *d)
{
    int bad = 0;
    for (int i = 0; i < INIT_SIZES && !bad; ++i) {
        diag *quiet = diag_aside(d);
        size[i] = (init_size){ .width = SIZES[i].width, .depth = SIZES[i].depth };
        bad = measure(job, measured, &size[i], quiet);
        if (bad) diag_append(d, quiet, 0);
        diag_free(quiet);
    }
    return bad;
}

int init_read_target(const char *text, init_target *target, diag *d)
{
    static const struct { const char *unit; double factor; int seconds; } units[] = {
        { "ms", 1e-3, 1 }, { "s", 1, 1 }, { "k", 1e3, 0 }, { "K", 1e3, 0 }, { "M", 1e6, 0 },
    };
    char *end;
    size_t digits = strspn(text, "0123456789.");
    double value = digits ? strtod(text, &end) : 0;
    *target = (init_target){ .seconds = 0 };
    for (size_t i = 0; digits && end == text + digits && value > 0 && i < sizeof units / sizeof *units; ++i) {
        if (strcmp(end, units[i].unit)) continue;
        *(units[i].seconds ? &target->seconds : &target->params) = value * units[i].factor;
        return 0;
    }
    diag_error(d, NULL, 0, NULL, "'-target %s': expected milliseconds an image or parameters, as 5ms, 500k or 2M",
               text);
    return -1;
}

static double cost(const init_size *size, const init_target *target)
{
    return target->seconds > 0 ? size->seconds : (double)size->params;
}

int init_choose(const init_size size[INIT_SIZES], const init_target *target, diag *d)
{
    double most = target->seconds > 0 ? target->seconds : target->params, least = cost(&size[0], target);
    int best = -1;
    for (int i = 0; i < INIT_SIZES; ++i) {
        if (cost(&size[i], target) < least) least = cost(&size[i], target);
        if (cost(&size[i], target) <= most && (best < 0 || size[i].params > size[best].params)) best = i;
    }
    if (best >= 0) return best;
    if (target->seconds > 0)
        diag_error(d, NULL, 0, NULL, "no size answers in %g ms: the fastest takes %.3g ms", most * 1e3, least * 1e3);
    else
        diag_error(d, NULL, 0, NULL, "no size has %.0f parameters or fewer: the smallest has %.0f", most, least);
    diag_hint(d, "-width and -depth make a smaller one");
    return -1;
}
