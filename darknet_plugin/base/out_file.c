/* Writing beside and renaming (see out_file.h): everything goes to a new file `.NAME.tmp.PID` in the same folder, is fsynced,
 * takes the old file's name in one rename, and the folder is fsynced too. On any error the new file goes and the old one stays.
 * Of several files that belong together all but the last change places with the old ones (Linux's renameat2), so that they
 * can be taken back where the last one cannot have its name. */
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
static int open_any(out_file *f)
{
    struct stat st;
    if (stat(f->path, &st) || S_ISREG(st.st_mode)) return open_temp(f->path, &f->temp);
    if (!S_ISDIR(st.st_mode)) return open(f->path, O_WRONLY | O_CLOEXEC);
    errno = EISDIR;
    return -1;
}

int out_file_open(out_file *f, const char *path, diag *d)
{
    *f = (out_file){ .path = mem_strdup(path) };
    int fd = open_any(f);
    if (fd >= 0 && f->temp) mem_begun(&f->unfinished, f->temp);
    if (fd >= 0 && (f->file = fdopen(fd, "wb"))) return 0;
    report(path, errno, d);
    if (fd >= 0) close(fd);
    else free(f->temp), f->temp = NULL;   /* not ours */
    out_file_drop(f);
    return -1;
}

int out_file_finish(out_file *f, int failed, diag *d)
{
    int why = errno;
    if (!f->file) return -1;
    int bad = ferror(f->file);
    if (!failed && !bad) {
        bad = fflush(f->file) || (f->temp && fsync(fileno(f->file)));
        why = errno;
    }
    if (fclose(f->file) && !failed && !bad) {
        bad = 1;
        why = errno;
    }
    f->file = NULL;
    if (bad) report(f->path, why, d);
    if (!bad && !failed) return 0;
    out_file_drop(f);
    return -1;
}

/* Makes renames in the folder of `path` last. A file system that cannot fsync folders is not an error, nor is a folder we may
 * not read. */
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

static int exchange(const out_file *f) { return renameat2(AT_FDCWD, f->temp, AT_FDCWD, f->path, RENAME_EXCHANGE); }

/* Where there is no old file nothing is exchanged; nor on the few file systems that cannot, where taking back loses the old one. */
static int take_name(out_file *f, int last)
{
    f->exchanged = !last && !exchange(f);
    return f->exchanged ? 0 : rename(f->temp, f->path);
}

static void give_back(out_file *f)
{
    if (f->exchanged) exchange(f);
    else rename(f->path, f->temp);
    f->exchanged = 0;
}

/* Kept: nothing of it is left under the temporary name, or only the old file. */
static void settle(out_file *f)
{
    mem_finished(&f->unfinished);
    if (f->exchanged) unlink(f->temp);
    free(f->temp);
    f->temp = NULL;
}

int out_file_keep(out_file *f, int n, diag *d)
{
    int bad = 0;
    for (int i = 0; i < n && !bad; ++i) {
        if (!f[i].temp || !take_name(&f[i], i == n - 1)) continue;
        bad = report(f[i].path, errno, d);
        while (--i >= 0)
            if (f[i].temp) give_back(&f[i]);
        break;
    }
    for (int i = 0; i < n && !bad; ++i) {
        if (!f[i].temp) continue;
        settle(&f[i]);
        if (sync_folder(f[i].path)) bad = report(f[i].path, errno, d);
    }
    return bad;
}

void out_file_drop(out_file *f)
{
    mem_finished(&f->unfinished);
    if (f->file) fclose(f->file);
    if (f->temp) unlink(f->temp);
    free(f->temp);
    free(f->path);
    *f = (out_file){ 0 };
}

int out_file_close(out_file *f, int failed, diag *d)
{
    int bad = out_file_finish(f, failed, d) || out_file_keep(f, 1, d);
    out_file_drop(f);
    return bad ? -1 : 0;
}

int out_file_text(const char *path, const char *text, size_t len, diag *d)
{
    out_file f;
    if (out_file_open(&f, path, d)) return -1;
    return out_file_close(&f, fwrite(text, 1, len, f.file) != len, d);
}
