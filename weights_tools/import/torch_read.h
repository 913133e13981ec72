/* From an unpickled checkpoint to named tensors (torch_tensors.c); its two containers are in torch_read.c. */
#ifndef DISTILL_TORCH_READ_H
#define DISTILL_TORCH_READ_H
#include "pickle.h"

/* The storages that tensors of the model use; each gets its bytes from the container. */
typedef struct storage_list {
    pickle_storage **at;      /* n, sorted by key, borrowed from the pickle; the array owned */
    size_t n;
} storage_list;

/* All storages of a pickle, sorted by key. The caller frees list.at. */
storage_list torch_storages(const pickle *pickle);
/* The first storage of a key, and how many have it; NULL if none. */
pickle_storage **torch_find_storage(const storage_list *list, const char *key, size_t key_len, size_t *count);
/* Appends the model's tensors, found in pickle->root, to `tensors`; every storage must have its bytes. 0, or -1 with
 * messages. */
int torch_tensors(const pickle *pickle, named_tensors *tensors, diag *d);

#endif
