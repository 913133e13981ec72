/* A model as the library's calls need it: whatever is asked of it is looked at first. All return 0, or -1 with
 * messages. */
#ifndef DISTILL_LIBRARY_MODEL_H
#define DISTILL_LIBRARY_MODEL_H
#include "darknet_plugin/model/model.h"

typedef struct library_model {
    model *model;            /* owned; NULL: none is open */
    int broken;              /* it must be opened again; */
    int lost;                /* a call ended in its middle, so that it is not freed */
    int prepared;            /* it was looked at whether it can be trained */
    float *batch;            /* (net->batch, inputs), owned: images of a run, then zeros */
    int losses;              /* layers with a loss */
    int *loss_layer;         /* (losses), owned */
    double *loss;            /* (losses) of the last step, owned */
} library_model;

int library_model_open(library_model *it, const char *cfg, const model_options *how, diag *d);
void library_model_close(library_model *it);
/* From now on it answers with an error until it is opened again. */
void library_model_break(library_model *it);

int library_model_load(library_model *it, const char *weights, diag *d);
int library_model_save(library_model *it, const char *weights, diag *d);
/* darknet_distill_size. */
int library_model_size(library_model *it, const char *what, int *value, diag *d);
/* (c, h, w) */
int library_model_image(library_model *it, const char *path, float *image, diag *d);

typedef struct library_run {
    const float *images;             /* (count, c, h, w) */
    int count;
    float *student, *teachers;       /* (count, answers), (count, teacher_answers); NULL: not wanted */
} library_run;
int library_model_run(library_model *it, const library_run *how, diag *d);

/* Labels: NULL, or one an image, -1: none. */
int library_model_step(library_model *it, const float *images, const int *labels, double *loss, diag *d);
int library_model_loss(library_model *it, int i, const char **name, double *value, diag *d);

#endif
