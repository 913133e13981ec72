/* The images an export is verified on, and the training network's answers to them: -data DATA's validation images, else
 * noise, which shows that the arithmetic is the same but is far from what the network has learnt. */
#include "darknet_plugin/data/augment.h"
#include "darknet_plugin/data/dataset.h"
#include "export.h"
#include "darknet_plugin/base/mem.h"

#include <stdlib.h>
#include <string.h>

/* Noise with some structure: a random level an image, so that answers differ. */
static void noise_images(export_job *job, size_t bytes)
{
    for (int i = 0; i < job->n; ++i) {
        rng r = rng_make(1, 0, (uint64_t)i, RNG_TEST);
        double level = rng_uniform(&r, 0, 200), width = rng_uniform(&r, 1, 55);
        uint8_t *image = job->pixels + (size_t)i * bytes;
        for (size_t k = 0; k < bytes; ++k) image[k] = (uint8_t)(level + rng_uniform(&r, 0, width));
    }
}

/* Image i of the data set as the net sees it, back in bytes. */
static int data_image(const dataset *data, size_t i, const net_shape *shape, image_fit fit, uint8_t *out, diag *d)
{
    uint8_t *pixels;
    int w, h;
    char why[256], name[256];
    if (dataset_read(data, i, shape->c, &pixels, &w, &h, why, sizeof why)) {
        diag_error(d, dataset_name(data, i, name, sizeof name), 0, NULL, "cannot read this image: %s", why);
        return -1;
    }
    uint8_t *fitted = augment_still_bytes(pixels, w, h, shape->c, fit, shape->w, shape->h);
    memcpy(out, fitted, (size_t)shape->c * (size_t)shape->h * (size_t)shape->w);
    free(fitted);
    free(pixels);
    return 0;
}

int export_open_images(export_job *job, diag *d)
{
    const net_shape *shape = job->model->low->shape;
    int verify = job->options->verify, takes_images = shape->c > 0 && shape->h > 0 && shape->w > 0;
    if (!job->options->data || !verify || !takes_images) return 0;
    data_file *file = data_file_read(job->options->data, d);
    job->data = file ? dataset_open(file, DATA_VALID, (size_t)verify, 0, d) : NULL;
    data_file_free(file);
    return job->data ? 0 : -1;
}

/* The first validation images; job->n falls to as many as there are. */
static int data_images(export_job *job, size_t bytes, diag *d)
{
    if (dataset_count(job->data) < (size_t)job->n) job->n = (int)dataset_count(job->data);
    for (int i = 0; i < job->n; ++i)
        if (data_image(job->data, (size_t)i, job->model->low->shape, job->model->low->augment.fit,
                       job->pixels + (size_t)i * bytes, d))
            return -1;
    return 0;
}

/* Runs the training network on all images, a batch at a time. */
static void answer_images(export_job *job)
{
    const net_shape *shape = job->model->low->shape;
    const network *net = job->model->net;
    size_t bytes = (size_t)shape->c * (size_t)shape->h * (size_t)shape->w;
    size_t values = (size_t)deploy_values(job->deployed);
    float *x = mem_calloc((size_t)net->batch * bytes, sizeof *x);
    for (int i = 0; i < job->n; i += net->batch) {
        int n = job->n - i < net->batch ? job->n - i : net->batch;
        for (int b = 0; b < n; ++b)
            verify_planar(job->pixels + (size_t)(i + b) * bytes, shape->c, shape->h, shape->w, x + (size_t)b * bytes);
        model_predict(job->model, x);
        for (int b = 0; b < n; ++b) deploy_answer(job->deployed, net, b, job->answer + (size_t)(i + b) * values);
    }
    free(x);
}

int export_images(export_job *job, diag *d)
{
    const net_shape *shape = job->model->low->shape;
    size_t bytes = (size_t)shape->c * (size_t)shape->h * (size_t)shape->w;
    job->n = job->options->verify;
    job->pixels = mem_calloc((size_t)job->n, bytes);
    if (!job->data) noise_images(job, bytes);
    else if (data_images(job, bytes, d)) return -1;
    job->answer = mem_calloc((size_t)job->n * (size_t)deploy_values(job->deployed), sizeof *job->answer);
    answer_images(job);
    return 0;
}
