/* Proof that a deployed detector finds what the training network finds, box by box: in OpenCV, which decodes boxes
 * itself, and in the stock program's `detector valid`, which writes them to files (`detector test` prints percentages
 * without boxes). */
#ifndef DISTILL_VERIFY_BOXES_H
#define DISTILL_VERIFY_BOXES_H
#include "darknet_plugin/model/model.h"
#include "verify.h"

typedef struct box_result {
    const char *reader;
    int ran;                  /* 0: not available here, `why` says why */
    size_t boxes;             /* of the training network that were looked for, and of the reader's */
    /* largest of a box's x, y, w, h as parts of the image, and of its probability; 1: a box is missing */
    double difference;
    char why[256];
} box_result;

enum { BOX_OPENCV, BOX_STOCK, BOX_READERS };
#define BOX_BOUND 1e-3

/* Boxes above 0.25 of job's n images. `model` is the training network, with its weights. -1 with messages if a reader
 * failed to run or went beyond BOX_BOUND; results are filled anyway. */
int verify_boxes(const verify_job *job, model *model, box_result result[BOX_READERS], diag *d);

#endif
