/* What a training loss is made of (see model_parts.h). A part's name is its section's; that of one teacher among
 * several goes with it, "kd:NAME". */
#include "model_parts.h"

#include "darknet_plugin/base/mem.h"

#include <stdlib.h>
#include <string.h>

struct model_parts {
    const model *model;      /* borrowed */
    int n;
    char *name[MOST_PARTS];  /* owned */
    int *of;                 /* a trained layer's part, -1: it is no loss; owned */
};

/* The loss of ours whose stand-in is layer i; NULL: it is the host's. */
static const taught_loss *loss_at(const lowered *low, int index)
{
    for (int i = 0; i < low->losses; ++i)
        if (low->loss[i].layer == index) return &low->loss[i];
    return NULL;
}

/* Does a stock section learn from labels there? Of frozen tails those do that say labels=. */
static int learns_from_labels(const lowered *low, int index)
{
    const lower_head *head = lower_head_of(low, index);
    int learns = (low->role[index] != ROLE_TAIL && low->role[index] != ROLE_OUTPUT) || (head && head->labels > 0);
    return learns && !cfg_int(cfg_layer(low->cfg, index), "noloss", 0);
}

/* The caller frees; NULL where layer i adds nothing to the loss. */
static char *name_of(const model *model, int index)
{
    const lowered *low = model->low;
    const taught_loss *loss = loss_at(low, index);
    if (!model->net->layers[index].cost) return NULL;
    if (loss && loss->teacher >= 0 && low->teachers > 1)
        return mem_printf("%s:%s", loss->type->name, low->teacher[loss->teacher].name);
    if (loss) return mem_strdup(loss->type->name);
    return learns_from_labels(low, index) ? mem_strdup(cfg_layer(low->cfg, index)->name) : NULL;
}

/* Its place among the parts; more names than there is room for share the last place. Takes `name`. */
static int place_of(model_parts *parts, char *name)
{
    int i = 0;
    while (i < parts->n && strcmp(parts->name[i], name)) ++i;
    if (i == parts->n && i < MOST_PARTS) {
        parts->name[parts->n++] = name;
        return i;
    }
    free(name);
    return i < MOST_PARTS ? i : MOST_PARTS - 1;
}

model_parts *model_parts_new(const model *model)
{
    model_parts *parts = mem_calloc(1, sizeof *parts);
    parts->model = model;
    parts->of = mem_calloc((size_t)model->low->trained, sizeof *parts->of);
    for (int i = 0; i < model->low->trained; ++i) {
        char *name = name_of(model, i);
        parts->of[i] = name ? place_of(parts, name) : -1;
    }
    return parts;
}

void model_parts_free(model_parts *parts)
{
    if (!parts) return;
    for (int i = 0; i < parts->n; ++i) free(parts->name[i]);
    free(parts->of);
    free(parts);
}

int model_parts_count(const model_parts *parts) { return parts->n; }

const char *model_parts_name(const model_parts *parts, int i) { return parts->name[i]; }

void model_parts_read(const model_parts *parts, double *value)
{
    const network *net = parts->model->net;
    for (int i = 0; i < parts->n; ++i) value[i] = 0;
    for (int i = 0; i < parts->model->low->trained; ++i)
        if (parts->of[i] >= 0) value[parts->of[i]] += (double)net->layers[i].cost[0] / net->batch;
}
