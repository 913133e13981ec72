/* `darknet distill export CFG WEIGHTS OUT`: OUT.cfg and OUT.weights, plain Darknet. Both are written under temporary
 * names, verified, and only then given their own. Verification images: -data DATA's validation images, else noise. */
#include "augment.h"
#include "dataset.h"
#include "mem.h"
#include "model.h"
#include "results.h"
#include "verbs.h"
#include "verify.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct export_job {
    model *m;
    char *cfg, *weights, *temp_cfg, *temp_weights;    /* owned */
    uint8_t *pixels;                                  /* (n, h, w, c), owned */
    float *answer;                                    /* (n, classes), owned */
    int n;
    verify_result result[VERIFY_READERS];
} export_job;

static int write_cfg(const char *source, const char *path, diag *d)
{
    lowered *low = lower_read(source, LOWER_DEPLOY, d);
    if (!low) return -1;
    size_t len;
    char *text = cfg_text(low->cfg, &len);
    FILE *f = fopen(path, "w");
    int failed = !f || fwrite(text, 1, len, f) != len || fflush(f) || fsync(fileno(f));
    if (failed) diag_error(d, path, 0, NULL, "cannot write: %s", strerror(errno));
    if (f && fclose(f) && !failed) {
        diag_error(d, path, 0, NULL, "cannot write: %s", strerror(errno));
        failed = 1;
    }
    free(text);
    lower_free(low);
    return failed ? -1 : 0;
}

/* Noise with some structure: a random level an image, so that answers differ. */
static void noise_images(export_job *j, size_t bytes)
{
    for (int i = 0; i < j->n; ++i) {
        rng r = rng_make(1, 0, (uint64_t)i, RNG_TEST);
        double level = rng_uniform(&r, 0, 200), width = rng_uniform(&r, 1, 55);
        for (size_t k = 0; k < bytes; ++k) j->pixels[(size_t)i * bytes + k] = (uint8_t)(level + rng_uniform(&r, 0, width));
    }
}

/* Image i of the data set as the net sees it, back in bytes. */
static int data_image(const dataset *data, size_t i, const net_shape *s, uint8_t *out, diag *d)
{
    uint8_t *pixels;
    int w, h;
    char why[256], name[256];
    if (dataset_read(data, i, s->c, &pixels, &w, &h, why, sizeof why)) {
        diag_error(d, dataset_name(data, i, name, sizeof name), 0, NULL, "cannot read this image: %s", why);
        return -1;
    }
    size_t plane = (size_t)s->h * (size_t)s->w;
    float *x = mem_calloc(plane * (size_t)s->c, sizeof *x);
    augment_centre(pixels, w, h, s->c, x, s->w, s->h);
    for (size_t k = 0; k < plane * (size_t)s->c; ++k)
        out[k % plane * (size_t)s->c + k / plane] = (uint8_t)lrintf(fminf(fmaxf(x[k], 0), 1) * 255);
    free(x);
    free(pixels);
    return 0;
}

static int data_images(export_job *j, const char *path, size_t bytes, diag *d)
{
    data_file *f = data_file_read(path, d);
    dataset *data = f ? dataset_open(f, DATA_VALID, (size_t)j->n, 0, d) : NULL;
    int failed = !data;
    if (data && dataset_count(data) < (size_t)j->n) j->n = (int)dataset_count(data);
    for (int i = 0; !failed && i < j->n; ++i) failed = data_image(data, (size_t)i, j->m->low->shape, j->pixels + (size_t)i * bytes, d);
    dataset_free(data);
    data_file_free(f);
    return failed ? -1 : 0;
}

static void answer_images(export_job *j)
{
    const net_shape *s = j->m->low->shape;
    size_t bytes = (size_t)s->c * (size_t)s->h * (size_t)s->w, classes = (size_t)j->m->classes;
    int batch = j->m->net->batch;
    float *x = mem_calloc((size_t)batch * bytes, sizeof *x);
    for (int i = 0; i < j->n; i += batch) {
        int n = j->n - i < batch ? j->n - i : batch;
        for (int b = 0; b < n; ++b)
            verify_planar(j->pixels + (size_t)(i + b) * bytes, s->c, s->h, s->w, x + (size_t)b * bytes);
        memcpy(j->answer + (size_t)i * classes, model_predict(j->m, x), (size_t)n * classes * sizeof *j->answer);
    }
    free(x);
}

static int verify_export(export_job *j, const options *o, diag *d)
{
    const net_shape *s = j->m->low->shape;
    size_t bytes = (size_t)s->c * (size_t)s->h * (size_t)s->w;
    j->n = o->verify;
    if (!j->n) return 0;
    j->pixels = mem_calloc((size_t)j->n, bytes);
    if (!o->data) noise_images(j, bytes);
    else if (data_images(j, o->data, bytes, d)) return -1;
    j->answer = mem_calloc((size_t)j->n * (size_t)j->m->classes, sizeof *j->answer);
    answer_images(j);
    verify_job v = {
        .cfg = j->temp_cfg, .weights = j->temp_weights, .n = j->n, .c = s->c, .h = s->h, .w = s->w,
        .classes = j->m->classes, .pixels = j->pixels, .answer = j->answer,
    };
    return verify_deployed(&v, j->result, d);
}

static int give_names(export_job *j, diag *d)
{
    if (!rename(j->temp_weights, j->weights) && !rename(j->temp_cfg, j->cfg)) return 0;
    diag_error(d, j->cfg, 0, NULL, "cannot write: %s", strerror(errno));
    return -1;
}

static cJSON *export_json(const export_job *j)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "cfg", j->cfg);
    cJSON_AddStringToObject(o, "weights", j->weights);
    cJSON_AddNumberToObject(o, "images", j->n);
    cJSON *list = cJSON_AddArrayToObject(o, "readers");
    for (int i = 0; j->n && i < VERIFY_READERS; ++i) {
        const verify_result *r = &j->result[i];
        cJSON *e = cJSON_CreateObject();
        cJSON_AddStringToObject(e, "reader", r->reader);
        cJSON_AddBoolToObject(e, "ran", r->ran);
        if (r->ran) {
            cJSON_AddNumberToObject(e, "max_difference", r->difference);
            cJSON_AddNumberToObject(e, "bound", r->bound);
            cJSON_AddNumberToObject(e, "top1_agreement", 100. * r->agree / j->n);
        }
        cJSON_AddItemToArray(list, e);
    }
    return o;
}

static void print_export(const export_job *j, FILE *out)
{
    fprintf(out, "%s\n%s\n", j->cfg, j->weights);
    if (!j->n) fprintf(out, "not verified\n");
    for (int i = 0; j->n && i < VERIFY_READERS; ++i) {
        const verify_result *r = &j->result[i];
        if (r->ran)
            fprintf(out, "%-18s largest difference %.2e (allowed %.1e), same class on %d of %d images\n", r->reader, r->difference,
                    r->bound, r->agree, j->n);
        else fprintf(out, "%-18s %s\n", r->reader, r->why);
    }
}

static int export_model(export_job *j, const options *o, diag *d)
{
    if (model_load_whole(j->m, o->arg[1], d)) return -1;
    if (write_cfg(o->arg[0], j->temp_cfg, d) || weights_save(j->m->net, j->temp_weights, d)) return -1;
    if (verify_export(j, o, d) || give_names(j, d)) return -1;
    if (o->json) return results_print_json(export_json(j), o->out, d);
    print_export(j, o->out);
    return 0;
}

int verb_export(options *o, diag *d)
{
    model_options mo = { .threads = o->threads };
    export_job j = { 0 };
    if (model_backend(o->backend, &mo.backend, d)) return -1;
    j.m = model_open(o->arg[0], &mo, d);
    if (!j.m) return -1;
    j.cfg = mem_printf("%s.cfg", o->arg[2]);
    j.weights = mem_printf("%s.weights", o->arg[2]);
    j.temp_cfg = mem_printf("%s.part%d.cfg", o->arg[2], (int)getpid());
    j.temp_weights = mem_printf("%s.part%d.weights", o->arg[2], (int)getpid());
    int failed = export_model(&j, o, d);
    if (failed) {
        unlink(j.temp_cfg);
        unlink(j.temp_weights);
    }
    model_close(j.m);
    free(j.cfg);
    free(j.weights);
    free(j.temp_cfg);
    free(j.temp_weights);
    free(j.pixels);
    free(j.answer);
    return failed;
}
