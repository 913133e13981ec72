/* Shared by the tests of weights_tools (see check_weights.h). */
#include "check_weights.h"

static const char cfg[] = "[net]\nbatch=4\nsubdivisions=2\nheight=12\nwidth=12\nchannels=3\nlearning_rate=0.1\nmax_batches=10\n"
    "[convolutional]\nbatch_normalize=1\nfilters=8\nsize=3\npad=1\nactivation=relu\n"                      /* 0 */
    "[maxpool]\nsize=2\nstride=2\n"                                                                        /* 1: 8x6x6 */
    "[convolutional]\nbatch_normalize=1\nfilters=8\nsize=3\npad=1\nactivation=leaky\nstopbackward=1\n"     /* 2 */
    "[dropout]\nprobability=.3\n"                                                                          /* 3 */
    "[convolutional]\nfilters=8\nsize=3\npad=1\nactivation=linear\n"                                       /* 4 */
    "[shortcut]\nfrom=-4\nactivation=relu\n"                                                               /* 5: of 4 and 1 */
    "[route]\nlayers=-1,3\n"                                                                               /* 6: of 5 and 3 */
    "[convolutional]\nfilters=6\nsize=1\nactivation=linear\n"                                              /* 7 */
    "[avgpool]\n[dropout]\n[connected]\noutput=5\nactivation=linear\n[softmax]\n[cost]\ntype=sse\n";       /* 8 to 12 */

outcome run(const verb *sub, char *const *argument)
{
    static options o;
    outcome r = { .d = diag_new() };
    size_t len;
    int n = 0;
    while (argument[n]) ++n;
    o = (options){ .out = open_memstream(&r.out, &len) };
    assert_int_equal(options_parse(&o, sub, n, (char **)argument, r.d), 0);
    r.status = sub->run(&o, r.d);
    fclose(o.out);
    return r;
}

void drop(outcome r)
{
    free(r.out);
    diag_free(r.d);
}

void works(outcome r)
{
    check_no_errors(r.d);
    assert_int_equal(r.status, 0);
    drop(r);
}

void fails(outcome r, const char *text)
{
    assert_int_not_equal(r.status, 0);
    assert_int_equal(diag_errors(r.d), 1);
    int i = 0;
    while (diag_get(r.d, i)->level != DIAG_ERROR) ++i;
    if (!strstr(diag_get(r.d, i)->text, text)) fail_msg("'%s', expected '%s'", diag_get(r.d, i)->text, text);
    drop(r);
}

void fill_weights(network *net)
{
    weights_tensor t[WEIGHTS_MAX_TENSORS];
    for (int i = 0; i < net->n; ++i) {
        int n = weights_tensors(&net->layers[i], t);
        for (int j = 0; j < n; ++j) {
            check_fill(t[j].data, t[j].n, 100 * (uint64_t)i + (uint64_t)j + 1);
            for (size_t k = 0; weights_is_variance(t[j].name) && k < t[j].n; ++k) t[j].data[k] = .5f + fabsf(t[j].data[k]);
        }
    }
}

char *cfg_path, *weights_path;

int make_files(void **state)
{
    (void)state;
    diag *d = diag_new();
    cfg_path = check_path("net.cfg");
    weights_path = check_path("net.weights");
    check_write(cfg_path, cfg, sizeof cfg - 1);
    weights_view *v = weights_view_open(cfg_path, d);
    check_no_errors(d);
    fill_weights(v->net);
    *v->net->seen = 1234;
    assert_int_equal(weights_save(v->net, weights_path, d), 0);
    weights_view_close(v);
    diag_free(d);
    return 0;
}

int drop_files(void **state)
{
    (void)state;
    free(cfg_path);
    free(weights_path);
    return 0;
}

char *altered(const char *name, size_t n, const size_t *at, const float *value, int count)
{
    size_t len;
    char *path = check_path(name), *bytes = check_read(weights_path, &len);
    for (int i = 0; i < count; ++i) memcpy(bytes + 20 + 4 * at[i], &value[i], sizeof *value);
    check_write(path, bytes, n ? n : len);
    free(bytes);
    return path;
}

char *sick_file(void)
{
    size_t at[4 + 54] = { 0, 3, 8 + 2, 24 + 1 };
    float value[4 + 54] = { NAN, INFINITY, -INFINITY, -2 };
    for (size_t k = 0; k < 54; ++k) at[4 + k] = 32 + 27 * (k < 27 ? 1 : 5) + k % 27;
    return altered("sick.weights", 0, at, value, 4 + 54);
}

char *encoder_file(void) { return altered("encoder.weights", 20 + 4 * FLOATS_0, NULL, NULL, 0); }
char *cut_file(void) { return altered("cut.weights", 99, NULL, NULL, 0); }
