/* Writing OUT.cfg and OUT.weights (see net_pair.h). */
#include "net_pair.h"
#include "weights_tools/file/weights_file.h"

#include "darknet_plugin/base/mem.h"

#include <stdlib.h>
#include <string.h>

int net_pair_begin(net_pair *pair, const char *out, diag *d)
{
    *pair = (net_pair){ 0 };
    if (out_file_check_place(out, d)) return -1;
    pair->cfg = mem_printf("%s.cfg", out);
    pair->weights = mem_printf("%s.weights", out);
    return 0;
}

int net_file_cfg(out_file *file, const char *path, const cfg_file *cfg, diag *d)
{
    size_t len;
    if (out_file_open(file, path, d)) return -1;
    char *text = cfg_text(cfg, &len);
    int failed = fwrite(text, 1, len, file->file) != len;
    free(text);
    return out_file_finish(file, failed, d);
}

int net_file_weights(out_file *file, const char *path, const network *net, diag *d)
{
    return out_file_open(file, path, d) || out_file_finish(file, weights_write(net, file->file), d) ? -1 : 0;
}

int net_pair_write(net_pair *pair, const cfg_file *cfg, const network *net, diag *d)
{
    return net_file_cfg(&pair->file[PAIR_CFG], pair->cfg, cfg, d) || net_file_weights(&pair->file[PAIR_WEIGHTS],
        pair->weights, net, d) ? -1 : 0;
}

int net_pair_keep(net_pair *pair, diag *d) { return out_file_keep(pair->file, PAIR_FILES, d); }

void net_pair_end(net_pair *pair)
{
    for (int i = 0; i < PAIR_FILES; ++i) out_file_drop(&pair->file[i]);
    free(pair->cfg);
    free(pair->weights);
    *pair = (net_pair){ 0 };
}
