/* `darknet distill export CFG WEIGHTS OUT`: OUT.cfg and OUT.weights, plain Darknet, and FILE.onnx. All are written
 * under temporary names beside their own, verified, and only then given these: weights first and the cfg last, so that
 * a cfg which is there has its weights. */
#include "net_pair.h"
#include "weights_tools/onnx/onnx_layers.h"
#include "export.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/path.h"
#include "darknet_plugin/base/temp_folder.h"
#include "readers.h"

#include <stdlib.h>
#include <string.h>

static void take_names(export_job *job)
{
    char *pair = path_of_pair(job->arg[2]);
    job->name[EXPORT_CFG] = mem_printf("%s.cfg", pair);
    job->name[EXPORT_WEIGHTS] = mem_printf("%s.weights", pair);
    free(pair);
    if (job->options->onnx) job->name[EXPORT_ONNX] = mem_strdup(job->options->onnx);
}

/* What would only be noticed when the first of the files has its name already, and whether they are what was read. */
static int check_names(const export_job *job, diag *d)
{
    return out_file_check((const char *const *)job->name, EXPORT_FILES, d);
}

static int write_files(export_job *job, diag *d)
{
    const deployed *from = job->deployed;
    if (net_file_cfg(&job->file[EXPORT_CFG], job->name[EXPORT_CFG], from->low->cfg, d)) return -1;
    if (net_file_weights(&job->file[EXPORT_WEIGHTS], job->name[EXPORT_WEIGHTS], from->net, d)) return -1;
    if (!job->name[EXPORT_ONNX]) return 0;
    return net_file_onnx(&job->file[EXPORT_ONNX], job->name[EXPORT_ONNX], from->net, from->low->cfg, from->output,
                         from->outputs, job->options->fp16 ? ONNX_HALVES : ONNX_FLOATS, d);
}

/* Multiply-adds of encoder and tails, these as they would be on the encoder's own channels: a tail's first layer with
 * weights then reads `part` of the channels it reads now. */
static double macs_alone(const lowered *low)
{
    double sum = 0;
    for (int i = 0; i < low->shape->n; ++i)
        if (low->role[i] == ROLE_STUDENT) sum += low->shape->layer[i].macs;
    for (int h = 0; h < low->heads; ++h) {
        const lower_head *head = &low->head[h];
        const layer_shape *projector = head->projector >= 0 ? &low->shape->layer[head->projector] : NULL;
        double part = projector ? (double)projector->in_c / projector->c : 1;
        for (int k = 0; k < head->tails; ++k) {
            const layer_shape *s = &low->shape->layer[head->tail + k];
            sum += s->macs * part;
            if (s->stored) part = 1;
        }
    }
    return sum;
}

static int edit(export_job *job, diag *d)
{
    job->macs = job->deployed->low->shape->macs;
    job->macs_alone = macs_alone(job->deployed->low);
    if (job->options->merge && (job->merged = deploy_merge(job->deployed, d)) < 0) return -1;
    if (job->options->fold && (job->folded = deploy_fold(job->deployed, d)) < 0) return -1;
    return 0;
}

static const char *obstacle(const deployed *deployed, unsigned who)
{
    return readers_obstacle(deployed->low->cfg, deployed->low->shape, who);
}

/* What is asked of the readers; borrows from job. */
static verify_job verification(const export_job *job, lower_mode mode)
{
    const deployed *deployed = job->deployed;
    const net_shape *shape = deployed->low->shape;
    return (verify_job){
        .cfg = job->file[EXPORT_CFG].temp, .weights = job->file[EXPORT_WEIGHTS].temp,
        .onnx = job->file[EXPORT_ONNX].temp, .halves = job->options->fp16,
        .not_darknet = obstacle(deployed, READER_DARKNET), .not_opencv = obstacle(deployed, READER_OPENCV),
        .not_darknet_boxes = obstacle(deployed, READER_DARKNET | READER_DARKNET_BOXES),
        .n = job->n, .c = shape->c, .h = shape->h, .w = shape->w, .pixels = job->pixels,
        .outputs = deployed->outputs, .output = deployed->output, .raw = deployed->raw,
        .values = deploy_values(deployed), .answer = job->answer,
        .source = { .cfg = job->arg[0], .weights = job->arg[1], .mode = mode, .from = deployed->from },
    };
}

/* Readers that lack half precision, as OpenCV before 4.8, are given the same numbers as floats. */
static int write_twin(export_job *job, temp_folder *folder, verify_job *wanted, diag *d)
{
    const deployed *from = job->deployed;
    out_file file;
    if (temp_folder_make(folder, d)) return -1;
    wanted->onnx = job->twin = mem_printf("%s/rounded.onnx", folder->path);
    int failed = net_file_onnx(&file, job->twin, from->net, from->low->cfg, from->output, from->outputs, ONNX_ROUNDED,
                               d) || out_file_keep(&file, 1, d);
    out_file_drop(&file);
    return failed ? -1 : 0;
}

/* The written files, under their temporary names, against the training network. */
static int verify_files(export_job *job, lower_mode mode, diag *d)
{
    const net_shape *shape = job->deployed->low->shape;
    if (!job->options->verify) return 0;
    if (shape->c < 1 || shape->h < 1 || shape->w < 1) {
        diag_warn(d, job->arg[0], 0, NULL, "not verified: a network on %d plain numbers takes no images",
                  shape->inputs);
        return 0;
    }
    if (export_images(job, d)) return -1;
    verify_job wanted = verification(job, mode);
    temp_folder folder = { .path = NULL };
    int failed = job->options->fp16 && write_twin(job, &folder, &wanted, d);
    if (!failed) failed = verify_deployed(&wanted, job->result, d);
    if (!failed && model_is_detector(job->model)) failed = verify_boxes(&wanted, job->model, job->boxes, d);
    free(job->twin);
    job->twin = NULL;
    temp_folder_remove(&folder);
    return failed;
}

/* All that is read, then a look at what would be written, then the work. */
static int export_model(export_job *job, lower_mode mode, diag *d)
{
    model_options options = { .threads = job->options->threads, .mode = mode };
    if (check_names(job, d) || model_backend(job->options->backend, &options.backend, d)) return -1;
    if (!(job->model = model_open(job->arg[0], &options, d)) || model_load_whole(job->model, job->arg[1], d)) return -1;
    if (options_given(job->options, "eps")) model_set_epsilon(job->model, job->options->eps);
    if (model_fit(job->model, job->options->fit, d)) return -1;
    if (export_open_images(job, d) || check_names(job, d)) return -1;
    if (!(job->deployed = deploy_open(job->model, job->arg[0], d))) return -1;
    lower_set_fit(job->deployed->low, job->model->low->augment.fit);
    if (edit(job, d) || write_files(job, d)) return -1;
    if (verify_files(job, mode, d) || (job->options->teacher && export_teacher(job, d))) return -1;
    return out_file_keep(job->file, EXPORT_FILES, d) ? -1 : export_report(job, d);
}

/* What has not been kept by now is removed. */
static void close_job(export_job *job)
{
    for (int i = 0; i < EXPORT_FILES; ++i) {
        out_file_drop(&job->file[i]);
        free(job->name[i]);
    }
    deploy_close(job->deployed);
    dataset_free(job->data);
    model_close(job->model);
    free(job->pixels);
    free(job->answer);
    free(job->teacher);
}

int export_network(const options *options, const char *const arg[3], lower_mode mode, diag *d)
{
    if (options->fp16 && !options->onnx) {
        diag_error(d, NULL, 0, NULL, "'-fp16' is for '-onnx FILE.onnx', which is not given");
        return -1;
    }
    export_job job = { .options = options, .arg = arg };
    take_names(&job);
    int failed = export_model(&job, mode, d);
    close_job(&job);
    return failed;
}
