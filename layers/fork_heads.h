/* [yolo] new_coords=1 and [Gaussian_yolo], which AlexeyAB's Darknet has and the host lacks (see fork_layers.h).
 *
 * Both stay layers of type YOLO, so that whatever asks for a detector's output finds them; layer.coords, which the host
 * leaves 0 in a [yolo], says which it is. An anchor's entries, each a map of h x w, as inference leaves them:
 *   HEAD_STOCK       x y w h objectness classes          x, y, objectness and classes are probabilities
 *   HEAD_NEW_COORDS  the same                            all as the layer before gives them: it has activation=logistic
 *   HEAD_GAUSSIAN    x sx y sy w sw h sh objectness classes     as HEAD_STOCK; the uncertainties s, too
 * The host parses a [Gaussian_yolo] as a [yolo] of four more classes, which has the same shape at every size: l.classes
 * is that number. With labels HEAD_STOCK and HEAD_NEW_COORDS learn (yolo_loss.h); HEAD_GAUSSIAN does not
 * (lower_check_loss refuses it), its delta is 0.
 * Sources: Bochkovskiy et al., "Scaled-YOLOv4" (2021); Choi et al., "Gaussian YOLOv3" (2019), section 3. */
#ifndef DISTILL_FORK_HEADS_H
#define DISTILL_FORK_HEADS_H
#include "darknet_plugin/host/host.h"

enum { HEAD_STOCK, HEAD_NEW_COORDS, HEAD_GAUSSIAN };
enum { GAUSSIAN_ENTRIES = 9 };   /* of an anchor before its classes */

/* Which of them a section is, HEAD_STOCK if none. */
int fork_head_of(const cfg_section *section);
/* The host has no such section: a copy of it becomes its stand-in. */
int fork_head_needs_stand_in(const cfg_section *section);
void fork_head_stand_in(cfg_section *copy);
/* Makes the parsed layer what its section says. */
void fork_head_take(layer *l, const cfg_section *section);

#endif
