/* Writing a weights file so that no crash, full disk or pulled plug ever leaves half of one: everything goes to a
 * new file `.NAME.tmp.PID` in the same folder, is fsynced, takes the old file's name in one rename, and the folder
 * is fsynced too. On any error the new file goes and the old one stays. The bytes are those of Darknet's
 * save_weights, but for layers with dontsave=1: they are written too, since the host's loader expects them. */
#include "weights_file.h"

#include "../darknet_plugin/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TEMP_ATTEMPTS = 100, TEMP_NAME = 200 };

/* The folder part of `path` with its slash ("" if none); the caller frees. */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return mem_printf("%.*s", slash ? (int)(slash - path) + 1 : 0, path);
}

/* Creates a file of our own beside `path`. Its descriptor, *name the caller's to free; -1 and errno otherwise. */
static int open_temp(const char *path, char **name)
{
    char *folder = folder_of(path);
    int fd = -1;
    *name = NULL;
    for (int i = 0; i < TEMP_ATTEMPTS && fd < 0; ++i) {
        char again[16] = "";
        if (i) snprintf(again, sizeof again, ".%d", i);
        free(*name);
        *name = mem_printf("%s.%.*s.tmp.%ld%s", folder, TEMP_NAME, path + strlen(folder), (long)getpid(), again);
        fd = open(*name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd < 0 && errno != EEXIST) break;
    }
    free(folder);
    return fd;
}

static int write_net(const network *net, FILE *f)
{
    const int32_t version[3] = { 0, 2, 0 };
    const uint64_t seen = *net->seen;
    weights_tensor t[WEIGHTS_MAX_TENSORS];
    if (fwrite(version, sizeof version, 1, f) != 1 || fwrite(&seen, sizeof seen, 1, f) != 1) return -1;
    for (int i = 0; i < net->n; ++i) {
        int n = weights_tensors(&net->layers[i], t);
        for (int j = 0; j < n; ++j)
            if (fwrite(t[j].data, sizeof *t[j].data, t[j].n, f) != t[j].n) return -1;
    }
    return fflush(f) || fsync(fileno(f)) ? -1 : 0;
}

/* A file system that cannot fsync folders is not an error, nor is a folder we may not read. */
int weights_sync_folder(const char *path)
{
    char *folder = folder_of(path);
    int fd = open(*folder ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int failed = fd >= 0 && fsync(fd) && errno != EINVAL && errno != EROFS;
    int why = errno;
    if (fd >= 0) close(fd);
    free(folder);
    errno = why;
    return failed ? -1 : 0;
}

/* Writes and closes `fd`; 0, or -1 and errno. */
static int fill_temp(const network *net, int fd)
{
    FILE *f = fdopen(fd, "wb");
    if (!f) {
        int why = errno;
        close(fd);
        errno = why;
        return -1;
    }
    int failed = write_net(net, f), why = errno;
    if (fclose(f) && !failed) return -1;
    errno = why;
    return failed;
}

int weights_save(const network *net, const char *path, diag *d)
{
    char *temp;
    int fd = open_temp(path, &temp);
    int made = fd >= 0;
    int failed = !made || fill_temp(net, fd) || rename(temp, path);
    int why = errno;
    if (failed && made) unlink(temp);
    if (!failed && weights_sync_folder(path)) {
        failed = 1;
        why = errno;
    }
    if (failed) diag_error(d, path, 0, NULL, "cannot save the weights: %s", strerror(why));
    free(temp);
    return failed ? -1 : 0;
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
