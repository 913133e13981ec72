/* Deploying: the subset of cfg that stock Darknet, its forks and OpenCV's importer read alike.
 *
 * Where their defaults differ the value is written (activation: logistic in Darknet, linear in OpenCV); keys that
 * only matter for training, or that would make a weights file load differently, go; numbers have no exponents, which
 * one fork refuses. What a layer computes in inference stays as it was.
 *
 * A 1x1 convolution with a stride becomes [maxpool] size=1 with that stride and the convolution without: stock Darknet
 * ignores a 1x1's stride on a CPU. Both take every stride-th pixel from the first on, a maxpool stores no weights, so
 * the weights file is the same; the numbers of all later layers rise by one, which whoever appends them sees to. */
#include "darknet_plugin/sections/cfg_keys.h"
#include "lower_build.h"
#include "darknet_plugin/base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const net_keys[] = { "batch", "subdivisions", "width", "height", "channels", "inputs", NULL };
/* Only training asks for these. */
static const char *const training_keys[] = { "truth", "smooth", NULL };
/* Skipping or freezing a layer of this net is wrong for a copy of it, trained elsewhere and complete. */
static const char *const loading_keys[] = { "dontload", "dontloadscales", "dontsave", "numload", "stopbackward",
                                            "onlyforward",
                                            "learning_rate", NULL };

static int listed(const char *key, const char *const *list)
{
    for (; *list; ++list)
        if (!strcmp(key, *list)) return 1;
    return 0;
}

/* A copy of the key, since cfg_unset frees the one in the section. */
static void unset_at(cfg_section *section, int i)
{
    char *key = mem_strdup(section->pair[i].key);
    cfg_unset(section, key);
    free(key);
}

void lower_deploy_net(cfg_section *section)
{
    for (int i = section->n - 1; i >= 0; --i)
        if (!listed(section->pair[i].key, net_keys)) unset_at(section, i);
    cfg_set(section, "batch", "1");
    cfg_set(section, "subdivisions", "1");
}

static void unset_all(cfg_section *section, const char *const *key)
{
    for (; *key; ++key) cfg_unset(section, *key);
}

void lower_strip_frozen(cfg_section *section)
{
    unset_all(section, loading_keys);
}

/* The shortest plain decimal that reads back as the same float. */
static char *plain_number(double v)
{
    char *text = NULL;
    for (int digits = 0; digits <= 60; ++digits) {
        free(text);
        text = mem_printf("%.*f", digits, v);
        if (strtof(text, NULL) == (float)v) break;
    }
    return text;
}

/* "1e-3,2" -> "0.001,2"; NULL where there is nothing to do. */
static char *without_exponents(const char *value)
{
    char *out = NULL, *end = NULL;
    size_t size;
    FILE *f = strpbrk(value, "eE") && !strpbrk(value, "xX") ? mem_stream(&out, &size) : NULL;
    for (const char *p = value; f; p = end + 1) {
        double v = strtod(p, &end);
        if (end == p || !isfinite(v) || (*end && *end != ',')) break;
        char *number = plain_number(v);
        fprintf(f, "%s%s", number, *end ? "," : "");
        free(number);
        if (*end) continue;
        mem_stream_end(f);
        return out;
    }
    if (f) mem_stream_end(f);
    free(out);
    return NULL;
}

/* What a key means anyway: OpenCV refuses a shortcut's beta, stock Darknet calls scale_x_y unused. */
static void drop_defaults(cfg_section *at)
{
    static const struct { const char *section, *key; } ones[] = { { "shortcut", "alpha" }, { "shortcut", "beta" },
                                                                  { "yolo", "scale_x_y" } };
    for (size_t i = 0; i < sizeof ones / sizeof *ones; ++i)
        if (cfg_is(at, ones[i].section) && cfg_float(at, ones[i].key, 1) == 1) cfg_unset(at, ones[i].key);
}

/* One word for one thing: AlexeyAB's Darknet and OpenCV know swish, not silu. */
static void use_common_words(cfg_section *section)
{
    if (!strcmp(cfg_str(section, "activation", ""), "silu")) cfg_set(section, "activation", "swish");
}

/* Keys that the host ignored while training would mean something to a fork, and what only training reads. */
static void drop_unknown(cfg_section *section)
{
    const section_row *row = cfg_section_row(section->name);
    for (int i = section->n - 1; row && i >= 0; --i) {
        const key_row *k = cfg_key_row(row, section->pair[i].key);
        if (!k || k->elsewhere || k->training) unset_at(section, i);
    }
}

int lower_strided_1x1(const cfg_section *section)
{
    int stride, down;
    if (cfg_strides(section, &stride, &down)) return 0;
    return cfg_is(section, "convolutional") && cfg_int(section, "size", 1) == 1 && (cfg_int(section, "pad", 0) ||
                                                                                    !cfg_int(section, "padding", 0)) &&
           stride > 1 ? stride : 0;
}

void lower_append_stride(lower_build *build, const cfg_section *section, layer_role role)
{
    cfg_section *pool = cfg_append(build->low->cfg, "maxpool", section->file, section->line);
    cfg_set(pool, "size", "1");
    cfg_set(pool, "stride", "%d", lower_strided_1x1(section));
    lower_mark_deployed(build, role);
}

/* One stride as `stride`, two as two; no dilation that is none. */
static void write_window(cfg_section *section)
{
    int x, y;
    if (!cfg_is(section, "convolutional") && !cfg_is(section, "maxpool")) return;
    int differ = cfg_strides(section, &x, &y), named = cfg_find(section, "stride_x") || cfg_find(section, "stride_y");
    if (named && !differ) {
        if (cfg_is(section, "maxpool") && !cfg_find(section, "size"))
            cfg_set(section, "size", "%d", cfg_int(section, "stride", 1));
        cfg_set(section, "stride", "%d", x);
        cfg_unset(section, "stride_x");
        cfg_unset(section, "stride_y");
    }
    if (cfg_dilation(section) == 1) cfg_unset(section, "dilation");
}

/* Takes out and spells out what readers disagree on. */
void lower_deploy_layer(cfg_section *section)
{
    const char *def = lower_default_activation(section->name);
    write_window(section);
    if (lower_strided_1x1(section)) cfg_set(section, "stride", "1");
    unset_all(section, loading_keys);
    unset_all(section, training_keys);
    if (cfg_is(section, "region")) cfg_unset(section, "thresh");   /* of training; OpenCV drops boxes below it */
    drop_unknown(section);
    drop_defaults(section);
    use_common_words(section);
    if (def && !cfg_find(section, "activation")) cfg_set(section, "activation", "%s", def);
    for (int i = 0; i < section->n; ++i) {
        char *plain = without_exponents(section->pair[i].value);
        if (plain) cfg_set(section, section->pair[i].key, "%s", plain);
        free(plain);
    }
}
