/* Tensors of one layer brought together: weights, bias, batch norm. What a map file may say about them. */
#ifndef DISTILL_TENSOR_GROUPS_H
#define DISTILL_TENSOR_GROUPS_H
#include "named_tensors.h"

enum { MAP_UNSAID = -1, MAP_NONE = -2 };

typedef struct map_row {
    char *name;              /* of a tensor or its module, or what their names begin with; owned */
    int prefix;
    int layer, line;         /* layer number, MAP_NONE = leave it out */
    int used;                /* tensors and modules it was said of */
} map_row;

typedef struct import_map {
    const char *path;        /* borrowed */
    int n;
    map_row *row;            /* owned */
} import_map;

/* Lines "name = number", "name = none" or "beginning* = none"; # begins a comment. 0, or -1 with file:line; the caller
 * frees. */
int import_map_read(const char *path, import_map *map, diag *d);
void import_map_free(import_map *map);
/* The row of a module: said by its own name, by that of its weight where it has a number, or by a beginning; NULL if
 * none. A leading "module." does not count. */
map_row *import_map_find(const import_map *map, const char *module);
/* The row that leaves one tensor out, by its own name, its module's or a beginning; NULL if none. */
map_row *import_map_left_out(const import_map *map, const char *tensor);

typedef struct tensor_group {
    char *name, *norm;                   /* modules of the weights and of the batch norm (NULL if none), owned */
    const named_tensor *part[PARTS];     /* borrowed; weight is always there, batch norm as a whole or not at all */
    const map_row *row;                  /* borrowed; NULL = not in the map */
} tensor_group;

typedef struct tensor_groups {
    int n;
    tensor_group *group;                 /* n, in file order of their weights; owned */
} tensor_groups;

/* Groups all of `tensors`; both must outlive the result. 0, or -1 with messages; free it either way. */
int tensor_groups_make(const named_tensors *tensors, const import_map *map, tensor_groups *groups, diag *d);
void tensor_groups_free(tensor_groups *groups);

#endif
