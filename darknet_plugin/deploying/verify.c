/* Deployed files against the training network (see verify.h): the unmodified host library with no layer of ours bound,
 * OpenCV's DNN module on cfg + weights and on the ONNX file, and the stock program. To add a reader write its function and add
 * its row. */
#include "darknet_plugin/sections/cfg.h"
#include "darknet_plugin/data/image_io.h"
#include "darknet_plugin/base/mem.h"
#include "verify_internal.h"

#include <math.h>
#include <stdlib.h>

static void gather(const verify_job *j, const network *net, float *out)
{
    for (int i = 0; i < j->outputs; ++i) {
        const layer *l = &net->layers[j->output[i]];
        for (int k = 0; k < l->outputs; ++k) *out++ = l->output[k];
    }
}

static int verify_host(const verify_job *j, verify_result *r, diag *d)
{
    network *net = verify_open_host(j, d);
    if (!net) return -1;
    float *x = mem_calloc(verify_image_bytes(j), sizeof *x), *out = mem_calloc((size_t)j->values, sizeof *out);
    for (int i = 0; i < j->n; ++i) {
        verify_planar(j->pixels + (size_t)i * verify_image_bytes(j), j->c, j->h, j->w, x);
        network_predict(net, x);
        gather(j, net, out);
        verify_compare(j, i, out, r);
    }
    free(out);
    free(x);
    host_free(net);
    r->ran = 1;
    return 0;
}

/* How OpenCV calls the i-th output. NULL: the last layer. */
static const char *name_in_cfg(const verify_job *j, const dnn_net *n, int i, char name[64])
{
    return j->raw && !dnn_darknet_name(n, j->output[i], name, 64) ? name : NULL;
}

static const char *name_in_onnx(const verify_job *j, const dnn_net *n, int i, char name[64])
{
    (void)n;
    if (j->outputs > 1) snprintf(name, 64, "output%d", i);
    else snprintf(name, 64, "output");
    return name;
}

typedef const char *(*name_fn)(const verify_job *, const dnn_net *, int, char[64]);

/* All outputs of one image; 0, or -1 and `why`. */
static int run_opencv(const verify_job *j, dnn_net *n, name_fn name, const float *x, float *out, char *why, size_t len)
{
    char text[64];
    int done = 0;
    for (int i = 0; i < j->outputs; ++i) {
        int got = dnn_forward_layer(n, name(j, n, i, text), x, j->c, j->h, j->w, out + done, j->values - done, why, len);
        if (got < 0) return -1;
        done += got;
    }
    if (done == j->values) return 0;
    snprintf(why, len, "%d outputs, expected %d", done, j->values);
    return -1;
}

static int ask_opencv(const verify_job *j, dnn_net *n, name_fn name, verify_result *r, char *why, size_t len)
{
    float *x = mem_calloc(verify_image_bytes(j), sizeof *x), *out = mem_calloc((size_t)j->values, sizeof *out);
    int failed = 0;
    for (int i = 0; !failed && i < j->n; ++i) {
        verify_planar(j->pixels + (size_t)i * verify_image_bytes(j), j->c, j->h, j->w, x);
        failed = run_opencv(j, n, name, x, out, why, len);
        if (!failed) verify_compare(j, i, out, r);
    }
    free(out);
    free(x);
    return failed;
}

static int finish_opencv(const verify_job *j, dnn_net *n, const char *file, name_fn name, verify_result *r, char *why, size_t len, diag *d)
{
    int failed = !n || ask_opencv(j, n, name, r, why, len);
    if (failed) diag_error(d, file, 0, NULL, "OpenCV cannot run this network: %s", why);
    if (n) dnn_free(n);
    r->ran = !failed;
    return failed ? -1 : 0;
}

static int verify_opencv(const verify_job *j, verify_result *r, diag *d)
{
    char why[200] = "";
    if (j->not_opencv) {
        snprintf(r->why, sizeof r->why, "not asked: it does not take %s", j->not_opencv);
        return 0;
    }
    dnn_net *n = dnn_read_darknet(j->cfg, j->weights, why, sizeof why);
    return finish_opencv(j, n, j->cfg, name_in_cfg, r, why, sizeof why, d);
}

static int verify_onnx(const verify_job *j, verify_result *r, diag *d)
{
    char why[200] = "";
    if (!j->onnx) {
        r->ran = -1;
        snprintf(r->why, sizeof r->why, "not asked for");
        return 0;
    }
    dnn_net *n = dnn_read_onnx(j->onnx, why, sizeof why);
    return finish_opencv(j, n, j->onnx, name_in_onnx, r, why, sizeof why, d);
}

static double largest(const verify_job *j)
{
    double m = 1;
    for (size_t i = 0; i < (size_t)j->n * (size_t)j->values; ++i) m = fmax(m, fabs((double)j->answer[i]));
    return m;
}

static int judge(const verify_job *j, int reader, const verify_result *r, diag *d)
{
    if (r->ran < 1 || r->difference <= r->bound) return 0;
    diag_error(d, j->source.cfg ? j->source.cfg : j->cfg, 0, NULL, "%s differs from the training network by %.3g, allowed is %.3g",
               r->reader, r->difference, r->bound);
    verify_name_layer(j, reader, r, d);
    return -1;
}

int verify_deployed(const verify_job *j, verify_result result[VERIFY_READERS], diag *d)
{
    static const struct {
        int (*run)(const verify_job *, verify_result *, diag *);
        double bound;
    } readers[VERIFY_READERS] = {
        [VERIFY_HOST] = { verify_host, 1e-4 }, [VERIFY_OPENCV] = { verify_opencv, 1e-4 }, [VERIFY_ONNX] = { verify_onnx, 1e-4 },
        [VERIFY_STOCK] = { verify_stock, 1.5e-4 },
    };
    const char *names[VERIFY_READERS] = { "libdarknet", image_io_version(), image_io_version_onnx(), VERIFY_STOCK_PROGRAM };
    double scale = j->raw ? largest(j) : 1;
    int failed = 0;
    for (int i = 0; i < VERIFY_READERS; ++i) {
        verify_result *r = &result[i];
        *r = (verify_result){ .reader = names[i], .bound = readers[i].bound * scale };
        if (readers[i].run(j, r, d) || judge(j, i, r, d)) failed = 1;
    }
    return failed ? -1 : 0;
}
