/* cfg/cifar100/methods/: each ready cfg of a method that SimKD is compared with is free of mistakes and warnings, makes a
 * training step in which every loss counts, and deploys as ResNet-20 itself, weights and all. */
#include "layers/network.h"
#include "check_nets.h"

#include "darknet_plugin/deploying/deploy.h"

#include <sys/stat.h>
#include <unistd.h>

#define TEACHER "cfg/cifar100/resnet56.cfg"

static char *text_of(const char *path)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    char *text = mem_calloc(1 << 16, 1);
    size_t n = fread(text, 1, (1 << 16) - 1, file);
    assert_true(n > 0 && n < (1 << 16) - 1);
    fclose(file);
    return text;
}

/* A folder with the repository's cfgs, and a teacher of random weights where they expect it. */
static void make_folder(void)
{
    char root[4096];
    assert_non_null(getcwd(root, sizeof root));
    assert_int_equal(chdir(check_folder()), 0);
    char *cfgs = mem_printf("%s/cfg", root);
    assert_int_equal(symlink(cfgs, "cfg"), 0);
    assert_int_equal(mkdir("backup", 0777), 0);
    char *teacher = text_of(TEACHER);
    model_close(check_model("backup/resnet56_final", teacher, 500));
    free(teacher);
    free(cfgs);
}

/* What `check` looks at. */
static lowered *lower_checked(const char *path, lower_mode mode)
{
    diag *d = diag_new();
    lowered *low = lower_read(path, mode, d);
    if (diag_count(d)) diag_print(d, stderr);
    assert_int_equal(diag_count(d), 0);
    assert_non_null(low);
    diag_free(d);
    return low;
}

static void check_deploys_as_resnet20(const char *path)
{
    lowered *plain = lower_checked("cfg/cifar100/resnet20.cfg", LOWER_DEPLOY), *low = lower_checked(path, LOWER_DEPLOY);
    char *want = cfg_text(plain->cfg, NULL), *got = cfg_text(low->cfg, NULL);
    assert_string_equal(got, want);
    assert_int_equal(low->heads, 0);
    free(got);
    free(want);
    lower_free(low);
    lower_free(plain);
}

/* One step of four images; each loss and the student's own [softmax] have a finite cost that is not 0. */
static void check_step(model *m)
{
    float *x = mem_calloc((size_t)(m->net->inputs * 4), sizeof *x), before = m->net->layers[0].weights[0];
    check_fill(x, (size_t)(m->net->inputs * 4), 20);
    double cost = model_train_step(m, x, (int[]){ 3, 1, 4, 99 }, NULL), sum = 0;
    assert_true(isfinite(cost));
    for (int i = 0; i < m->low->losses; ++i) {
        float own = *m->net->layers[m->low->loss[i].layer].cost;
        if (!(isfinite(own) && own != 0)) fail_msg("[%s] (layer %d) costs %g", m->low->loss[i].type->name, m->low->loss[i].layer, own);
        sum += own;
    }
    const layer *softmax = &m->net->layers[m->net->n - 1];
    assert_int_equal(softmax->type, SOFTMAX);
    assert_true(*softmax->cost > 0);
    check_close((sum + *softmax->cost) / 4, cost, 1e-4 * fabs(cost), "the losses' sum", 0);
    network_update(m->net, m->low->trained);
    assert_true(m->net->layers[0].weights[0] != before);
    free(x);
}

/* Deployed, it answers as it did; its file is ResNet-20's. */
static void check_export(const model *m, const char *path)
{
    diag *d = diag_new();
    weights_info info;
    deployed *out = deploy_open(m, path, d);
    check_no_errors(d);
    assert_int_equal(weights_save(out->net, "deployed.weights", d), 0);
    lowered *plain = lower_checked("cfg/cifar100/resnet20.cfg", LOWER_DEPLOY);
    assert_int_equal(weights_inspect("deployed.weights", plain->shape, &info, d), 0);
    assert_true(info.layers == plain->shape->n && !info.trained);
    lower_free(plain);
    deploy_close(out);
    diag_free(d);
}

static void check_method(const char *name, const char *losses)
{
    char *path = mem_printf("cfg/cifar100/methods/%s.cfg", name), *got = mem_strdup("");
    diag *d = diag_new();
    lower_free(lower_checked(path, LOWER_TRAIN));
    check_deploys_as_resnet20(path);
    model *m = model_open(path, &(model_options){ .backend = BACKEND_DNNL, .batch = 4, .seed = 3 }, d);
    check_no_errors(d);
    for (int i = 0; i < m->low->losses; ++i) {
        const taught_loss *loss = &m->low->loss[i];
        char *more = mem_printf("%s%s%s %d", got, i ? ", " : "", loss->type->name, loss->taught);
        free(got);
        got = more;
    }
    assert_string_equal(got, losses);
    check_step(m);
    check_export(m, path);
    model_close(m);
    diag_free(d);
    free(got);
    free(path);
}

static void test_methods(void **state)
{
    (void)state;
    check_method("kd", "kd 89");
    check_method("fitnet", "feature_l2 27, kd 89");
    check_method("at", "attention_transfer 27, attention_transfer 57, attention_transfer 87, kd 89");
    check_method("sp", "similarity 87, kd 89");
    check_method("vid", "variational 27, variational 57, variational 87, kd 89");
    check_method("srrl", "feature_l2 88, logits_l2 89, kd 89");
}

int main(void)
{
    network_init();
    make_folder();
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_methods) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
