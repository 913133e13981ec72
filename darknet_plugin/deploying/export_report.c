/* What an export says: the files, what folding and merging did, every reader's difference, who cannot read it, and the
 * [teacher] section. As lines, or as one JSON object. */
#include "darknet_plugin/data/augment.h"
#include "export.h"
#include "readers.h"
#include "darknet_plugin/base/json.h"

/* ---- JSON ---- */

/* One reader's answers beside the training network's, or why it gave none. */
static cJSON *reader_json(const export_job *job, const verify_result *result)
{
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "reader", result->reader);
    cJSON_AddBoolToObject(object, "ran", result->ran == VERIFY_RAN);
    if (result->ran == VERIFY_RAN) {
        cJSON_AddNumberToObject(object, "max_difference", result->difference);
        cJSON_AddNumberToObject(object, "bound", result->bound);
        if (!job->deployed->raw) cJSON_AddNumberToObject(object, "top1_agreement", 100. * result->agree / job->n);
    } else {
        cJSON_AddStringToObject(object, "why", result->why);
    }
    return object;
}

/* The same of its boxes. */
static cJSON *boxes_json(const box_result *result)
{
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "reader", result->reader);
    cJSON_AddBoolToObject(object, "ran", result->ran);
    if (result->ran) {
        cJSON_AddNumberToObject(object, "boxes", (double)result->boxes);
        cJSON_AddNumberToObject(object, "max_difference", result->difference);
        cJSON_AddNumberToObject(object, "bound", BOX_BOUND);
    } else {
        cJSON_AddStringToObject(object, "why", result->why);
    }
    return object;
}

/* Who will not read the cfg alike, and what to do about it. */
static void add_notes(cJSON *object, const export_job *job)
{
    reader_note note[READER_ROWS];
    int n = readers_note(job->deployed->low->cfg, job->deployed->low->shape, note);
    cJSON *list = cJSON_AddArrayToObject(object, "not_read_alike");
    for (int i = 0; i < n; ++i) {
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "construct", note[i].row->construct);
        cJSON_AddNumberToObject(item, "layers", note[i].count);
        cJSON_AddNumberToObject(item, "first_layer", note[i].layer);
        cJSON_AddStringToObject(item, "readers", note[i].row->readers);
        cJSON_AddStringToObject(item, "remedy", note[i].row->remedy);
        cJSON_AddItemToArray(list, item);
    }
}

static void add_work(cJSON *object, const export_job *job)
{
    cJSON_AddNumberToObject(object, "multiply_adds", job->deployed->low->shape->macs);
    cJSON_AddNumberToObject(object, "folded_layers", job->folded);
    cJSON_AddNumberToObject(object, "merged_projectors", job->merged);
    if (!job->merged) return;
    cJSON_AddNumberToObject(object, "multiply_adds_unmerged", job->macs);
    cJSON_AddNumberToObject(object, "multiply_adds_own_classifier", job->macs_alone);
}

static const char *images_of(const export_job *job)
{
    if (!job->n) return "none";
    return job->options->data ? job->options->data : "noise";
}

/* On which images, and every reader's result. */
static void add_verification(cJSON *object, const export_job *job)
{
    cJSON_AddBoolToObject(object, "verified", job->n > 0);
    cJSON_AddNumberToObject(object, "images", job->n);
    cJSON_AddStringToObject(object, "images_of", images_of(job));
    cJSON *list = cJSON_AddArrayToObject(object, "readers");
    for (int i = 0; job->n && i < VERIFY_READERS; ++i)
        if (job->result[i].ran != VERIFY_NOT_ASKED) cJSON_AddItemToArray(list, reader_json(job, &job->result[i]));
    if (!job->n || !model_is_detector(job->model)) return;
    cJSON *boxes = cJSON_AddArrayToObject(object, "boxes");
    for (int i = 0; i < BOX_READERS; ++i) cJSON_AddItemToArray(boxes, boxes_json(&job->boxes[i]));
}

/* All of it as one object. */
static cJSON *export_json(const export_job *job)
{
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "cfg", job->name[EXPORT_CFG]);
    cJSON_AddStringToObject(object, "weights", job->name[EXPORT_WEIGHTS]);
    if (job->name[EXPORT_ONNX]) cJSON_AddStringToObject(object, "onnx", job->name[EXPORT_ONNX]);
    add_work(object, job);
    add_verification(object, job);
    cJSON_AddStringToObject(object, "fit", augment_fit_name(job->model->low->augment.fit));
    add_notes(object, job);
    if (job->teacher) cJSON_AddStringToObject(object, "teacher", job->teacher);
    return object;
}

/* ---- lines ---- */

static void print_reader(const export_job *job, const verify_result *result, FILE *out)
{
    if (result->ran == VERIFY_NOT_ASKED) return;
    if (result->ran != VERIFY_RAN) {
        fprintf(out, "%-18s %s\n", result->reader, result->why);
        return;
    }
    fprintf(out, "%-18s largest difference %.2e (allowed %.1e)", result->reader, result->difference, result->bound);
    if (job->deployed->raw) fprintf(out, ", of head maps\n");
    else fprintf(out, ", same class on %d of %d images\n", result->agree, job->n);
}

static void print_boxes(const box_result *result, FILE *out)
{
    if (!result->ran) fprintf(out, "%-18s boxes: %s\n", result->reader, result->why);
    else fprintf(out, "%-18s boxes: largest difference %.2e (allowed %.1e), %zu looked for\n", result->reader,
                 result->difference, BOX_BOUND, result->boxes);
}

static void print_work(const export_job *job, FILE *out)
{
    if (job->folded) fprintf(out, "folded the batch norm of %d layers\n", job->folded);
    if (!job->merged) return;
    const lowered *low = job->deployed->low;
    fprintf(out, "merged %d of %d projectors: %.3f M multiply-adds, ", job->merged, low->heads, low->shape->macs / 1e6);
    fprintf(out, "%.3f M without -merge, %.3f M for the student with a classifier of its own\n", job->macs / 1e6,
            job->macs_alone / 1e6);
}

static void print_notes(const export_job *job, FILE *out)
{
    reader_note note[READER_ROWS];
    int n = readers_note(job->deployed->low->cfg, job->deployed->low->shape, note);
    for (int i = 0; i < n; ++i)
        fprintf(out, "%s (%d layer%s, first in %d): %s\n  remedy: %s\n", note[i].row->construct, note[i].count,
                note[i].count > 1 ? "s" : "", note[i].layer, note[i].row->readers, note[i].row->remedy);
}

/* On which images, how they fill the input, and every reader's result. */
static void print_verification(const export_job *job, FILE *out)
{
    const char *data = job->options->data;
    if (!job->n) {
        fprintf(out, "not verified\n");
        return;
    }
    if (data) fprintf(out, "verified on %d images of %s, %s\n", job->n, data, model_fit_text(job->model));
    else fprintf(out, "verified on %d images of noise (-data takes real ones)\n", job->n);
    if (job->options->fp16) fprintf(out, "of the ONNX file OpenCV is given its halves as floats\n");
    for (int i = 0; i < VERIFY_READERS; ++i) print_reader(job, &job->result[i], out);
    for (int i = 0; model_is_detector(job->model) && i < BOX_READERS; ++i) print_boxes(&job->boxes[i], out);
}

static void print_export(const export_job *job, FILE *out)
{
    fprintf(out, "%s\n%s\n", job->name[EXPORT_CFG], job->name[EXPORT_WEIGHTS]);
    if (job->name[EXPORT_ONNX]) fprintf(out, "%s\n", job->name[EXPORT_ONNX]);
    print_work(job, out);
    print_verification(job, out);
    print_notes(job, out);
    if (job->teacher) fprintf(out, "\n%s", job->teacher);
}

int export_report(const export_job *job, diag *d)
{
    if (job->options->json) return json_print(export_json(job), job->options->out, d);
    print_export(job, job->options->out);
    return 0;
}
