/* [teacher]: the networks whose features are reproduced, read and checked before anything is trained.
 *
 * Its cfg is kept as its author wrote it, but for [net]: the batch becomes what the student sees at a time (batch /
 * subdivisions), because Darknet's set_batch_network only writes a number, and width and height become the student's
 * where the teacher can run at that size, that is, where no layer's stored weights change with it. Otherwise the
 * teacher keeps its own size and images are resized for it. */
#include "lower_build.h"
#include "darknet_plugin/base/mem.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void forget(teacher_spec *t)
{
    free(t->cfg_path);
    free(t->weights_path);
    free(t->tap);
    free(t->out);
    cfg_free(t->cfg);
    shapes_free(t->shape);
}

void teachers_free(teacher_spec *t, int n)
{
    for (int i = 0; i < n; ++i) forget(&t[i]);
    free(t);
}

/* A section's complaint about the teacher stands at the key it comes from. */
#define BLAME(t, key) (t)->section->file, cfg_line((t)->section, key), (t)->section->name

static int readable_file(const char *path)
{
    struct stat s;
    if (stat(path, &s)) return 0;
    if (!S_ISREG(s.st_mode)) {       /* a pipe would keep us waiting */
        errno = S_ISDIR(s.st_mode) ? EISDIR : ENODEV;
        return 0;
    }
    return !access(path, R_OK);
}

char *lower_resolve_path(const char *cfg_path, const char *name)
{
    const char *slash = strrchr(cfg_path, '/');
    if (name[0] == '/' || !slash || readable_file(name)) return mem_strdup(name);
    char *beside = mem_printf("%.*s/%s", (int)(slash - cfg_path), cfg_path, name);
    if (readable_file(beside)) return beside;
    free(beside);
    return mem_strdup(name);
}

static int check_kind(const teacher_spec *t, const cfg_file *c, diag *d)
{
    const cfg_section *v1 = cfg_first(c, "detection");
    if (cfg_first(c, "teacher") || cfg_first(c, "projector") || cfg_first(c, "feature_l2") || cfg_first(c, "reused_classifier")) {
        diag_error(d, BLAME(t, "cfg"), "%s is a distillation itself", t->cfg_path);
        diag_hint(d, "export it first: darknet distill export %s WEIGHTS OUT, then name OUT.cfg and OUT.weights", t->cfg_path);
        return -1;
    }
    if (v1) {
        diag_error(d, BLAME(t, "cfg"), "a [detection] teacher (%s:%d) is not supported", v1->file, v1->line);
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
static cfg_file *edited(const cfg_file *c, const cfg_section *student)
{
    cfg_file *out = cfg_new(c->path);
    for (int i = 0; i < c->n; ++i)
        if (!cfg_is(&c->section[i], "augment")) cfg_append_copy(out, &c->section[i]);
    cfg_set(&out->section[0], "batch", "%d", divided(cfg_int(student, "batch", 1), cfg_int(student, "subdivisions", 1)));
    cfg_set(&out->section[0], "subdivisions", "1");
    return out;
}

static int read_cfg(teacher_spec *t, const cfg_file *source, diag *d)
{
    const char *name = cfg_str(t->section, "cfg", NULL);
    if (!name) return -1;   /* a required key: the reader has reported it */
    t->cfg_path = lower_resolve_path(source->path, name);
    if (!readable_file(t->cfg_path)) {
        diag_error(d, BLAME(t, "cfg"), "cannot read the teacher's cfg %s: %s", t->cfg_path, strerror(errno));
        return -1;
    }
    int before = diag_errors(d);
    cfg_file *c = cfg_read(t->cfg_path, d);
    if (c && cfg_net(c) && diag_errors(d) == before && !check_kind(t, c, d)) t->cfg = edited(c, cfg_net(source));
    cfg_free(c);
    return t->cfg && (t->shape = shapes_infer(t->cfg, d)) ? 0 : -1;
}

static int read_weights(teacher_spec *t, const cfg_file *source, int must_exist, diag *d)
{
    const char *name = cfg_str(t->section, "weights", NULL);
    if (!name) return 0;
    t->weights_path = lower_resolve_path(source->path, name);
    if (!must_exist || readable_file(t->weights_path)) return 0;
    diag_error(d, BLAME(t, "weights"), "cannot read the teacher's weights %s: %s", t->weights_path, strerror(errno));
    return -1;
}

static int check_tap(const teacher_spec *t, int tap, diag *d)
{
    const layer_shape *s = tap >= 0 && tap < t->shape->n ? &t->shape->layer[tap] : NULL;
    if (!s) {
        diag_error(d, BLAME(t, "tap"), "tap=%d is out of range: %s has %d layers, 0 to %d", tap, t->cfg_path, t->shape->n, t->shape->n - 1);
        return -1;
    }
    if (s->c > 0 && s->h > 0 && s->w > 0) return 0;
    diag_error(d, BLAME(t, "tap"), "tap=%d is a [%s], which has no feature map", tap, cfg_layer(t->cfg, tap)->name);
    return -1;
}

static int read_taps(teacher_spec *t, diag *d)
{
    int bad = 0;
    if (!strcmp(cfg_str(t->section, "tap", "auto"), "auto"))
        t->taps = tap_find(t->cfg, t->shape, t->section, &t->tap, d);
    else
        t->taps = cfg_ints(t->section, "tap", &t->tap);
    for (int i = 0; i < t->taps; ++i) {
        int wrong = check_tap(t, t->tap[i], d);
        bad |= wrong;
        if (!wrong && t->tap[i] >= t->cut) t->cut = t->tap[i] + 1;
    }
    return t->taps && !bad ? 0 : -1;
}

/* A list of one number or three (the reader has counted them); the one counts for all. */
static void read_three(teacher_spec *t, const char *key, float def, float out[3])
{
    float *v;
    int n = cfg_floats(t->section, key, &v);
    for (int i = 0; i < 3; ++i) out[i] = n ? v[n >= 3 ? i : 0] : def;
    if (n) t->normalise = 1;
    free(v);
}

static void set_size(cfg_file *c, int w, int h)
{
    cfg_set(&c->section[0], "width", "%d", w);
    cfg_set(&c->section[0], "height", "%d", h);
}

static int same_weights(const net_shape *a, const net_shape *b)
{
    for (int i = 0; i < a->n; ++i)
        if (a->layer[i].stored != b->layer[i].stored) return 0;
    return a->n == b->n;
}

/* The teacher at w x h if its weights are the same there; 1 if it now has that size. */
static int resized(teacher_spec *t, int w, int h)
{
    int own_w = t->shape->w, own_h = t->shape->h;
    if (w == own_w && h == own_h) return 1;
    diag *quiet = diag_new();
    set_size(t->cfg, w, h);
    net_shape *s = shapes_infer(t->cfg, quiet);
    diag_free(quiet);
    if (!s || !same_weights(s, t->shape)) {
        set_size(t->cfg, own_w, own_h);
        shapes_free(s);
        return 0;
    }
    shapes_free(t->shape);
    t->shape = s;
    return 1;
}

/* Networks on plain vectors ([net] inputs=) have nothing to resize. */
static int check_input(const teacher_spec *t, const cfg_section *net, int w, int h, int c, diag *d)
{
    size_t all = (size_t)w * (size_t)h * (size_t)c;
    int map = w > 0 && h > 0 && c > 0, inputs = cfg_int(net, "inputs", all < INT_MAX ? (int)all : INT_MAX);
    if (map != (t->shape->w > 0 && t->shape->h > 0 && t->shape->c > 0) || (!map && inputs != t->shape->inputs)) {
        diag_error(d, BLAME(t, "cfg"), "teacher's input is %dx%dx%d (%d numbers), student's is %dx%dx%d (%d)", t->shape->w,
                   t->shape->h, t->shape->c, t->shape->inputs, w, h, c, inputs);
        return -1;
    }
    if (c == t->shape->c) return map;
    diag_error(d, BLAME(t, "cfg"), "teacher's input has %d channels, student's has %d", t->shape->c, c);
    return -1;
}

static int set_input(teacher_spec *t, const cfg_section *net, diag *d)
{
    int w = cfg_int(net, "width", 0), h = cfg_int(net, "height", 0), c = cfg_int(net, "channels", 0);
    int map = check_input(t, net, w, h, c, d);
    if (map <= 0) return map;
    int asked = cfg_find(t->section, "width") || cfg_find(t->section, "height");
    int want_w = asked ? cfg_int(t->section, "width", t->shape->w) : w;
    int want_h = asked ? cfg_int(t->section, "height", t->shape->h) : h;
    if (!resized(t, want_w, want_h) && asked) {
        diag_error(d, BLAME(t, "width"), "teacher cannot run at %dx%d: its weights are for %dx%d", want_w, want_h, t->shape->w,
                   t->shape->h);
        diag_hint(d, "without width= and height= images are resized for the teacher");
        return -1;
    }
    t->resize = t->shape->w != w || t->shape->h != h;
    return 0;
}

static int read_teacher(teacher_spec *t, const cfg_file *source, int weights, diag *d)
{
    t->name = cfg_str(t->section, "name", "");
    read_three(t, "mean", 0, t->mean);
    read_three(t, "std", 1, t->std);
    int bad = read_weights(t, source, weights, d) | read_cfg(t, source, d);
    if (t->cfg) t->outs = lower_outputs(t->cfg, &t->out);
    if (t->shape) bad |= read_taps(t, d) | set_input(t, cfg_net(source), d);
    return bad;
}

/* Where there are several, triples, caches and results tell them apart by name. */
static int check_names(const teacher_spec *t, int n, diag *d)
{
    int bad = 0;
    for (int i = 0; n > 1 && i < n; ++i) {
        int same = 0;
        while (strcmp(t[same].name, t[i].name)) ++same;
        if (t[i].name[0] && same == i) continue;
        if (!t[i].name[0]) diag_error(d, BLAME(&t[i], "name"), "one of %d teachers, without a name", n);
        else diag_error(d, BLAME(&t[i], "name"), "name=%s is the teacher's of line %d already", t[i].name, t[same].section->line);
        diag_hint(d, "name=, one word each, tells teachers apart: [feature_l2] teacher=NAME");
        bad = -1;
    }
    return bad;
}

teacher_spec *teachers_read(const cfg_file *source, int weights, int *n, diag *d)
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
        bad |= read_teacher(now, source, weights, d);
        if (*n > 1) now->taps_before = now[-1].taps_before + now[-1].taps;
    }
    if (!bad && !check_names(t, *n, d)) return t;
    teachers_free(t, *n);
    *n = 0;
    return NULL;
}
