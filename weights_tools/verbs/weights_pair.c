/* Writing OUT.cfg and OUT.weights, both or neither (see weights_pair.h). What was written is read back under its
 * temporary name: the cfg by the cfg reader, the weights by the loader that refuses whatever does not fit, and every
 * array is compared with what was meant. Only then do both get their names. */
#include "weights_cut.h"
#include "weights_pair.h"

#include "darknet_plugin/deploying/net_pair.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct pair {
    net_pair files;
    const network *net;      /* what is to be written, borrowed */
    lower_mode mode;         /* how its cfg is read back */
} pair;

/* A target may not be there, or be an ordinary file that is not read here. */
static int check_targets(const net_pair *files, diag *d)
{
    const char *const path[] = { files->cfg, files->weights };
    struct stat st;
    for (int i = 0; i < 2; ++i) {
        if (stat(path[i], &st) || !S_ISDIR(st.st_mode)) continue;
        diag_error(d, path[i], 0, NULL, "cannot write: %s", strerror(EISDIR));
        return -1;
    }
    return out_file_check(path, 2, d);
}

/* The weights of the whole network's layer i for the layer that it becomes. */
static int fill_layer(const weights_cut *cut, const weights_contents *contents, int i, const char *path,
                      const layer *become, diag *d)
{
    weights_tensor from[WEIGHTS_MAX_TENSORS], to[WEIGHTS_MAX_TENSORS];
    int n = weights_view_arrays(cut->view, contents, i, from), m = weights_tensors(become, to);
    if (!n) {
        diag_error(d, path, 0, NULL, "holds layers 0 to %d only, layer %d is wanted", contents->info.layers - 1, i);
        return -1;
    }
    for (int j = 0; j < n; ++j)
        if (weights_check_values(&from[j], i, path, d)) return -1;
    if (!weights_copy(from, n, to, m)) return 0;
    diag_error(d, NULL, 0, NULL, "layer %d would have other weights than in the whole network", i);
    return -1;
}

static int fill(const weights_cut *cut, const weights_contents *contents, const cut_files *files, network *net, diag *d)
{
    const net_shape *shape = cut->view->low->shape;
    for (int i = 0; i < shape->n; ++i) {
        int number = cut->number[i];
        if (number < 0 || !shape->layer[i].stored) continue;
        if (fill_layer(cut, contents, i, files->weights, &net->layers[number], d)) return -1;
    }
    *net->seen = files->seen;
    return 0;
}

static int same_layer(const layer *one, const layer *other)
{
    weights_tensor x[WEIGHTS_MAX_TENSORS], y[WEIGHTS_MAX_TENSORS];
    int n = weights_tensors(one, x);
    if (n != weights_tensors(other, y)) return 0;
    for (int j = 0; j < n; ++j)
        if (x[j].n != y[j].n || memcmp(x[j].data, y[j].data, x[j].n * sizeof *x[j].data)) return 0;
    return 1;
}

/* To the bit. */
static int same_network(const network *one, const network *other)
{
    if (one->n != other->n || *one->seen != *other->seen) return 0;
    for (int i = 0; i < one->n; ++i)
        if (!same_layer(&one->layers[i], &other->layers[i])) return 0;
    return 1;
}

static const char *last_error(const diag *d)
{
    for (int i = diag_count(d) - 1; i >= 0; --i)
        if (diag_get(d, i)->level == DIAG_ERROR) return diag_get(d, i)->text;
    return "it does not read back";
}

/* NULL if all is well, else what is not; `quiet` takes the readers' messages. */
static const char *read_back_with(const pair *pair, diag *quiet)
{
    lowered *low = lower_read(pair->files.file[PAIR_CFG].temp, pair->mode, quiet);
    network *net = low ? host_parse_cfg(low->cfg, pair->files.cfg, quiet) : NULL;
    const char *why = NULL;
    const char *weights = pair->files.file[PAIR_WEIGHTS].temp;
    if (!net || weights_load(net, low->shape, weights, NULL, quiet)) why = last_error(quiet);
    else if (!same_network(net, pair->net)) why = "it reads back as another network";
    host_free(net);
    lower_free(low);
    return why;
}

static int read_back(const pair *pair, diag *d)
{
    diag *quiet = diag_new();
    const char *why = read_back_with(pair, quiet);
    if (why) diag_error(d, pair->files.cfg, 0, NULL, "was not written: %s", why);
    diag_free(quiet);
    return why ? -1 : 0;
}

static int write_pair(pair *pair, const cfg_file *cfg, network *net, diag *d)
{
    if (check_targets(&pair->files, d)) return -1;
    if (net_pair_write(&pair->files, cfg, net, d) || read_back(pair, d)) return -1;
    return net_pair_keep(&pair->files, d);
}

int weights_pair_write(const cfg_file *cfg, network *net, lower_mode mode, const char *out, diag *d)
{
    pair pair = { .net = net, .mode = mode };
    if (net_pair_begin(&pair.files, out, d)) return -1;
    int failed = write_pair(&pair, cfg, net, d);
    net_pair_end(&pair.files);
    return failed;
}

int weights_cut_write(const weights_cut *cut, const weights_contents *contents, const cut_files *files, diag *d)
{
    network *net = host_parse_cfg(cut->cfg, files->out, d);
    int failed = !net || fill(cut, contents, files, net, d) ||
                 weights_pair_write(cut->cfg, net, LOWER_DEPLOY, files->out, d);
    host_free(net);
    return failed ? -1 : 0;
}
