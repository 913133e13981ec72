/* Writing a weights file, whole or not at all (out_file.h). The bytes are those of Darknet's save_weights, but for
 * layers with dontsave=1 and without dontload=1: they are written too, since the host's loader expects them. */
#include "weights_file.h"

#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/out_file.h"

#include <errno.h>
#include <sys/stat.h>

int weights_write(const network *net, FILE *file)
{
    const int32_t version[3] = { 0, 2, 0 };
    const uint64_t seen = *net->seen;
    weights_tensor t[WEIGHTS_MAX_TENSORS];
    if (fwrite(version, sizeof version, 1, file) != 1 || fwrite(&seen, sizeof seen, 1, file) != 1) return -1;
    for (int i = 0; i < net->n; ++i) {
        int n = weights_stored(&net->layers[i], t);
        for (int j = 0; j < n; ++j)
            if (fwrite(t[j].data, sizeof *t[j].data, t[j].n, file) != t[j].n) return -1;
    }
    return 0;
}

int weights_save(const network *net, const char *path, diag *d)
{
    out_file out;
    if (out_file_open(&out, path, d)) return -1;
    return out_file_close(&out, weights_write(net, out.file), d);
}

/* mkdir that is content with a folder being there. */
static int make_one(const char *folder)
{
    struct stat st;
    if (!mkdir(folder, 0777)) return 0;
    int why = errno;
    if (!stat(folder, &st)) {
        if (S_ISDIR(st.st_mode)) return 0;
        why = ENOTDIR;
    }
    errno = why;
    return -1;
}

int weights_make_folder(const char *folder, diag *d)
{
    char *part = mem_strdup(folder);
    int failed = 0;
    for (char *p = part + 1; *part && *p && !failed; ++p) {
        if (*p != '/') continue;
        *p = 0;
        failed = make_one(part);
        *p = '/';
    }
    failed = failed || (*part && make_one(part));
    if (failed) diag_error(d, folder, 0, NULL, "cannot make this folder: %s", strerror(errno));
    free(part);
    return failed ? -1 : 0;
}
