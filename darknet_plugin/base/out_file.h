/* Files that are whole or not there: what a crash, a full disk or a pulled plug leaves is the old file or the new one.
 *
 *   out_file f;
 *   if (out_file_open(&f, "backup/x.weights", d)) return -1;
 *   int failed = fwrite(x, 1, n, f.file) != n;
 *   return out_file_close(&f, failed, d);      the new file takes its name, or goes
 *
 * Messages name the file by what it will be called, and say the reason. A device or a pipe is written in place.
 *
 * What a command has read, whoever read it (in_file.h), it never writes, and no two of its outputs are one file. Files
 * are told apart by device and inode, so links and other spellings of a name do not matter. Opening a file and giving
 * it its name look at that; out_file_check and out_file_own do before anything is computed. A run's own checkpoints and
 * caches are read and written by it: it names them by out_file_own when the rest has been read, and before them. */
#ifndef DISTILL_OUT_FILE_H
#define DISTILL_OUT_FILE_H
#include "diag.h"
#include "unfinished.h"

#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct out_file {
    FILE *file;              /* to be written to, until it is finished; owned */
    char *path;              /* what it will be called, owned */
    char *temp;              /* its name until then, in the same folder, owned; NULL: written in place, or kept */
    int exchanged;           /* the old file has the temporary name */
    unfinished unfinished;   /* removed, too, where the program ends early */
} out_file;

/* May these n files be written, as far as is known? NULL: no file. -1 with a message. */
int out_file_check(const char *const *path, int n, diag *d);
/* Is the folder there that this file would be in, and may be written? -1 with a message that names the file. */
int out_file_check_place(const char *path, diag *d);
/* The same; from here on they are the command's own: it may read and write them, as often as it likes. */
int out_file_own(const char *const *path, int n, diag *d);

/* Creates a file beside `path`; *out must stay where it is until it is closed or dropped. -1 with a message, then
 * nothing is left to close (closing it does no harm). */
int out_file_open(out_file *out, const char *path, diag *d);
/* Flushes, fsyncs and gives it its name, or, where it `failed` or any of that does, removes it. A failure of the caller
 * that is none of the file's must have been reported by the caller. 0, or -1 where it is not there. */
int out_file_close(out_file *out, int failed, diag *d);

/* The same in steps, for files that are looked at before they get their names, or belong together.
 * Written, fsynced and closed: out->temp can be read. -1 with a message, then it is removed. */
int out_file_finish(out_file *out, int failed, diag *d);
/* Gives n finished files their names in that order, or none of them: on failure the old ones are back. -1 with a
 * message. */
int out_file_keep(out_file *out, int n, diag *d);
/* Removes what has not been kept and frees the names. */
void out_file_drop(out_file *out);

/* For files that others write: a rename that lasts. 0, or -1 and errno. */
int out_file_rename(const char *temp, const char *path);
/* A whole text as a file. */
int out_file_text(const char *path, const char *text, size_t len, diag *d);

#ifdef __cplusplus
}
#endif
#endif
