/* A folder in TMPDIR (see temp_folder.h). */
#include "temp_folder.h"

#include "mem.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int temp_folder_make(temp_folder *folder, diag *d)
{
    const char *tmp = getenv("TMPDIR");
    char *path = mem_printf("%s/distill-XXXXXX", tmp ? tmp : "/tmp");
    *folder = (temp_folder){ .path = NULL };
    sigset_t before = unfinished_hold();
    int failed = !mkdtemp(path);
    if (!failed) unfinished_begin(&folder->unfinished, path);
    unfinished_release(&before);
    if (failed) {
        diag_error(d, path, 0, NULL, "cannot make a temporary folder: %s", strerror(errno));
        free(path);
        return -1;
    }
    folder->path = path;
    return 0;
}

void temp_folder_remove(temp_folder *folder)
{
    DIR *dir = folder->path ? opendir(folder->path) : NULL;
    for (struct dirent *entry; dir && (entry = readdir(dir));) unlinkat(dirfd(dir), entry->d_name, 0);
    if (dir) closedir(dir);
    if (folder->path) rmdir(folder->path);
    unfinished_end(&folder->unfinished);
    free(folder->path);
    *folder = (temp_folder){ .path = NULL };
}
