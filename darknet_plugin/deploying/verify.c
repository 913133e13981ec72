/* Deployed files against the training network (see verify.h): the unmodified host library with no layer of ours bound,
 * or this program where the network has layers that the library lacks, OpenCV's DNN module on cfg + weights and on the
 * ONNX file, and the stock program. To add a reader write its function and add its row. */
#include "darknet_plugin/data/image_io.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/model/model.h"
#include "verify_internal.h"

#include <math.h>
#include <stdlib.h>

static void gather(const verify_job *job, const network *net, float *out)
{
    for (int i = 0; i < job->outputs; ++i) {
        const layer *l = &net->layers[job->output[i]];
        for (int k = 0; k < l->outputs; ++k) *out++ = l->output[k];
    }
}

/* (a row's run) The files in the unmodified host library. */
static int verify_host(const verify_job *job, verify_result *result, diag *d)
{
    if (verify_is_kept(job->not_darknet, result->why, sizeof result->why)) return 0;
    network *net = verify_open_host(job, d);
    if (!net) return -1;
    float *x = mem_calloc(verify_image_bytes(job), sizeof *x), *out = mem_calloc((size_t)job->values, sizeof *out);
    for (int i = 0; i < job->n; ++i) {
        verify_planar(job->pixels + (size_t)i * verify_image_bytes(job), job->c, job->h, job->w, x);
        network_predict(net, x);
        gather(job, net, out);
        verify_compare(job, i, out, result);
    }
    free(out);
    free(x);
    host_free(net);
    result->ran = VERIFY_RAN;
    return 0;
}

/* Every image through a network of ours; it may want several at a time. */
static void ask_own(const verify_job *job, model *model, verify_result *result)
{
    size_t bytes = verify_image_bytes(job);
    float *x = mem_calloc(bytes * (size_t)model->net->batch, sizeof *x);
    float *out = mem_calloc((size_t)job->values, sizeof *out);
    for (int i = 0; i < job->n; ++i) {
        verify_planar(job->pixels + (size_t)i * bytes, job->c, job->h, job->w, x);
        model_predict(model, x);
        gather(job, model->net, out);
        verify_compare(job, i, out, result);
    }
    free(out);
    free(x);
}

/* (a row's run) The files read by this program, which has layers that libdarknet lacks. */
static int verify_own(const verify_job *job, verify_result *result, diag *d)
{
    model_options options = { .backend = BACKEND_REFERENCE, .batch = 1 };
    result->ran = VERIFY_NOT_ASKED;
    if (!job->not_darknet) return 0;
    diag *unsaid = diag_aside(d);     /* its warnings are the training network's */
    model *model = model_open(job->cfg, &options, unsaid);
    int failed = !model || model_load_whole(model, job->weights, unsaid);
    if (failed) diag_error(d, job->cfg, 0, NULL, "%s cannot run this network: %s", result->reader,
                           diag_count(unsaid) ? diag_get(unsaid, diag_count(unsaid) - 1)->text : "refused");
    else ask_own(job, model, result);
    model_close(model);
    diag_free(unsaid);
    result->ran = failed ? VERIFY_MISSING : VERIFY_RAN;
    return failed ? -1 : 0;
}

/* How OpenCV calls the i-th output. NULL: the last layer. */
static const char *name_in_cfg(const verify_job *job, const dnn_net *net, int i, char name[64])
{
    return job->raw && !dnn_darknet_name(net, job->output[i], name, 64) ? name : NULL;
}

static const char *name_in_onnx(const verify_job *job, const dnn_net *net, int i, char name[64])
{
    (void)net;
    if (job->outputs > 1) snprintf(name, 64, "output%d", i);
    else snprintf(name, 64, "output");
    return name;
}

typedef const char *(*name_fn)(const verify_job *, const dnn_net *, int, char[64]);

/* All outputs of one image; 0, or -1 and `why`. */
static int run_opencv(const verify_job *job, dnn_net *net, name_fn name, const float *image, float *out, char *why,
                      size_t len)
{
    char text[64];
    int done = 0;
    for (int i = 0; i < job->outputs; ++i) {
        int got = dnn_forward_layer(net, name(job, net, i, text), image, job->c, job->h, job->w, out + done,
                                    job->values - done, why, len);
        if (got < 0) return -1;
        done += got;
    }
    if (done == job->values) return 0;
    snprintf(why, len, "%d outputs, expected %d", done, job->values);
    return -1;
}

/* Compares all images; 0, or -1 and `why`. */
static int ask_opencv(const verify_job *job, dnn_net *net, name_fn name, verify_result *result, char *why, size_t len)
{
    float *x = mem_calloc(verify_image_bytes(job), sizeof *x), *out = mem_calloc((size_t)job->values, sizeof *out);
    int failed = 0;
    for (int i = 0; !failed && i < job->n; ++i) {
        verify_planar(job->pixels + (size_t)i * verify_image_bytes(job), job->c, job->h, job->w, x);
        failed = run_opencv(job, net, name, x, out, why, len);
        if (!failed) verify_compare(job, i, out, result);
    }
    free(out);
    free(x);
    return failed;
}

static int finish_opencv(const verify_job *job, dnn_net *net, const char *file, name_fn name, verify_result *result,
                         char *why, size_t len, diag *d)
{
    int failed = !net || ask_opencv(job, net, name, result, why, len);
    if (failed) diag_error(d, file, 0, NULL, "OpenCV cannot run this network: %s", why);
    if (net) dnn_free(net);
    result->ran = failed ? VERIFY_MISSING : VERIFY_RAN;
    return failed ? -1 : 0;
}

static int verify_opencv(const verify_job *job, verify_result *result, diag *d)
{
    char why[200] = "";
    if (verify_is_kept(job->not_opencv, result->why, sizeof result->why)) return 0;
    dnn_net *net = dnn_read_darknet(job->cfg, job->weights, why, sizeof why);
    return finish_opencv(job, net, job->cfg, name_in_cfg, result, why, sizeof why, d);
}

static int verify_onnx(const verify_job *job, verify_result *result, diag *d)
{
    char why[200] = "";
    if (!job->onnx) {
        result->ran = VERIFY_NOT_ASKED;
        snprintf(result->why, sizeof result->why, "not asked for");
        return 0;
    }
    dnn_net *net = dnn_read_onnx(job->onnx, why, sizeof why);
    return finish_opencv(job, net, job->onnx, name_in_onnx, result, why, sizeof why, d);
}

/* The largest answer, at least 1. */
static double largest(const verify_job *job)
{
    double most = 1;
    for (size_t i = 0; i < (size_t)job->n * (size_t)job->values; ++i) most = fmax(most, fabs((double)job->answer[i]));
    return most;
}

static int judge(const verify_job *job, int reader, const verify_result *result, diag *d)
{
    if (result->ran != VERIFY_RAN || result->difference <= result->bound) return 0;
    diag_error(d, job->source.cfg ? job->source.cfg : job->cfg, 0, NULL,
               "%s differs from the training network by %.3g, allowed is %.3g", result->reader, result->difference,
               result->bound);
    verify_name_layer(job, reader, result, d);
    return -1;
}

int verify_deployed(const verify_job *job, verify_result result[VERIFY_READERS], diag *d)
{
    static const struct {
        int (*run)(const verify_job *, verify_result *, diag *);
        double bound;
    } readers[VERIFY_READERS] = {
        [VERIFY_HOST] = { verify_host, 1e-4 },
        [VERIFY_OWN] = { verify_own, 1e-4 },
        [VERIFY_OPENCV] = { verify_opencv, 1e-4 },
        [VERIFY_ONNX] = { verify_onnx, 1e-4 },
        [VERIFY_STOCK] = { verify_stock, 1.5e-4 },
    };
    const char *names[VERIFY_READERS] = { "libdarknet", "darknet distill", image_io_version(), image_io_version_onnx(),
                                          VERIFY_STOCK_PROGRAM };
    double scale = job->raw ? largest(job) : 1;
    int failed = 0;
    for (int i = 0; i < VERIFY_READERS; ++i) {
        double bound = i == VERIFY_ONNX && job->halves ? VERIFY_HALVES : readers[i].bound;
        result[i] = (verify_result){ .reader = names[i], .bound = bound * scale };
        if (readers[i].run(job, &result[i], d) || judge(job, i, &result[i], d)) failed = 1;
    }
    return failed ? -1 : 0;
}
