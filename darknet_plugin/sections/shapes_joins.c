/* The shapes of layers that read others than the one before: [route], [shortcut], [scale_channels], [sam]
 * (see shapes_layers.c). */
#include "shapes_kit.h"

#include <stdlib.h>
#include <string.h>

/* The layer that `value` of `key` means, or -1. */
static int64_t layer_meant(shape_run *run, const char *key, int64_t value)
{
    int64_t index = value < 0 ? run->i + value : value;
    if (index >= 0 && index < run->i) return index;
    if (!run->i) shape_error(run, key, "has no layer before it to read");
    else shape_error(run, key, "'%s' %lld is layer %lld, expected 0 to %d", key, (long long)value, (long long)index,
                     run->i - 1);
    return -1;
}

/* Part group_id of the groups of each input's channels. */
static int check_parts(shape_run *run, const layer_shape *from, int64_t at, int64_t groups)
{
    int64_t part = number(run, "group_id", 0);
    if (part >= groups)
        shape_error(run, "group_id", "'group_id' is %lld, expected 0 to %lld", (long long)part, (long long)groups - 1);
    else if (from->c < 1)
        shape_error(run, "groups", "layer %lld has %d plain outputs, not channels to part", (long long)at,
                    from->outputs);
    else if (from->c % groups)
        shape_error(run, "groups", "'groups' is %lld, which does not divide the %d channels of layer %lld",
                    (long long)groups, from->c, (long long)at);
    else
        return 1;
    return 0;
}

/* The first layer's map, channels added up; a map of another size makes it 0x0, counting channels from 0 again. */
int shape_route(shape_run *run)
{
    int64_t groups = positive(run, "groups", 1);
    int *from, n = cfg_ints(run->section, "layers", &from), known = n > 0 && (groups < 2 || has_image(run));
    int64_t outputs = 0, c = 0, h = 0, w = 0;
    if (!n) shape_error(run, NULL, "'layers' is missing");
    for (int i = 0; i < n; ++i) {
        int64_t at = layer_meant(run, "layers", from[i]);
        known = known && at >= 0 && run->known[at];
        if (!known) continue;
        const layer_shape *f = &run->layer[at], *first = &run->layer[from[0] < 0 ? run->i + from[0] : from[0]];
        if (groups > 1) known = check_parts(run, f, at, groups);
        outputs += f->outputs / groups;
        if (!i) {
            h = f->h;
            w = f->w;
        }
        if (f->h == first->h && f->w == first->w) c += f->c / groups;
        else c = h = w = 0;
    }
    free(from);
    if (!known || !set_outputs(run, outputs)) return 0;
    run->l->inputs = run->l->outputs;
    run->l->c = (int)c;
    run->l->h = (int)h;
    run->l->w = (int)w;
    return 1;
}

static void not_an_image(shape_run *run, const layer_shape *from, int64_t at, const char *what)
{
    shape_error(run, "from", "layer %lld has %d plain outputs, not an image to %s", (long long)at, from->outputs, what);
}

/* out = in + the maps of all `from`, of the channels that both have, each times its weight: one for each layer, or for
 * each channel of each layer. */
static int shortcut_sum(shape_run *run)
{
    int *from, n = cfg_ints(run->section, "from", &from), known = has_image(run);
    const char *kind = cfg_str(run->section, "weights_type", "none");
    const char *odd = cfg_find(run->section, "alpha") ? "alpha" : "beta";
    layer_shape *l = run->l;
    for (int i = 0; i < n; ++i) {
        int64_t at = layer_meant(run, "from", from[i]);
        known = known && at >= 0 && run->known[at];
        const layer_shape *f = known ? &run->layer[at] : NULL;
        if (f && f->c < 1) not_an_image(run, f, at, "add");
        else if (f && (f->h != l->in_h || f->w != l->in_w))
            shape_error(run, "from", "cannot add the %dx%dx%d of layer %lld to %dx%dx%d", f->c, f->h, f->w,
                        (long long)at, l->in_c, l->in_h, l->in_w);
    }
    free(from);
    if (cfg_find(run->section, odd))
        shape_error(run, odd, "'%s' cannot stand beside several layers or weights, which have their own", odd);
    if (!known) return 0;
    input_is_map(run);
    if (strcmp(kind, "none")) add_weights(run, times(n + 1, strcmp(kind, "per_channel") ? 1 : l->in_c), 0, 0, 0);
    return same_map(run);
}

/* out = in + from's map, nearest or every k-th pixel where sizes differ by a factor, the common channels. */
int shape_shortcut(shape_run *run)
{
    if (!cfg_find(run->section, "from")) {
        shape_error(run, NULL, "'from' is missing");
        return 0;
    }
    if (cfg_is_shortcut_sum(run->section)) return shortcut_sum(run);
    int64_t at = layer_meant(run, "from", number(run, "from", 0));
    if (at < 0 || !run->known[at] || !has_image(run)) return 0;
    const layer_shape *f = &run->layer[at];
    layer_shape *l = run->l;
    input_is_map(run);
    if (f->h < 1 || f->w < 1 || f->c < 1) not_an_image(run, f, at, "add");
    else if (f->w / l->in_w != f->h / l->in_h || l->in_w / f->w != l->in_h / f->h)
        shape_error(run, "from", "cannot add the %dx%dx%d of layer %lld to %dx%dx%d", f->c, f->h, f->w, (long long)at,
                    l->in_c, l->in_h, l->in_w);
    return same_map(run);
}

/* The map of `from`, times what stands before: a number for each channel, or with scale_wh for each pixel. */
int shape_scale_channels(shape_run *run)
{
    int64_t at = layer_meant(run, "from", number(run, "from", 0));
    if (at < 0 || !run->known[at] || !has_image(run)) return 0;
    const layer_shape *f = &run->layer[at], *l = run->l;
    int pixels = cfg_int(run->section, "scale_wh", 0);
    int fits = pixels ? l->in_c == 1 && l->in_h == f->h && l->in_w == f->w
        : l->in_h == 1 && l->in_w == 1 && l->in_c == f->c;
    input_is_map(run);
    if (f->c < 1) not_an_image(run, f, at, "scale");
    else if (!fits)
        shape_error(run, "from", "cannot scale the %dx%dx%d of layer %lld by %dx%dx%d, expected %dx%dx%d", f->c, f->h,
                    f->w, (long long)at, l->in_c, l->in_h, l->in_w, pixels ? 1 : f->c, pixels ? f->h : 1,
                    pixels ? f->w : 1);
    return set_map(run, f->c, f->h, f->w);
}

/* The map of `from`, times the one before, number by number. */
int shape_sam(shape_run *run)
{
    int64_t at = layer_meant(run, "from", number(run, "from", 0));
    if (at < 0 || !run->known[at] || !has_image(run)) return 0;
    const layer_shape *f = &run->layer[at], *l = run->l;
    input_is_map(run);
    if (f->c != l->in_c || f->h != l->in_h || f->w != l->in_w)
        shape_error(run, "from", "cannot multiply the %dx%dx%d of layer %lld by %dx%dx%d", f->c, f->h, f->w,
                    (long long)at, l->in_c, l->in_h, l->in_w);
    return same_map(run);
}
