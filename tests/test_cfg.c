/* The cfg reader: each kind of mistake word for word, what is forgiven, look-ups, the builder, hostile files. */
#include "check.h"

#include "layers/sections.h"

#include "darknet_plugin/sections/cfg.h"
#include "darknet_plugin/sections/cfg_keys.h"
#include "darknet_plugin/base/words.h"

#include <dirent.h>
#include <unistd.h>

#define SHIPPED "/usr/share/darknet/cfg"
#define NET "[net]\nwidth=8\nheight=8\nchannels=3\n"   /* 4 lines */
#define HOST_HAS_NO "hint: this Darknet does not have that key and would compute something else\n"
#define ACTIVATIONS "linear, relu, leaky, logistic, elu, selu, tanh, ramp, relie, plse, loggy, stair, hardtan, lhtan, " \
    "mish, swish, silu, relu6, hard_swish, hard_mish, gelu\n"

static cfg_file *parse(const char *text, diag *d) { return cfg_parse("t.cfg", text, strlen(text), d); }

/* What a user would see; the caller frees. */
static char *printed(const diag *d)
{
    char *text = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);
    assert_non_null(f);
    diag_print(d, f);
    assert_int_equal(fclose(f), 0);
    return text;
}

static void says_of(const char *text, size_t len, const char *expected)
{
    diag *d = diag_new();
    cfg_file *c = cfg_parse("t.cfg", text, len, d);
    char *got = printed(d);
    assert_string_equal(got, expected);
    free(got);
    cfg_free(c);
    diag_free(d);
}

static void says(const char *text, const char *expected) { says_of(text, strlen(text), expected); }

static cfg_file *good(const char *text)
{
    diag *d = diag_new();
    cfg_file *c = parse(text, d);
    check_no_errors(d);
    assert_int_equal(diag_count(d), 0);
    assert_non_null(c);
    diag_free(d);
    return c;
}

/* ---- mistakes ---- */

static void test_sections(void **state)
{
    (void)state;
    says("", "t.cfg: no sections in it\n"
             "hint: a cfg begins with [net]; a .data file is named before it\n");
    says("# nothing\n", "t.cfg: no sections in it\n"
             "hint: a cfg begins with [net]; a .data file is named before it\n");
    says("batch=1\n[net]\n", "t.cfg:1: 'batch' stands before any section\n");
    says("[convolutional]\n[net]\n", "t.cfg:1: the first section must be [net], not [convolutional]\n"
                                     "t.cfg:2: [net] must be the first section\n");
    says(NET "[convolutionl]\nfilters=x\n", "t.cfg:5: unknown section [convolutionl]\nhint: did you mean [convolutional]?\n");
    says(NET "[Connected]\n", "t.cfg:5: unknown section [Connected]\nhint: did you mean [connected]?\n");
    says(NET "[implicit_add]\n", "t.cfg:5: unknown section [implicit_add]\n");
    says(NET "[scale_channels]\n", "t.cfg:5: [scale_channels] 'from' is missing\n");
    says(NET "[Gaussian_yolo]\n", "");
    says(NET "[maxpool\n", "t.cfg:5: '[maxpool' is not closed by ']'\n");
    says(NET "[]\n", "t.cfg:5: unknown section []\n");
    says(NET "[avgpool]\n[network]\n", "t.cfg:6: [net] is given twice, first on line 1\n");
}

static void test_preamble(void **state)
{
    (void)state;
    says(NET "[teacher]\ncfg=a\n[teacher]\ncfg=b\n", "");
    says(NET "[augment]\n[augment]\n", "t.cfg:6: [augment] is given twice, first on line 5\n");
    says(NET "[avgpool]\n[teacher]\ncfg=a\n", "t.cfg:6: [teacher] must stand before the first layer\n");
    says(NET "[avgpool]\n[augment]\npad=4\n", "t.cfg:6: [augment] must stand before the first layer\n");
    says(NET "[teacher]\nweights=w\n", "t.cfg:5: [teacher] 'cfg' is missing\n");
    says(NET "[teacher]\ncfg=a\ntap=last\n",
         "t.cfg:7: [teacher] 'tap' is 'last', expected whole numbers separated by commas or 'auto'\n");
    says(NET "[teacher]\ncfg=a\ntap=-1\n", "t.cfg:7: [teacher] 'tap' is -1, expected at least 0\n");
    says(NET "[teacher]\ncfg=a\nmean=.5,.5\nstd=.2,0,.2\n",
         "t.cfg:7: [teacher] 'mean' has 2 numbers, expected 1 or 3\n"
         "t.cfg:8: [teacher] 'std' is 0, expected 1e-06 to 1000000\n");
    says(NET "[augment]\npad=-1\nflip=2\n", "t.cfg:6: [augment] 'pad' is -1, expected at least 0\n"
                                            "t.cfg:7: [augment] 'flip' is 2, expected 0 to 1\n");
}

static void test_keys(void **state)
{
    (void)state;
    says(NET "[conv]\nfiltres=3\n", "t.cfg:6: [convolutional] unknown key 'filtres'\nhint: did you mean 'filters'?\n");
    says(NET "[yolo]\nscale_x_y=1.1\n", "");
    says(NET "[yolo]\nnms_kind=greedynms\nbeta_nms=0.6\nnew_coords=1\n", "");
    says(NET "[yolo]\nnms_kind=cornersnms\nnew_coords=2\n",
         "t.cfg:6: [yolo] 'nms_kind' is 'cornersnms', expected one of: default, greedynms, diounms\n"
         "hint: AlexeyAB's Darknet would silently use default\n"
         "t.cfg:7: [yolo] 'new_coords' is 2, expected 0 to 1\n");
    says(NET "[yolo]\nbeta1=.6\nuc_normalizer=1\n[yolo]\nbeta1=.6\n",
         "t.cfg: warning: keys that steer training or speed in AlexeyAB's Darknet mean nothing here: [yolo] beta1, [yolo] uc_normalizer\n");
    says(NET "[yolo]\niou_loss=ciou\niou_thresh=.213\niou_thresh_kind=giou\niou_normalizer=.07\nmax_delta=5\nfocal_loss=1\n", "");
    says(NET "[yolo]\niou_loss=eiou\niou_normalizer=-1\nobjectness_smooth=2\nlabel_smooth_eps=1.5\n",
         "t.cfg:6: [yolo] 'iou_loss' is 'eiou', expected one of: mse, iou, giou, diou, ciou\n"
         "hint: did you mean 'iou'?\n"
         "t.cfg:7: [yolo] 'iou_normalizer' is -1, expected at least 0\n"
         "t.cfg:8: [yolo] 'objectness_smooth' is 2, expected 0 to 1\n"
         "t.cfg:9: [yolo] 'label_smooth_eps' is 1.5, expected 0 to 1\n");
    says(NET "[conv]\nstopbackward=800\n[conv]\nstopbackward=1\n",
         "t.cfg: warning: keys that steer training or speed in AlexeyAB's Darknet mean nothing here: [convolutional] stopbackward\n");
    says(NET "[conv]\nstopbackward=many\n", "t.cfg:6: [convolutional] 'stopbackward' is 'many', expected a whole number\n");
    says(NET "[yolo]\nsome_new_key=1\n", "t.cfg:6: warning: [yolo] key 'some_new_key' is unknown to this Darknet and ignored\n");
    says(NET "heigth=8\nunheard_of=1\n", "t.cfg:5: [net] unknown key 'heigth'\nhint: did you mean 'height'?\n"
                                     "t.cfg:6: warning: [net] key 'unheard_of' is unknown to this Darknet and ignored\n");
    says(NET "[projector]\nreductoin=2\nunheard_of=1\n",
         "t.cfg:6: [projector] unknown key 'reductoin'\nhint: did you mean 'reduction'?\n"
         "t.cfg:7: [projector] unknown key 'unheard_of'\n");
    says(NET "[augment]\nunheard_of=1\n", "t.cfg:6: [augment] unknown key 'unheard_of'\n");
    says(NET "[conv]\nfilters=3\nfilters=4\n", "t.cfg:7: [convolutional] 'filters' is given twice, the first on line 6 counts\n");
    says(NET "width=16\n", "t.cfg:5: warning: [net] 'width' is given twice, the first on line 2 counts\n");
    says(NET "[conv]\nfilters\n", "t.cfg:6: [convolutional] 'filters' is neither a [section] nor key=value\n");
    says(NET "[conv]\nfilters=\nsize = # three\n", "t.cfg:6: [convolutional] 'filters' has no value\n"
                                                   "t.cfg:7: [convolutional] 'size' has no value\n");
    says(NET "[conv]\n=3\n", "t.cfg:6: [convolutional] no key before '='\n");
    says(NET "[avgpool]\n[route]\n[shortcut]\n", "t.cfg:6: [route] 'layers' is missing\n"
                                                 "t.cfg:7: [shortcut] 'from' is missing\n");
}

static void test_values(void **state)
{
    (void)state;
    says(NET "[conv]\nfilters=3x\nsize=\t2.5\n", "t.cfg:6: [convolutional] 'filters' is '3x', expected a whole number\n"
                                                 "t.cfg:7: [convolutional] 'size' is '2.5', expected a whole number\n");
    says(NET "[conv]\nstride=0\nfilters=99999999999\n",
         "t.cfg:6: [convolutional] 'stride' is 0, expected at least 1\n"
         "t.cfg:7: [convolutional] 'filters' is 99999999999, expected 1 to 2147483647\n");
    says(NET "learning_rate=fast\nmomentum=9\ndecay=nan\nhue=0x1p3\n",
         "t.cfg:5: [net] 'learning_rate' is 'fast', expected a number\n"
         "t.cfg:6: [net] 'momentum' is 9, expected 0 to 1\n"
         "t.cfg:7: [net] 'decay' is 'nan', expected a number\n"
         "t.cfg:8: [net] 'hue' is '0x1p3', expected a number\n");
    says(NET "[conv]\n[route]\nlayers=-1,,2\n",
         "t.cfg:7: [route] 'layers' is '-1,,2', expected whole numbers separated by commas\n");
    says(NET "[yolo]\nanchors=1,2,\nmask=0,b\n",
         "t.cfg:6: [yolo] 'anchors' is '1,2,', expected numbers separated by commas\n"
         "t.cfg:7: [yolo] 'mask' is '0,b', expected whole numbers separated by commas\n");
    says(NET "[projector]\nreduction=0\nstack=depthwize\n",
         "t.cfg:6: [projector] 'reduction' is 0, expected at least 1\n"
         "t.cfg:7: [projector] 'stack' is 'depthwize', expected one of: bottleneck, 1x1, 1x1-1x1, depthwise, linear, none\n"
         "hint: did you mean 'depthwise'?\n");
    says(NET "[feature_l2]\nscale=-1\nreduction=max\n",
         "t.cfg:6: [feature_l2] 'scale' is -1, expected at least 0\n"
         "t.cfg:7: [feature_l2] 'reduction' is 'max', expected one of: mean, sum\n");
}

/* What Darknet would take for something else without a word. */
static void test_silent_substitutes(void **state)
{
    (void)state;
    says(NET "[conv]\nactivation=maxout\n[conv]\nactivation=rellu\n",
         "t.cfg:6: [convolutional] 'activation' is 'maxout', expected one of: " ACTIVATIONS
         "hint: this Darknet would silently use relu\n"
         "t.cfg:8: [convolutional] 'activation' is 'rellu', expected one of: " ACTIVATIONS
         "hint: did you mean 'relu'?\n");
    says(NET "[conv]\nactivation=mish\n[local]\nactivation=mish\n",
         "t.cfg:8: [local] 'activation' is 'mish', expected one of: linear, relu, leaky, logistic, elu, selu, tanh, ramp, relie, plse, "
         "loggy, stair, hardtan, lhtan\nhint: the host computes this section, and has no other\n");
    says(NET "policy=cosine\n", "t.cfg:5: [net] 'policy' is 'cosine', expected one of: constant, step, steps, exp, poly, "
                                "sigmoid, random, sgdr\nhint: this Darknet would silently use constant\n");
    says(NET "[conv]\ndilation=0\nantialiasing=1\n", "t.cfg:6: [convolutional] 'dilation' is 0, expected at least 1\n"
                                                    "t.cfg:7: [convolutional] 'antialiasing' is 1, expected 0\n" HOST_HAS_NO);
    says(NET "[conv]\ndilation=2\nactivation=mish\n[route]\nlayers=-1\ngroups=2\ngroup_id=1\n", "");
}

static void test_no_text(void **state)
{
    (void)state;
    diag *d = diag_new();
    says_of("[net]\nwidth=8\0\n", 15, "t.cfg: not a text file: byte 13 is 0x00\n");
    says_of("\x7f" "ELF\x02", 5, "t.cfg: not a text file: byte 4 is 0x02\n");
    assert_null(cfg_parse("t.cfg", "\x01", 1, d));
    assert_null(cfg_read("/nonexistent/t.cfg", d));
    assert_string_equal(diag_get(d, 1)->text, "cannot read the cfg: No such file or directory");
    assert_null(cfg_read("/", d));
    assert_string_equal(diag_get(d, 2)->text, "cannot read the cfg: Is a directory");
    assert_null(cfg_read("/dev/zero", d));
    assert_string_equal(diag_get(d, 3)->text, "larger than 16 MB, this is no cfg");
    diag_free(d);
}

/* A section takes two bytes, and a layer's check may look at all before it. */
static void test_too_many_sections(void **state)
{
    (void)state;
    enum { SECTIONS = 20000 };
    char *text = mem_calloc(6 + 10 * SECTIONS + 1, 1), *end = stpcpy(text, "[net]\n");
    for (int i = 0; i < SECTIONS; ++i) end = stpcpy(end, "[avgpool]\n");
    diag *d = diag_new();
    cfg_file *c = cfg_parse("t.cfg", text, (size_t)(end - text), d);
    assert_int_equal(diag_errors(d), 1);
    assert_string_equal(diag_get(d, 0)->text, "more sections than any network has, the rest is not read");
    assert_int_equal(diag_get(d, 0)->line, 10001);
    cfg_free(c);
    diag_free(d);
    free(text);
}

/* Of a mistake in every line the first are kept, whichever were said first; all are counted. */
static void test_many_messages(void **state)
{
    (void)state;
    diag *d = diag_new();
    for (int i = 1; i <= 5000; ++i) diag_warn(d, "t.cfg", i, NULL, "odd");
    for (int i = 1; i <= 5000; ++i) diag_error(d, "t.cfg", i, NULL, "wrong"), diag_hint(d, "%d", i);
    assert_int_equal(diag_errors(d), 5000);
    assert_int_equal(diag_warnings(d), 5000);
    assert_int_equal(diag_count(d), 2000);
    assert_string_equal(diag_get(d, 1999)->hint, "1000");
    char *said = NULL;
    size_t n;
    FILE *f = open_memstream(&said, &n);
    diag_print(d, f);
    fclose(f);
    assert_string_equal(said, "t.cfg:1: warning: odd (1000 times, lines 1, 2, 3, ...)\n"
                              "t.cfg:1: wrong (1000 times, lines 1, 2, 3, ...)\nhint: 1\nand 8000 more\n");
    free(said);
    diag_free(d);
}

/* Up to three of the same words and ten of one kind are all said; more are one line. */
static void test_floods(void **state)
{
    (void)state;
    says(NET "[conv]\nxyz=1\n[conv]\nxyz=2\n[conv]\nxyz=1\n",
         "t.cfg:6: warning: [convolutional] key 'xyz' is unknown to this Darknet and ignored\n"
         "t.cfg:8: warning: [convolutional] key 'xyz' is unknown to this Darknet and ignored\n"
         "t.cfg:10: warning: [convolutional] key 'xyz' is unknown to this Darknet and ignored\n");
    says(NET "[conv]\nxyz=1\n[conv]\nfiltres=1\n[conv]\nxyz=2\n[conv]\nxyz=1\n[conv]\nxyz=1\n[conv]\nxyz=1\n",
         "t.cfg:6: warning: [convolutional] key 'xyz' is unknown to this Darknet and ignored (5 times, lines 6, 10, 12, ...)\n"
         "t.cfg:8: [convolutional] unknown key 'filtres'\nhint: did you mean 'filters'?\n");
    says(NET "[conv]\naaaaa=1\nbbbbb=1\nccccc=1\nddddd=1\neeeee=1\nzzzzz=1\nggggg=1\nhhhhh=1\niiiii=1\njjjjj=1\nkkkkk=1\n",
         "t.cfg:6: warning: [convolutional] key 'aaaaa' is unknown to this Darknet and ignored (11 of this kind, lines 6, 7, 8, ...)\n");
    says(NET "[conv]\naaaaa=1\n[conv]\nxyz=1\n[conv]\nxyz=1\n[conv]\nxyz=1\n[conv]\nxyz=1\n[conv]\nxyz=1\n[conv]\nxyz=1\n[conv]\nxyz=1\n"
             "[conv]\nxyz=1\n[conv]\nxyz=1\n[conv]\nxyz=1\n",
         "t.cfg:6: warning: [convolutional] key 'aaaaa' is unknown to this Darknet and ignored\n"
         "t.cfg:8: warning: [convolutional] key 'xyz' is unknown to this Darknet and ignored (10 times, lines 8, 10, 12, ...)\n");
    says(NET "[conv]\nactivation=maxout\n[conv]\nactivation=maxout\n[conv]\nactivation=maxout\n[conv]\nactivation=maxout\n",
         "t.cfg:6: [convolutional] 'activation' is 'maxout', expected one of: linear, relu, leaky, logistic, elu, selu, tanh, "
         "ramp, relie, plse, loggy, stair, hardtan, lhtan, mish, swish, silu, relu6, hard_swish, hard_mish, gelu (4 times, lines 6, 8, 10, ...)\n"
         "hint: this Darknet would silently use relu\n");
}

/* Keys of AlexeyAB's: what computes otherwise is refused, what does not is named in one line. */
static void test_other_darknet(void **state)
{
    (void)state;
    says(NET "[max]\nantialiasing=1\n[max]\nmaxpool_zero_nonmax=1\nantialiasing=0\n",
         "t.cfg:6: [maxpool] 'antialiasing' is 1, expected 0\n" HOST_HAS_NO
         "t.cfg:8: [maxpool] 'maxpool_zero_nonmax' is 1, expected 0\n" HOST_HAS_NO);
    says(NET "[conv]\ncbn=1\ncoordconv=1\nbin_output=1\nshare_index=0\n[rnn]\nlogistic=1\n",
         "t.cfg:6: [convolutional] 'cbn' is 1, expected 0\n" HOST_HAS_NO
         "t.cfg:7: [convolutional] 'coordconv' is 1, expected 0\n" HOST_HAS_NO
         "t.cfg:8: [convolutional] 'bin_output' is 1, expected 0\n" HOST_HAS_NO
         "t.cfg:9: [convolutional] 'share_index' is AlexeyAB's\n" HOST_HAS_NO
         "t.cfg:11: [rnn] 'logistic' is 1, expected 0\n" HOST_HAS_NO);
    says(NET "[conv]\n[shortcut]\nfrom=-1\nweights_type=per_feature\nweights_normalization=softmax\n[shortcut]\nfrom=-1\n"
         "weights_type=per_pixel\n",
         "t.cfg:12: [shortcut] 'weights_type' is 'per_pixel', expected one of: none, per_feature, per_layer, per_channel\n");
    says(NET "[conv]\nstride=2\nstride_x=1\nstride_y=2\n[max]\nstride_y=2\n[max]\nstride=2\nstride_x=-1\n", "");
    says(NET "[conv]\nxnor=1\n[conv]\nxnor=0\n",
         "t.cfg:6: warning: [convolutional] xnor=1: stock Darknet pads a map of plus and minus ones with zeros, AlexeyAB's with "
         "minus ones; here as in stock Darknet\n");
    says(NET "try_fix_nan=1\nresize_step=32\nletter_box=1\n[conv]\nassisted_excitation=4000\ntrain_only_bn=1\n[dropout]\ndropblock=1\n"
         "[yolo]\ndets_for_show=2\n[region]\nfocal_loss=1\n",
         "t.cfg: warning: keys that steer training or speed in AlexeyAB's Darknet mean nothing here: "
         "[net] try_fix_nan, [net] resize_step, [convolutional] assisted_excitation, [convolutional] train_only_bn, "
         "[dropout] dropblock, [yolo] dets_for_show, [region] focal_loss\n");
}

static void test_too_much(void **state)
{
    (void)state;
    size_t n = 70000;
    char *text = mem_calloc(n + 32, 1);
    snprintf(text, 32, "[net]\nname=");
    memset(text + 11, 'x', n - 11);
    says(text, "t.cfg:2: line of 69994 characters, expected at most 65536\n");
    strcpy(text, "[net]\n");
    for (int i = 0; i < 300; ++i) strcat(text, "[x]\n");
    diag *d = diag_new();
    cfg_free(parse(text, d));
    assert_int_equal(diag_errors(d), 101);
    assert_string_equal(diag_get(d, 100)->text, "too many mistakes, the rest is not read");
    assert_int_equal(diag_get(d, 100)->line, 101);
    diag_free(d);
    strcpy(text, "[net]\nwidth=8\n");
    for (int i = 0; i < 1500; ++i) strcat(text, "width=8\n");
    d = diag_new();
    cfg_free(parse(text, d));
    assert_int_equal(diag_warnings(d), 1000);
    assert_int_equal(diag_errors(d), 1);
    diag_free(d);
    strcpy(text, "[avgpool]\n");
    for (int i = 0; i < 2000; ++i) snprintf(text + strlen(text), 16, "k%d=1\n", i);
    d = diag_new();
    cfg_free(parse(text, d));
    assert_int_equal(diag_warnings(d), 1000);
    diag_free(d);
    free(text);
}

/* ---- what is forgiven, as by Darknet or on purpose ---- */

static void test_forms(void **state)
{
    (void)state;
    cfg_file *c = good("\xef\xbb\xbf; Darknet\r\n  # indented\r\n[ net ]\r\n w i d t h = 8\r\nheight\t=8 # eight\nchannels=3\t#\n"
                       "[conv] # first\nfilters= 1 6\nactivation=relu\t# not relu#\n[lrn]\n[soft]\n[max]\n[avg]\n[deconv]\n[conn]");
    static const char *const names[] = { "net", "convolutional", "normalization", "softmax", "maxpool", "avgpool",
                                         "deconvolutional", "connected" };
    assert_int_equal(c->n, 8);
    for (int i = 0; i < 8; ++i) {
        assert_string_equal(c->section[i].name, names[i]);
        assert_int_equal(c->section[i].index, i - 1);
    }
    assert_int_equal(cfg_int(cfg_net(c), "width", 0), 8);
    assert_int_equal(cfg_int(cfg_net(c), "channels", 0), 3);
    assert_int_equal(cfg_line(cfg_net(c), "width"), 4);
    assert_int_equal(cfg_int(cfg_layer(c, 0), "filters", 0), 16);
    assert_string_equal(cfg_str(cfg_layer(c, 0), "activation", ""), "relu");
    cfg_free(c);
}

static void test_comment_needs_a_blank(void **state)
{
    (void)state;
    says(NET "[conv]\nactivation=relu#x\n", "t.cfg:6: [convolutional] 'activation' is 'relu#x', expected one of: " ACTIVATIONS
                                            "hint: did you mean 'relu'?\n");
    cfg_file *c = good("[net]\nwidth=8 #x\n[teacher]\ncfg = my teachers/a b.cfg  # ours may have blanks\ntap=auto\n[softmax]\ntree=a b");
    assert_int_equal(cfg_int(cfg_net(c), "width", 0), 8);
    assert_string_equal(cfg_str(cfg_first(c, "teacher"), "cfg", ""), "my teachers/a b.cfg");
    assert_string_equal(cfg_str(cfg_first(c, "softmax"), "tree", ""), "ab");
    cfg_free(c);
}

#undef NET
static void test_lookups(void **state)
{
    (void)state;
    cfg_file *c = good("[net]\nwidth=32\nlearning_rate=.1e-1\nsteps=10, 20 ,30\nscales=.1,.5,2\n"
                       "[teacher]\ncfg=t.cfg\n[augment]\nflip=1\n[conv]\nfilters=8\n[route]\nlayers=-1, 0\n[projector]\n");
    const cfg_section *net = cfg_net(c);
    int *ints;
    float *floats;
    assert_int_equal(cfg_int(net, "width", 1), 32);
    assert_int_equal(cfg_int(net, "height", 7), 7);
    check_close(cfg_float(net, "learning_rate", 0), .01, 1e-12, "learning_rate", 0);
    check_close(cfg_float(net, "decay", .25), .25, 0, "decay", 0);
    assert_int_equal(cfg_ints(net, "steps", &ints), 3);
    assert_true(ints[0] == 10 && ints[1] == 20 && ints[2] == 30);
    assert_int_equal(cfg_floats(net, "scales", &floats), 3);
    assert_true(floats[0] == .1f && floats[1] == .5f && floats[2] == 2);
    free(ints);
    free(floats);
    assert_int_equal(cfg_ints(net, "nothing", &ints), 0);
    assert_null(ints);
    assert_int_equal(cfg_line(net, "steps"), 4);
    assert_int_equal(cfg_line(net, "nothing"), 1);
    assert_int_equal(cfg_layers(c), 3);
    assert_true(cfg_is(cfg_layer(c, 0), "convolutional"));
    assert_int_equal(cfg_layer(c, 1)->line, 12);
    assert_true(cfg_is(cfg_layer(c, 2), "projector"));
    assert_null(cfg_layer(c, 3));
    assert_null(cfg_layer(c, -1));
    assert_int_equal(cfg_first(c, "teacher")->index, -1);
    assert_int_equal(cfg_first(c, "augment")->index, -1);
    assert_true(cfg_is_distillation(c));
    cfg_free(c);
    c = good("[net]\nwidth=1\n[softmax]\n");
    assert_false(cfg_is_distillation(c));
    cfg_free(c);
}

static void test_builder(void **state)
{
    (void)state;
    cfg_file *c = cfg_new("made.cfg");
    cfg_section *s = cfg_append(c, "network", "a.cfg", 3);
    cfg_set(s, "batch", "%d", 4);
    cfg_set(s, "width", "%d", 8);
    cfg_set(s, "batch", "%d", 16);
    cfg_append(c, "teacher", "a.cfg", 9);
    s = cfg_append(c, "conv", "a.cfg", 12);
    cfg_set(s, "filters", "%d", 2);
    cfg_set(s, "size", "%d", 3);
    cfg_unset(s, "filters");
    cfg_unset(s, "filters");
    s = cfg_append_copy(c, cfg_layer(c, 0));   /* from within: the array moves */
    cfg_set(s, "size", "%d", 1);
    assert_int_equal(s->index, 1);
    assert_int_equal(s->line, 12);
    assert_string_equal(s->file, "a.cfg");
    size_t len;
    char *text = cfg_text(c, &len);
    assert_string_equal(text, "[net]\nbatch=16\nwidth=8\n\n[teacher]\n\n[convolutional]\nsize=3\n\n[convolutional]\nsize=1\n");
    assert_int_equal(len, strlen(text));
    free(text);
    cfg_free(c);
    cfg_free(NULL);
}

static void same_cfg(const cfg_file *a, const cfg_file *b)
{
    assert_int_equal(a->n, b->n);
    for (int i = 0; i < a->n; ++i) {
        const cfg_section *s = &a->section[i], *t = &b->section[i];
        assert_string_equal(s->name, t->name);
        assert_int_equal(s->index, t->index);
        assert_int_equal(s->n, t->n);
        for (int k = 0; k < s->n; ++k) {
            assert_string_equal(s->pair[k].key, t->pair[k].key);
            assert_string_equal(s->pair[k].value, t->pair[k].value);
        }
    }
}

static void round_trip(const cfg_file *c)
{
    size_t len;
    diag *d = diag_new();
    char *text = cfg_text(c, &len);
    cfg_file *again = cfg_parse(c->path, text, len, d);
    check_no_errors(d);
    same_cfg(c, again);
    cfg_free(again);
    free(text);
    diag_free(d);
}

static void test_shipped_round_trip(void **state)
{
    (void)state;
    DIR *dir = opendir(SHIPPED);
    int n = 0;
    if (!dir) {
        puts("skipped: no " SHIPPED);
        skip();
    }
    for (struct dirent *e; (e = readdir(dir)); ) {
        if (!strstr(e->d_name, ".cfg")) continue;
        char *path = mem_printf("%s/%s", SHIPPED, e->d_name);
        diag *d = diag_new();
        cfg_file *c = cfg_read(path, d);
        check_no_errors(d);
        round_trip(c);
        assert_false(cfg_is_distillation(c));
        ++n;
        cfg_free(c);
        diag_free(d);
        free(path);
    }
    closedir(dir);
    assert_true(n >= 40);
}

/* A good cfg with bytes changed at random: nothing may crash, and what is accepted must survive a round trip. */
static void test_damaged(void **state)
{
    (void)state;
    static const char good_text[] =
        "[net]\nbatch=4\nwidth=8\nheight=8 # c\nchannels=3\npolicy=steps\nsteps=1,2\nscales=.1,.1\n\n[teacher]\ncfg=t.cfg\n"
        "mean=.5\ntap=3,4\n[conv]\nfilters=8\nactivation=leaky\n; x\n[route]\nlayers=-1\n[projector]\nstack=1x1\n[feature_l2]\n";
    static const char bytes[] = "[]=#;,-+.0123456789 \t\n\rabnet\x00\x7f\xff";
    char text[sizeof good_text];
    rng r = rng_make(1, 0, 0, RNG_TEST);
    int accepted = 0, refused = 0;
    for (int i = 0; i < 20000; ++i) {
        diag *d = diag_new();
        memcpy(text, good_text, sizeof text);
        for (uint64_t k = rng_below(&r, 4); k > 0; --k)
            text[rng_below(&r, sizeof text - 1)] = bytes[rng_below(&r, sizeof bytes - 1)];
        cfg_file *c = cfg_parse("t.cfg", text, rng_below(&r, 4) ? sizeof text - 1 : rng_below(&r, sizeof text), d);
        if (c && !diag_errors(d)) round_trip(c);
        diag_errors(d) ? ++refused : ++accepted;
        assert_true(c || diag_errors(d));
        cfg_free(c);
        diag_free(d);
    }
    assert_true(accepted > 1000 && refused > 1000);
}

static void check_row(const section_row *row)
{
    assert_ptr_equal(cfg_section_row(row->name), row);
    if (row->aka) assert_ptr_equal(cfg_section_row(row->aka), row);
    for (const key_row *k = row->keys; k->name; ++k) {
        assert_ptr_equal(cfg_key_row(row, k->name), k);
        if (k->type == KEY_CHOICE) assert_non_null(k->choices);
        else if (k->type != KEY_STR) assert_true(k->min <= k->max);
    }
}

static void test_tables(void **state)
{
    (void)state;
    static const char *const names[] = {
        "net", "teacher", "teachers", "augment", "convolutional", "deconvolutional", "local", "connected", "maxpool", "avgpool", "softmax",
        "route", "shortcut", "upsample", "reorg", "dropout", "cost", "yolo", "region", "detection", "iseg", "activation",
        "logistic", "l2norm", "normalization", "batchnorm", "crop", "rnn", "gru", "lstm", "crnn",
    };
    static const char *const ours[] = { "projector", "feature_l2", "reused_classifier", "kd" };
    for (size_t i = 0; i < sizeof names / sizeof *names; ++i) {
        assert_non_null(cfg_section_row(names[i]));
        assert_string_equal(cfg_section_row(names[i])->name, names[i]);
        check_row(cfg_section_row(names[i]));
    }
    for (size_t i = 0; i < sizeof ours / sizeof *ours; ++i) {
        assert_non_null(cfg_section_row(ours[i]));
        assert_int_equal(cfg_section_row(ours[i])->kind, SECTION_PLUGIN);
        check_row(cfg_section_row(ours[i]));
    }
    assert_null(cfg_section_row("convolution"));
    assert_non_null(cfg_key_row(cfg_section_row("avgpool"), "stopbackward"));
    assert_null(cfg_key_row(cfg_section_row("net"), "stopbackward"));
    assert_null(cfg_key_row(cfg_section_row("projector"), "stopbackward"));
}

static void test_nearest(void **state)
{
    (void)state;
    static const char *const names[] = { "stride", "size", "filters" };
    assert_string_equal(nearest_name("strde", names, 3), "stride");
    assert_string_equal(nearest_name("FILTERS", names, 3), "filters");
    assert_string_equal(nearest_name("szie", names, 3), "size");
    assert_null(nearest_name("padding", names, 3));
    assert_null(nearest_name("s", names, 3));
    assert_null(nearest_name("", names, 3));
    assert_null(nearest_name("size", names, 0));
    char *word = mem_calloc(100001, 1);
    memset(word, 's', 100000);
    assert_null(nearest_name(word, names, 3));
    free(word);
}

int main(void)
{
    sections_register();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sections), cmocka_unit_test(test_preamble), cmocka_unit_test(test_keys),
        cmocka_unit_test(test_values), cmocka_unit_test(test_silent_substitutes), cmocka_unit_test(test_no_text),
        cmocka_unit_test(test_too_much), cmocka_unit_test(test_too_many_sections), cmocka_unit_test(test_many_messages),
        cmocka_unit_test(test_floods), cmocka_unit_test(test_other_darknet), cmocka_unit_test(test_forms), cmocka_unit_test(test_comment_needs_a_blank),
        cmocka_unit_test(test_lookups), cmocka_unit_test(test_builder), cmocka_unit_test(test_shipped_round_trip),
        cmocka_unit_test(test_damaged), cmocka_unit_test(test_tables), cmocka_unit_test(test_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
