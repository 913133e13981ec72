/* [projector] as stock [convolutional] sections, one row a form.
 *
 *   bottleneck   conv1x1(s->m) BN act, conv3x3(m->m) BN act, conv1x1(m->t) BN act     m = floor(t/r)
 *   parameters   s*m + 9*m^2 + m*t + 2*(2m + t)        (no conv biases; BN has a scale and a shift)
 *
 * Chen et al., CVPR 2022, section 3.2. activation=auto is the tap's own, so that the last convolution can reach
 * whatever values the teacher's feature has; behind a linear tap the hidden ones are ReLU all the same, since
 * linear convolutions in a row would be one. The map's size never changes: stride 1, padded by size/2.
 * Left out: grouped teachers and anything that is not a convolution. */
#include "projector.h"

#include <string.h>

enum { TO_M, TO_T };

typedef struct stack_conv {
    int size, to, depthwise;
} stack_conv;

typedef struct stack_form {
    const char *name;
    int linear;              /* no BN, no activation */
    int n;
    stack_conv conv[3];
} stack_form;

static const stack_form forms[] = {
    { "bottleneck", 0, 3, { { 1, TO_M, 0 }, { 3, TO_M, 0 }, { 1, TO_T, 0 } } },
    { "1x1",        0, 1, { { 1, TO_T, 0 } } },
    { "1x1-1x1",    0, 2, { { 1, TO_M, 0 }, { 1, TO_T, 0 } } },
    { "depthwise",  0, 3, { { 1, TO_M, 0 }, { 3, TO_M, 1 }, { 1, TO_T, 0 } } },
    { "linear",     1, 1, { { 1, TO_T, 0 } } },
    { "none",       0, 0, { { 0, 0, 0 } } },
};

static const stack_form *find_form(const char *name)
{
    for (size_t i = 0; i < sizeof forms / sizeof *forms; ++i)
        if (!strcmp(forms[i].name, name)) return &forms[i];
    return NULL;
}

static int uses_m(const stack_form *f)
{
    return f->n > 1;
}

/* What a stack of this form cannot do; 0 if all is well. */
static int check_form(const stack_form *f, const cfg_section *section, int s, int t, int m, diag *d)
{
    if (!f->n && s != t) {
        diag_error(d, section->file, cfg_line(section, "stack"), section->name,
                   "stack=none needs the teacher's channels: expected %d, not %d", t, s);
        diag_hint(d, "stack=1x1 brings %d channels to %d", s, t);
        return -1;
    }
    if (uses_m(f) && m < 1) {
        diag_error(d, section->file, cfg_line(section, "reduction"), section->name,
                   "reduction=%d leaves no channels of the teacher's %d", cfg_int(section, "reduction", 2), t);
        diag_hint(d, "expected 1 to %d", t);
        return -1;
    }
    if (f->linear && strcmp(cfg_str(section, "activation", "auto"), "auto") &&
        strcmp(cfg_str(section, "activation", "auto"), "linear")) {
        diag_error(d, section->file, cfg_line(section, "activation"), section->name,
                   "stack=linear has no activation: expected linear, not %s", cfg_str(section, "activation", "auto"));
        diag_hint(d, "stack=1x1 is one convolution with batch norm and an activation");
        return -1;
    }
    return 0;
}

static const char *conv_activation(const stack_form *f, int i, const char *wanted, const char *tap)
{
    if (f->linear) return "linear";
    if (strcmp(wanted, "auto")) return wanted;
    return i + 1 < f->n && !strcmp(tap, "linear") ? "relu" : tap;
}

/* One convolution of a stack. */
static void append_conv(cfg_file *out, const cfg_section *section, const stack_conv *conv, int filters, int bn,
                        const char *activation)
{
    cfg_section *o = cfg_append(out, "convolutional", section->file, section->line);
    if (bn) cfg_set(o, "batch_normalize", "1");
    cfg_set(o, "filters", "%d", filters);
    cfg_set(o, "size", "%d", conv->size);
    cfg_set(o, "stride", "1");
    cfg_set(o, "pad", "%d", conv->size > 1);
    if (conv->depthwise) cfg_set(o, "groups", "%d", filters);
    cfg_set(o, "activation", "%s", activation);
}

int projector_append(cfg_file *out, const cfg_section *projector, int student_c, int teacher_c,
                     const char *tap_activation, diag *d)
{
    const char *stack = cfg_str(projector, "stack", "bottleneck"), *wanted = cfg_str(projector, "activation", "auto");
    const stack_form *f = find_form(stack);
    int r = cfg_int(projector, "reduction", 2), m = r > 0 ? teacher_c / r : 0;
    if (!f) {
        diag_error(d, projector->file, cfg_line(projector, "stack"), projector->name, "unknown stack=%s", stack);
        diag_hint(d, "expected bottleneck, 1x1, 1x1-1x1, depthwise, linear or none");
        return -1;
    }
    if (check_form(f, projector, student_c, teacher_c, m, d)) return -1;
    for (int i = 0; i < f->n; ++i)
        append_conv(out, projector, &f->conv[i], f->conv[i].to == TO_T ? teacher_c : m, !f->linear,
                    conv_activation(f, i, wanted, tap_activation));
    return f->n;
}
