/* One run a NAME in a folder, of a training in its backup folder: two would overwrite each other's files.
 *
 * The lock is flock on `FOLDER/NAME.lock`, which the system drops when the process ends, however it ends: a file left
 * by a killed run locks nobody out. The file says who holds it, for the message; at a normal end it is removed. */
#ifndef DISTILL_RUN_LOCK_H
#define DISTILL_RUN_LOCK_H
#include "diag.h"
#include "unfinished.h"

#include <sys/stat.h>

typedef struct run_lock {
    int fd;                  /* of the lock file, owned */
    char *path, *folder;     /* owned; path NULL: nothing is locked (a zeroed run_lock is one) */
    struct stat there;       /* the folder as it was */
    unfinished file;         /* removed, too, where the program ends early */
} run_lock;

/* Locks NAME in `folder`, which exists; *lock must stay where it is until it is released. -1 with a message that says
 * who has it, or why there can be no such file. Where the file system has no locks a warning says so, and nothing is
 * held. */
int run_lock_take(run_lock *lock, const char *folder, const char *name, diag *d);
/* Is it still ours, in the folder that it was? -1 with a message where the folder has gone or is another one
 * (unmounted, replaced), or another process has taken the name; a lock file that somebody removed is made again. */
int run_lock_check(run_lock *lock, diag *d);
/* Removes the file and frees. */
void run_lock_release(run_lock *lock);

#endif
