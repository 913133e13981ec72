/* Writing beside and renaming (see out_file.h): everything goes to a new file `.NAME.tmp.PID` in the same folder, is
 * fsynced, takes the old file's name in one rename, and the folder is fsynced too. On any error the new file goes and
 * the old one stays. Of several files that belong together all but the last change places with the old ones (Linux's
 * renameat2), so that they can be taken back where the last one cannot have its name. */
#include "out_file.h"

#include "mem.h"
#include "path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TEMP_ATTEMPTS = 100, TEMP_NAME = 200 };

static int report(const char *path, int why, diag *d)
{
    diag_error(d, path, 0, NULL, "cannot write: %s", strerror(why ? why : EIO));
    return -1;
}

/* Creates a file of our own beside `path`. Its descriptor, *name the caller's to free; -1 and errno otherwise. */
static int open_temp(const char *path, char **name)
{
    char *folder = path_folder(path);
    int fd = -1;
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

/* Only files and what is not there yet can be replaced: a rename would put a file in the place of /dev/null. */
static int open_any(out_file *out)
{
    struct stat st;
    if (stat(out->path, &st) || S_ISREG(st.st_mode)) return open_temp(out->path, &out->temp);
    if (!S_ISDIR(st.st_mode)) return open(out->path, O_WRONLY | O_CLOEXEC);
    errno = EISDIR;
    return -1;
}

int out_file_open(out_file *out, const char *path, diag *d)
{
    *out = (out_file){ .path = mem_strdup(path) };
    int fd = open_any(out);
    if (fd >= 0 && out->temp) mem_begun(&out->unfinished, out->temp);
    if (fd >= 0 && (out->file = fdopen(fd, "wb"))) return 0;
    report(path, errno, d);
    if (fd >= 0) close(fd);
    else {
        free(out->temp);       /* not ours */
        out->temp = NULL;
    }
    out_file_drop(out);
    return -1;
}

int out_file_finish(out_file *out, int failed, diag *d)
{
    int why = errno;
    if (!out->file) return -1;
    int bad = ferror(out->file);
    if (!failed && !bad) {
        bad = fflush(out->file) || (out->temp && fsync(fileno(out->file)));
        why = errno;
    }
    if (fclose(out->file) && !failed && !bad) {
        bad = 1;
        why = errno;
    }
    out->file = NULL;
    if (bad) report(out->path, why, d);
    if (!bad && !failed) return 0;
    out_file_drop(out);
    return -1;
}

/* Makes renames in the folder of `path` last. A file system that cannot fsync folders is not an error, nor is a folder
 * we may not read. */
static int sync_folder(const char *path)
{
    char *folder = path_folder(path);
    int fd = open(*folder ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int failed = fd >= 0 && fsync(fd) && errno != EINVAL && errno != EROFS;
    int why = errno;
    if (fd >= 0) close(fd);
    free(folder);
    errno = why;
    return failed ? -1 : 0;
}

int out_file_rename(const char *temp, const char *path) { return rename(temp, path) || sync_folder(path) ? -1 : 0; }

static int exchange(const out_file *out)
{
    return renameat2(AT_FDCWD, out->temp, AT_FDCWD, out->path, RENAME_EXCHANGE);
}

/* Where there is no old file nothing is exchanged; nor on the few file systems that cannot, where taking back loses the
 * old one. */
static int take_name(out_file *out, int last)
{
    out->exchanged = !last && !exchange(out);
    return out->exchanged ? 0 : rename(out->temp, out->path);
}

static void give_back(out_file *out)
{
    if (out->exchanged) exchange(out);
    else rename(out->path, out->temp);
    out->exchanged = 0;
}

/* Kept: nothing of it is left under the temporary name, or only the old file. */
static void settle(out_file *out)
{
    mem_finished(&out->unfinished);
    if (out->exchanged) unlink(out->temp);
    free(out->temp);
    out->temp = NULL;
}

int out_file_keep(out_file *out, int n, diag *d)
{
    int bad = 0;
    for (int i = 0; i < n && !bad; ++i) {
        if (!out[i].temp || !take_name(&out[i], i == n - 1)) continue;
        bad = report(out[i].path, errno, d);
        while (--i >= 0)
            if (out[i].temp) give_back(&out[i]);
        break;
    }
    for (int i = 0; i < n && !bad; ++i) {
        if (!out[i].temp) continue;
        settle(&out[i]);
        if (sync_folder(out[i].path)) bad = report(out[i].path, errno, d);
    }
    return bad;
}

void out_file_drop(out_file *out)
{
    mem_finished(&out->unfinished);
    if (out->file) fclose(out->file);
    if (out->temp) unlink(out->temp);
    free(out->temp);
    free(out->path);
    *out = (out_file){ 0 };
}

int out_file_close(out_file *out, int failed, diag *d)
{
    int bad = out_file_finish(out, failed, d) || out_file_keep(out, 1, d);
    out_file_drop(out);
    return bad ? -1 : 0;
}

int out_file_text(const char *path, const char *text, size_t len, diag *d)
{
    out_file f;
    if (out_file_open(&f, path, d)) return -1;
    return out_file_close(&f, fwrite(text, 1, len, f.file) != len, d);
}
