/* Writing OUT.cfg and OUT.weights, both or neither (see weights_cut_write). What was written is read back under its
 * temporary name: the cfg by the cfg reader, the weights by the loader that refuses whatever does not fit, and every
 * array is compared with what was meant. Only then do both get their names. */
#include "weights_cut.h"

#include "../darknet_plugin/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct pair {
    char *cfg, *weights, *temp_cfg, *temp_weights;   /* owned */
    network *net;                                    /* what is to be written, owned */
} pair;

static int same_file(const char *a, const char *b)
{
    struct stat x, y;
    return !stat(a, &x) && !stat(b, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* A target may not be there, or be an ordinary file that is not read here. */
static int check_target(const char *target, const cut_files *f, diag *d)
{
    struct stat st;
    if (!stat(target, &st) && S_ISDIR(st.st_mode)) diag_error(d, target, 0, NULL, "cannot write: %s", strerror(EISDIR));
    else if (same_file(target, f->cfg) || same_file(target, f->weights)) {
        diag_error(d, target, 0, NULL, "would be overwritten, and it is what is read");
        diag_hint(d, "choose another name than '%s'", f->out);
    } else return 0;
    return -1;
}

static network *parse(const cfg_file *c, const char *name, diag *d)
{
    size_t len;
    char *text = cfg_text(c, &len);
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

static int fill(const weights_cut *k, const weights_contents *c, const cut_files *f, network *net, diag *d)
{
    weights_tensor from[WEIGHTS_MAX_TENSORS], to[WEIGHTS_MAX_TENSORS];
    const net_shape *s = k->v->low->shape;
    for (int i = 0; i < s->n; ++i) {
        if (k->number[i] < 0 || !s->layer[i].stored) continue;
        int n = weights_view_arrays(k->v, c, i, from), m = weights_tensors(&net->layers[k->number[i]], to);
        if (!n) {
            diag_error(d, f->weights, 0, NULL, "holds layers 0 to %d only, layer %d is wanted", c->info.layers - 1, i);
            return -1;
        }
        for (int j = 0; j < n; ++j)
            if (weights_check_values(&from[j], i, f->weights, d)) return -1;
        if (copy_arrays(from, n, to, m, i, d)) return -1;
    }
    *net->seen = f->seen;
    return 0;
}

static int write_cfg(const cfg_file *c, const char *path, const char *name, diag *d)
{
    size_t len;
    char *text = cfg_text(c, &len);
    FILE *f = fopen(path, "wx");
    int failed = !f || fwrite(text, 1, len, f) != len || fflush(f) || fsync(fileno(f)), why = errno;
    if (f && fclose(f) && !failed) failed = 1, why = errno;
    if (f && failed) unlink(path);
    if (failed) diag_error(d, name, 0, NULL, "cannot write: %s", strerror(why));
    free(text);
    return failed ? -1 : 0;
}

static int same_network(const network *a, const network *b)
{
    weights_tensor x[WEIGHTS_MAX_TENSORS], y[WEIGHTS_MAX_TENSORS];
    if (a->n != b->n || *a->seen != *b->seen) return 0;
    for (int i = 0; i < a->n; ++i) {
        int n = weights_tensors(&a->layers[i], x);
        if (n != weights_tensors(&b->layers[i], y)) return 0;
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
    lowered *low = lower_read(p->temp_cfg, LOWER_DEPLOY, quiet);
    network *net = low ? parse(low->cfg, p->cfg, quiet) : NULL;
    const char *why = NULL;
    if (!net || weights_load(net, low->shape, p->temp_weights, NULL, quiet)) why = last_error(quiet);
    else if (!same_network(net, p->net)) why = "it reads back as another network";
    host_free(net);
    lower_free(low);
    return why;
}

static int read_back(const pair *p, diag *d)
{
    diag *quiet = diag_new();
    const char *why = read_back_with(p, quiet);
    if (why) diag_error(d, p->cfg, 0, NULL, "was not written: %s", why);
    diag_free(quiet);
    return why ? -1 : 0;
}

static int give_names(const pair *p, diag *d)
{
    int failed = rename(p->temp_weights, p->weights), why = errno;
    if (!failed && rename(p->temp_cfg, p->cfg)) {
        failed = 1;
        why = errno;
        unlink(p->weights);
    } else if (!failed && weights_sync_folder(p->cfg)) failed = 1, why = errno;
    if (failed) diag_error(d, p->cfg, 0, NULL, "cannot write: %s", strerror(why));
    return failed ? -1 : 0;
}

/* Its message would name the temporary file. */
static int save_net(const pair *p, diag *d)
{
    diag *quiet = diag_new();
    int failed = weights_save(p->net, p->temp_weights, quiet);
    if (failed) diag_error(d, p->weights, 0, NULL, "%s", last_error(quiet));
    diag_free(quiet);
    return failed;
}

static int write_pair(const weights_cut *k, const weights_contents *c, const cut_files *f, pair *p, diag *d)
{
    if (check_target(p->cfg, f, d) || check_target(p->weights, f, d)) return -1;
    p->net = parse(k->cfg, p->cfg, d);
    if (!p->net || fill(k, c, f, p->net, d)) return -1;
    if (write_cfg(k->cfg, p->temp_cfg, p->cfg, d)) return -1;
    if (!save_net(p, d) && !read_back(p, d) && !give_names(p, d)) return 0;
    unlink(p->temp_cfg);
    unlink(p->temp_weights);
    return -1;
}

int weights_cut_write(const weights_cut *k, const weights_contents *c, const cut_files *f, diag *d)
{
    pair p = { .cfg = mem_printf("%s.cfg", f->out), .weights = mem_printf("%s.weights", f->out),
               .temp_cfg = mem_printf("%s.part%ld.cfg", f->out, (long)getpid()),
               .temp_weights = mem_printf("%s.part%ld.weights", f->out, (long)getpid()) };
    int failed = write_pair(k, c, f, &p, d);
    host_free(p.net);
    free(p.cfg);
    free(p.weights);
    free(p.temp_cfg);
    free(p.temp_weights);
    return failed;
}
