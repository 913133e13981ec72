/* What is done to an image before the networks see it. The lowering reads it from a cfg. */
#ifndef DISTILL_AUGMENT_SPEC_H
#define DISTILL_AUGMENT_SPEC_H

/* How an image of any size becomes one of the input's: the square in its middle, all of it within grey, all of it
 * stretched. Detectors have no crop. */
typedef enum { FIT_CROP, FIT_LETTERBOX, FIT_STRETCH } image_fit;

/* [augment] and the stock augmentation keys of [net] and of the last [yolo] or [region], resolved. With an [augment]
 * section the stock keys default to "off"; without it they default as in stock Darknet (classifiers: crop between width
 * and 2*width, flip; detectors: jitter=.2, flip). */
typedef struct augment_spec {
    int pad;                         /* zero-pad, then random crop back */
    int flip;                        /* mirror half of the images */
    int min_crop, max_crop;          /* Darknet's random resize-and-crop; both equal to width = off */
    float angle, aspect, hue, saturation, exposure;
    /* images are placed with jitter, not cropped; min_crop, max_crop, angle, aspect are off */
    int detector;
    image_fit fit;                   /* classifiers in training: before all else; FIT_CROP leaves it to the crop */
    float jitter;                    /* detectors: share of a side by which the place is drawn; 0 = off */
    float random;                    /* detectors: multi-scale, the largest factor (1 stands for 1.4); 0 = off */
    int mosaic;                      /* detectors: half of the images are made of four */
    /* classifiers: alpha of the factor's Beta(alpha, alpha); detectors: above 0 half of the images that are no mosaics
     * are the mean of two; 0 = off */
    float mixup;
    int cutout;                      /* classifiers: side of a square of zeros in pixels; 0 = off */
    float label_smoothing;           /* classifiers: share of a label that is spread over all classes; 0 = off */
    int any;                         /* some of it changes pixels */
} augment_spec;

#endif
