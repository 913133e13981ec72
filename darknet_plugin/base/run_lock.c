/* flock on a file of the folder that a run writes to (see run_lock.h).
 *
 * Removing a lock file is a race: who has opened it just before waits for a file that has no name any more, while the
 * next one makes a new file and locks that. So the name is removed while the lock is held, and whoever gets a lock
 * looks whether its file still has the name, else begins again. */
#include "run_lock.h"

#include "mem.h"
#include "path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#define SIGNED "process "   /* how a lock begins */
enum { ATTEMPTS = 100, TEXT = 256 };

/* Where nothing of this sort is known to the file system. */
static int has_no_locks(int why) { return why == ENOLCK || why == ENOSYS || why == EOPNOTSUPP || why == EINVAL; }

static int is_named(int fd, const char *path)
{
    struct stat mine, named;
    return !fstat(fd, &mine) && !stat(path, &named) && path_same_file(&mine, &named);
}

/* ---- who holds it ---- */

static void sign(int fd)
{
    char host[65] = "", text[TEXT];
    gethostname(host, sizeof host - 1);
    int n = snprintf(text, sizeof text, SIGNED "%ld on %s since %lld\n", (long)getpid(), *host ? host : "?",
                     (long long)time(NULL));
    if (ftruncate(fd, 0) || pwrite(fd, text, (size_t)n, 0) != n) return;   /* only the message will know less */
}

/* "10:41", with the date where it is not today's. */
static void clock_text(time_t t, char *out, size_t len)
{
    struct tm at = { 0 }, today = { 0 };
    time_t now = time(NULL);
    localtime_r(&t, &at);
    localtime_r(&now, &today);
    int same = at.tm_year == today.tm_year && at.tm_yday == today.tm_yday;
    strftime(out, len, same ? "%H:%M" : "%Y-%m-%d %H:%M", &at);
}

static int is_host_name(const char *text)
{
    for (; *text; ++text)
        if (*text <= ' ' || *text > '~') return 0;
    return 1;
}

/* Its text comes from a file: what does not look as expected is not repeated. */
static char *holder(int fd)
{
    char text[TEXT] = "", host[65], mine[65] = "", when[32];
    long pid;
    long long since;
    int read = pread(fd, text, sizeof text - 1, 0) >= 0 &&
               sscanf(text, SIGNED "%ld on %64s since %lld", &pid, host, &since) == 3;
    if (!read || pid < 1 || since < 0 || since > 1LL << 40 || !is_host_name(host))
        return mem_strdup("another process");
    gethostname(mine, sizeof mine - 1);
    clock_text((time_t)since, when, sizeof when);
    if (!strcmp(mine, host)) return mem_printf("process %ld since %s", pid, when);
    return mem_printf("process %ld on %s since %s", pid, host, when);
}

static void report_held(const run_lock *lock, int fd, diag *d)
{
    char *who = holder(fd);
    int stem = (int)(strlen(lock->path) - strlen(".lock"));
    diag_error(d, NULL, 0, NULL, "%.*s is in use by %s", stem, lock->path, who);
    diag_hint(d, "two runs would overwrite each other's files: give another folder (train: -backup), or wait");
    free(who);
}

/* ---- taking it ---- */

/* A message says why; the file has lost its name meanwhile, or was never there; lock->fd holds it. */
typedef enum { LOCK_FAILED, LOCK_LOST, LOCK_HELD } lock_status;

/* A file of that name that no run wrote would be lost. A failure of the power may have left zeros of a run's. */
static int is_no_lock(int fd)
{
    char text[sizeof SIGNED - 1];
    ssize_t n = pread(fd, text, sizeof text, 0);
    return n > 0 && text[0] && ((size_t)n < sizeof text || memcmp(text, SIGNED, sizeof text));
}

/* Opens or makes the file, and locks it. */
static lock_status try_lock(run_lock *lock, diag *d)
{
    lock->fd = open(lock->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (lock->fd < 0) {
        diag_error(d, lock->path, 0, NULL, "cannot write: %s", strerror(errno));
        return LOCK_FAILED;
    }
    if (flock(lock->fd, LOCK_EX | LOCK_NB)) {
        if (has_no_locks(errno))
            diag_warn(d, lock->path, 0, NULL,
                      "this file system has no locks (%s): make sure that no other run writes here", strerror(errno));
        else if (errno == EWOULDBLOCK) report_held(lock, lock->fd, d);
        else diag_error(d, lock->path, 0, NULL, "cannot lock: %s", strerror(errno));
        return LOCK_FAILED;
    }
    if (!is_named(lock->fd, lock->path)) return LOCK_LOST;
    if (is_no_lock(lock->fd)) {
        diag_error(d, lock->path, 0, NULL, "is in the way: it is no lock of a run");
        return LOCK_FAILED;
    }
    sign(lock->fd);
    return LOCK_HELD;
}

static int take(run_lock *lock, diag *d)
{
    lock_status got = LOCK_LOST;
    for (int i = 0; i < ATTEMPTS && got == LOCK_LOST; ++i) {
        if (lock->fd >= 0) close(lock->fd);
        got = try_lock(lock, d);
    }
    if (got == LOCK_LOST) diag_error(d, lock->path, 0, NULL, "cannot lock: it is made and removed all the time");
    return got == LOCK_HELD ? 0 : -1;
}

static void forget(run_lock *lock)
{
    unfinished_end(&lock->file);
    if (lock->fd >= 0) close(lock->fd);
    free(lock->path);
    free(lock->folder);
    *lock = (run_lock){ .fd = -1 };
}

int run_lock_take(run_lock *lock, const char *folder, const char *name, diag *d)
{
    int errors = diag_errors(d);
    *lock = (run_lock){ .fd = -1, .path = mem_printf("%s/%s.lock", folder, name), .folder = mem_strdup(folder) };
    sigset_t before = unfinished_hold();
    int failed = take(lock, d);
    if (!failed) unfinished_begin(&lock->file, lock->path);
    unfinished_release(&before);
    if (!failed) {
        if (!stat(folder, &lock->there)) return 0;
        diag_error(d, folder, 0, NULL, "cannot read: %s", strerror(errno));
    }
    if (diag_errors(d) == errors) unlink(lock->path);   /* a file that locks nothing */
    forget(lock);
    return diag_errors(d) > errors ? -1 : 0;
}

/* Is the folder the one that it was? */
static int check_folder(const run_lock *lock, diag *d)
{
    struct stat now;
    if (stat(lock->folder, &now)) {
        diag_error(d, lock->folder, 0, NULL, "cannot write: %s", strerror(errno));
        return -1;
    }
    if (path_same_file(&now, &lock->there)) return 0;
    diag_error(d, lock->folder, 0, NULL, "is not the folder that it was when the run began: unmounted, or replaced");
    return -1;
}

/* A file that is made again may have come into another folder, which took the place of the first just now. */
int run_lock_check(run_lock *lock, diag *d)
{
    if (!lock->path) return 0;
    if (check_folder(lock, d)) return -1;
    if (is_named(lock->fd, lock->path)) return 0;
    if (take(lock, d)) return -1;
    if (!check_folder(lock, d)) return 0;
    unlink(lock->path);
    return -1;
}

void run_lock_release(run_lock *lock)
{
    if (!lock->path) return;
    if (is_named(lock->fd, lock->path)) unlink(lock->path);
    forget(lock);
}
