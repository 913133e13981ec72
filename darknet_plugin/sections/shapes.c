/* Shape inference: [net], then layer after layer by the rows of shapes_layers.c.
 *
 * A mistake in one layer leaves what it feeds unknown; of those nothing is said, the rest is still checked. */
#include "shapes_layers.h"

#include "darknet_plugin/base/mem.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* ---- [net] ---- */

static int at_least_1(shape_run *run, const char *key)
{
    int v = cfg_int(run->section, key, 1);
    if (v < 1) shape_error(run, key, "'%s' is %d, expected at least 1", key, v);
    return v;
}

static void infer_batch(shape_run *run, net_shape *shape)
{
    shape->batch = at_least_1(run, "batch");
    shape->subdivisions = at_least_1(run, "subdivisions");
    (void)at_least_1(run, "time_steps");
    if (shape->batch > 0 && shape->subdivisions > 0 && shape->batch % shape->subdivisions)
        shape_error(run, "subdivisions", "'subdivisions' is %d, which does not divide batch=%d", shape->subdivisions,
                    shape->batch);
}

/* The image, or plain floats; 0 where there is neither. */
static int infer_input(shape_run *run, net_shape *shape)
{
    shape->h = cfg_int(run->section, "height", 0);
    shape->w = cfg_int(run->section, "width", 0);
    shape->c = cfg_int(run->section, "channels", 0);
    double whole = (double)shape->h * shape->w * shape->c;
    if (whole > INT_MAX) {
        shape_error(run, NULL, "a %dx%dx%d input is more than Darknet can count", shape->c, shape->h, shape->w);
        return 0;
    }
    shape->inputs = cfg_int(run->section, "inputs", (int)whole);
    if (shape->inputs < 1 || shape->h < 0 || shape->w < 0 || shape->c < 0) {
        shape_error(run, NULL, "needs width, height and channels, or inputs");
        return 0;
    }
    if (whole > 0 && shape->inputs != (int)whole)
        shape_error(run, "inputs", "'inputs' is %d, but a %dx%dx%d image has %d", shape->inputs, shape->c, shape->h,
                    shape->w, (int)whole);
    return 1;
}

/* Darknet looks no further than the first step that is not reached yet. */
static void check_order(shape_run *run, const int *step, int n)
{
    int rising = 1;
    while (rising < n && step[rising] >= step[rising - 1]) ++rising;
    if (rising >= n) return;
    diag_warn(run->d, run->section->file, cfg_line(run->section, "steps"), run->section->name,
              "'steps' falls from %d to %d: the rate does not change at %d, only with the step before",
              step[rising - 1], step[rising], step[rising]);
}

/* Rates that change otherwise than it looks. */
static void check_policy(shape_run *run)
{
    int *steps;
    float *scales;
    const char *policy = cfg_str(run->section, "policy", "constant");
    if (!strcmp(policy, "random"))
        diag_warn(run->d, run->section->file, cfg_line(run->section, "policy"), run->section->name,
                  "policy=random is constant here: runs are repeatable");
    if (!strcmp(policy, "sgdr"))
        diag_warn(run->d, run->section->file, cfg_line(run->section, "policy"), run->section->name,
                  "policy=sgdr is AlexeyAB's, and constant here");
    if (strcmp(policy, "steps")) return;
    int n = cfg_ints(run->section, "steps", &steps), m = cfg_floats(run->section, "scales", &scales);
    if (!n || !m) shape_error(run, "policy", "policy=steps needs 'steps' and 'scales'");
    else if (n != m) shape_error(run, "scales", "'scales' has %d numbers, expected %d as in 'steps'", m, n);
    check_order(run, steps, n);
    free(steps);
    free(scales);
}

/* ---- layers ---- */

/* The host counts batch * outputs in an int. */
static void check_batch(shape_run *run, const net_shape *shape, int steps)
{
    double batch = shape->subdivisions > 0 ? (double)(shape->batch / shape->subdivisions) * steps : 0;
    if (batch * run->l->outputs > INT_MAX)
        shape_error(run, NULL, "%d outputs x batch %.0f is more than Darknet can count", run->l->outputs, batch);
}

static void infer_layer(shape_run *run, const net_shape *shape, int steps, unsigned char *known)
{
    const shape_row *row = shape_row_of(run->section->name);
    if (!row) {
        shape_error(run, NULL, "is no section of stock Darknet");
        return;
    }
    known[run->i] = (unsigned char)row->infer(run);
    if (cfg_int(run->section, "dontsave", 0)) run->l->stored = 0;
    if (known[run->i]) check_batch(run, shape, steps);
}

static void carry(shape_run *run, const net_shape *shape)
{
    const layer_shape *last = run->i ? &shape->layer[run->i - 1] : NULL;
    run->l->in_h = last ? last->h : shape->h;
    run->l->in_w = last ? last->w : shape->w;
    run->l->in_c = last ? last->c : shape->c;
    run->l->inputs = last ? last->outputs : shape->inputs;
}

/* Layer after layer, and the sums over all. */
static void infer_layers(shape_run *run, net_shape *shape, int input_known, int steps)
{
    unsigned char *known = mem_calloc((size_t)shape->n, 1);
    run->known = known;
    run->layer = shape->layer;
    for (run->i = 0; run->i < shape->n; ++run->i) {
        run->section = run->at[run->i];
        run->l = &shape->layer[run->i];
        run->in_known = run->i ? known[run->i - 1] : input_known;
        carry(run, shape);
        infer_layer(run, shape, steps, known);
        shape->params += run->l->params;
        shape->stored += run->l->stored;
        shape->macs += run->l->macs;
    }
    free(known);
}

/* Sections of the layers, in order; the array is the caller's to free. */
static const cfg_section **layer_sections(const cfg_file *cfg, int count)
{
    const cfg_section **at = mem_calloc((size_t)count, sizeof *at);
    int k = 0;
    for (int i = 0; i < cfg->n && k < count; ++i)
        if (cfg->section[i].index >= 0) at[k++] = &cfg->section[i];
    return at;
}

net_shape *shapes_infer(const cfg_file *cfg, diag *d)
{
    const cfg_section *net = cfg_net(cfg);
    if (!net) {
        if (!diag_told(d, cfg->path, cfg->n ? cfg->section[0].line : 0))
            diag_error(d, cfg->path, 0, NULL, "has no [net] section");
        return NULL;
    }
    net_shape *shape = mem_calloc(1, sizeof *shape);
    shape->n = cfg_layers(cfg);
    shape->layer = mem_calloc((size_t)shape->n, sizeof *shape->layer);
    const cfg_section **at = layer_sections(cfg, shape->n);
    shape_run run = { .at = at, .section = net, .d = d };
    if (!shape->n) shape_error(&run, NULL, "has no layers after it");
    infer_batch(&run, shape);
    check_policy(&run);
    int input_known = infer_input(&run, shape);
    run.net_w = shape->w;
    run.net_h = shape->h;
    infer_layers(&run, shape, input_known, cfg_int(net, "time_steps", 1));
    free(at);
    if (!run.failed) return shape;
    shapes_free(shape);
    return NULL;
}

void shapes_free(net_shape *shape)
{
    if (!shape) return;
    free(shape->layer);
    free(shape);
}

size_t shapes_file_bytes(const net_shape *shape, int n)
{
    size_t floats = 0;
    for (int i = 0; i < n && i < shape->n; ++i) floats += shape->layer[i].stored;
    return 20 + 4 * floats;
}

int shapes_has_weights(const char *section_name)
{
    const shape_row *row = shape_row_of(section_name);
    return row && row->weights;
}
