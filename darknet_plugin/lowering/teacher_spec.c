/* [teacher]: the networks whose features are reproduced, read and checked before anything is trained.
 *
 * Its cfg is kept as its author wrote it, but for [net]: the batch becomes what the student sees at a time (batch /
 * subdivisions), because Darknet's set_batch_network only writes a number, and width and height become the student's
 * where the teacher can run at that size, that is, where no layer's stored weights change with it. Otherwise the
 * teacher keeps its own size and images are resized for it. */
#include "lower_build.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/path.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

static void forget(teacher_spec *spec)
{
    free(spec->cfg_path);
    free(spec->weights_path);
    free(spec->tap);
    free(spec->out);
    cfg_free(spec->cfg);
    shapes_free(spec->shape);
}

void teachers_free(teacher_spec *spec, int n)
{
    for (int i = 0; i < n; ++i) forget(&spec[i]);
    free(spec);
}

/* A section's complaint about the teacher stands at the key it comes from. */
#define BLAME(t, key) (t)->section->file, cfg_line((t)->section, key), (t)->section->name

static int is_distillation(const cfg_file *cfg)
{
    for (int i = 0; i < cfg->n; ++i)
        if (cfg_is(&cfg->section[i], "teacher") || section_type_named(cfg->section[i].name)) return 1;
    return 0;
}

static int check_kind(const teacher_spec *spec, const cfg_file *cfg, diag *d)
{
    const cfg_section *v1 = cfg_first(cfg, "detection");
    if (is_distillation(cfg)) {
        diag_error(d, BLAME(spec, "cfg"), "%s is a distillation itself", spec->cfg_path);
        diag_hint(d, "export it first: darknet distill export %s WEIGHTS OUT, then name OUT.cfg and OUT.weights",
                  spec->cfg_path);
        return -1;
    }
    if (v1) {
        diag_error(d, BLAME(spec, "cfg"), "a [detection] teacher (%s:%d) is not supported", v1->file, v1->line);
        diag_hint(d, "teachers end on [softmax], [yolo] or [region]");
        return -1;
    }
    return 0;
}

static int divided(int batch, int subdivisions)
{
    int n = subdivisions > 0 ? batch / subdivisions : batch;
    return n > 0 ? n : 1;
}

/* The teacher's stock sections with [net] edited. */
static cfg_file *edited(const cfg_file *cfg, const cfg_section *student)
{
    cfg_file *out = cfg_new(cfg->path);
    for (int i = 0; i < cfg->n; ++i)
        if (!cfg_is(&cfg->section[i], "augment")) cfg_append_copy(out, &cfg->section[i]);
    cfg_set(&out->section[0], "batch", "%d", divided(cfg_int(student, "batch", 1), cfg_int(student, "subdivisions",
        1)));
    cfg_set(&out->section[0], "subdivisions", "1");
    return out;
}

static int read_teacher_cfg(teacher_spec *spec, const cfg_file *source, diag *d)
{
    const char *name = cfg_str(spec->section, "cfg", NULL);
    if (!name) return -1;   /* a required key: the reader has reported it */
    spec->cfg_path = path_named_in(source->path, name);
    const char *problem = path_problem(spec->cfg_path);
    if (problem) {
        diag_error(d, BLAME(spec, "cfg"), "cannot read the teacher's cfg %s: %s", spec->cfg_path, problem);
        return -1;
    }
    int before = diag_errors(d);
    cfg_file *c = cfg_read(spec->cfg_path, d);
    if (c && cfg_net(c) && diag_errors(d) == before && !check_kind(spec, c, d)) spec->cfg = edited(c, cfg_net(source));
    cfg_free(c);
    return spec->cfg && (spec->shape = shapes_infer(spec->cfg, d)) ? 0 : -1;
}

static int read_weights(teacher_spec *spec, const cfg_file *source, int must_exist, diag *d)
{
    const char *name = cfg_str(spec->section, "weights", NULL);
    if (!name) return 0;
    spec->weights_path = path_named_in(source->path, name);
    const char *problem = must_exist ? path_problem(spec->weights_path) : NULL;
    if (!problem) return 0;
    diag_error(d, BLAME(spec, "weights"), "cannot read the teacher's weights %s: %s", spec->weights_path, problem);
    return -1;
}

static int check_tap(const teacher_spec *spec, int tap, diag *d)
{
    const layer_shape *s = tap >= 0 && tap < spec->shape->n ? &spec->shape->layer[tap] : NULL;
    if (!s) {
        diag_error(d, BLAME(spec, "tap"), "tap=%d is out of range: %s has %d layers, 0 to %d", tap, spec->cfg_path,
                   spec->shape->n, spec->shape->n - 1);
        return -1;
    }
    if (s->c > 0 && s->h > 0 && s->w > 0) return 0;
    diag_error(d, BLAME(spec, "tap"), "tap=%d is a [%s], which has no feature map", tap,
               cfg_layer(spec->cfg, tap)->name);
    return -1;
}

static int read_taps(teacher_spec *spec, diag *d)
{
    int bad = 0;
    if (!strcmp(cfg_str(spec->section, "tap", "auto"), "auto"))
        spec->taps = tap_find(spec->cfg, spec->shape, spec->section, &spec->tap, d);
    else
        spec->taps = cfg_ints(spec->section, "tap", &spec->tap);
    for (int i = 0; i < spec->taps; ++i) {
        int wrong = check_tap(spec, spec->tap[i], d);
        bad |= wrong;
        if (!wrong && spec->tap[i] >= spec->cut) spec->cut = spec->tap[i] + 1;
    }
    return spec->taps && !bad ? 0 : -1;
}

/* A list of one number or three (the reader has counted them); the one counts for all. */
static void read_three(teacher_spec *spec, const char *key, float def, float out[3])
{
    float *v;
    int n = cfg_floats(spec->section, key, &v);
    for (int i = 0; i < 3; ++i) out[i] = n ? v[n >= 3 ? i : 0] : def;
    if (n) spec->normalise = 1;
    free(v);
}

static void set_size(cfg_file *cfg, int w, int h)
{
    cfg_set(&cfg->section[0], "width", "%d", w);
    cfg_set(&cfg->section[0], "height", "%d", h);
}

static int same_weights(const net_shape *shape, const net_shape *dims)
{
    for (int i = 0; i < shape->n; ++i)
        if (shape->layer[i].stored != dims->layer[i].stored) return 0;
    return shape->n == dims->n;
}

/* The teacher at w x h if its weights are the same there; 1 if it now has that size. */
static int resized(teacher_spec *spec, int w, int h)
{
    int own_w = spec->shape->w, own_h = spec->shape->h;
    if (w == own_w && h == own_h) return 1;
    diag *quiet = diag_new();
    set_size(spec->cfg, w, h);
    net_shape *s = shapes_infer(spec->cfg, quiet);
    diag_free(quiet);
    if (!s || !same_weights(s, spec->shape)) {
        set_size(spec->cfg, own_w, own_h);
        shapes_free(s);
        return 0;
    }
    shapes_free(spec->shape);
    spec->shape = s;
    return 1;
}

/* Networks on plain vectors ([net] inputs=) have nothing to resize. */
static int check_input(const teacher_spec *spec, const cfg_section *net, int w, int h, int c, diag *d)
{
    size_t all = (size_t)w * (size_t)h * (size_t)c;
    int map = w > 0 && h > 0 && c > 0, inputs = cfg_int(net, "inputs", all < INT_MAX ? (int)all : INT_MAX);
    if (map != (spec->shape->w > 0 && spec->shape->h > 0 && spec->shape->c > 0) ||
        (!map && inputs != spec->shape->inputs)) {
        diag_error(d, BLAME(spec, "cfg"), "teacher's input is %dx%dx%d (%d numbers), student's is %dx%dx%d (%d)",
                   spec->shape->w, spec->shape->h, spec->shape->c, spec->shape->inputs, w, h, c, inputs);
        return -1;
    }
    if (c == spec->shape->c) return map;
    diag_error(d, BLAME(spec, "cfg"), "teacher's input has %d channels, student's has %d", spec->shape->c, c);
    return -1;
}

static int set_input(teacher_spec *spec, const cfg_section *net, diag *d)
{
    int w = cfg_int(net, "width", 0), h = cfg_int(net, "height", 0), c = cfg_int(net, "channels", 0);
    int map = check_input(spec, net, w, h, c, d);
    if (map <= 0) return map;
    int asked = cfg_find(spec->section, "width") || cfg_find(spec->section, "height");
    int want_w = asked ? cfg_int(spec->section, "width", spec->shape->w) : w;
    int want_h = asked ? cfg_int(spec->section, "height", spec->shape->h) : h;
    if (!resized(spec, want_w, want_h) && asked) {
        diag_error(d, BLAME(spec, "width"), "teacher cannot run at %dx%d: its weights are for %dx%d", want_w, want_h,
                   spec->shape->w, spec->shape->h);
        diag_hint(d, "without width= and height= images are resized for the teacher");
        return -1;
    }
    spec->resize = spec->shape->w != w || spec->shape->h != h;
    return 0;
}

static int read_teacher(teacher_spec *spec, const cfg_file *source, int wanted, diag *d)
{
    spec->answer = -1;
    spec->name = cfg_str(spec->section, "name", "");
    read_three(spec, "mean", 0, spec->mean);
    read_three(spec, "std", 1, spec->std);
    int bad = read_weights(spec, source, wanted & TEACHERS_WEIGHTS, d) | read_teacher_cfg(spec, source, d);
    if (spec->cfg) spec->outs = lower_outputs(spec->cfg, &spec->out);
    if (spec->shape && wanted & TEACHERS_TAPS) bad |= read_taps(spec, d);
    if (spec->shape) bad |= set_input(spec, cfg_net(source), d);
    return bad;
}

/* Where there are several, triples, caches and results tell them apart by name. */
static int check_names(const teacher_spec *spec, int n, diag *d)
{
    int bad = 0;
    for (int i = 0; n > 1 && i < n; ++i) {
        int same = 0;
        while (strcmp(spec[same].name, spec[i].name)) ++same;
        if (spec[i].name[0] && same == i) continue;
        if (!spec[i].name[0]) diag_error(d, BLAME(&spec[i], "name"), "one of %d teachers, without a name", n);
        else diag_error(d, BLAME(&spec[i], "name"), "name=%s is the teacher's of line %d already", spec[i].name,
                        spec[same].section->line);
        diag_hint(d, "name=, one word each, tells teachers apart: [feature_l2] teacher=NAME");
        bad = -1;
    }
    return bad;
}

teacher_spec *teachers_read(const cfg_file *source, int wanted, int *n, diag *d)
{
    teacher_spec *t = mem_calloc(MAX_TEACHERS, sizeof *t);
    int bad = *n = 0;
    for (int i = 0; i < source->n; ++i) {
        const cfg_section *s = &source->section[i];
        if (!cfg_is(s, "teacher")) continue;
        if (*n == MAX_TEACHERS) {
            diag_error(d, s->file, s->line, s->name, "more than %d teachers", MAX_TEACHERS);
            bad = -1;
            break;
        }
        teacher_spec *now = &t[(*n)++];
        now->section = s;
        bad |= read_teacher(now, source, wanted, d);
        if (*n > 1) now->taps_before = now[-1].taps_before + now[-1].taps;
    }
    if (!bad && !check_names(t, *n, d)) return t;
    teachers_free(t, *n);
    *n = 0;
    return NULL;
}
