/* Taking layers out of a cfg (see weights_cut.h). Layers are numbered by their place, and all but [route] read the
 * layer before: so each kept layer must come to stand behind what stands for its old predecessor, and every number it
 * names is looked up. The network's input has no number in Darknet; where a layer names it, an entrance layer in front,
 * a [maxpool] of size 1 that every reader knows and that changes no bit, gives it number 0. */
#include "weights_cut.h"

#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/path.h"

#include <stdlib.h>
#include <string.h>

void weights_cut_begin(weights_cut *cut, const weights_view *view)
{
    const net_shape *shape = view->low->shape;
    size_t n = (size_t)shape->n;
    *cut = (weights_cut){ .view = view, .c = shape->c, .h = shape->h, .w = shape->w, .inputs = shape->inputs };
    cut->keep = mem_calloc(n, sizeof *cut->keep);
    cut->stands = mem_calloc(n, sizeof *cut->stands);
    cut->number = mem_calloc(n, sizeof *cut->number);
    memset(cut->keep, 1, n);
    for (int i = 0; i < shape->n; ++i) cut->stands[i] = i;
}

void weights_cut_free(weights_cut *cut)
{
    free(cut->keep);
    free(cut->stands);
    free(cut->number);
    cfg_free(cut->cfg);
}

int weights_cut_names(const cfg_file *cfg, int i, int **from)
{
    const cfg_section *section = cfg_layer(cfg, i);
    const char *key = lower_reader_key(section);
    *from = NULL;
    return key ? cfg_ints(section, key, from) : 0;
}

int weights_cut_reads_before(const cfg_file *cfg, int i)
{
    return !cfg_is(cfg_layer(cfg, i), "route");
}

/* The new number of what stands for old layer i (-1: the input before the first); CUT_NOTHING if nothing does. */
static int new_number(const weights_cut *cut, int i)
{
    int at = i < 0 ? CUT_INPUT : cut->stands[i];
    if (at == CUT_NOTHING) return CUT_NOTHING;
    return at == CUT_INPUT ? cut->entrance - 1 : cut->number[at];
}

static int not_there(const cfg_section *section, int layer, int from, diag *d)
{
    diag_error(d, section->file, section->line, section->name, "layer %d reads layer %d, which would not be there",
               layer, from);
    return -1;
}

/* The layers that old layer i names, as it now has to name them. */
static int rewrite_names(weights_cut *cut, int i, cfg_section *out, diag *d)
{
    int *from, n = weights_cut_names(cut->view->low->cfg, i, &from), bad = 0;
    char *text = mem_calloc((size_t)n + 1, 12), *end = text;   /* 12: ",2147483647" and the end */
    for (int j = 0; j < n && !bad; ++j) {
        int to = new_number(cut, from[j]);
        if (to < 0) bad = not_there(out, i, from[j], d);
        else end += snprintf(end, 12, "%s%u", j ? "," : "", (unsigned)to);
    }
    if (n && !bad) cfg_set(out, lower_reader_key(out), "%s", text);
    free(text);
    free(from);
    return bad;
}

static int append_layer(weights_cut *cut, int i, diag *d)
{
    const cfg_file *whole = cut->view->low->cfg;
    cfg_section *section = cfg_append_copy(cut->cfg, cfg_layer(whole, i));
    int number = cut->number[i] = section->index;
    if (weights_cut_reads_before(whole, i) && new_number(cut, i - 1) != number - 1)
        return not_there(section, i, i - 1, d);
    return rewrite_names(cut, i, section, d);
}

static void set_or_unset(cfg_section *section, const char *key, int value)
{
    if (value) cfg_set(section, key, "%d", value);
    else cfg_unset(section, key);
}

/* [net] with the new input, and the entrance where there is one. */
static void append_net(weights_cut *cut)
{
    cfg_section *section = cfg_append_copy(cut->cfg, cfg_net(cut->view->low->cfg));
    set_or_unset(section, "width", cut->w);
    set_or_unset(section, "height", cut->h);
    set_or_unset(section, "channels", cut->c);
    set_or_unset(section, "inputs", cut->c ? 0 : cut->inputs);
    if (!cut->entrance) return;
    section = cfg_append(cut->cfg, "maxpool", section->file, section->line);
    cfg_set(section, "size", "1");
    cfg_set(section, "stride", "1");
}

int weights_cut_build(weights_cut *cut, diag *d)
{
    int n = cut->view->low->shape->n;
    cut->cfg = cfg_new(cut->view->low->cfg->path);
    append_net(cut);
    for (int i = 0; i < n; ++i) cut->number[i] = CUT_NOTHING;
    for (int i = 0; i < n; ++i)
        if (cut->keep[i] && append_layer(cut, i, d)) return -1;
    return 0;
}

int weights_cut_run(options *options, int (*cut)(const weights_view *view, const struct options *options, diag *d),
                    diag *d)
{
    const char *given = options->arg[3];
    char *out = path_of_pair(given);
    options->arg[3] = out;
    weights_view *view = weights_view_open(options->arg[1], d);
    int failed = !view || cut(view, options, d);
    weights_view_close(view);
    options->arg[3] = given;
    free(out);
    return failed ? -1 : 0;
}
