/* Shape inference against the host itself: every cfg that Debian ships, every layer type, sweeps over sizes, and
 * random changes: what inference accepts, the host must parse to the same sizes. Then the mistakes, word for word. */
#include "layers/network.h"
#include "check.h"

#include "darknet_plugin/sections/shapes.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#define SHIPPED "/usr/share/darknet"

/* The host's initial weights do not matter here, and a billion of them take a minute: these stand in for its own. */
float rand_normal(void);
float rand_uniform(float min, float max);
float rand_normal(void) { return 0; }
float rand_uniform(float min, float max) { return min < max ? min : max; }

/* ---- the host's side ---- */

static void *count_bytes(void *path)
{
    static char buffer[1 << 20];
    size_t *total = mem_calloc(1, sizeof *total);
    int fd = open(path, O_RDONLY);
    for (ssize_t n; fd >= 0 && (n = read(fd, buffer, sizeof buffer)) > 0; ) *total += (size_t)n;
    if (fd >= 0) close(fd);
    return total;
}

void save_weights_upto(network *net, char *filename, int cutoff);

/* How long a weights file of the first n layers the host writes; nothing touches the disk. */
static size_t host_file_bytes(network *net, int n)
{
    static char fifo[300];
    pthread_t reader;
    void *total;
    if (!fifo[0]) {
        snprintf(fifo, sizeof fifo, "%s/weights", check_folder());
        assert_int_equal(mkfifo(fifo, 0600), 0);
    }
    assert_int_equal(pthread_create(&reader, NULL, count_bytes, fifo), 0);
    int err = dup(STDERR_FILENO), null = open("/dev/null", O_WRONLY);
    dup2(null, STDERR_FILENO);
    save_weights_upto(net, fifo, n);
    dup2(err, STDERR_FILENO);
    close(err);
    close(null);
    assert_int_equal(pthread_join(reader, &total), 0);
    size_t bytes = *(size_t *)total;
    free(total);
    return bytes;
}

static void same_layer(const char *name, int i, const layer_shape *s, const layer *l)
{
    const int ours[5] = { s->inputs, s->outputs, s->w, s->h, s->c };
    const int host[5] = { l->inputs, l->outputs, l->out_w, l->out_h, l->out_c };
    static const char *const what[5] = { "inputs", "outputs", "w", "h", "c" };
    for (int k = 0; k < 5; ++k)
        if (ours[k] != host[k]) fail_msg("%s: layer %d: %s is %d, the host has %d", name, i, what[k], ours[k], host[k]);
}

/* The same network? `each` also compares the weights file after every layer. */
static void same_net(const char *name, const net_shape *s, network *net, int each)
{
    assert_int_equal(s->n, net->n);
    assert_int_equal(s->inputs, net->inputs);
    assert_true(s->h == net->h && s->w == net->w && s->c == net->c);
    for (int i = 0; i < s->n; ++i) same_layer(name, i, &s->layer[i], &net->layers[i]);
    for (int n = each ? 0 : s->n; n <= s->n; ++n) {
        size_t bytes = host_file_bytes(net, n);
        if (shapes_file_bytes(s, n) != bytes)
            fail_msg("%s: weights of %d layers take %zu bytes, the host's %zu", name, n, shapes_file_bytes(s, n), bytes);
    }
}

static net_shape *infer(const char *text, diag *d)
{
    cfg_file *c = cfg_parse("t.cfg", text, strlen(text), d);
    net_shape *s = c ? shapes_infer(c, d) : NULL;
    cfg_free(c);
    return s;
}

static net_shape *good(const char *text)
{
    diag *d = diag_new();
    net_shape *s = infer(text, d);
    check_no_errors(d);
    assert_non_null(s);
    diag_free(d);
    return s;
}

/* Both sides on one text; 0 if inference refused it. */
static int same(const char *text)
{
    diag *d = diag_new();
    net_shape *s = infer(text, d);
    int came_out = s && !diag_errors(d);
    if (came_out) {
        network *net = host_parse(text, strlen(text), "t.cfg", d);
        if (!net) fail_msg("the host refuses: %s", text);
        same_net(text, s, net, 1);
        host_free(net);
    } else {
        assert_true(diag_errors(d) > 0);
    }
    shapes_free(s);
    diag_free(d);
    return came_out;
}

/* ---- shipped cfgs ---- */

/* The file's own text but for batch=1, first so that it counts: memory, not shapes, depends on the batch. */
static char *with_batch_1(const char *path)
{
    char *text = check_read(path, NULL), *net = strstr(text, "[net]");
    assert_non_null(net);
    char *edited = mem_printf("[net]\nbatch=1\nsubdivisions=1\n%s", net + 5);
    free(text);
    return edited;
}

static void compare_shipped(const char *path)
{
    diag *d = diag_new();
    cfg_file *c = cfg_read(path, d);
    net_shape *s = shapes_infer(c, d);
    check_no_errors(d);
    char *text = with_batch_1(path);
    network *net = check_parse(text);
    same_net(path, s, net, 0);
    host_free(net);
    free(text);
    shapes_free(s);
    cfg_free(c);
    diag_free(d);
}

static void test_shipped(void **state)
{
    (void)state;
    char here[4096];
    DIR *dir = opendir(SHIPPED "/cfg");
    int n = 0;
    if (!dir) {
        puts("skipped: no " SHIPPED "/cfg");
        skip();
    }
    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(chdir(SHIPPED), 0);   /* trees and maps are named relative to it */
    for (struct dirent *e; (e = readdir(dir)); ) {
        if (!strstr(e->d_name, ".cfg")) continue;
        char *path = mem_printf("cfg/%s", e->d_name);
        compare_shipped(path);
        free(path);
        ++n;
    }
    closedir(dir);
    assert_int_equal(chdir(here), 0);
    assert_true(n >= 40);
}

/* Numbers their authors published: parameters (alexnet, vgg-16) and operations, two for each multiply-add. */
static void test_published(void **state)
{
    (void)state;
    static const struct { const char *name; double params, gops; } known[] = {
        { "alexnet", 62378344, 2.27 }, { "vgg-16", 138357544, 30.94 }, { "darknet19", 0, 7.29 },
        { "darknet53", 0, 18.57 }, { "extraction", 0, 8.52 },
    };
    if (access(SHIPPED "/cfg", R_OK)) {
        puts("skipped: no " SHIPPED "/cfg");
        skip();
    }
    for (size_t i = 0; i < sizeof known / sizeof *known; ++i) {
        char *path = mem_printf(SHIPPED "/cfg/%s.cfg", known[i].name);
        diag *d = diag_new();
        cfg_file *c = cfg_read(path, d);
        net_shape *s = shapes_infer(c, d);
        assert_non_null(s);
        if (known[i].params > 0) check_close((double)s->params, known[i].params, 0, known[i].name, i);
        check_close(2e-9 * s->macs, known[i].gops, .005, known[i].name, i);
        shapes_free(s);
        cfg_free(c);
        diag_free(d);
        free(path);
    }
}

/* ---- every type ---- */

#define NET(c, h, w) "[net]\nbatch=2\nchannels=" #c "\nheight=" #h "\nwidth=" #w "\n"

static const char *const every[] = {
    NET(3, 9, 7) "[conv]\nfilters=6\nsize=3\npad=1\nstride=2\nbatch_normalize=1\n[conv]\nfilters=9\nsize=5\npadding=3\n"
                 "groups=3\n[conv]\nfilters=2\n[conv]\nfilters=4\nsize=4\npad=1\nbinary=1\n[conv]\nsize=2\nxnor=1\n",
    NET(4, 5, 6) "[deconv]\nfilters=3\nsize=4\nstride=2\npadding=1\n[deconvolutional]\nfilters=2\nsize=3\nstride=3\npad=1\n"
                 "batch_normalize=1\n[local]\nfilters=2\nsize=3\nstride=2\n[local]\nfilters=3\nsize=3\npad=1\nstride=2\n",
    NET(2, 23, 20) "[max]\nsize=2\nstride=2\n[maxpool]\nsize=2\nstride=1\n[maxpool]\nsize=3\nstride=2\npadding=1\n"
                 "[maxpool]\n[maxpool]\nsize=3\nstride=2\npadding=0\n[avgpool]\n[dropout]\n[softmax]\n[cost]\n",
    NET(8, 6, 4) "[reorg]\nstride=2\n[reorg]\nstride=2\nreverse=1\n[reorg]\nstride=2\nflatten=1\n[upsample]\n[upsample]\nstride=-2\n"
                 "[upsample]\nstride=3\n[reorg]\nextra=5\n[connected]\noutput=3\n",
    NET(3, 6, 8) "[conv]\nfilters=4\n[activation]\nactivation=relu\n[logistic]\n[l2norm]\n[lrn]\n[dropout]\n"
                 "[crop]\ncrop_height=5\ncrop_width=3\n[connected]\noutput=7\nbatch_normalize=1\n[soft]\ngroups=7\n",
    NET(3, 8, 8) "[conv]\nfilters=4\n[conv]\nfilters=2\nsize=3\nstride=2\npad=1\n[shortcut]\nfrom=0\n[shortcut]\nfrom=-2\n"
                 "[upsample]\n[shortcut]\nfrom=1\n[route]\nlayers=-1,0,4\n[route]\nlayers=0,1,4\n[route]\nlayers=1\n"
                 "[route]\nlayers=7,8,1\n[conn]\noutput=5\n[route]\nlayers=-1,0\n",
    "[net]\nbatch=6\nsubdivisions=2\ntime_steps=4\ninputs=10\n[rnn]\noutput=6\nbatch_normalize=1\n[gru]\noutput=5\n"
    "[lstm]\noutput=4\n[lstm]\noutput=3\nbatch_normalize=1\n[gru]\noutput=2\nbatch_normalize=1\n[rnn]\n[softmax]\n",
    NET(21, 4, 6) "[yolo]\nclasses=2\nnum=6\nmask=1,2,5\nanchors=1,2,3,4,5,6,7,8,9,10,11,12\n",
    NET(28, 4, 6) "[yolo]\nclasses=2\nnum=4\nanchors=1,2\n[conv]\nfilters=16\n[region]\nnum=2\nclasses=4\ncoords=3\n"
                  "[conv]\nfilters=7\n[iseg]\nclasses=3\nids=4\n",
    NET(3, 4, 4) "[connected]\noutput=44\n[detection]\nside=2\nnum=2\ncoords=3\nclasses=3\n",
    NET(3, 4, 4) "[conv]\nfilters=4\ndontsave=1\n[conn]\noutput=2\ndontload=1\n",
};

static void test_every_type(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof every / sizeof *every; ++i)
        if (!same(every[i])) fail_msg("refused: %s", every[i]);
}

/* Short names, comments and blanks read by us, written by us, read by the host. */
static void test_written_text(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof every / sizeof *every; ++i) {
        diag *d = diag_new();
        cfg_file *c = cfg_parse("t.cfg", every[i], strlen(every[i]), d);
        net_shape *s = shapes_infer(c, d);
        check_no_errors(d);
        char *text = cfg_text(c, NULL);
        network *net = check_parse(text);
        same_net(every[i], s, net, 0);
        host_free(net);
        free(text);
        shapes_free(s);
        cfg_free(c);
        diag_free(d);
    }
}

static void test_sweep(void **state)
{
    (void)state;
    static const char *const types[] = { "convolutional", "maxpool", "local", "deconvolutional" };
    int made = 0, refused = 0;
    for (int t = 0; t < 4; ++t)
        for (int h = 1; h <= 6; ++h)
            for (int k = 1; k <= 5; ++k)
                for (int s = 1; s <= 3; ++s)
                    for (int p = 0; p <= 2; ++p) {
                        char *text = mem_printf("[net]\nheight=%d\nwidth=%d\nchannels=2\n[%s]\nsize=%d\nstride=%d\n"
                                                "%s=%d\n", h, h + s - 1, types[t], k, s, t == 2 ? "pad" : "padding", p);
                        same(text) ? ++made : ++refused;
                        free(text);
                    }
    assert_true(made > 500 && refused > 100);
}

/* Small numbers put in at random places: inference refuses, or the host agrees (and above all does not die). */
static void test_changed(void **state)
{
    (void)state;
    rng r = rng_make(2, 0, 0, RNG_TEST);
    int made = 0, refused = 0;
    for (int i = 0; i < 6000; ++i) {
        char *text = mem_strdup(every[rng_below(&r, sizeof every / sizeof *every)]);
        size_t len = strlen(text);
        for (uint64_t k = 1 + rng_below(&r, 2); k > 0; ) {
            char *at = text + rng_below(&r, len);
            if (*at < '0' || *at > '9') continue;
            *at = (char)('0' + rng_below(&r, 10));
            --k;
        }
        same(text) ? ++made : ++refused;
        free(text);
    }
    assert_true(made > 1000 && refused > 1000);
}

static void test_counts(void **state)
{
    (void)state;
    net_shape *s = good(NET(3, 8, 8) "[conv]\nfilters=16\nsize=3\npad=1\nbatch_normalize=1\n[conv]\nfilters=4\ngroups=2\n"
                                     "stride=2\nsize=2\n[connected]\noutput=10\n[softmax]\n");
    const layer_shape *l = s->layer;
    assert_true(l[0].in_h == 8 && l[0].in_w == 8 && l[0].in_c == 3 && l[0].inputs == 192);
    assert_int_equal(l[0].params, 432 + 2 * 16);
    assert_int_equal(l[0].stored, 432 + 4 * 16);
    check_close(l[0].macs, 432 * 64, 0, "macs", 0);
    assert_int_equal(l[1].params, 8 * 4 * 4 + 4);
    check_close(l[1].macs, 128 * 16, 0, "macs", 1);
    assert_int_equal(l[2].params, 64 * 10 + 10);
    check_close(l[2].macs, 640, 0, "macs", 2);
    assert_int_equal(l[3].params, 0);
    assert_int_equal(s->params, 464 + 132 + 650);
    assert_int_equal(s->stored, 496 + 132 + 650);
    assert_true(s->batch == 2 && s->subdivisions == 1);
    assert_int_equal(shapes_file_bytes(s, 0), 20);
    assert_int_equal(shapes_file_bytes(s, 1), 20 + 4 * 496);
    assert_int_equal(shapes_file_bytes(s, 99), 20 + 4 * s->stored);
    shapes_free(s);
    shapes_free(NULL);
    assert_true(shapes_has_weights("convolutional") && shapes_has_weights("local"));
    assert_false(shapes_has_weights("maxpool") || shapes_has_weights("projector") || shapes_has_weights("x"));
}

/* ---- mistakes ---- */

static void says(const char *text, const char *expected)
{
    char *got = NULL;
    size_t len = 0;
    diag *d = diag_new();
    net_shape *s = infer(text, d);
    FILE *f = open_memstream(&got, &len);
    diag_print(d, f);
    assert_int_equal(fclose(f), 0);
    assert_string_equal(got, expected);
    assert_true(!s == !!diag_errors(d));
    shapes_free(s);
    free(got);
    diag_free(d);
}

#define T "t.cfg:"
#define IMAGE "[net]\nchannels=3\nheight=8\nwidth=8\n"   /* 4 lines */

static void test_net_mistakes(void **state)
{
    (void)state;
    says("[net]\nbatch=1\n[softmax]\n", T "1: [net] needs width, height and channels, or inputs\n");
    says("[net]\nwidth=8\nheight=8\n[softmax]\n", T "1: [net] needs width, height and channels, or inputs\n");
    says(IMAGE "inputs=100\n[softmax]\n", T "5: [net] 'inputs' is 100, but a 3x8x8 image has 192\n");
    says("[net]\nwidth=100000\nheight=100000\nchannels=3\n[softmax]\n",
         T "1: [net] a 3x100000x100000 input is more than Darknet can count\n");
    says(IMAGE "batch=4\nsubdivisions=3\n[softmax]\n", T "6: [net] 'subdivisions' is 3, which does not divide batch=4\n");
    says(IMAGE "batch=0\n[softmax]\n", T "5: [net] 'batch' is 0, expected at least 1\n");
    says(IMAGE "policy=steps\nsteps=1,2,3\nscales=.1,.1\n[softmax]\n",
         T "7: [net] 'scales' has 2 numbers, expected 3 as in 'steps'\n");
    says(IMAGE "policy=random\n[softmax]\n", T "5: warning: [net] policy=random is constant here: runs are repeatable\n");
    says(IMAGE "policy=steps\nsteps=10,30,20\nscales=.1,.1,.1\n[softmax]\n",
         T "6: warning: [net] 'steps' falls from 30 to 20: the rate does not change at 20, only with the step before\n");
    says(IMAGE "policy=steps\nsteps=1\n[softmax]\n", T "5: [net] policy=steps needs 'steps' and 'scales'\n");
    says(IMAGE, T "1: [net] has no layers after it\n");
    says("[softmax]\n", T "1: the first section must be [net], not [softmax]\n");
    cfg_file *c = cfg_new("made.cfg");
    diag *d = diag_new();
    assert_null(shapes_infer(c, d));
    assert_string_equal(diag_get(d, 0)->text, "has no [net] section");
    cfg_set(cfg_append(c, "net", "made.cfg", 1), "batch", "%d", -1);
    assert_null(shapes_infer(c, d));
    diag_free(d);
    cfg_free(c);
}

static void test_layer_mistakes(void **state)
{
    (void)state;
    says(IMAGE "[conn]\noutput=5\n[softmax]\n[conv]\n[maxpool]\n", T "8: [convolutional] needs an image before it, not 5 plain inputs\n");
    says(IMAGE "[conv]\nsize=9\n[conv]\n", T "6: [convolutional] kernel of 9 is larger than the 3x8x8 input with padding 0\n");
    says(IMAGE "[conv]\nsize=13\npadding=2\n", T "6: [convolutional] kernel of 13 is larger than the 3x8x8 input with padding 4\n");
    says(IMAGE "[maxpool]\nsize=9\npadding=0\n", T "6: [maxpool] kernel of 9 is larger than the 3x8x8 input with padding 0\n");
    says(IMAGE "[conv]\nfilters=4\ngroups=2\n", T "7: [convolutional] 'groups' is 2, which does not divide the 3 input channels\n");
    says(IMAGE "[conv]\nfilters=4\ngroups=3\n", T "7: [convolutional] 'groups' is 3, which does not divide the 4 filters\n");
    says(IMAGE "[deconv]\nsize=1\npadding=4\n", T "5: [deconvolutional] would have an empty output from its 3x8x8 input\n");
    says(IMAGE "[conv]\nfilters=4\n[route]\nlayers=0\ngroups=3\n", T "9: [route] 'groups' is 3, which does not divide the 4 channels of layer 0\n");
    says(IMAGE "[conv]\nfilters=4\n[route]\nlayers=0\ngroups=2\ngroup_id=2\n", T "10: [route] 'group_id' is 2, expected 0 to 1\n");
    says(IMAGE "[conv]\nfilters=4\n[conv]\nfilters=4\n[scale_channels]\nfrom=0\n",
         T "10: [scale_channels] cannot scale the 4x8x8 of layer 0 by 4x8x8, expected 4x1x1\n");
    says(IMAGE "[conv]\nfilters=4\n[avgpool]\n[scale_channels]\nfrom=0\nscale_wh=1\n",
         T "9: [scale_channels] cannot scale the 4x8x8 of layer 0 by 4x1x1, expected 1x8x8\n");
    says(IMAGE "[conv]\nfilters=4\n[conv]\nfilters=3\n[sam]\nfrom=0\n", T "10: [sam] cannot multiply the 4x8x8 of layer 0 by 3x8x8\n");
    says(IMAGE "[reorg3d]\nstride=3\n", T "6: [reorg3d] stride 3 does not divide the 3x8x8 input\n");
    says(IMAGE "[conv]\n[max]\nsize=2\nstride=2\n[shortcut]\nfrom=-1,0\n", T "10: [shortcut] cannot add the 1x8x8 of layer 0 to 1x4x4\n");
    says(IMAGE "[conv]\n[conv]\n[shortcut]\nfrom=-1\nweights_type=per_feature\nbeta=2\n",
         T "10: [shortcut] 'beta' cannot stand beside several layers or weights, which have their own\n");
    says(IMAGE "[conv]\nsize=3\ndilation=2\n", T "7: [convolutional] dilation=2 needs a padding of 1 on each side of a kernel of 3, not 0\n");
    says(IMAGE "[softmax]\ngroups=5\n", T "6: [softmax] 192 inputs cannot be split into 5 groups\n");
    says(IMAGE "[dropout]\n", T "5: [dropout] cannot be the first layer: it works in place on the one before\n");
    says(IMAGE "[crop]\ncrop_height=9\ncrop_width=2\n", T "6: [crop] a crop of 9x2 is larger than the 3x8x8 input\n");
    says(IMAGE "[upsample]\nstride=0\n", T "6: [upsample] 'stride' is 0, expected a factor, or minus one to shrink\n");
    says(IMAGE "[upsample]\nstride=-3\n", T "6: [upsample] stride 3 does not divide the 3x8x8 input\n");
    says(IMAGE "[reorg]\nstride=2\n", T "6: [reorg] stride 2 needs a multiple of 4 input channels, not 3\n");
    says(IMAGE "[conv]\nfilters=9\n[reorg]\nstride=3\n", T "8: [reorg] stride 3 does not divide the 9x8x8 input\n");
    says(IMAGE "[conv]\n[batchnorm]\n", T "6: [batchnorm] crashes this Darknet\nhint: write batch_normalize=1 in the section before it\n");
    says(IMAGE "[crnn]\n[connected]\n", T "5: [crnn] crashes this Darknet\nhint: [rnn], [gru] and [lstm] run\n");
    says(IMAGE "[crnn]\nhidden_filters=2\noutput_filters=3\n", T "5: [crnn] crashes this Darknet\nhint: [rnn], [gru] and [lstm] run\n");
    says(IMAGE "[projector]\n", T "5: [projector] is no section of stock Darknet\n");
}

static void test_reference_mistakes(void **state)
{
    (void)state;
    says(IMAGE "[route]\nlayers=-1\n", T "6: [route] has no layer before it to read\n");
    says(IMAGE "[conv]\n[route]\nlayers=0,1\n", T "7: [route] 'layers' 1 is layer 1, expected 0 to 0\n");
    says(IMAGE "[conv]\n[route]\nlayers=-2\n", T "7: [route] 'layers' -2 is layer -1, expected 0 to 0\n");
    says(IMAGE "[conv]\n[conv]\n[shortcut]\nfrom=7\n[conv]\n", T "8: [shortcut] 'from' 7 is layer 7, expected 0 to 1\n");
    says(IMAGE "[conv]\n[shortcut]\n", T "6: [shortcut] 'from' is missing\n");
    says(IMAGE "[conv]\n[route]\n", T "6: [route] 'layers' is missing\n");
    says(IMAGE "[conv]\n[max]\nstride=3\n[upsample]\n[route]\nlayers=-1,0\n[conv]\n[conv]\n",
         T "10: [route] joins maps of unlike sizes, 6x6 of [upsample] (line 8) and 8x8 of [convolutional] (line 5), but "
         "[convolutional] (line 11) needs one image\nhint: is it the layer that was meant? Else make width= and height=, "
         "8x8, a multiple of all strides\n");
    says(IMAGE "[conv]\n[conn]\n[route]\nlayers=-1\n[softmax]\n[route]\nlayers=2\n[softmax]\n", "");
    says(IMAGE "[conv]\n[crop]\ncrop_height=8\ncrop_width=2\n[shortcut]\nfrom=0\n[shortcut]\nfrom=1\n",
         T "10: [shortcut] cannot add the 1x8x8 of layer 0 to 1x8x2\n");
    says(IMAGE "[conv]\n[cost]\n[shortcut]\nfrom=0\n", T "7: [shortcut] needs an image before it, not 64 plain inputs\n");
    says(IMAGE "[cost]\n[conn]\n[shortcut]\nfrom=0\n",
         T "8: [shortcut] layer 0 has 192 plain outputs, not an image to add\n");
}

static void test_detection_mistakes(void **state)
{
    (void)state;
    says(IMAGE "[conv]\nfilters=18\n[yolo]\nclasses=80\nnum=9\nmask=0,1,2\n",
         T "7: [yolo] needs 255 input channels (3 masks x (80 + 5)), not 18\n");
    says(IMAGE "[conv]\nfilters=18\n[region]\nnum=5\n",
         T "7: [region] needs 125 input channels (5 anchors x (20 + 4 + 1)), not 18\n");
    says(IMAGE "[conv]\nfilters=18\n[iseg]\n", T "7: [iseg] needs 52 input channels (20 classes + 32 ids), not 18\n");
    says(IMAGE "[conn]\noutput=18\n[detection]\nclasses=20\nnum=2\ncoords=4\n",
         T "7: [detection] needs 1470 inputs (7 x 7 x (2 x (4 + 1) + 20)), not 18\n");
    says(IMAGE "[conv]\nfilters=18\n[yolo]\nclasses=1\nnum=3\nmask=0,1,3\nanchors=1,2,3,4,5,6,7,8\n",
         T "10: [yolo] 'mask' names anchor 3, expected 0 to 2\n"
         T "11: [yolo] 'anchors' has 8 numbers, expected 6 for num=3\n");
    says(IMAGE "[conv]\nfilters=18\n[yolo]\nclasses=1\nnum=3\nanchors=1,2\n",
         T "10: warning: [yolo] 'anchors' has 2 numbers, the rest of 6 are taken as 0.5\n");
}

static void test_overflow(void **state)
{
    (void)state;
    says(IMAGE "[conv]\nfilters=100000000\n", T "5: [convolutional] has more outputs than Darknet can count\n");
    says(IMAGE "[avgpool]\n[conv]\nfilters=2000000000\npadding=2000000000\n[softmax]\n",
         T "6: [convolutional] has more outputs than Darknet can count\n");
    says(IMAGE "[conn]\noutput=100000000\n[softmax]\n", T "5: [connected] has more weights than Darknet can count\n");
    says(IMAGE "[avgpool]\n[conv]\nfilters=30000\nsize=3\npad=1\n[conv]\nfilters=30000\nsize=3\npad=1\n",
         T "10: [convolutional] has more weights than Darknet can count\n");
    says(IMAGE "batch=1000000\n[conv]\nfilters=100\n", T "6: [convolutional] 6400 outputs x batch 1000000 is more than Darknet can count\n");
    says(IMAGE "[upsample]\nstride=2147483647\n", T "5: [upsample] has more outputs than Darknet can count\n");
    says(IMAGE "[reorg]\nstride=2147483647\n", T "6: [reorg] stride 2147483647 needs a multiple of 4611686014132420609 input channels, not 3\n");
}

/* One mistake does not hide another, nor is it told twice. */
static void test_collected(void **state)
{
    (void)state;
    says(IMAGE "[conv]\nfilters=3x\n[conv]\nsize=99\n[conv]\nsize=99\n[route]\nlayers=0\n[conv]\nsize=77\n[conn]\n[route]\nlayers=9\n",
         T "6: [convolutional] 'filters' is '3x', expected a whole number\n"
         T "8: [convolutional] kernel of 99 is larger than the 3x8x8 input with padding 0\n"
         T "14: [convolutional] kernel of 77 is larger than the 3x8x8 input with padding 0\n"
         T "17: [route] 'layers' 9 is layer 9, expected 0 to 5\n");
    says(IMAGE "[conv]\nsize=1\nstride=2\n",
         T "7: warning: [convolutional] stock Darknet ignores stride 2 of a 1x1 kernel on the CPU\n"
         "hint: [maxpool] size=1 stride=2 before it, and stride=1 here, is the same everywhere; export writes it so\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shipped), cmocka_unit_test(test_published), cmocka_unit_test(test_every_type),
        cmocka_unit_test(test_written_text), cmocka_unit_test(test_sweep), cmocka_unit_test(test_changed),
        cmocka_unit_test(test_counts), cmocka_unit_test(test_net_mistakes), cmocka_unit_test(test_layer_mistakes),
        cmocka_unit_test(test_reference_mistakes), cmocka_unit_test(test_detection_mistakes),
        cmocka_unit_test(test_overflow), cmocka_unit_test(test_collected),
    };
    network_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
