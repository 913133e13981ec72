/* [augment] and stock Darknet's augmentation keys of [net], [yolo] and [region], resolved into one record.
 *
 * Stock classifier training always crops between width and 2*width and flips, so a cfg without [augment] does the
 * same. A cfg with [augment] says what it wants: what neither section mentions is off. The net's width stands for both
 * sides, as in Darknet. Stock detector training reads jitter= and random= from the last layer, wherever that comes
 * from, and letterboxes; [augment] jitter=, random= and fit= say otherwise. It crops nothing and turns nothing.
 * [augment] fit= is for classifiers, too; a deployed cfg says the same by AlexeyAB's [net] letter_box=. A detector
 * whose cfg is AlexeyAB's is stretched, since his Darknet does that where the key is not there. His [net] mosaic= and
 * mixup= are a detector's; [augment] has them, too. */
#include "lower_build.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/data/augment.h"

#include <limits.h>
#include <stdlib.h>

/* Darknet takes the crop's range as a ratio of the width where one is given. */
static int crop_side(const cfg_section *net, const char *crop, const char *ratio, int w, int def)
{
    double side = cfg_int(net, crop, def);
    if (cfg_find(net, ratio)) side = cfg_float(net, ratio, 1) * w;
    return side < INT_MAX ? (int)side : INT_MAX;
}

static void read_crop(const cfg_section *net, const cfg_section *aug, int w, augment_spec *augment)
{
    int low = crop_side(net, "min_crop", "min_ratio", w, w);
    int high = crop_side(net, "max_crop", "max_ratio", w, aug || w > INT_MAX / 2 ? w : 2 * w);
    augment->min_crop = low < high ? low : high;
    augment->max_crop = low < high ? high : low;
    augment->angle = (float)cfg_float(net, "angle", 0);
    augment->aspect = (float)cfg_float(net, "aspect", 1);
}

/* The last [yolo] or [region]; NULL if the net is no detector. */
static const cfg_section *last_head(const cfg_file *cfg)
{
    for (int i = cfg->n - 1; i > 0; --i)
        if (cfg_is_boxes(&cfg->section[i])) return &cfg->section[i];
    return NULL;
}

enum { FIT_UNSAID = -1 };

/* What a network's own cfg says: AlexeyAB's [net] letter_box=; or that a detector is AlexeyAB's, whose Darknet
 * stretches: then *sign is what of it shows that, *what its key. FIT_UNSAID: neither. */
static int fit_of(const cfg_file *cfg, int detector, const cfg_section **sign, const char **what)
{
    const cfg_section *net = cfg_net(cfg);
    *sign = NULL;
    if (cfg_find(net, "letter_box")) return cfg_int(net, "letter_box", 0) ? FIT_LETTERBOX : FIT_STRETCH;
    if (detector) *sign = cfg_fork_sign(cfg, what);
    return *sign ? FIT_STRETCH : FIT_UNSAID;
}

static void say_stretched(const cfg_section *sign, const char *what, diag *d)
{
    diag_warn(d, sign->file, what ? cfg_line(sign, what) : sign->line, sign->name,
              "%s%sis of AlexeyAB's Darknet: images are stretched to the input, as it does", what ? what : "",
              what ? "= " : "");
    diag_hint(d, "[net] letter_box=1 or -fit letterbox letterboxes them");
}

/* [augment] fit=, else what the cfg says, else what stock Darknet does with images that it measures. */
static image_fit read_fit(const cfg_file *source, const cfg_section *aug, int detector, diag *d)
{
    const char *fit = aug ? cfg_str(aug, "fit", NULL) : NULL, *what;
    const cfg_section *sign;
    int named = fit ? augment_fit_named(fit) : -1, said;
    if (named >= 0 && !(detector && named == FIT_CROP)) return (image_fit)named;
    said = fit_of(source, detector, &sign, &what);
    if (sign) say_stretched(sign, what, d);
    if (said != FIT_UNSAID) return (image_fit)said;
    return detector ? FIT_LETTERBOX : FIT_CROP;
}

static void warn_of_key(const cfg_section *aug, const char *key, const char *why, diag *d)
{
    diag_warn(d, aug->file, cfg_line(aug, key), aug->name, "%s=%s is for %s", key, cfg_str(aug, key, ""), why);
}

/* What AlexeyAB's Darknet has in [net] and this one has for detectors alone. */
static void warn_of_net(const cfg_section *net, int detector, diag *d)
{
    static const char *const key[] = { "mosaic", "mixup" };
    for (size_t i = 0; !detector && i < sizeof key / sizeof *key; ++i)
        if (cfg_int(net, key[i], 0)) warn_of_key(net, key[i], "detectors and does nothing here", d);
}

/* Keys that this kind of network makes nothing of. */
static void warn_of_kind(const cfg_section *aug, int detector, diag *d)
{
    if (detector && augment_fit_named(cfg_str(aug, "fit", "letterbox")) == FIT_CROP)
        warn_of_key(aug, "fit", "classifiers: boxes would be cut off, images are not cropped", d);
    if (!detector && cfg_float(aug, "jitter", 0) != 0) warn_of_key(aug, "jitter", "detectors and does nothing here", d);
    if (!detector && cfg_float(aug, "random", 0) != 0) warn_of_key(aug, "random", "detectors and does nothing here", d);
    if (!detector && cfg_int(aug, "mosaic", 0)) warn_of_key(aug, "mosaic", "detectors and does nothing here", d);
}

static void read_detector(const cfg_section *net, const cfg_section *head, const cfg_section *aug,
                          augment_spec *augment)
{
    int mosaic = cfg_int(net, "mosaic", 0), mixup = cfg_int(net, "mixup", 0);
    augment->mosaic = aug ? cfg_int(aug, "mosaic", mosaic) : mosaic;
    augment->mixup = (float)(aug ? cfg_float(aug, "mixup", mixup) : mixup);
    double jitter = cfg_float(head, "jitter", aug ? 0 : .2), random = cfg_float(head, "random", 0);
    augment->detector = 1;
    augment->jitter = (float)(aug ? cfg_float(aug, "jitter", jitter) : jitter);
    augment->random = (float)(aug ? cfg_float(aug, "random", random) : random);
}

/* Resolves all keys into one record, of which `any` says whether an image is changed at all. */
void augment_read(const cfg_file *source, const cfg_file *stock, augment_spec *augment, diag *d)
{
    const cfg_section *net = cfg_net(source), *aug = cfg_first(source, "augment"), *head = last_head(stock);
    int w = net ? cfg_int(net, "width", 0) : 0;
    *augment = (augment_spec){ .min_crop = w, .max_crop = w, .aspect = 1, .saturation = 1, .exposure = 1 };
    if (!net || !w) return;
    augment->fit = read_fit(source, aug, head != NULL, d);
    warn_of_net(net, head != NULL, d);
    if (aug) warn_of_kind(aug, head != NULL, d);
    augment->pad = aug ? cfg_int(aug, "pad", 0) : 0;
    augment->flip = cfg_int(net, "flip", !aug);
    if (aug) augment->flip = cfg_int(aug, "flip", augment->flip);
    augment->mixup = aug ? (float)cfg_float(aug, "mixup", 0) : 0;
    if (head) read_detector(net, head, aug, augment);
    else read_crop(net, aug, w, augment);
    augment->hue = (float)cfg_float(net, "hue", 0);
    augment->saturation = (float)cfg_float(net, "saturation", 1);
    augment->exposure = (float)cfg_float(net, "exposure", 1);
    augment->cutout = aug ? cfg_int(aug, "cutout", 0) : 0;
    augment->label_smoothing = aug ? (float)cfg_float(aug, "label_smoothing", 0) : 0;
    augment->any = augment->pad > 0 || augment->flip || augment->min_crop != w || augment->max_crop != w ||
        augment->angle != 0 || augment->aspect != 1 ||
             augment->hue != 0 || augment->saturation != 1 || augment->exposure != 1 || augment->jitter != 0 ||
                 augment->random != 0 || augment->mosaic || augment->mixup > 0 || augment->cutout > 0;
}

/* Keys that mean nothing to a detector: 0, or -1 after reporting those that are on. */
static int refuse_in_detector(const cfg_section *aug, const char *head, diag *d)
{
    static const char *const key[] = { "cutout", "label_smoothing" };
    double mixup = cfg_float(aug, "mixup", 0);
    int bad = 0;
    if (mixup != 0 && mixup != 1) {
        diag_error(d, aug->file, cfg_line(aug, "mixup"), aug->name,
                   "mixup=%s is for classifiers, this network has [%s]", cfg_str(aug, "mixup", ""), head);
        diag_hint(d, "mixup=1 mixes a detector's images, half and half");
        bad = -1;
    }
    for (size_t i = 0; i < sizeof key / sizeof *key; ++i) {
        if (!(cfg_float(aug, key[i], 0) > 0)) continue;
        diag_error(d, aug->file, cfg_line(aug, key[i]), aug->name, "%s=%s is for classifiers, this network has [%s]",
                   key[i], cfg_str(aug, key[i], ""), head);
        diag_hint(d, "jitter=, random= and [net] hue=, saturation= and exposure= augment for detectors");
        bad = -1;
    }
    return bad;
}

int lower_check_augment(lower_build *build)
{
    const lowered *low = build->low;
    const cfg_section *aug = cfg_first(low->source, "augment"), *head = last_head(low->cfg);
    int w = low->shape->w, h = low->shape->h, size = aug ? cfg_int(aug, "cutout", 0) : 0;
    int half = size / 2 + size % 2;
    if (!aug) return 0;
    if (head) return refuse_in_detector(aug, head->name, build->d);
    if (half < 1 || half < w || half < h) return 0;
    diag_error(build->d, aug->file, cfg_line(aug, "cutout"), aug->name, "cutout=%d hides all of every %dx%d image",
               size, w, h);
    diag_hint(build->d, "a side of half of the image or less leaves something to see");
    return -1;
}

/* How a teacher's images were brought to its input, and why that is known, which the caller frees: [teacher] fit=, else
 * what its cfg says. FIT_UNSAID: nothing does. */
static int teachers_fit(const teacher_spec *teacher, char **why)
{
    const char *asked = cfg_str(teacher->section, "fit", NULL), *what = NULL;
    const cfg_section *sign = NULL;
    int fit = asked ? augment_fit_named(asked) : fit_of(teacher->cfg, teacher->outs > 0, &sign, &what);
    if (asked) *why = mem_printf("fit=%s", asked);
    else if (!sign) *why = mem_printf("letter_box=%d in %s", fit == FIT_LETTERBOX, teacher->cfg_path);
    else *why = mem_printf("[%s] %s%sin %s, which is of AlexeyAB's Darknet", sign->name, what ? what : "",
                           what ? "= " : "", teacher->cfg_path);
    return fit;
}

void augment_check_teachers(const lowered *low, diag *d)
{
    for (int i = 0; i < low->teachers; ++i) {
        const teacher_spec *teacher = &low->teacher[i];
        const char *key = cfg_find(teacher->section, "fit") ? "fit" : "cfg";
        char *why;
        int saw = teachers_fit(teacher, &why);
        if (saw != FIT_UNSAID && (image_fit)saw != low->augment.fit) {
            diag_warn(d, teacher->section->file, cfg_line(teacher->section, key), teacher->section->name,
                      "%s: its images were %s, here they are %s", why, augment_fit_text((image_fit)saw),
                      augment_fit_text(low->augment.fit));
            diag_hint(d, "[augment] fit=%s", augment_fit_name((image_fit)saw));
        }
        free(why);
    }
}

void lower_set_fit(lowered *low, image_fit fit)
{
    cfg_section *net = &low->cfg->section[0];
    low->fit_by_flag |= low->mode != LOWER_DEPLOY && fit != low->augment.fit;
    low->augment.fit = fit;
    if (low->mode != LOWER_DEPLOY) return;
    if (fit == FIT_CROP) cfg_unset(net, "letter_box");
    else cfg_set(net, "letter_box", "%d", fit == FIT_LETTERBOX);
}
