/* Shape inference: [net], then layer after layer by the rows of shapes_layers.c.
 *
 * A mistake in one layer leaves what it feeds unknown; of those nothing is said, the rest is still checked. */
#include "shapes_layers.h"

#include "darknet_plugin/base/mem.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* ---- [net] ---- */

static int at_least_1(shape_run *r, const char *key)
{
    int v = cfg_int(r->s, key, 1);
    if (v < 1) shape_error(r, key, "'%s' is %d, expected at least 1", key, v);
    return v;
}

static void infer_batch(shape_run *r, net_shape *n)
{
    n->batch = at_least_1(r, "batch");
    n->subdivisions = at_least_1(r, "subdivisions");
    (void)at_least_1(r, "time_steps");
    if (n->batch > 0 && n->subdivisions > 0 && n->batch % n->subdivisions)
        shape_error(r, "subdivisions", "'subdivisions' is %d, which does not divide batch=%d", n->subdivisions, n->batch);
}

static int infer_input(shape_run *r, net_shape *n)
{
    n->h = cfg_int(r->s, "height", 0);
    n->w = cfg_int(r->s, "width", 0);
    n->c = cfg_int(r->s, "channels", 0);
    double whole = (double)n->h * n->w * n->c;
    if (whole > INT_MAX) {
        shape_error(r, NULL, "a %dx%dx%d input is more than Darknet can count", n->c, n->h, n->w);
        return 0;
    }
    n->inputs = cfg_int(r->s, "inputs", (int)whole);
    if (n->inputs < 1 || n->h < 0 || n->w < 0 || n->c < 0) {
        shape_error(r, NULL, "needs width, height and channels, or inputs");
        return 0;
    }
    if (whole > 0 && n->inputs != (int)whole)
        shape_error(r, "inputs", "'inputs' is %d, but a %dx%dx%d image has %d", n->inputs, n->c, n->h, n->w, (int)whole);
    return 1;
}

static void check_policy(shape_run *r)
{
    int *steps;
    float *scales;
    if (strcmp(cfg_str(r->s, "policy", "constant"), "steps")) return;
    int n = cfg_ints(r->s, "steps", &steps), m = cfg_floats(r->s, "scales", &scales);
    if (!n || !m) shape_error(r, "policy", "policy=steps needs 'steps' and 'scales'");
    else if (n != m) shape_error(r, "scales", "'scales' has %d numbers, expected %d as in 'steps'", m, n);
    free(steps);
    free(scales);
}

/* ---- layers ---- */

/* The host counts batch * outputs in an int. */
static void check_batch(shape_run *r, const net_shape *n, int steps)
{
    double batch = n->subdivisions > 0 ? (double)(n->batch / n->subdivisions) * steps : 0;
    if (batch * r->l->outputs > INT_MAX)
        shape_error(r, NULL, "%d outputs x batch %.0f is more than Darknet can count", r->l->outputs, batch);
}

static void infer_layer(shape_run *r, const net_shape *n, int steps, unsigned char *known)
{
    const shape_row *row = shape_row_of(r->s->name);
    if (!row) {
        shape_error(r, NULL, "is no section of stock Darknet");
        return;
    }
    known[r->i] = (unsigned char)row->infer(r);
    if (cfg_int(r->s, "dontsave", 0)) r->l->stored = 0;
    if (known[r->i]) check_batch(r, n, steps);
}

static void carry(shape_run *r, const net_shape *n)
{
    const layer_shape *last = r->i ? &n->layer[r->i - 1] : NULL;
    r->l->in_h = last ? last->h : n->h;
    r->l->in_w = last ? last->w : n->w;
    r->l->in_c = last ? last->c : n->c;
    r->l->inputs = last ? last->outputs : n->inputs;
}

static void infer_layers(shape_run *r, net_shape *n, int input_known, int steps)
{
    unsigned char *known = mem_calloc((size_t)n->n, 1);
    r->known = known;
    r->layer = n->layer;
    for (r->i = 0; r->i < n->n; ++r->i) {
        r->s = r->at[r->i];
        r->l = &n->layer[r->i];
        r->in_known = r->i ? known[r->i - 1] : input_known;
        carry(r, n);
        infer_layer(r, n, steps, known);
        n->params += r->l->params;
        n->stored += r->l->stored;
        n->macs += r->l->macs;
    }
    free(known);
}

/* Sections of the layers, in order; the array is the caller's to free. */
static const cfg_section **layer_sections(const cfg_file *c, int n)
{
    const cfg_section **at = mem_calloc((size_t)n, sizeof *at);
    int k = 0;
    for (int i = 0; i < c->n && k < n; ++i)
        if (c->section[i].index >= 0) at[k++] = &c->section[i];
    return at;
}

net_shape *shapes_infer(const cfg_file *c, diag *d)
{
    const cfg_section *net = cfg_net(c);
    if (!net) {
        if (!diag_told(d, c->path, c->n ? c->section[0].line : 0)) diag_error(d, c->path, 0, NULL, "has no [net] section");
        return NULL;
    }
    net_shape *n = mem_calloc(1, sizeof *n);
    n->n = cfg_layers(c);
    n->layer = mem_calloc((size_t)n->n, sizeof *n->layer);
    const cfg_section **at = layer_sections(c, n->n);
    shape_run r = { .at = at, .s = net, .d = d };
    if (!n->n) shape_error(&r, NULL, "has no layers after it");
    infer_batch(&r, n);
    check_policy(&r);
    int input_known = infer_input(&r, n);
    infer_layers(&r, n, input_known, cfg_int(net, "time_steps", 1));
    free(at);
    if (!r.failed) return n;
    shapes_free(n);
    return NULL;
}

void shapes_free(net_shape *s)
{
    if (!s) return;
    free(s->layer);
    free(s);
}

size_t shapes_file_bytes(const net_shape *s, int n)
{
    size_t floats = 0;
    for (int i = 0; i < n && i < s->n; ++i) floats += s->layer[i].stored;
    return 20 + 4 * floats;
}

int shapes_has_weights(const char *section_name)
{
    const shape_row *row = shape_row_of(section_name);
    return row && row->weights;
}
