/* Lowering: a distillation cfg becomes a stock cfg plus a table of what each layer is.
 *
 *   [projector]          three stock [convolutional] sections (other forms: see layers/projector.h)
 *   [feature_l2]         training: a shape-preserving [activation] linear stand-in; deploying: nothing. So every loss
 *   [reused_classifier]  the teacher's own sections after the tap, layer numbers rewritten
 *   layers that only feed losses: deploying, nothing (lower_prune.c)
 *   1x1 with a stride    deploying: [maxpool] size=1 with that stride, then the 1x1 (lower_deploy.c says why)
 *
 * Route and shortcut numbers of stock sections count sections as the user sees them; they come out absolute.
 * A plain classifier or detector cfg lowers to itself (no heads), so callers need one path only; LOWER_LABELS, which is
 * what it does anyway, is refused there. */
#ifndef DISTILL_LOWER_H
#define DISTILL_LOWER_H
#include "darknet_plugin/sections/cfg.h"
#include "darknet_plugin/data/augment_spec.h"
#include "darknet_plugin/sections/shapes.h"
#include "layers/sections.h"

/* For distilling; as deployed; the deployed network to be trained from labels: its layers and order of weights, but as
 * training reads them, without any loss but its outputs' own, and nothing of it is a frozen copy. */
typedef enum { LOWER_TRAIN, LOWER_DEPLOY, LOWER_LABELS } lower_mode;

enum { MAX_TEACHERS = 8 };

/* A [teacher], read and checked, with its own cfg. */
typedef struct teacher_spec {
    const char *name;                /* borrowed from its section; "" if it has none, as only a single teacher may */
    char *cfg_path, *weights_path;   /* owned, resolved; weights NULL if not given */
    const cfg_section *section;      /* borrowed from lowered.source */
    cfg_file *cfg;                   /* owned: stock, as the teacher's author wrote it but for [net] batch
                                        (= student batch / subdivisions), subdivisions=1, width, height */
    net_shape *shape;                /* owned, of `cfg` */
    int *tap, taps;                  /* layers whose maps are kept, owned; none where nothing asks for a map */
    int triples;                     /* the first of them belong to a triple each; the others are those that losses
                                        anywhere in the student name */
    char *means;                     /* (taps) do all that read a tap's map read its channels' means only? owned */
    int answer;                      /* the layer whose output its last [softmax] reads; -1: there is none */
    int taps_before;                 /* triples of the teachers above it */
    int *out, outs;                  /* its [yolo] and [region] layers, owned; none: a classifier */
    int cut;                         /* layers 0..cut-1 give every tap, and the answer where a loss asks for it */
    float mean[3], std[3];           /* applied as (x - mean) / std; 0 and 1 if absent */
    int normalise;                   /* mean or std given */
    double epsilon;                  /* of its batch norm, sqrt(v + epsilon); 0: this Darknet's sqrt(v) + 1e-6 */
    int resize;                      /* teacher input differs from the student's: image is resized */
} teacher_spec;

/* One [projector] [feature_l2] [reused_classifier] triple; numbers of lowered layers, -1 = none. */
typedef struct lower_head {
    int teacher;                     /* whose: place in lowered.teacher */
    int tap;                         /* teacher layer whose output is the target */
    int tap_index;                   /* its place in teacher_spec.tap */
    int feeds;                       /* student layer that the triple reads */
    int pool;                        /* ROLE_POOL layer, or -1 */
    int projector, projectors;       /* first and how many (0 for stack=none) */
    int loss;                        /* its loss's layer; -1 unless distilling */
    int tail, tails;                 /* first and how many copied layers (0 if none) */
    int *tail_of;                    /* tails teacher layer numbers, owned; -1: the stand-in of a loss behind the
                                        tail; deploying, a 1x1 with a stride is there twice: its [maxpool], then
                                        itself */
    int scores;                      /* the layer whose output such losses read, -1: there are none. The tail then
                                        runs while training, and gradients pass it */
    double labels;                   /* what the tail's own loss by boxes weighs, 0: it has none; one by class scores is
                                        among the losses */
    int answers;                     /* its tail is an answer of the network; 0: only losses read it (deploy=0), and
                                        there is such a head only when distilling */
    int deploys;                     /* its tail is in the deployed network; 0 also where another answers for it */
    int linear;                      /* its tail's layer with weights where it is part of a combined classifier */
    const cfg_section *at;           /* its [projector], borrowed from lowered.source */
} lower_head;

/* How several teachers' answers become the deployed network's, see lower_combine.c: all stay; those of one teacher do;
 * one classifier is made of all. */
typedef enum { COMBINE_NOTHING, COMBINE_ONE, COMBINE_LOGITS } combine_kind;

typedef struct combining {
    combine_kind kind;
    const cfg_section *section;      /* [teachers], borrowed from lowered.source; NULL: there is none */
    int one;                         /* whose, a place in lowered.teacher */
    int layer;                       /* the combined classifier, a lowered layer; frozen, but LOWER_LABELS trains it */
    int heads, head[MAX_TEACHERS];   /* whose classifiers are in it, in the order of its inputs; unless distilling their
                                        own are gone */
    double weight[MAX_TEACHERS];     /* what each counts; their sum is 1 */
    int confidence;                  /* training weighs each image's losses by it (model/model_confidence.c) */
} combining;

/* A loss and what it learns from; its own parameters are its row's to read. */
typedef struct taught_loss {
    const section_type *type;        /* its row in layers/sections.c */
    const cfg_section *section;      /* borrowed from lowered.source */
    int layer;                       /* its stand-in */
    int teacher;                     /* whose: place in lowered.teacher; -1: nobody's, labels */
    int taught;                      /* the teacher's layer whose output is the target */
    int tap_index;                   /* its place in teacher_spec.tap, behind the last of them for the answer */
    int head;                        /* the triple that it belongs to, or whose tail it stands behind; -1: none */
    loss_place place;
    double fade;                     /* over this part of [net] max_batches its scale falls to 0; 0: it does not */
} taught_loss;

typedef struct lowered {
    lower_mode mode;
    cfg_file *source;                /* what the user wrote, owned */
    cfg_file *cfg;                   /* stock sections only, owned; each keeps file:line of its origin */
    net_shape *shape;                /* of `cfg`, owned; deploying it knows which floats of a training run's weights
                                        file to skip */
    layer_role *role;                /* per lowered layer, owned */
    const section_type **type;       /* per lowered layer: the row it came from, NULL = a stock section; owned */
    int *trained_as;                 /* per lowered layer: its number when lowered for training, -1 = none; owned */
    int heads;
    lower_head *head;                /* owned */
    int losses;                      /* 0 unless distilling */
    taught_loss *loss;               /* in the order of their layers, owned */
    int teachers;
    teacher_spec *teacher;           /* teachers, owned; NULL for a plain cfg */
    combining combine;
    augment_spec augment;
    int *out, outs;                  /* [yolo] and [region] layers of `cfg` that answer, owned; none: a classifier */
    int optimiser;                   /* its number, see layers/optimiser.h; training only */
    int fit_by_flag;                 /* -fit changed what the cfg says of augment.fit */
    int labels;                      /* training reads labels (or boxes): something compares itself with them */
    int trained;                     /* training runs layers 0..trained-1 (up to the last loss, or all) */
} lowered;

/* Reads `path`, lowers it. All mistakes of the whole go to `d`; NULL if there were errors. Free with lower_free. */
lowered *lower_read(const char *path, lower_mode mode, diag *d);
/* The same for that many images at a time, in one go, whatever its [net] says. */
lowered *lower_read_batch(const char *path, lower_mode mode, int batch, diag *d);
/* For so many processes that train together, each on its share of every step: batch is what all of them see, and a part
 * of it at a time is what it were with as many times the subdivisions, which the lowered cfg has. */
lowered *lower_read_shared(const char *path, lower_mode mode, int processes, diag *d);
/* For training, but the teachers' weights need not be there. */
lowered *lower_read_alone(const char *path, diag *d);
/* The same from text that is already parsed; takes ownership of `source` even if it fails. */
lowered *lower_cfg(cfg_file *source, lower_mode mode, diag *d);
void lower_free(lowered *low);

/* Images are to fill the input so. A cfg for deploying says it, in [net] letter_box=; of a cfg for training the source
 * does, so that it is told from one that was trained otherwise. */
void lower_set_fit(lowered *low, image_fit fit);

/* Whose tail this layer of `cfg` is part of, borrowed; NULL: it is part of none. */
const lower_head *lower_head_of(const lowered *low, int layer);
/* The teacher whose answer is the network's where no classifier is made of several. */
int lower_speaker(const lowered *low);
/* Lowered for training: has it any loss? 0; or -1 with a message where training would change nothing, or where boxes
 * would learn from labels that cannot; with `warn` 0 and a warning. */
int lower_check_loss(const lowered *low, int warn, diag *d);
/* Warns of batch norm where images come one at a time, and of a learning rate of 0. */
void lower_warn_training(const lowered *low, diag *d);
/* Warns of projectors that take more than they save. */
void lower_warn_projector(const lowered *low, diag *d);
/* From now on the teacher runs up to its class scores; it must have some (answer >= 0). */
void teacher_ask_answer(teacher_spec *teacher);

/* Tap `auto`: the layers that feed the teacher's classifier(s), in order. See tap.c for the rule.
 * Returns how many, 0 after reporting why; *taps is the caller's to free. `at` is the section to blame. */
int tap_find(const cfg_file *teacher, const net_shape *shape, const cfg_section *at, int **taps, diag *d);
/* All [teacher] sections of `source`, *n of them; NULL after reporting. `wanted`: their weights files must be there;
 * maps are asked for, so that they need taps. */
enum { TEACHERS_WEIGHTS = 1, TEACHERS_TAPS = 2 };
teacher_spec *teachers_read(const cfg_file *source, int wanted, int *n, diag *d);
void teachers_free(teacher_spec *teacher, int n);

/* An answer of a network: its output, the layer with weights that answers there, and the layer whose map that reads. */
typedef struct tap_head {
    int out, classifier, tap;
} tap_head;
/* Why there is none: `why` in words and the layer at fault, borrowed; NULL: nothing in it answers, it ends on `layer`,
 * which is NULL in a network without layers. */
typedef struct tap_problem {
    const char *why;
    const cfg_section *layer;
} tap_problem;
/* All answers of a network, in order, as tap=auto sees them. How many; *heads is the caller's to free. 0: *problem. */
int tap_heads(const cfg_file *cfg, const net_shape *shape, tap_head **heads, tap_problem *problem);
/* A detector's outputs: all [yolo] and [region] layers, in order. How many; *out is the caller's to free. */
int lower_outputs(const cfg_file *cfg, int **out);
/* The activation the tapped feature went through: "relu", "leaky", ..., "linear" where routes disagree. Borrowed. */
const char *tap_activation(const cfg_file *teacher, int tap);

/* The stride of a 1x1 convolution that stock Darknet would ignore; 0 for everything else. Deploying rewrites it. */
int lower_strided_1x1(const cfg_section *section);
/* The key in which a section names the layers it reads; NULL if it only reads the one before. [route] reads nothing but
 * those; every other section reads the one before too. Lowered cfgs have absolute numbers there. */
const char *lower_reader_key(const cfg_section *section);

#endif
