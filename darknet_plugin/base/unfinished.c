/* A list of what is not finished (see unfinished.h). A signal handler can only reach a global, so there is one. It may
 * run between any two instructions of the main thread, so the list is changed by single writes, and it calls nothing
 * but system calls: no memory, no streams. */
#include "unfinished.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/wait.h>
#include <unistd.h>

static unfinished *volatile first;   /* list, the elements borrowed */
static pid_t owner;                  /* whose list it is: not that of a child before its exec */

static const int SIGNALS[] = { SIGINT, SIGTERM, SIGHUP, SIGUSR1 };
enum { N_SIGNALS = sizeof SIGNALS / sizeof *SIGNALS };

/* ---- signals held back ---- */

static sigset_t these_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    for (int i = 0; i < N_SIGNALS; ++i) sigaddset(&set, SIGNALS[i]);
    return set;
}

sigset_t unfinished_hold(void)
{
    sigset_t set = these_signals(), before;
    pthread_sigmask(SIG_BLOCK, &set, &before);
    return before;
}

void unfinished_release(const sigset_t *before) { pthread_sigmask(SIG_SETMASK, before, NULL); }

/* ---- the list ---- */

/* Whoever is in the list already leaves it first: twice in it, it would make a ring. */
void unfinished_begin(unfinished *it, const char *path)
{
    unfinished_end(it);
    owner = getpid();
    *it = (unfinished){ .path = path, .next = first };
    first = it;
}

void unfinished_end(unfinished *it)
{
    sigset_t before = unfinished_hold();
    unfinished *last = NULL, *at = first;
    for (; at && at != it; at = at->next) last = at;
    if (at && last) last->next = it->next;
    else if (at) first = it->next;
    unfinished_release(&before);
}

/* ---- removing ---- */

/* The files in a folder, then the folder. readdir would want memory. */
static void remove_folder(const char *path)
{
    char room[4096] __attribute__((aligned(8)));
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    for (ssize_t n; (n = getdents64(fd, room, sizeof room)) > 0;)
        for (ssize_t at = 0; at < n;) {
            struct dirent64 entry;
            const char *name = room + at + offsetof(struct dirent64, d_name);
            __builtin_memcpy(&entry, room + at, offsetof(struct dirent64, d_name));
            if (name[0] != '.' || (name[1] && (name[1] != '.' || name[2]))) unlinkat(fd, name, 0);
            at += entry.d_reclen;
        }
    close(fd);
    rmdir(path);
}

void unfinished_remove(void)
{
    int why = errno;
    if (owner != getpid()) return;
    for (const unfinished *it = first; it; it = it->next)
        if (it->child > 0 && !kill(it->child, SIGKILL)) waitpid(it->child, NULL, 0);
    for (const unfinished *it = first; it; it = it->next)
        if (it->path && unlink(it->path) && errno == EISDIR) remove_folder(it->path);
    first = NULL;
    errno = why;
}

/* ---- signals ---- */

static void (*volatile handle)(int signal);

/* Whichever thread gets it, the main one handles it. */
static void hand_on(int signal)
{
    int why = errno;
    if (gettid() == getpid()) handle(signal);
    else tgkill(getpid(), getpid(), signal);
    errno = why;
}

void unfinished_catch(void (*handler)(int signal))
{
    struct sigaction before, now = { .sa_handler = hand_on, .sa_flags = SA_RESTART, .sa_mask = these_signals() };
    handle = handler;
    for (int i = 0; i < N_SIGNALS; ++i)
        if (!sigaction(SIGNALS[i], NULL, &before) && before.sa_handler != SIG_IGN) sigaction(SIGNALS[i], &now, NULL);
}

void unfinished_end_all(int signal)
{
    struct sigaction usual = { .sa_handler = SIG_DFL };
    sigset_t set = these_signals();
    unfinished_remove();
    sigaction(signal, &usual, NULL);
    kill(getpid(), signal);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    _exit(128 + signal);     /* another thread was given it */
}

/* ---- programs ---- */

/* What this program ignores its children must not: they do not look at what a write returns. */
static void usual_signals(const sigset_t *mask)
{
    struct sigaction usual = { .sa_handler = SIG_DFL };
    sigaction(SIGPIPE, &usual, NULL);
    sigaction(SIGXFSZ, &usual, NULL);
    pthread_sigmask(SIG_SETMASK, mask, NULL);
}

pid_t unfinished_fork(unfinished *it)
{
    sigset_t before = unfinished_hold();
    pid_t child = fork();
    if (!child) {
        usual_signals(&before);
        return 0;
    }
    if (child > 0) unfinished_begin(it, NULL);
    it->child = child;
    unfinished_release(&before);
    return child;
}

/* The number is the child's until it is waited for: it leaves the list before another process can have it. */
int unfinished_wait(unfinished *it)
{
    siginfo_t ended;
    int status = -1, got;
    if (it->child < 1) return -1;
    while (waitid(P_PID, (id_t)it->child, &ended, WEXITED | WNOWAIT) && errno == EINTR) ;
    sigset_t before = unfinished_hold();
    got = waitpid(it->child, &status, 0);
    unfinished_end(it);
    unfinished_release(&before);
    return got < 0 ? -1 : status;
}
