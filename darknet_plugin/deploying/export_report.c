/* What an export says: the files, what folding and merging did, every reader's difference, who cannot read it, and the
 * [teacher] section. As lines, or as one JSON object. */
#include "export.h"
#include "darknet_plugin/base/mem.h"
#include "readers.h"
#include "darknet_plugin/base/json.h"

static cJSON *reader_json(const export_job *job, const verify_result *result)
{
    cJSON *e = cJSON_CreateObject();
    cJSON_AddStringToObject(e, "reader", result->reader);
    cJSON_AddBoolToObject(e, "ran", result->ran > 0);
    if (result->ran > 0) {
        cJSON_AddNumberToObject(e, "max_difference", result->difference);
        cJSON_AddNumberToObject(e, "bound", result->bound);
        if (!job->deployed->raw) cJSON_AddNumberToObject(e, "top1_agreement", 100. * result->agree / job->n);
    } else {
        cJSON_AddStringToObject(e, "why", result->why);
    }
    return e;
}

static cJSON *boxes_json(const box_result *result)
{
    cJSON *e = cJSON_CreateObject();
    cJSON_AddStringToObject(e, "reader", result->reader);
    cJSON_AddBoolToObject(e, "ran", result->ran);
    if (!result->ran) {
        cJSON_AddStringToObject(e, "why", result->why);
        return e;
    }
    cJSON_AddNumberToObject(e, "boxes", (double)result->boxes);
    cJSON_AddNumberToObject(e, "max_difference", result->difference);
    cJSON_AddNumberToObject(e, "bound", BOX_BOUND);
    return e;
}

static void add_notes(cJSON *object, const export_job *job)
{
    reader_note note[READER_ROWS];
    int n = readers_note(job->deployed->low->cfg, job->deployed->low->shape, note);
    cJSON *list = cJSON_AddArrayToObject(object, "not_read_alike");
    for (int i = 0; i < n; ++i) {
        cJSON *e = cJSON_CreateObject();
        cJSON_AddStringToObject(e, "construct", note[i].row->construct);
        cJSON_AddNumberToObject(e, "layers", note[i].count);
        cJSON_AddNumberToObject(e, "first_layer", note[i].layer);
        cJSON_AddStringToObject(e, "readers", note[i].row->readers);
        cJSON_AddStringToObject(e, "remedy", note[i].row->remedy);
        cJSON_AddItemToArray(list, e);
    }
}

static cJSON *export_json(const export_job *job)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "cfg", job->name[EXPORT_CFG]);
    cJSON_AddStringToObject(o, "weights", job->name[EXPORT_WEIGHTS]);
    if (job->name[EXPORT_ONNX]) cJSON_AddStringToObject(o, "onnx", job->name[EXPORT_ONNX]);
    cJSON_AddNumberToObject(o, "multiply_adds", job->deployed->low->shape->macs);
    cJSON_AddNumberToObject(o, "folded_layers", job->folded);
    cJSON_AddNumberToObject(o, "merged_projectors", job->merged);
    if (job->merged) {
        cJSON_AddNumberToObject(o, "multiply_adds_unmerged", job->macs);
        cJSON_AddNumberToObject(o, "multiply_adds_own_classifier", job->macs_alone);
    }
    cJSON_AddBoolToObject(o, "verified", job->n > 0);
    cJSON_AddNumberToObject(o, "images", job->n);
    cJSON_AddStringToObject(o, "images_of", !job->n ? "none" : job->options->data ? job->options->data : "noise");
    cJSON *list = cJSON_AddArrayToObject(o, "readers");
    for (int i = 0; job->n && i < VERIFY_READERS; ++i)
        if (job->result[i].ran >= 0) cJSON_AddItemToArray(list, reader_json(job, &job->result[i]));
    if (job->n && model_is_detector(job->model)) {
        cJSON *boxes = cJSON_AddArrayToObject(o, "boxes");
        for (int i = 0; i < BOX_READERS; ++i) cJSON_AddItemToArray(boxes, boxes_json(&job->boxes[i]));
    }
    add_notes(o, job);
    if (job->teacher) cJSON_AddStringToObject(o, "teacher", job->teacher);
    return o;
}

static void print_reader(const export_job *job, const verify_result *result, FILE *out)
{
    if (result->ran < 0) return;
    if (!result->ran) {
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
    fprintf(out,
            "merged %d of %d projectors: %.3f M multiply-adds, %.3f M without -merge, %.3f M for the student with a classifier of its own\n",
            job->merged, job->deployed->low->heads, job->deployed->low->shape->macs / 1e6, job->macs / 1e6, job->macs_alone / 1e6);
}

static void print_notes(const export_job *job, FILE *out)
{
    reader_note note[READER_ROWS];
    int n = readers_note(job->deployed->low->cfg, job->deployed->low->shape, note);
    for (int i = 0; i < n; ++i)
        fprintf(out, "%s (%d layer%s, first in %d): %s\n  remedy: %s\n", note[i].row->construct, note[i].count,
                note[i].count > 1 ? "s" : "", note[i].layer, note[i].row->readers, note[i].row->remedy);
}

static void print_export(const export_job *job, FILE *out)
{
    fprintf(out, "%s\n%s\n", job->name[EXPORT_CFG], job->name[EXPORT_WEIGHTS]);
    if (job->name[EXPORT_ONNX]) fprintf(out, "%s\n", job->name[EXPORT_ONNX]);
    print_work(job, out);
    if (!job->n) fprintf(out, "not verified\n");
    else fprintf(out, "verified on %d images of %s\n", job->n, job->options->data ? job->options->data
                 : "noise (-data takes real ones)");
    for (int i = 0; job->n && i < VERIFY_READERS; ++i) print_reader(job, &job->result[i], out);
    for (int i = 0; job->n && model_is_detector(job->model) && i < BOX_READERS; ++i) print_boxes(&job->boxes[i], out);
    print_notes(job, out);
    if (job->teacher) fprintf(out, "\n%s", job->teacher);
}

int export_report(const export_job *job, diag *d)
{
    if (job->options->json) return json_print(export_json(job), job->options->out, d);
    print_export(job, job->options->out);
    return 0;
}
