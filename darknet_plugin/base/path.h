/* Names of files: their parts, whether they can be read, files named in other files, two names of one file. */
#ifndef DISTILL_PATH_H
#define DISTILL_PATH_H
#include <stddef.h>
#include <sys/stat.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What comes after the last slash; borrowed from `path`. */
const char *path_base_name(const char *path);
/* The same without its extension, "cfg/a.cfg" -> "a"; the caller frees. */
char *path_stem(const char *path);
/* What a cfg and its weights are to be called, "out/a.cfg" or "out/a.weights" -> "out/a", else as it stands; the caller
 * frees. */
char *path_of_pair(const char *path);
/* The folder part with its slash, "" if there is none; the caller frees. */
char *path_folder(const char *path);
/* Why `path` is not a regular file that can be read, borrowed; NULL if it is one. */
const char *path_problem(const char *path);
/* A file that the file `base` names: as it stands if it can be read, else beside `base` if it can be read there; else
 * whichever is there, or as it stands. The caller frees. */
char *path_named_in(const char *base, const char *name);
/* The same of whatever `problem` finds nothing wrong with. */
char *path_found_in(const char *base, const char *name, const char *(*problem)(const char *path));
/* Does it end in one of these n, such as ".png", capitals or not? */
int path_ends_in(const char *path, const char *const *endings, size_t n);
/* Are these one file, whatever it was called? */
int path_same_file(const struct stat *one, const struct stat *other);

#ifdef __cplusplus
}
#endif

#endif
