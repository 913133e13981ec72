/* Writing OUT.cfg and OUT.weights (see net_pair.h). */
#include "net_pair.h"
#include "weights_file.h"

#include "../darknet_plugin/mem.h"

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
    p->temp_cfg = mem_printf("%s.part%d.cfg", out, (int)getpid());
    p->temp_weights = mem_printf("%s.part%d.weights", out, (int)getpid());
    mem_begun(&p->unfinished[0], p->temp_cfg);
    mem_begun(&p->unfinished[1], p->temp_weights);
    return 0;
}

/* `name` is what the file will be called: messages of a temporary one help nobody. */
static int write_cfg(const cfg_file *cfg, const char *path, const char *name, diag *d)
{
    size_t len;
    char *text = cfg_text(cfg, &len);
    FILE *f = fopen(path, "wx");
    int failed = !f || fwrite(text, 1, len, f) != len || fflush(f) || fsync(fileno(f)), why = errno;
    if (f && fclose(f) && !failed) {
        failed = 1;
        why = errno;
    }
    if (failed) diag_error(d, name, 0, NULL, "cannot write: %s", strerror(why));
    free(text);
    return failed ? -1 : 0;
}

static int write_weights(const network *net, const char *path, const char *name, diag *d)
{
    diag *quiet = diag_new();
    int failed = weights_save(net, path, quiet);
    if (failed) diag_error(d, name, 0, NULL, "%s", diag_get(quiet, 0)->text);
    diag_free(quiet);
    return failed;
}

int net_pair_write(const net_pair *p, const cfg_file *cfg, const network *net, diag *d)
{
    return write_cfg(cfg, p->temp_cfg, p->cfg, d) || write_weights(net, p->temp_weights, p->weights, d) ? -1 : 0;
}

int net_pair_keep(const net_pair *p, diag *d)
{
    int failed = rename(p->temp_weights, p->weights), why = errno;
    if (!failed && rename(p->temp_cfg, p->cfg)) {
        failed = 1;
        why = errno;
        unlink(p->weights);
    } else if (!failed && weights_sync_folder(p->cfg)) {
        failed = 1;
        why = errno;
    }
    if (failed) diag_error(d, p->cfg, 0, NULL, "cannot write: %s", strerror(why));
    return failed ? -1 : 0;
}

void net_pair_end(net_pair *p)
{
    for (int i = 0; i < 2; ++i) mem_finished(&p->unfinished[i]);
    if (p->temp_cfg) unlink(p->temp_cfg);
    if (p->temp_weights) unlink(p->temp_weights);
    free(p->cfg);
    free(p->weights);
    free(p->temp_cfg);
    free(p->temp_weights);
    *p = (net_pair){ 0 };
}
