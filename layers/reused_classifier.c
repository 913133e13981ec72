/* [reused_classifier]: copying the teacher's layers bit for bit, and proving later that nobody moved them.
 *
 * Both walk the arrays that a weights file would hold (weights_tensors), so a layer type that can be saved can be
 * reused. Everything is checked before anything is copied. */
#include "reused_classifier.h"

#include "weights_tools/file/weights_file.h"

/* Numbers that fix the shape of a layer's weights. */
static const struct { const char *name; size_t field; } shape_of[] = {
    { "input channels", offsetof(layer, c) }, { "filters", offsetof(layer, n) },
    { "size", offsetof(layer, size) },        { "groups", offsetof(layer, groups) },
    { "batch_normalize", offsetof(layer, batch_normalize) },
};

static int number(const layer *l, size_t field)
{
    return *(const int *)(const void *)((const char *)l + field);
}

/* Pairs the arrays of two layers: how many, or -1 with a message unless `d` is NULL. */
static int pair(const network *student, int i, weights_tensor *tensor, const network *teacher, int j,
                weights_tensor *one, diag *d)
{
    const layer *a = &student->layers[i], *b = &teacher->layers[j];
    int n = weights_tensors(a, tensor), m = weights_tensors(b, one);
    if (a->type != b->type) {
        if (d) diag_error(d, NULL, 0, "reused_classifier", "layer %d is not of the type of teacher layer %d", i, j);
        return -1;
    }
    for (size_t k = 0; n && k < sizeof shape_of / sizeof *shape_of; ++k) {
        int x = number(a, shape_of[k].field), y = number(b, shape_of[k].field);
        if (x == y) continue;
        if (d) diag_error(d, NULL, 0, "reused_classifier", "layer %d has %s %d, teacher layer %d has %d", i,
                          shape_of[k].name, x, j, y);
        return -1;
    }
    for (int k = 0; k < n || k < m; ++k) {
        size_t x = k < n ? tensor[k].n : 0, y = k < m ? one[k].n : 0;
        if (x == y) continue;
        if (d) diag_error(d, NULL, 0, "reused_classifier", "layer %d has %zu %s, teacher layer %d has %zu", i, x,
                          k < n ? tensor[k].name : one[k].name, j, y);
        return -1;
    }
    return n;
}

/* Do all these layers exist? 0 with a message if not. */
static int in_range(const network *student, int first, int n, const network *teacher, const int *of, diag *d)
{
    int bad = first < 0 || n < 0 || first > student->n - n;
    if (bad) diag_error(d, NULL, 0, "reused_classifier", "layers %d to %d of %d do not exist", first, first + n - 1,
                        student->n);
    for (int i = 0; i < n && !bad; ++i) {
        bad = of[i] < -1 || of[i] >= teacher->n;
        if (bad) diag_error(d, NULL, 0, "reused_classifier", "teacher layer %d of %d does not exist", of[i],
                            teacher->n);
    }
    return !bad;
}

int copy_reused_classifier(network *student, int first, int n, const network *teacher, const int *of, diag *d)
{
    weights_tensor s[WEIGHTS_MAX_TENSORS], t[WEIGHTS_MAX_TENSORS];
    if (!in_range(student, first, n, teacher, of, d)) return -1;
    for (int i = 0; i < n; ++i)
        if (of[i] >= 0 && pair(student, first + i, s, teacher, of[i], t, d) < 0) return -1;
    for (int i = 0; i < n; ++i) {
        int arrays = of[i] < 0 ? 0 : pair(student, first + i, s, teacher, of[i], t, d);
        for (int k = 0; k < arrays; ++k) memcpy(s[k].data, t[k].data, t[k].n * sizeof *t[k].data);
    }
    return 0;
}

int compare_reused_classifier(const network *student, int first, int n, const network *teacher, const int *of)
{
    weights_tensor s[WEIGHTS_MAX_TENSORS], t[WEIGHTS_MAX_TENSORS];
    for (int i = 0; i < n; ++i) {
        int arrays = of[i] < 0 ? 0 : pair(student, first + i, s, teacher, of[i], t, NULL);
        if (arrays < 0) return first + i + 1;
        for (int k = 0; k < arrays; ++k)
            if (memcmp(s[k].data, t[k].data, t[k].n * sizeof *t[k].data)) return first + i + 1;
    }
    return 0;
}
