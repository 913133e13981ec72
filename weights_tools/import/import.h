/* What the files of `weights import` share: weights_import.c the verb, import_match.c which tensor goes where. */
#ifndef DISTILL_IMPORT_H
#define DISTILL_IMPORT_H
#include "tensor_groups.h"
#include "weights_tools/file/weights_file.h"

#include "darknet_plugin/host/host_facts.h"
#include "darknet_plugin/lowering/lower.h"

#include <math.h>

typedef struct import_job {
    const char *cfg, *model;       /* paths, borrowed */
    lowered *low;                  /* stock layers, numbered as the user counts; owned */
    network *net;                  /* owned */
    named_tensors *tensors;        /* owned */
    import_map map;                /* owned */
    tensor_groups groups;          /* owned */
    int *layer;                    /* groups.n: the layer each goes to, -1 = not used; owned */
    int encoder;                   /* the cfg is a distillation: only what stands before its first plugin section */
    double epsilon;                /* of batch norms that do not say theirs */
    FILE *out;                     /* the mapping is printed there, */
    struct cJSON *list;            /* or becomes an array, where this is not NULL; borrowed */
} import_job;

/* Fills job->layer, printing each line as it is decided. 0, or -1 with a message. */
int import_match(import_job *job, diag *d);
/* (import_fill.c) Copies the values of the group of that number into its layer. 0, or -1 where they are not numbers. */
int import_fill(const import_job *job, int number, diag *d);
/* (graph_check.c) Where the file has a graph: does it compute what the cfg's layers compute? Puts columns of weights
 * that are in another order right. 0, or -1 with a message that names node and layer. */
int import_check_graph(import_job *job, diag *d);
#endif
