/* What must not be left behind: files that are not whole yet, folders for a while, programs that were started. It goes
 * wherever the program ends early, be it for want of memory, by a signal, or inside the host library.
 *
 *   unfinished file = { 0 };
 *   sigset_t before = unfinished_hold();            no signal between making it and saying so
 *   make it
 *   unfinished_begin(&file, path);
 *   unfinished_release(&before);
 *   ...
 *   unfinished_end(&file);                          it is whole, or was removed
 *
 * Only the main thread makes such things; a signal that another thread gets is handed to the main one. */
#ifndef DISTILL_UNFINISHED_H
#define DISTILL_UNFINISHED_H
#include <signal.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The struct and the path are the caller's, and stay where they are until unfinished_end. */
typedef struct unfinished {
    const char *path;        /* a file, or a folder with what is in it; NULL: none */
    pid_t child;             /* a program; 0: none */
    struct unfinished *next;
} unfinished;

void unfinished_begin(unfinished *it, const char *path);    /* begun again it has that path only */
void unfinished_end(unfinished *it);                 /* nothing if it never began */
/* Ends programs and removes files and folders, all there are; none is left to end. Safe in signal handlers. */
void unfinished_remove(void);

/* SIGINT, SIGTERM, SIGHUP and SIGUSR1 wait from here to unfinished_release, with what unfinished_hold returned. */
sigset_t unfinished_hold(void);
void unfinished_release(const sigset_t *before);

/* From here on these call `handler`, on the main thread; those that are ignored stay so (nohup). */
void unfinished_catch(void (*handler)(int signal));
/* Such a handler: removes all, then the signal ends the program as if nobody had caught it. */
void unfinished_end_all(int signal);

/* Starts a program: in the child 0, with signals as a program expects them; the child's number; -1 and errno, then
 * waiting for it fails, too. */
pid_t unfinished_fork(unfinished *it);
/* Its end: a status as waitpid's, or -1 and errno. */
int unfinished_wait(unfinished *it);

#ifdef __cplusplus
}
#endif
#endif
