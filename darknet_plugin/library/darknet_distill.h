/* darknet-distill as a library: a distillation cfg opened, student and teacher run on images, trained step by step.
 * Link with `pkg-config --cflags --libs darknet-distill`, or load libdarknet_distill.so.0 from any language.
 *
 *   darknet_distill *net = darknet_distill_new();
 *   if (darknet_distill_open(net, "student.cfg", DARKNET_DISTILL_TRAIN, 0, 1)) puts(darknet_distill_message(net));
 *
 * Functions that return int return 0 where it worked, or -1; then darknet_distill_message says why, as the command
 * would, one line a message. None of them ends the program, catches a signal, changes the floating-point mode of the
 * caller or lets Darknet print; OpenCV may say on stderr what it thinks of a damaged image. Numbers are floats as
 * Darknet lays them out: an image is (channels, height, width), 0 to 1, images stand one after another. Everything is
 * computed on the CPU. Any thread may call; one call computes at a time, since Darknet's library has global state. */
#ifndef DARKNET_DISTILL_H
#define DARKNET_DISTILL_H

#ifdef __cplusplus
extern "C" {
#endif

typedef struct darknet_distill darknet_distill;

/* "0.1.0" */
const char *darknet_distill_version(void);

/* NULL without memory. Frees what it holds: darknet_distill_free, which takes NULL, too. */
darknet_distill *darknet_distill_new(void);
void darknet_distill_free(darknet_distill *net);

/* Errors and warnings of the last call with `net`, "" if there were none; borrowed until the next. */
const char *darknet_distill_message(const darknet_distill *net);

enum { DARKNET_DISTILL_TRAIN, DARKNET_DISTILL_DEPLOYED };
/* Reads a cfg, with its teachers and their weights, and gives the student first weights from `seed`. As
 * DARKNET_DISTILL_DEPLOYED: the network that runs without its teacher, which cannot be trained. A plain Darknet cfg
 * will do, too. `threads` compute, 0: one a core. What `net` held before is gone, also where this fails. */
int darknet_distill_open(darknet_distill *net, const char *cfg, int as, int threads, unsigned seed);

/* Weights of the whole network, or of as many of its first layers as the file has (an encoder). */
int darknet_distill_load(darknet_distill *net, const char *weights);
/* Writes them as Darknet's own file, whole or not at all. */
int darknet_distill_save(darknet_distill *net, const char *weights);

/* Sizes by name; -1 where there is no such name or nothing is open:
 *   "channels" "height" "width"      of an image
 *   "step"                           images of one training step: batch= of the cfg
 *   "answers"                        numbers that the student says of an image: a probability a class; of a detector
 *                                    the outputs of its [yolo] and [region] layers, one after another
 *   "teachers" "teacher_answers"     how many teachers, and numbers that all of them together say of an image
 *   "losses"                         layers with a loss */
int darknet_distill_size(darknet_distill *net, const char *what);

/* Reads an image file as the network wants it, into channels * height * width floats. */
int darknet_distill_read_image(darknet_distill *net, const char *path, float *image);

/* What student and teachers say of `count` images, into count * "answers" and count * "teacher_answers" floats;
 * either may be NULL. */
int darknet_distill_run(darknet_distill *net, const float *images, int count, float *student, float *teachers);

/* One step on "step" images: forward, backward, update; the rate is the cfg's. `labels`: a class an image, -1 where
 * there is none; NULL where the losses need none. *loss is the mean over the images. Where it, a gradient or a weight
 * is not finite the step fails; before the update it is undone, after it `net` has to be opened again. */
int darknet_distill_step(darknet_distill *net, const float *images, const int *labels, double *loss);
/* Of the last step, the i-th layer with a loss: its section's name (borrowed as long as `net` is open) and its part of
 * the loss. */
int darknet_distill_loss(darknet_distill *net, int i, const char **name, double *value);

#ifdef __cplusplus
}
#endif
#endif
