/* Layers of AlexeyAB's Darknet that read others, through lowering: numbers that change, branches that go, what is
 * deployed, strides that are written alike, and taps. */
#include "layers/network.h"
#include "check_nets.h"

#include <unistd.h>

#define NET "[net]\nbatch=4\nsubdivisions=1\nheight=8\nwidth=8\nchannels=3\nlearning_rate=.02\nmomentum=.9\npolicy=constant\nmax_batches=10\n"
#define CONV(filters, size, stride) "[convolutional]\nbatch_normalize=1\nfilters=" #filters "\nsize=" #size "\nstride=" #stride "\npad=1\nactivation=relu\n"
#define POINT(filters, act) "[convolutional]\nfilters=" #filters "\nsize=1\nstride=1\npad=1\nactivation=" #act "\n"
#define TEACHER "[teacher]\ncfg=t.cfg\nweights=t.weights\n"
#define L2 "[feature_l2]\nteacher_layer=0\n"
#define TRIPLE "[projector]\n[feature_l2]\n[reused_classifier]\n"

/* layers 0, 1 squeeze, 2, 3 scaled, 4, 5 avgpool, 6, 7 softmax */
static const char teacher_cfg[] = NET CONV(6, 3, 1) "[avgpool]\n" POINT(6, logistic) "[scale_channels]\nfrom=0\n" CONV(10, 3, 2) "[avgpool]\n"
    POINT(5, linear) "[softmax]\n";

static char *deployed_text(const char *cfg)
{
    lowered *low = check_lowered(cfg, LOWER_DEPLOY);
    size_t len;
    char *text = cfg_text(low->cfg, &len);
    lower_free(low);
    return text;
}

/* Is `expected` somewhere in the deployed cfg? */
static void check_deployed(const char *cfg, const char *expected)
{
    char *text = deployed_text(cfg);
    if (!strstr(text, expected)) fail_msg("no\n%s\nin\n%s", expected, text);
    free(text);
}

/* The loss behind layer 0 goes, so that all numbers fall by one. */
static void numbers_follow(void **state)
{
    (void)state;
    check_deployed(NET TEACHER CONV(6, 3, 1) L2 CONV(8, 3, 1) "[avgpool]\n" POINT(8, logistic) "[scale_channels]\nfrom=-3\n" TRIPLE,
                   "[scale_channels]\nfrom=1\nactivation=linear\n");
    check_deployed(NET TEACHER CONV(6, 3, 1) L2 CONV(8, 3, 1) POINT(8, logistic) "[sam]\nfrom=2\nactivation=relu\n" TRIPLE, "[sam]\nfrom=1\nactivation=relu\n");
    check_deployed(NET TEACHER CONV(6, 3, 1) L2 CONV(8, 3, 1) "[route]\nlayers=-1,0\ngroups=2\ngroup_id=1\n" TRIPLE, "[route]\nlayers=1,0\ngroups=2\ngroup_id=1\n");
    check_deployed(NET TEACHER CONV(6, 3, 1) L2 CONV(6, 3, 1) CONV(6, 3, 1) "[shortcut]\nfrom=-2,0\nactivation=linear\nweights_type=per_channel\n" TRIPLE,
                   "[shortcut]\nfrom=1,0\nactivation=linear\nweights_type=per_channel\n");
}

/* What multiplies a live layer is alive, and what nobody reads goes. */
static void branches_live_and_die(void **state)
{
    (void)state;
    char *text = deployed_text(NET TEACHER CONV(6, 3, 1) "[route]\nlayers=-1\ngroups=2\n" POINT(6, relu) L2 "[route]\nlayers=0\n" CONV(8, 3, 1) TRIPLE);
    if (strstr(text, "groups=2")) fail_msg("a dead part is deployed:\n%s", text);
    free(text);
    text = deployed_text(NET TEACHER CONV(6, 3, 1) CONV(8, 3, 1) "[avgpool]\n" POINT(8, logistic) "[scale_channels]\nfrom=1\n" TRIPLE);
    if (!strstr(text, "activation=logistic")) fail_msg("the factors of a live layer are not deployed:\n%s", text);
    free(text);
}

static void names_and_strides_are_written_alike(void **state)
{
    (void)state;
    check_deployed(NET TEACHER CONV(6, 3, 1) "[route_lhalf]\nlayers=-1\n" CONV(8, 3, 1) TRIPLE, "[route]\nlayers=0\ngroups=2\ngroup_id=0\n");
    check_deployed(NET TEACHER CONV(6, 3, 1) "stride_x=2\nstride_y=2\ndilation=1\n" TRIPLE, "size=3\nstride=2\npad=1\nactivation=relu\n\n");
    check_deployed(NET TEACHER CONV(6, 3, 1) "stride_x=2\n[maxpool]\nsize=2\nstride_x=1\nstride_y=2\n" TRIPLE, "stride_x=2\n");
    check_deployed(NET TEACHER CONV(6, 3, 1) CONV(6, 3, 1) "dilation=2\n" TRIPLE, "dilation=2\n");
}

static void taps_pass_by_products(void **state)
{
    (void)state;
    lowered *low = check_lowered(NET TEACHER CONV(6, 3, 2) TRIPLE, LOWER_TRAIN);
    assert_int_equal(low->teacher->tap[0], 4);
    lower_free(low);
    check_not_lowered(NET "[teacher]\ncfg=j.cfg\nweights=j.weights\n" CONV(6, 3, 2) TRIPLE, LOWER_TRAIN,
                      "11: [teacher] tap=auto: layers join between the classifier and its output (layer 3 [scale_channels], j.cfg:25)");
}

int main(void)
{
    network_init();
    static const char joined[] = NET CONV(6, 3, 1) "[avgpool]\n" POINT(6, logistic) "[scale_channels]\nfrom=0\n[softmax]\n";
    if (chdir(check_folder())) return 1;
    check_write_network("t", teacher_cfg, 5);
    check_write_network("j", joined, 6);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_follow), cmocka_unit_test(branches_live_and_die), cmocka_unit_test(names_and_strides_are_written_alike),
        cmocka_unit_test(taps_pass_by_products),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
