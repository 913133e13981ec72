/* The parts that a training loss is the sum of, by the names of their sections: "feature_l2", "kd", "softmax", "yolo".
 * Losses of one name are one part. */
#ifndef DISTILL_MODEL_PARTS_H
#define DISTILL_MODEL_PARTS_H
#include "model.h"

enum { MOST_PARTS = 16 };

typedef struct model_parts model_parts;

/* `model` is borrowed as long as they live. Free with model_parts_free. */
model_parts *model_parts_new(const model *model);
void model_parts_free(model_parts *parts);
int model_parts_count(const model_parts *parts);                 /* at most MOST_PARTS */
const char *model_parts_name(const model_parts *parts, int i);   /* borrowed */
/* After model_train_mixed: each part of what it returned, to value[0], value[1], ... */
void model_parts_read(const model_parts *parts, double *value);

#endif
