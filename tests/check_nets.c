/* Networks of random weights (see check_nets.h). */
#include "check_nets.h"

#include "weights_tools/onnx/onnx_layers.h"

static void fill_layer(layer *l, uint64_t stream)
{
    weights_tensor t[WEIGHTS_MAX_TENSORS];
    int n = weights_tensors(l, t);
    for (int j = 0; j < n; ++j) {
        size_t filters = l->type == CONNECTED ? (size_t)l->outputs : (size_t)l->n;
        float scale = strstr(t[j].name, "weights") ? 2 / sqrtf((float)(t[j].n / filters)) : 1;
        check_fill(t[j].data, t[j].n, stream + (uint64_t)j);
        for (size_t k = 0; k < t[j].n; ++k) {
            t[j].data[k] *= scale;
            if (strstr(t[j].name, "variance")) t[j].data[k] = fabsf(t[j].data[k]) + .1f;
        }
    }
}

void check_fill_network(network *net, uint64_t stream)
{
    for (int i = 0; i < net->n; ++i) fill_layer(&net->layers[i], stream + 100 * (uint64_t)i);
}

static void write_text(const char *name, const char *cfg)
{
    char *path = mem_printf("%s.cfg", name);
    check_write(path, cfg, strlen(cfg));
    free(path);
}

static void save(const network *net, const char *name, diag *d)
{
    char *path = mem_printf("%s.weights", name);
    assert_int_equal(weights_save(net, path, d), 0);
    free(path);
}

void check_write_network(const char *name, const char *cfg, uint64_t stream)
{
    diag *d = diag_new();
    network *net = check_parse(cfg);
    check_fill_network(net, stream);
    write_text(name, cfg);
    save(net, name, d);
    check_no_errors(d);
    host_free(net);
    diag_free(d);
}

model *check_model(const char *name, const char *cfg, uint64_t stream)
{
    diag *d = diag_new();
    char *path = mem_printf("%s.cfg", name);
    model_options o = { .backend = BACKEND_REFERENCE };
    write_text(name, cfg);
    model *m = model_open(path, &o, d);
    check_no_errors(d);
    assert_non_null(m);
    for (int i = 0; i < m->net->n; ++i)
        if (m->low->role[i] == ROLE_STUDENT || m->low->role[i] == ROLE_PROJECTOR) fill_layer(&m->net->layers[i], stream + 100 * (uint64_t)i);
    cpu_weights_changed(m->net);
    save(m->net, name, d);
    check_no_errors(d);
    diag_free(d);
    free(path);
    return m;
}

void check_make_up_facts(model *model)
{
    for (int i = 0; i < model->low->losses; ++i) {
        const taught_loss *loss = &model->low->loss[i];
        loss_facts *facts = loss->type->facts ? loss->type->facts(&model->net->layers[loss->layer]) : NULL;
        for (size_t k = 0; facts && k < facts->n; ++k) facts->value[k] = .1 + (double)(k % 5);
        if (facts) facts->known = 1;
    }
}

int check_write_onnx(const network *net, const cfg_file *cfg, const int *output, int outputs, const char *path, diag *d)
{
    out_file f;
    int failed = net_file_onnx(&f, path, net, cfg, output, outputs, ONNX_FLOATS, d) || out_file_keep(&f, 1, d);
    out_file_drop(&f);
    return failed ? -1 : 0;
}

/* NULL where it does not even read; lower_cfg takes what it is given over. */
static lowered *lower_text(const char *text, lower_mode mode, diag *d)
{
    cfg_file *c = cfg_parse("s.cfg", text, strlen(text), d);
    if (!diag_errors(d)) return lower_cfg(c, mode, d);
    cfg_free(c);
    return NULL;
}

lowered *check_lowered(const char *text, lower_mode mode)
{
    diag *d = diag_new();
    lowered *l = lower_text(text, mode, d);
    check_no_errors(d);
    assert_non_null(l);
    diag_free(d);
    return l;
}

void check_only_error(const diag *d, const char *expected)
{
    if (diag_errors(d) != 1) diag_print(d, stderr);
    assert_int_equal(diag_errors(d), 1);
    const diag_message *m = diag_get(d, 0);
    char *got = mem_printf("%d: [%s] %s", m->line, m->section, m->text);
    assert_string_equal(got, expected);
    free(got);
}

void check_not_lowered(const char *text, lower_mode mode, const char *expected)
{
    diag *d = diag_new();
    assert_null(lower_text(text, mode, d));
    check_only_error(d, expected);
    diag_free(d);
}

const char *check_hint(const diag *d, int i)
{
    const diag_message *m = diag_get(d, i);
    return m->hint ? m->hint : "";
}
