/* The files that a command has read, by device and inode, and those that are its own: a set that the command's diag
 * carries, since that goes wherever files are opened. in_file.h adds to it, out_file.h asks it. */
#ifndef DISTILL_IN_FILE_LIST_H
#define DISTILL_IN_FILE_LIST_H
#include <sys/stat.h>

typedef struct in_file_list in_file_list;

in_file_list *in_file_list_new(void);                /* the caller frees with in_file_list_free */
void in_file_list_free(in_file_list *list);
void in_file_list_add(in_file_list *list, const struct stat *file);
int in_file_list_has(const in_file_list *list, const struct stat *file);
/* Names, not files: each time that such a file is written it is another one. */
void in_file_list_own(in_file_list *list, const char *path);
int in_file_list_owns(const in_file_list *list, const char *path);
/* The i-th of them, borrowed; NULL: there are not so many. */
const char *in_file_list_owned(const in_file_list *list, int i);

#endif
