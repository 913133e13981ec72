/* Writing beside and renaming (see out_file.h): everything goes to a new file `.NAME.tmp.PID` in the same folder, is
 * fsynced, takes the old file's name in one rename, and the folder is fsynced too. On any error the new file goes and
 * the old one stays. Of several files that belong together all but the last change places with the old ones (Linux's
 * renameat2), so that they can be taken back where the last one cannot have its name. */
#include "out_file.h"

#include "in_file_list.h"
#include "mem.h"
#include "path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char SAME_TWICE[] = "two of the files to be written are this one";
enum { TEMP_ATTEMPTS = 100, TEMP_NAME = 200 };

static int report(const char *path, int why, diag *d)
{
    diag_error(d, path, 0, NULL, "cannot write: %s", strerror(why ? why : EIO));
    return -1;
}

/* ---- what may be written ---- */

/* What a name stands for: a file, or a name in a folder where there is none. */
typedef struct target {
    const char *path;        /* NULL: none */
    struct stat file;
    int exists;
    struct stat folder;
    int placed;              /* the folder exists */
} target;

static target target_of(const char *path)
{
    target it = { .path = path };
    if (!path) return it;
    char *folder = path_folder(path);
    it.exists = !stat(path, &it.file);
    it.placed = !stat(*folder ? folder : ".", &it.folder);
    free(folder);
    return it;
}

static int same_target(const target *one, const target *other)
{
    if (!one->path || !other->path || one->exists != other->exists) return 0;
    if (one->exists) return S_ISREG(one->file.st_mode) && path_same_file(&one->file, &other->file);
    if (!one->placed || !other->placed) return !strcmp(one->path, other->path);
    return path_same_file(&one->folder, &other->folder) &&
           !strcmp(path_base_name(one->path), path_base_name(other->path));
}

static int refuse(const char *path, const char *why, diag *d)
{
    diag_error(d, path, 0, NULL, "%s", why);
    diag_hint(d, "give what is written another name, or another folder");
    return -1;
}

/* A file that this command has read, and that is not its own. */
static int check_inputs(const target *it, diag *d)
{
    if (!it->path || !it->exists || !in_file_list_has(diag_files(d), &it->file)) return 0;
    if (in_file_list_owns(diag_files(d), it->path)) return 0;
    return refuse(it->path, "would be overwritten, and it is what is read", d);
}

/* What would only be noticed when all is computed. */
static int check_folder(const target *it, diag *d)
{
    if (!it->path || !it->exists || !S_ISDIR(it->file.st_mode)) return 0;
    diag_error(d, it->path, 0, NULL, "cannot write: %s", strerror(EISDIR));
    return -1;
}

int out_file_check(const char *const *path, int n, diag *d)
{
    target *all = mem_calloc((size_t)n, sizeof *all);
    int bad = 0;
    for (int i = 0; i < n && !bad; ++i) {
        all[i] = target_of(path[i]);
        bad = check_folder(&all[i], d) || check_inputs(&all[i], d) ? -1 : 0;
        for (int j = 0; j < i && !bad; ++j)
            if (same_target(&all[i], &all[j])) bad = refuse(path[i], SAME_TWICE, d);
    }
    free(all);
    return bad;
}

int out_file_check_place(const char *path, diag *d)
{
    char *folder = path_folder(path);
    int bad = access(*folder ? folder : ".", W_OK | X_OK);
    if (bad) diag_error(d, path, 0, NULL, "cannot write: %s", strerror(errno));
    free(folder);
    return bad;
}

/* With those that are its own already, no two of which may be one either. */
int out_file_own(const char *const *path, int n, diag *d)
{
    int before = 0;
    while (in_file_list_owned(diag_files(d), before)) ++before;
    const char **all = mem_calloc((size_t)(before + n), sizeof *all);
    for (int i = 0; i < before + n; ++i) all[i] = i < before ? in_file_list_owned(diag_files(d), i) : path[i - before];
    int bad = out_file_check(all, before + n, d);
    free(all);
    for (int i = 0; i < n && !bad; ++i)
        if (path[i]) in_file_list_own(diag_files(d), path[i]);
    return bad;
}

/* ---- opening ---- */

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
    *out = (out_file){ .path = NULL };
    if (out_file_check(&path, 1, d)) return -1;
    out->path = mem_strdup(path);
    sigset_t before = unfinished_hold();
    int fd = open_any(out);
    if (fd >= 0 && out->temp) unfinished_begin(&out->unfinished, out->temp);
    unfinished_release(&before);
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

/* ---- closing ---- */

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
    if (out->exchanged) unlink(out->temp);
    unfinished_end(&out->unfinished);
    free(out->temp);
    out->temp = NULL;
}

/* What is there by now may have been read since the file was opened. */
static int check_names(const out_file *out, int n, diag *d)
{
    for (int i = 0; i < n; ++i) {
        target it = target_of(out[i].temp ? out[i].path : NULL);
        if (check_inputs(&it, d)) return -1;
    }
    return 0;
}

/* Did one of the files before it take this one's name just now? Where a file system does not tell their names apart. */
static int is_taken(const out_file *out, int i)
{
    struct stat there, other;
    if (stat(out[i].path, &there)) return 0;
    for (int j = 0; j < i; ++j)
        if (out[j].temp && !stat(out[j].path, &other) && path_same_file(&there, &other)) return 1;
    return 0;
}

/* All or none. No memory is asked for in between: that could end the program. */
static int take_names(out_file *out, int n, diag *d)
{
    int i = 0, taken = 0, why = 0;
    for (; i < n && !taken && !why; ++i) {
        if (!out[i].temp) continue;
        taken = is_taken(out, i);
        if (!taken && take_name(&out[i], i == n - 1)) why = errno;
    }
    if (!taken && !why) return 0;
    int failed = --i;
    while (--i >= 0)
        if (out[i].temp) give_back(&out[i]);
    return taken ? refuse(out[failed].path, SAME_TWICE, d) : report(out[failed].path, why, d);
}

/* A signal in between would leave some of the files new and some old. */
int out_file_keep(out_file *out, int n, diag *d)
{
    sigset_t before = unfinished_hold();
    int bad = check_names(out, n, d) || take_names(out, n, d) ? -1 : 0;
    for (int i = 0; i < n && !bad; ++i) {
        if (!out[i].temp) continue;
        settle(&out[i]);
        if (sync_folder(out[i].path)) bad = report(out[i].path, errno, d);
    }
    unfinished_release(&before);
    return bad;
}

void out_file_drop(out_file *out)
{
    if (out->file) fclose(out->file);
    if (out->temp) unlink(out->temp);
    unfinished_end(&out->unfinished);
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
