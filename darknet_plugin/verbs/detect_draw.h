/* Boxes drawn into a picture, with their classes' names and a colour for each class. */
#ifndef DISTILL_DETECT_DRAW_H
#define DISTILL_DETECT_DRAW_H
#include "darknet_plugin/data/boxes.h"
#include "darknet_plugin/model/detect.h"

#include <stdint.h>

/* Draws those of n boxes (all of this picture, likeliest first, as detect_image gives them) whose probability exceeds
 * `threshold`, likelier ones over others. pixels: (h, w, 3) RGB, changed. name: `classes` names, or NULL to write
 * numbers. Colours of classes are the same in every run. Returns how many were drawn; -1 if OpenCV refuses. */
int detect_draw(uint8_t *pixels, int w, int h, const detect_box *box, size_t n, float threshold, char *const *name,
                int classes);
/* Draws one box, relative to the picture, under that name, in its class's colour. 0, or -1 if OpenCV refuses. */
int detect_draw_label(uint8_t *pixels, int w, int h, const data_box *box, const char *name, int classes);

#endif
