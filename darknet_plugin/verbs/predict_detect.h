/* `darknet distill predict` on a detector: boxes as text or JSON, drawn into pictures and videos. */
#ifndef DISTILL_PREDICT_DETECT_H
#define DISTILL_PREDICT_DETECT_H
#include "darknet_plugin/data/dataset.h"
#include "darknet_plugin/model/model.h"
#include "darknet_plugin/base/options.h"

/* Every input of options->arg[3..]: an image, a video, or a camera by its number. `model` runs one image at a time;
 * options->side_by_side wants its teacher. Pictures go to -out (predictions.jpg; a folder of them where there are
 * several inputs). -1 with messages; inputs that cannot be read do not keep the others from being done. */
int predict_detector(const options *options, model *model, const data_file *file, diag *d);

#endif
