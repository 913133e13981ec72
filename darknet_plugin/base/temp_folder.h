/* A folder for a while, for files that other programs read or write. */
#ifndef DISTILL_TEMP_FOLDER_H
#define DISTILL_TEMP_FOLDER_H
#include "diag.h"
#include "unfinished.h"

typedef struct temp_folder {
    char *path;              /* owned; NULL: there is none */
    unfinished unfinished;   /* removed, too, where the program ends early */
} temp_folder;

/* Makes one in TMPDIR; *folder must stay where it is until it is removed. -1 with a message. */
int temp_folder_make(temp_folder *folder, diag *d);
/* Removes it with all files in it; nothing where there is none. */
void temp_folder_remove(temp_folder *folder);

#endif
