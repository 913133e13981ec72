/* [projector]: brings the student's s channels to the teacher's t. Chen et al., "Knowledge Distillation with
 * the Reused Teacher Classifier", CVPR 2022, section 3.2: conv1x1(s->m) BN ReLU, conv3x3(m->m) BN ReLU,
 * conv1x1(m->t) BN ReLU, m = floor(t/r), no conv biases.
 *
 * stack=      bottleneck  the above (default)
 *             1x1         one conv1x1(s->t) BN act
 *             1x1-1x1     conv1x1(s->m) BN act, conv1x1(m->t) BN act
 *             depthwise   bottleneck with a depthwise 3x3 (groups=m)
 *             linear      one conv1x1(s->t), linear, no BN: can be merged into the classifier
 *             none        nothing (s must equal t)
 *
 * A projector is stock [convolutional] sections and nothing else, so every backend runs it. */
#ifndef DISTILL_PROJECTOR_H
#define DISTILL_PROJECTOR_H
#include "darknet_plugin/sections/cfg.h"

/* Appends the sections that `projector` stands for to `out`. `student_c` is s, `teacher_c` is t, `tap_activation`
 * what activation=auto becomes. Returns how many were appended (0 for none), -1 after reporting to `d`. */
int projector_append(cfg_file *out, const cfg_section *projector, int student_c, int teacher_c,
                     const char *tap_activation, diag *d);

#endif
