/* Writing OUT.cfg and OUT.weights, both or neither (see weights_cut_write). What was written is read back under its
 * temporary name: the cfg by the cfg reader, the weights by the loader that refuses whatever does not fit, and every
 * array is compared with what was meant. Only then do both get their names. */
#include "darknet_plugin/deploying/net_pair.h"
#include "weights_cut.h"

#include "darknet_plugin/base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct pair {
    net_pair files;
    network *net;                                    /* what is to be written, owned */
} pair;

static int same_file(const char *a, const char *b)
{
    struct stat x, y;
    return !stat(a, &x) && !stat(b, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* A target may not be there, or be an ordinary file that is not read here. */
static int check_target(const char *target, const cut_files *files, diag *d)
{
    struct stat st;
    if (!stat(target, &st) && S_ISDIR(st.st_mode)) diag_error(d, target, 0, NULL, "cannot write: %s", strerror(EISDIR));
    else if (same_file(target, files->cfg) || same_file(target, files->weights)) {
        diag_error(d, target, 0, NULL, "would be overwritten, and it is what is read");
        diag_hint(d, "choose another name than '%s'", files->out);
    } else return 0;
    return -1;
}

static network *parse(const cfg_file *cfg, const char *name, diag *d)
{
    size_t len;
    char *text = cfg_text(cfg, &len);
    network *net = host_parse(text, len, name, d);
    free(text);
    return net;
}

static int copy_arrays(const weights_tensor *from, int n, const weights_tensor *to, int m, int layer, diag *d)
{
    for (int j = 0; j < n || j < m; ++j) {
        if (j >= n || j >= m || from[j].n != to[j].n) {
            diag_error(d, NULL, 0, NULL, "layer %d would have other weights than in the whole network", layer);
            return -1;
        }
        memcpy(to[j].data, from[j].data, from[j].n * sizeof *from[j].data);
    }
    return 0;
}

static int fill(const weights_cut *cut, const weights_contents *contents, const cut_files *files, network *net, diag *d)
{
    weights_tensor from[WEIGHTS_MAX_TENSORS], to[WEIGHTS_MAX_TENSORS];
    const net_shape *s = cut->v->low->shape;
    for (int i = 0; i < s->n; ++i) {
        if (cut->number[i] < 0 || !s->layer[i].stored) continue;
        int n = weights_view_arrays(cut->v, contents, i, from), m = weights_tensors(&net->layers[cut->number[i]], to);
        if (!n) {
            diag_error(d, files->weights, 0, NULL, "holds layers 0 to %d only, layer %d is wanted",
                       contents->info.layers - 1, i);
            return -1;
        }
        for (int j = 0; j < n; ++j)
            if (weights_check_values(&from[j], i, files->weights, d)) return -1;
        if (copy_arrays(from, n, to, m, i, d)) return -1;
    }
    *net->seen = files->seen;
    return 0;
}

static int same_network(const network *net, const network *network_)
{
    weights_tensor x[WEIGHTS_MAX_TENSORS], y[WEIGHTS_MAX_TENSORS];
    if (net->n != network_->n || *net->seen != *network_->seen) return 0;
    for (int i = 0; i < net->n; ++i) {
        int n = weights_tensors(&net->layers[i], x);
        if (n != weights_tensors(&network_->layers[i], y)) return 0;
        for (int j = 0; j < n; ++j)
            if (x[j].n != y[j].n || memcmp(x[j].data, y[j].data, x[j].n * sizeof *x[j].data)) return 0;
    }
    return 1;
}

static const char *last_error(const diag *d)
{
    for (int i = diag_count(d) - 1; i >= 0; --i)
        if (diag_get(d, i)->level == DIAG_ERROR) return diag_get(d, i)->text;
    return "it does not read back";
}

/* NULL if all is well, else what is not; `quiet` takes the readers' messages. */
static const char *read_back_with(const pair *p, diag *quiet)
{
    lowered *low = lower_read(p->files.file[PAIR_CFG].temp, LOWER_DEPLOY, quiet);
    network *net = low ? parse(low->cfg, p->files.cfg, quiet) : NULL;
    const char *why = NULL;
    if (!net || weights_load(net, low->shape, p->files.file[PAIR_WEIGHTS].temp, NULL, quiet)) why = last_error(quiet);
    else if (!same_network(net, p->net)) why = "it reads back as another network";
    host_free(net);
    lower_free(low);
    return why;
}

static int read_back(const pair *p, diag *d)
{
    diag *quiet = diag_new();
    const char *why = read_back_with(p, quiet);
    if (why) diag_error(d, p->files.cfg, 0, NULL, "was not written: %s", why);
    diag_free(quiet);
    return why ? -1 : 0;
}

static int write_pair(const weights_cut *cut, const weights_contents *contents, const cut_files *files, pair *p,
                      diag *d)
{
    if (check_target(p->files.cfg, files, d) || check_target(p->files.weights, files, d)) return -1;
    p->net = parse(cut->cfg, p->files.cfg, d);
    if (!p->net || fill(cut, contents, files, p->net, d)) return -1;
    return net_pair_write(&p->files, cut->cfg, p->net, d) || read_back(p, d) || net_pair_keep(&p->files, d) ? -1 : 0;
}

int weights_cut_write(const weights_cut *cut, const weights_contents *contents, const cut_files *files, diag *d)
{
    pair p = { .net = NULL };
    if (net_pair_begin(&p.files, files->out, d)) return -1;
    int failed = write_pair(cut, contents, files, &p, d);
    host_free(p.net);
    net_pair_end(&p.files);
    return failed;
}
