/* A start out of a plain network's weights (see model_start_from). The student of a distillation is that network
 * without its answers, so that its layers come in the same order; projectors, and the teacher's tails among them, stay
 * as they are. */
#include "layers/network.h"
#include "model.h"

#include "darknet_plugin/base/mem.h"
#include "layers/gpu/gpu.h"

#include <stdlib.h>
#include <string.h>

/* The plain network. */
typedef struct plain {
    lowered *low;        /* owned */
    network *net;        /* owned; its weights are the file's */
    weights_info info;
    char *answers;       /* a mark for each layer that belongs to one, owned */
} plain;

/* Of what follows a tap up to the answer. */
static void mark_answers(plain *plain)
{
    tap_head *head;
    tap_problem problem;
    int heads = tap_heads(plain->low->cfg, plain->low->shape, &head, &problem);
    plain->answers = mem_calloc((size_t)plain->low->shape->n, 1);
    for (int i = 0; i < heads; ++i)
        for (int k = head[i].tap + 1; k <= head[i].out; ++k) plain->answers[k] = 1;
    free(head);
}

/* Reads cfg and weights. */
static int open_plain(plain *plain, const char *cfg, const char *weights, diag *d)
{
    diag *unsaid = diag_aside(d);   /* what is odd about a training of it */
    plain->low = lower_read(cfg, LOWER_TRAIN, unsaid);
    if (!plain->low) diag_append(d, unsaid, 0);
    diag_free(unsaid);
    if (!plain->low) return -1;
    if (plain->low->teachers) {
        diag_error(d, cfg, 0, NULL, "'-weights-of': expected a plain network, this is a distillation");
        return -1;
    }
    plain->net = host_parse_cfg(plain->low->cfg, cfg, d);
    if (!plain->net || weights_load(plain->net, plain->low->shape, weights, &plain->info, d)) return -1;
    mark_answers(plain);
    return 0;
}

/* Is layer i the student's own, with weights? From labels a tail is trained, too, and yet is none. */
static int is_students(const lowered *low, int i)
{
    return low->role[i] == ROLE_STUDENT && low->shape->layer[i].stored && !lower_head_of(low, i);
}

/* The next layer with weights from j on that belongs to no answer; the number of layers if there is none. */
static int next_layer(const plain *plain, int j)
{
    while (j < plain->low->shape->n && (plain->answers[j] || !plain->low->shape->layer[j].stored)) ++j;
    return j;
}

/* Layer j's arrays become layer i's; -1 where they are not as large. */
static int copy_layer(const network *from, int j, network *to, int i)
{
    weights_tensor x[WEIGHTS_MAX_TENSORS], y[WEIGHTS_MAX_TENSORS];
    int n = weights_stored(&from->layers[j], x), m = weights_stored(&to->layers[i], y);
    for (int k = 0; k < n && k < m; ++k)
        if (strcmp(x[k].name, y[k].name)) return -1;
    if (weights_copy(x, n, y, m)) return -1;
    cpu_statistics_loaded(to, i, i + 1);
    return 0;
}

static int differs(const cfg_section *ours, int i, const cfg_section *theirs, int j, diag *d)
{
    diag_error(d, ours->file, ours->line, ours->name,
               "layer %d is not [%s] layer %d of %s:%d, in whose place it stands", i, theirs->name, j, theirs->file,
               theirs->line);
    diag_hint(d, "-weights-of is for the network whose layers, without its answers, are the student's");
    return -1;
}

/* One after the other. */
static int copy_layers(model *model, const plain *plain, int *layers, diag *d)
{
    const lowered *low = model->low;
    int j = next_layer(plain, 0), n = plain->low->shape->n;
    for (int i = 0; i < model->net->n; ++i) {
        if (!is_students(low, i)) continue;
        const cfg_section *ours = cfg_layer(low->cfg, i);
        if (j == n) {
            diag_error(d, ours->file, ours->line, ours->name, "layer %d is more than %s has", i,
                       plain->low->source->path);
            return -1;
        }
        if (j >= plain->info.layers) return 0;   /* the file ends before it */
        if (copy_layer(plain->net, j, model->net, i)) return differs(ours, i, cfg_layer(plain->low->cfg, j), j, d);
        ++*layers;
        j = next_layer(plain, j + 1);
    }
    if (j == n) return 0;
    const cfg_section *left = cfg_layer(plain->low->cfg, j);
    diag_error(d, left->file, left->line, left->name, "layer %d has none in %s to start", j, low->source->path);
    return -1;
}

int model_start_from(model *model, const char *cfg, const char *weights, int *layers, diag *d)
{
    plain plain = { .low = NULL };
    *layers = 0;
    int failed = open_plain(&plain, cfg, weights, d) || copy_layers(model, &plain, layers, d);
    if (!failed) gpu_push(model->net);
    free(plain.answers);
    host_free(plain.net);
    lower_free(plain.low);
    return failed ? -1 : 0;
}
