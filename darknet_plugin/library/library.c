/* The library's functions (see darknet_distill.h): each says what it wants done, library_call does it. */
#include "darknet_distill.h"

#include "library_call.h"
#include "library_model.h"

#include "darknet_plugin/base/version.h"

#include <stdlib.h>

/* What the caller holds. */
struct darknet_distill {
    library_model model;
    char *message;               /* owned; NULL: see darknet_distill_message */
    int called;
};

const char *darknet_distill_version(void) { return DISTILL_VERSION; }

darknet_distill *darknet_distill_new(void) { return calloc(1, sizeof(darknet_distill)); }

const char *darknet_distill_message(const darknet_distill *net)
{
    if (net->message) return net->message;
    return net->called ? "error: out of memory" : "";
}

static int call(darknet_distill *net, int (*work)(void *of, diag *d), void *of)
{
    net->called = 1;
    int failed = library_call(work, of, &net->message);
    if (failed > 0) library_model_break(&net->model);
    return failed ? -1 : 0;
}

static int close_model(void *of, diag *d)
{
    (void)d;
    library_model_close(of);
    return 0;
}

void darknet_distill_free(darknet_distill *net)
{
    if (!net) return;
    call(net, close_model, &net->model);
    free(net->message);
    free(net);
}

/* ---- what a call is given ---- */

typedef struct opening {
    library_model *model;
    const char *cfg;
    model_options how;
} opening;

static int open_model(void *of, diag *d)
{
    opening *opening = of;
    return library_model_open(opening->model, opening->cfg, &opening->how, d);
}

int darknet_distill_open(darknet_distill *net, const char *cfg, int as, int threads, unsigned seed)
{
    opening opening = { .model = &net->model, .cfg = cfg,
                        .how = { .backend = BACKEND_DNNL, .threads = threads, .seed = seed,
                                 .mode = as == DARKNET_DISTILL_DEPLOYED ? LOWER_DEPLOY : LOWER_TRAIN } };
    return call(net, open_model, &opening);
}

typedef struct file_call {
    library_model *model;
    const char *path;
    float *image;
} file_call;

static int load(void *of, diag *d)
{
    file_call *file = of;
    return library_model_load(file->model, file->path, d);
}

static int save(void *of, diag *d)
{
    file_call *file = of;
    return library_model_save(file->model, file->path, d);
}

static int read_image(void *of, diag *d)
{
    file_call *file = of;
    return library_model_image(file->model, file->path, file->image, d);
}

int darknet_distill_load(darknet_distill *net, const char *weights)
{
    file_call file = { .model = &net->model, .path = weights };
    return call(net, load, &file);
}

int darknet_distill_save(darknet_distill *net, const char *weights)
{
    file_call file = { .model = &net->model, .path = weights };
    return call(net, save, &file);
}

int darknet_distill_read_image(darknet_distill *net, const char *path, float *image)
{
    file_call file = { .model = &net->model, .path = path, .image = image };
    return call(net, read_image, &file);
}

typedef struct size_call {
    library_model *model;
    const char *what;
    int value;
} size_call;

static int size(void *of, diag *d)
{
    size_call *size = of;
    return library_model_size(size->model, size->what, &size->value, d);
}

int darknet_distill_size(darknet_distill *net, const char *what)
{
    size_call of = { .model = &net->model, .what = what };
    return call(net, size, &of) ? -1 : of.value;
}

typedef struct run_call {
    library_model *model;
    library_run how;
} run_call;

static int run(void *of, diag *d)
{
    run_call *run = of;
    return library_model_run(run->model, &run->how, d);
}

int darknet_distill_run(darknet_distill *net, const float *images, int count, float *student, float *teachers)
{
    run_call of = { .model = &net->model,
                    .how = { .images = images, .count = count, .student = student, .teachers = teachers } };
    return call(net, run, &of);
}

typedef struct step_call {
    library_model *model;
    const float *images;
    const int *labels;
    double loss;
} step_call;

static int step(void *of, diag *d)
{
    step_call *step = of;
    return library_model_step(step->model, step->images, step->labels, &step->loss, d);
}

int darknet_distill_step(darknet_distill *net, const float *images, const int *labels, double *loss)
{
    step_call of = { .model = &net->model, .images = images, .labels = labels };
    if (call(net, step, &of)) return -1;
    if (loss) *loss = of.loss;
    return 0;
}

typedef struct loss_call {
    library_model *model;
    int i;
    const char *name;
    double value;
} loss_call;

static int loss(void *of, diag *d)
{
    loss_call *loss = of;
    return library_model_loss(loss->model, loss->i, &loss->name, &loss->value, d);
}

int darknet_distill_loss(darknet_distill *net, int i, const char **name, double *value)
{
    loss_call of = { .model = &net->model, .i = i };
    if (call(net, loss, &of)) return -1;
    if (name) *name = of.name;
    if (value) *value = of.value;
    return 0;
}
