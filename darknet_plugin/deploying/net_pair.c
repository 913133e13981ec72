/* Writing OUT.cfg and OUT.weights (see net_pair.h). */
#include "net_pair.h"
#include "weights_tools/file/weights_file.h"

#include "darknet_plugin/base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int net_pair_begin(net_pair *p, const char *out, diag *d)
{
    const char *slash = strrchr(out, '/');
    char *folder = slash ? mem_printf("%.*s/", (int)(slash - out), out) : mem_strdup(".");
    int bad = access(folder, W_OK | X_OK);
    if (bad) diag_error(d, out, 0, NULL, "cannot write: %s", strerror(errno));
    free(folder);
    *p = (net_pair){ 0 };
    if (bad) return -1;
    p->cfg = mem_printf("%s.cfg", out);
    p->weights = mem_printf("%s.weights", out);
    return 0;
}

int net_file_cfg(out_file *f, const char *path, const cfg_file *cfg, diag *d)
{
    size_t len;
    if (out_file_open(f, path, d)) return -1;
    char *text = cfg_text(cfg, &len);
    int failed = fwrite(text, 1, len, f->file) != len;
    free(text);
    return out_file_finish(f, failed, d);
}

int net_file_weights(out_file *f, const char *path, const network *net, diag *d)
{
    return out_file_open(f, path, d) || out_file_finish(f, weights_write(net, f->file), d) ? -1 : 0;
}

int net_pair_write(net_pair *p, const cfg_file *cfg, const network *net, diag *d)
{
    return net_file_cfg(&p->file[PAIR_CFG], p->cfg, cfg, d) || net_file_weights(&p->file[PAIR_WEIGHTS], p->weights, net, d) ? -1 : 0;
}

int net_pair_keep(net_pair *p, diag *d) { return out_file_keep(p->file, PAIR_FILES, d); }

void net_pair_end(net_pair *p)
{
    for (int i = 0; i < PAIR_FILES; ++i) out_file_drop(&p->file[i]);
    free(p->cfg);
    free(p->weights);
    *p = (net_pair){ 0 };
}
