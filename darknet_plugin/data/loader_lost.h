/* Images that could not be read, each once, and why: a slot of the loader writes them down as they come, the loader
 * keeps all of them sorted. */
#ifndef DISTILL_LOADER_LOST_H
#define DISTILL_LOADER_LOST_H
#include "dataset.h"

typedef struct lost_image {
    uint64_t index;      /* in the dataset */
    char *why;           /* owned */
} lost_image;

typedef struct lost_list {
    lost_image *image;   /* n, owned */
    size_t n, room;
} lost_list;

/* Appends an image; `why` is the list's from now on. */
void lost_add(lost_list *list, uint64_t index, char *why);
/* Takes what `from` has over to `list`, which is sorted by index; `from` is empty then. */
void lost_merge(lost_list *list, lost_list *from);
/* "a.jpg: why, b.jpg: why, ..." of the first ten, with or without those that the data set has left out itself, *count
 * of them in all; the caller frees. NULL if there are none. */
char *lost_names(const lost_list *list, const dataset *data, int all, size_t *count);
void lost_free(lost_list *list);

#endif
