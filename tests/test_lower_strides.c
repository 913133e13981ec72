/* Deploying a 1x1 convolution with a stride: the [maxpool] that takes the stride over, layer numbers behind it, the
 * reused classifier, the shapes, and that the unmodified host then computes what our backend trained. */
#include "layers/network.h"
#include "check.h"

#include "darknet_plugin/model/model.h"

#include <unistd.h>

#define NET "[net]\nbatch=2\nsubdivisions=1\nwidth=9\nheight=9\nchannels=3\nlearning_rate=.01\nmax_batches=10\n"
#define CONV(filters, size, stride) \
    "[convolutional]\nfilters=" #filters "\nsize=" #size "\nstride=" #stride "\npad=1\nactivation=linear\n"

/* A block with a projected shortcut: conv 0, conv 1, route 2 (reads 0), 1x1 stride 2 (3), shortcut 4 (from 1), ... */
static const char block[] =
    NET CONV(4, 3, 1) CONV(6, 3, 2) "[route]\nlayers=0\n" CONV(6, 1, 2) "[shortcut]\nfrom=1\nactivation=relu\n"
    "[route]\nlayers=-1,3\n[avgpool]\n[softmax]\n";

static lowered *lower_text(const char *text, lower_mode mode, diag *d)
{
    cfg_file *c = cfg_parse("s.cfg", text, strlen(text), d);
    lowered *l = lower_cfg(c, mode, d);
    check_no_errors(d);
    assert_non_null(l);
    return l;
}

static const char *value(const lowered *l, int layer, const char *key)
{
    return cfg_str(cfg_layer(l->cfg, layer), key, "");
}

static void numbers_follow(void **state)
{
    (void)state;
    diag *d = diag_new();
    lowered *l = lower_text(block, LOWER_DEPLOY, d), *train = lower_text(block, LOWER_TRAIN, d);
    assert_int_equal(cfg_layers(train->cfg), 8);
    assert_int_equal(cfg_layers(l->cfg), 9);
    assert_true(cfg_is(cfg_layer(l->cfg, 3), "maxpool"));
    assert_string_equal(value(l, 3, "size"), "1");
    assert_string_equal(value(l, 3, "stride"), "2");
    assert_string_equal(value(l, 4, "stride"), "1");
    assert_string_equal(value(l, 5, "from"), "1");
    assert_string_equal(value(l, 6, "layers"), "5,4");
    assert_string_equal(value(train, 3, "stride"), "2");
    assert_int_equal(l->shape->stored, train->shape->stored);
    assert_int_equal(l->shape->layer[4].w, train->shape->layer[3].w);
    assert_int_equal(l->role[3], ROLE_STUDENT);
    assert_int_equal(cfg_layer(l->cfg, 3)->line, cfg_layer(l->cfg, 4)->line);
    lower_free(l);
    lower_free(train);
    diag_free(d);
}

/* Nothing else is touched: 3x3 with a stride, 1x1 without, 1x1 with padding of its own. */
static void others_stay(void **state)
{
    (void)state;
    static const char text[] = NET CONV(4, 3, 2) CONV(4, 1, 1) "[convolutional]\nfilters=2\nsize=1\nstride=2\npadding=1\n[softmax]\n";
    diag *d = diag_new();
    lowered *l = lower_text(text, LOWER_DEPLOY, d);
    assert_int_equal(cfg_layers(l->cfg), 4);
    assert_string_equal(value(l, 0, "stride"), "2");
    assert_string_equal(value(l, 2, "stride"), "2");
    lower_free(l);
    diag_free(d);
}

/* In the reused classifier: the tap is layer 0; the tail is 1x1 stride 2, a shortcut that reads it, avgpool, connected. */
static void in_the_tail(void **state)
{
    (void)state;
    static const char teacher[] = NET CONV(4, 3, 1) CONV(4, 1, 2) CONV(4, 3, 1) "[shortcut]\nfrom=1\nactivation=linear\n"
                                      "[avgpool]\n[connected]\noutput=5\nactivation=linear\n[softmax]\n";
    static const char student[] = NET "[teacher]\ncfg=t.cfg\ntap=0\n" CONV(3, 3, 1) "[projector]\n[feature_l2]\n[reused_classifier]\n";
    diag *d = diag_new();
    check_write("t.cfg", teacher, strlen(teacher));
    lowered *l = lower_text(student, LOWER_DEPLOY, d), *train = lower_text(student, LOWER_TRAIN, d);
    const lower_head *h = l->head;
    assert_int_equal(h->tails, train->head->tails + 1);
    assert_true(cfg_is(cfg_layer(l->cfg, h->tail), "maxpool"));
    assert_string_equal(value(l, h->tail + 1, "stride"), "1");
    assert_true(cfg_is(cfg_layer(l->cfg, h->tail + 3), "shortcut"));
    assert_int_equal(atoi(value(l, h->tail + 3, "from")), h->tail + 1);
    assert_int_equal(l->shape->stored, train->shape->stored);
    for (int k = 0; k < h->tails; ++k) assert_int_equal(l->role[h->tail + k], ROLE_TAIL);
    lower_free(l);
    lower_free(train);
    diag_free(d);
}

/* The deployed cfg with the trained network's weights, in the host as it is. */
static void host_agrees(void **state)
{
    (void)state;
    diag *d = diag_new();
    model_options mo = { .threads = 1, .seed = 3 };
    check_write("block.cfg", block, sizeof block - 1);
    model *m = model_open("block.cfg", &mo, d);
    lowered *l = lower_read("block.cfg", LOWER_DEPLOY, d);
    check_no_errors(d);
    assert_int_equal(weights_save(m->net, "block.weights", d), 0);
    size_t n = 3 * 9 * 9;
    float *x = mem_calloc(2 * n, sizeof *x);
    check_fill(x, 2 * n, 9);
    char *text = cfg_text(l->cfg, NULL);
    network *host = check_parse(text);
    host_load_weights(host, "block.weights");
    check_close_n(network_predict(host, x), model_predict(m, x), (size_t)m->classes, 1e-5, "deployed answers");
    free(text);
    free(x);
    host_free(host);
    lower_free(l);
    model_close(m);
    diag_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_follow), cmocka_unit_test(others_stay), cmocka_unit_test(in_the_tail), cmocka_unit_test(host_agrees),
    };
    network_init();
    if (chdir(check_folder())) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
