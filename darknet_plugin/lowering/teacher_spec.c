/* [teacher]: the networks whose features are reproduced, read and checked before anything is trained.
 *
 * Its cfg is kept as its author wrote it, but for [net]: the batch becomes what the student sees at a time (batch /
 * subdivisions), because Darknet's set_batch_network only writes a number, and width and height become the student's
 * where the teacher can run at that size, that is, where no layer's stored weights change with it. Otherwise the
 * teacher keeps its own size and images are resized for it. */
#include "lower_build.h"
#include "darknet_plugin/base/command.h"
#include "darknet_plugin/base/in_file.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/path.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void forget(teacher_spec *teacher)
{
    free(teacher->cfg_path);
    free(teacher->weights_path);
    free(teacher->tap);
    free(teacher->means);
    free(teacher->out);
    cfg_free(teacher->cfg);
    shapes_free(teacher->shape);
}

void teachers_free(teacher_spec *teacher, int n)
{
    for (int i = 0; i < n; ++i) forget(&teacher[i]);
    free(teacher);
}

/* A section's complaint about the teacher stands at the key it comes from. */
#define BLAME(teacher, key) \
    (teacher)->section->file, cfg_line((teacher)->section, key), (teacher)->section->name

static int is_distillation(const cfg_file *cfg)
{
    for (int i = 0; i < cfg->n; ++i)
        if (cfg_is(&cfg->section[i], "teacher") || cfg_is(&cfg->section[i], "teachers") ||
            section_type_named(cfg->section[i].name)) return 1;
    return 0;
}

/* A network that can teach is no distillation and no [detection]. */
static int check_kind(const teacher_spec *teacher, const cfg_file *cfg, diag *d)
{
    const cfg_section *v1 = cfg_first(cfg, "detection");
    if (is_distillation(cfg)) {
        diag_error(d, BLAME(teacher, "cfg"), "%s is a distillation itself", teacher->cfg_path);
        diag_hint(d, "export it first: %s export %s WEIGHTS OUT, then name OUT.cfg and OUT.weights",
                  command_name(), teacher->cfg_path);
        return -1;
    }
    if (v1) {
        diag_error(d, BLAME(teacher, "cfg"), "a [detection] teacher (%s:%d) is not supported", v1->file, v1->line);
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
    int batch = divided(cfg_int(student, "batch", 1), cfg_int(student, "subdivisions", 1));
    cfg_set(&out->section[0], "batch", "%d", batch);
    cfg_set(&out->section[0], "subdivisions", "1");
    return out;
}

/* Reads and edits the teacher's cfg; 0, or -1 after reporting. */
static int read_teacher_cfg(teacher_spec *teacher, const cfg_file *source, diag *d)
{
    const char *name = cfg_str(teacher->section, "cfg", NULL);
    if (!name) return -1;   /* a required key: the reader has reported it */
    teacher->cfg_path = path_named_in(source->path, name);
    const char *problem = path_problem(teacher->cfg_path);
    if (problem) {
        diag_error(d, BLAME(teacher, "cfg"), "cannot read the teacher's cfg %s: %s", teacher->cfg_path, problem);
        return -1;
    }
    int before = diag_errors(d);
    cfg_file *c = cfg_read(teacher->cfg_path, d);
    if (c && cfg_net(c) && diag_errors(d) == before && !check_kind(teacher, c, d))
        teacher->cfg = edited(c, cfg_net(source));
    cfg_free(c);
    return teacher->cfg && (teacher->shape = shapes_infer(teacher->cfg, d)) ? 0 : -1;
}

/* Finds them; whether they fit is looked at when they are loaded. */
static int read_weights(teacher_spec *teacher, const cfg_file *source, int must_exist, diag *d)
{
    const char *name = cfg_str(teacher->section, "weights", NULL);
    if (!name) return 0;
    teacher->weights_path = path_named_in(source->path, name);
    const char *problem = must_exist ? path_problem(teacher->weights_path) : NULL;
    in_file_note(teacher->weights_path, d);   /* who does not want them must not overwrite them either */
    if (!problem) return 0;
    diag_error(d, BLAME(teacher, "weights"), "cannot read the teacher's weights %s: %s", teacher->weights_path,
               problem);
    return -1;
}

/* A tap is a layer that there is, with a map. */
static int check_tap(const teacher_spec *teacher, int tap, diag *d)
{
    const layer_shape *s = tap >= 0 && tap < teacher->shape->n ? &teacher->shape->layer[tap] : NULL;
    if (!s) {
        diag_error(d, BLAME(teacher, "tap"), "tap=%d is out of range: %s has %d layers, 0 to %d", tap,
                   teacher->cfg_path, teacher->shape->n, teacher->shape->n - 1);
        return -1;
    }
    if (s->c > 0 && s->h > 0 && s->w > 0) return 0;
    diag_error(d, BLAME(teacher, "tap"), "tap=%d is a [%s], which has no feature map", tap,
               cfg_layer(teacher->cfg, tap)->name);
    return -1;
}

/* The taps, by number or found, and how deep the teacher has to run. */
static int read_taps(teacher_spec *teacher, diag *d)
{
    int bad = 0;
    if (!strcmp(cfg_str(teacher->section, "tap", "auto"), "auto"))
        teacher->taps = tap_find(teacher->cfg, teacher->shape, teacher->section, &teacher->tap, d);
    else
        teacher->taps = cfg_ints(teacher->section, "tap", &teacher->tap);
    for (int i = 0; i < teacher->taps; ++i) {
        int wrong = check_tap(teacher, teacher->tap[i], d);
        bad |= wrong;
        if (!wrong && teacher->tap[i] >= teacher->cut) teacher->cut = teacher->tap[i] + 1;
    }
    teacher->triples = teacher->taps;
    return teacher->taps && !bad ? 0 : -1;
}

/* A list of one number or three (the reader has counted them); the one counts for all. */
static void read_three(teacher_spec *teacher, const char *key, float def, float out[3])
{
    float *v;
    int n = cfg_floats(teacher->section, key, &v);
    for (int i = 0; i < 3; ++i) {
        out[i] = def;
        if (n) out[i] = v[n >= 3 ? i : 0];
    }
    if (n) teacher->normalise = 1;
    free(v);
}

/* Pixels are 0 to 1 here; 123.675 is a mean of bytes. */
static void check_scale(const teacher_spec *teacher, const char *key, const float value[3], float most, diag *d)
{
    int i = 0;
    while (i < 3 && fabsf(value[i]) <= most) ++i;
    if (i == 3) return;
    diag_warn(d, BLAME(teacher, key), "%s=%g is of pixels from 0 to 255: here they are from 0 to 1", key,
              (double)value[i]);
    diag_hint(d, "divide by 255: %s=%.4g,%.4g,%.4g", key, (double)value[0] / 255, (double)value[1] / 255,
              (double)value[2] / 255);
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
static int resized(teacher_spec *teacher, int w, int h)
{
    int own_w = teacher->shape->w, own_h = teacher->shape->h;
    if (w == own_w && h == own_h) return 1;
    diag *quiet = diag_new();
    set_size(teacher->cfg, w, h);
    net_shape *s = shapes_infer(teacher->cfg, quiet);
    diag_free(quiet);
    if (!s || !same_weights(s, teacher->shape)) {
        set_size(teacher->cfg, own_w, own_h);
        shapes_free(s);
        return 0;
    }
    shapes_free(teacher->shape);
    teacher->shape = s;
    return 1;
}

/* Networks on plain vectors ([net] inputs=) have nothing to resize. */
static int check_input(const teacher_spec *teacher, const cfg_section *net, int w, int h, int c, diag *d)
{
    size_t all = (size_t)w * (size_t)h * (size_t)c;
    int map = w > 0 && h > 0 && c > 0, inputs = cfg_int(net, "inputs", all < INT_MAX ? (int)all : INT_MAX);
    if (map != (teacher->shape->w > 0 && teacher->shape->h > 0 && teacher->shape->c > 0) ||
        (!map && inputs != teacher->shape->inputs)) {
        diag_error(d, BLAME(teacher, "cfg"), "teacher's input is %dx%dx%d (%d numbers), student's is %dx%dx%d (%d)",
                   teacher->shape->w, teacher->shape->h, teacher->shape->c, teacher->shape->inputs, w, h, c, inputs);
        return -1;
    }
    if (c == teacher->shape->c) return map;
    diag_error(d, BLAME(teacher, "cfg"), "teacher's input has %d channels, student's has %d", teacher->shape->c, c);
    return -1;
}

/* Gives the teacher the size that it is asked for, or the student's where it can run at that. */
static int set_input(teacher_spec *teacher, const cfg_section *net, diag *d)
{
    int w = cfg_int(net, "width", 0), h = cfg_int(net, "height", 0), c = cfg_int(net, "channels", 0);
    int map = check_input(teacher, net, w, h, c, d);
    if (map <= 0) return map;
    int asked = cfg_find(teacher->section, "width") || cfg_find(teacher->section, "height");
    int want_w = asked ? cfg_int(teacher->section, "width", teacher->shape->w) : w;
    int want_h = asked ? cfg_int(teacher->section, "height", teacher->shape->h) : h;
    if (!resized(teacher, want_w, want_h) && asked) {
        diag_error(d, BLAME(teacher, "width"), "teacher cannot run at %dx%d: its weights are for %dx%d", want_w, want_h,
                   teacher->shape->w, teacher->shape->h);
        diag_hint(d, "without width= and height= images are resized for the teacher");
        return -1;
    }
    teacher->resize = teacher->shape->w != w || teacher->shape->h != h;
    return 0;
}

/* The layer that its last [softmax] reads; -1 if it does not end on one. */
static int scores_layer(const teacher_spec *teacher)
{
    int last = teacher->shape->n - 1;
    while (last > 0 && cfg_is(cfg_layer(teacher->cfg, last), "cost")) --last;
    return cfg_is(cfg_layer(teacher->cfg, last), "softmax") ? last - 1 : -1;
}

void teacher_ask_answer(teacher_spec *teacher)
{
    if (teacher->answer >= teacher->cut) teacher->cut = teacher->answer + 1;
}

/* All of one section. */
static int read_teacher(teacher_spec *teacher, const cfg_file *source, int wanted, diag *d)
{
    teacher->answer = -1;
    teacher->name = cfg_str(teacher->section, "name", "");
    teacher->epsilon = cfg_float(teacher->section, "eps", 0);
    read_three(teacher, "mean", 0, teacher->mean);
    read_three(teacher, "std", 1, teacher->std);
    check_scale(teacher, "mean", teacher->mean, 1, d);
    check_scale(teacher, "std", teacher->std, 10, d);
    int bad = read_weights(teacher, source, wanted & TEACHERS_WEIGHTS, d) | read_teacher_cfg(teacher, source, d);
    if (teacher->cfg) teacher->outs = lower_outputs(teacher->cfg, &teacher->out);
    if (teacher->shape) teacher->answer = scores_layer(teacher);
    if (teacher->shape && wanted & TEACHERS_TAPS) bad |= read_taps(teacher, d);
    if (teacher->shape) bad |= set_input(teacher, cfg_net(source), d);
    return bad;
}

/* Where there are several, triples, caches and results tell them apart by name. */
static int check_names(const teacher_spec *teacher, int n, diag *d)
{
    int bad = 0;
    for (int i = 0; n > 1 && i < n; ++i) {
        int same = 0;
        while (strcmp(teacher[same].name, teacher[i].name)) ++same;
        if (teacher[i].name[0] && same == i) continue;
        if (!teacher[i].name[0]) diag_error(d, BLAME(&teacher[i], "name"), "one of %d teachers, without a name", n);
        else diag_error(d, BLAME(&teacher[i], "name"), "name=%s is the teacher's of line %d already", teacher[i].name,
                        teacher[same].section->line);
        diag_hint(d, "name=, one word each, tells teachers apart: [feature_l2] teacher=NAME");
        bad = -1;
    }
    return bad;
}

/* Reads one after another, so that a teacher knows how many taps come before its own. */
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
        if (*n > 1) now->taps_before = now[-1].taps_before + now[-1].triples;
    }
    if (!bad && !check_names(t, *n, d)) return t;
    teachers_free(t, *n);
    *n = 0;
    return NULL;
}
