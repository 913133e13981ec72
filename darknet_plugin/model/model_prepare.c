/* What losses have to know before step 1 (loss_facts in layers/sections.h), measured on views of the training set.
 *
 * They are the first views in a run's own order, so that a cache that is being filled needs them anyway and one that is
 * full has them; how many depends on the data set alone. A run that goes on finds its facts in its state, and none of
 * this happens. */
#include "darknet_plugin/data/loader.h"
#include "model.h"

enum { VIEWS = 10000 };   /* at most, and one of an image at most */

static loss_facts *facts_of(const model *model, const taught_loss *loss)
{
    return loss->type->facts ? loss->type->facts(&model->net->layers[loss->layer]) : NULL;
}

/* Does it have to look at views? */
static int must_look(const model *model, const taught_loss *loss)
{
    const loss_facts *facts = facts_of(model, loss);
    return facts && !facts->known && loss->type->look;
}

static int how_many_must_look(const model *model)
{
    int n = 0;
    for (int i = 0; i < model->low->losses; ++i) n += must_look(model, &model->low->loss[i]);
    return n;
}

/* Targets of a batch in the host's memory. */
static teaching teaching_of(const model *model, const taught_loss *loss)
{
    const features *cached = model->features[loss->teacher];
    if (cached) return features_teaching(cached, loss->tap_index);
    return (teaching){ .live = teacher_feature(model->teacher[loss->teacher], loss->taught) };
}

/* Shows the first `images` of a batch to all that must look. */
static int look(model *model, const batch *batch, int images, diag *d)
{
    for (int i = 0; i < model->low->teachers; ++i)
        if (!model->features[i]) teacher_forward(model->teacher[i], batch->x, 0);
    if (model_teach(model, batch->x, batch->index, batch->view, d)) return -1;
    for (int i = 0; i < model->low->losses; ++i) {
        const taught_loss *loss = &model->low->loss[i];
        if (!must_look(model, loss)) continue;
        teaching views = teaching_of(model, loss);
        loss->type->look(&model->net->layers[loss->layer], &views, images);
    }
    model_taught(model);
    return 0;
}

/* At the network's own size, whatever random= says. */
static int look_at_all(model *model, const model_views *views, diag *d)
{
    const net_shape *shape = model->low->shape;
    uint64_t all = dataset_count(views->train), left = all < VIEWS ? all : VIEWS, batch = (uint64_t)model->net->batch;
    loader_options options = {
        .data = views->train, .how = LOAD_TRAIN, .batch = model->net->batch, .c = shape->c, .h = shape->h,
        .w = shape->w, .augment = model->low->augment, .seed = views->seed, .views = (int)views->views,
        .threads = views->threads > 0 ? views->threads : 1,
    };
    options.augment.random = 0;
    loader *loader = loader_start(&options, d);
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

int model_prepare(model *model, const model_views *views, FILE *out, diag *d)
{
    int losses = how_many_must_look(model);
    if (!losses) return 0;
    if (look_at_all(model, views, d)) return -1;
    for (int i = 0; i < model->low->losses; ++i) {
        const taught_loss *loss = &model->low->loss[i];
        if (!must_look(model, loss)) continue;
        if (losses > 1) fprintf(out, "[%s] line %d: ", loss->section->name, loss->section->line);
        if (loss->type->looked(&model->net->layers[loss->layer], out, d)) return -1;
    }
    return 0;
}
