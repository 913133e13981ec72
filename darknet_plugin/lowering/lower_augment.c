/* [augment] and stock Darknet's augmentation keys of [net], [yolo] and [region], resolved into one record.
 *
 * Stock classifier training always crops between width and 2*width and flips, so a cfg without [augment] does the
 * same. A cfg with [augment] says what it wants: what neither section mentions is off. The net's width stands for both
 * sides, as in Darknet. Stock detector training reads jitter= and random= from the last layer, wherever that comes from,
 * and letterboxes; [augment] jitter=, random= and fit= say otherwise. It crops nothing and turns nothing. */
#include "lower_build.h"

#include <limits.h>

/* Darknet takes the crop's range as a ratio of the width where one is given. */
static int crop_side(const cfg_section *net, const char *crop, const char *ratio, int w, int def)
{
    double side = cfg_int(net, crop, def);
    if (cfg_find(net, ratio)) side = cfg_float(net, ratio, 1) * w;
    return side < INT_MAX ? (int)side : INT_MAX;
}

static void read_crop(const cfg_section *net, const cfg_section *aug, int w, augment_spec *a)
{
    int low = crop_side(net, "min_crop", "min_ratio", w, w);
    int high = crop_side(net, "max_crop", "max_ratio", w, aug || w > INT_MAX / 2 ? w : 2 * w);
    a->min_crop = low < high ? low : high;
    a->max_crop = low < high ? high : low;
    a->angle = (float)cfg_float(net, "angle", 0);
    a->aspect = (float)cfg_float(net, "aspect", 1);
}

/* The last [yolo] or [region]; NULL if the net is no detector. */
static const cfg_section *last_head(const cfg_file *c)
{
    for (int i = c->n - 1; i > 0; --i)
        if (cfg_is(&c->section[i], "yolo") || cfg_is(&c->section[i], "region")) return &c->section[i];
    return NULL;
}

static void read_detector(const cfg_section *head, const cfg_section *aug, augment_spec *a)
{
    double jitter = cfg_float(head, "jitter", aug ? 0 : .2), random = cfg_float(head, "random", 0);
    a->detector = 1;
    a->jitter = (float)(aug ? cfg_float(aug, "jitter", jitter) : jitter);
    a->random = (float)(aug ? cfg_float(aug, "random", random) : random);
    a->stretch = aug && cfg_str(aug, "fit", "letterbox")[0] == 's';
}

void augment_read(const cfg_file *source, const cfg_file *stock, augment_spec *a)
{
    const cfg_section *net = cfg_net(source), *aug = cfg_first(source, "augment"), *head = last_head(stock);
    int w = net ? cfg_int(net, "width", 0) : 0;
    *a = (augment_spec){ .min_crop = w, .max_crop = w, .aspect = 1, .saturation = 1, .exposure = 1 };
    if (!net || !w) return;
    a->pad = aug ? cfg_int(aug, "pad", 0) : 0;
    a->flip = cfg_int(net, "flip", !aug);
    if (aug) a->flip = cfg_int(aug, "flip", a->flip);
    if (head) read_detector(head, aug, a);
    else read_crop(net, aug, w, a);
    a->hue = (float)cfg_float(net, "hue", 0);
    a->saturation = (float)cfg_float(net, "saturation", 1);
    a->exposure = (float)cfg_float(net, "exposure", 1);
    a->any = a->pad > 0 || a->flip || a->min_crop != w || a->max_crop != w || a->angle != 0 || a->aspect != 1 ||
             a->hue != 0 || a->saturation != 1 || a->exposure != 1 || a->jitter != 0 || a->random != 0;
}
