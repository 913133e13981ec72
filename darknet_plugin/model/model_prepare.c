/* What has to be known before step 1, measured on training images: the facts of losses (loss_facts in
 * layers/sections.h), then scales that are auto (balance.c), which losses must be ready for. A run that goes on has
 * both in its state.
 *
 * Losses look at the first view of up to VIEWS images, in an order that the views' seed alone decides: runs that share
 * a cache find the same, and find it in the cache. */
#include "model_internal.h"

#include "darknet_plugin/base/mem.h"
#include "numbers.h"

#include <stdlib.h>

enum { VIEWS = 10000, BALANCED = 8 };   /* of them at most; batches that scales are measured on */

/* ---- facts ---- */

/* Does it have to look at views? */
static int must_look(const model *model, const taught_loss *loss)
{
    const loss_facts *facts = loss->type->facts ? loss->type->facts(&model->net->layers[loss->layer]) : NULL;
    return facts && !facts->known;
}

static int how_many_must_look(const model *model)
{
    int n = 0;
    for (int i = 0; i < model->low->losses; ++i) n += must_look(model, &model->low->loss[i]);
    return n;
}

/* Targets of a batch in the host's memory. */
static teaching views_of(const model *model, const taught_loss *loss)
{
    if (model->features[loss->teacher]) return model_teaching_of(model, loss);
    return (teaching){ .live = teacher_feature(model->teacher[loss->teacher], loss->taught) };
}

/* Shows the first `images` of a batch to all that must look. */
static int look(model *model, const batch *batch, int images, diag *d)
{
    model_run_live(model, batch->x);
    if (model_teach(model, batch->x, batch->index, batch->view, d)) return -1;
    for (int i = 0; i < model->low->losses; ++i) {
        const taught_loss *loss = &model->low->loss[i];
        if (!must_look(model, loss)) continue;
        teaching views = views_of(model, loss);
        loss->type->look(&model->net->layers[loss->layer], &views, images);
    }
    model_taught(model);
    return 0;
}

/* At the network's own size, whatever random= says. */
static int look_at_all(model *model, const loader_options *images, diag *d)
{
    loader_options views = *images;
    views.start = 0;
    views.augment.random = 0;
    views.seed = views.view_seed;
    uint64_t all = dataset_count(views.data), left = all < VIEWS ? all : VIEWS, batch = (uint64_t)views.batch;
    loader *loader = loader_start(&views, d);
    if (!loader) return -1;
    int failed = 0;
    while (left && !failed) {
        const struct batch *now = loader_next(loader, d);
        uint64_t n = left < batch ? left : batch;
        failed = !now || look(model, now, (int)n, d);
        left -= n;
    }
    loader_stop(loader);
    return failed;
}

/* Facts that no state had. */
static int find_facts(model *model, const loader_options *images, FILE *out, diag *d)
{
    int losses = how_many_must_look(model);
    if (!losses) return 0;
    if (look_at_all(model, images, d)) return -1;
    for (int i = 0; i < model->low->losses; ++i) {
        const taught_loss *loss = &model->low->loss[i];
        if (!must_look(model, loss)) continue;
        if (losses > 1) fprintf(out, "%s:%d: [%s] ", loss->section->file, loss->section->line, loss->section->name);
        if (loss->type->looked(&model->net->layers[loss->layer], out, d)) return -1;
    }
    return 0;
}

/* ---- scales ---- */

/* scale=auto: what is measured leaves no trace. 0, or -1 with messages. */
static int balance(model *model, const loader_options *images, FILE *out, diag *d)
{
    loader *l = loader_start(images, d);
    double *sum = mem_calloc((size_t)model->low->losses, sizeof *sum);
    step_copy *before = step_copy_new(model);
    int failed = !l;
    step_copy_keep(before, model);
    for (int i = 0; i < BALANCED && !failed; ++i) {
        const batch *b = loader_next(l, d);
        failed = !b || model_resize(model, b->w, b->h, d) || model_teach(model, b->x, b->index, b->view, d);
        if (!failed) model_measure_losses(model, b->x, sum);
    }
    step_copy_undo(before, model);
    step_copy_free(before);
    if (!failed) model_set_auto_scales(model, sum, out);
    free(sum);
    if (l) loader_stop(l);
    return failed ? -1 : 0;
}

int model_prepare(model *model, const loader_options *images, int resumed, FILE *out, diag *d)
{
    if (find_facts(model, images, out, d)) return -1;
    return !resumed && model_has_auto_scales(model) ? balance(model, images, out, d) : 0;
}
