/* What an export says: the files, what folding and merging did, every reader's difference, who cannot read it, and the
 * [teacher] section. As lines, or as one JSON object. */
#include "export.h"
#include "darknet_plugin/base/mem.h"
#include "readers.h"
#include "darknet_plugin/base/json.h"

static cJSON *reader_json(const export_job *j, const verify_result *r)
{
    cJSON *e = cJSON_CreateObject();
    cJSON_AddStringToObject(e, "reader", r->reader);
    cJSON_AddBoolToObject(e, "ran", r->ran > 0);
    if (r->ran > 0) {
        cJSON_AddNumberToObject(e, "max_difference", r->difference);
        cJSON_AddNumberToObject(e, "bound", r->bound);
        if (!j->p->raw) cJSON_AddNumberToObject(e, "top1_agreement", 100. * r->agree / j->n);
    } else {
        cJSON_AddStringToObject(e, "why", r->why);
    }
    return e;
}

static cJSON *boxes_json(const box_result *r)
{
    cJSON *e = cJSON_CreateObject();
    cJSON_AddStringToObject(e, "reader", r->reader);
    cJSON_AddBoolToObject(e, "ran", r->ran);
    if (!r->ran) {
        cJSON_AddStringToObject(e, "why", r->why);
        return e;
    }
    cJSON_AddNumberToObject(e, "boxes", (double)r->boxes);
    cJSON_AddNumberToObject(e, "max_difference", r->difference);
    cJSON_AddNumberToObject(e, "bound", BOX_BOUND);
    return e;
}

static void add_notes(cJSON *o, const export_job *j)
{
    reader_note note[READER_ROWS];
    int n = readers_note(j->p->low->cfg, j->p->low->shape, note);
    cJSON *list = cJSON_AddArrayToObject(o, "not_read_alike");
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

static cJSON *export_json(const export_job *j)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "cfg", j->name[EXPORT_CFG]);
    cJSON_AddStringToObject(o, "weights", j->name[EXPORT_WEIGHTS]);
    if (j->name[EXPORT_ONNX]) cJSON_AddStringToObject(o, "onnx", j->name[EXPORT_ONNX]);
    cJSON_AddNumberToObject(o, "multiply_adds", j->p->low->shape->macs);
    cJSON_AddNumberToObject(o, "folded_layers", j->folded);
    cJSON_AddNumberToObject(o, "merged_projectors", j->merged);
    if (j->merged) {
        cJSON_AddNumberToObject(o, "multiply_adds_unmerged", j->macs);
        cJSON_AddNumberToObject(o, "multiply_adds_own_classifier", j->macs_alone);
    }
    cJSON_AddBoolToObject(o, "verified", j->n > 0);
    cJSON_AddNumberToObject(o, "images", j->n);
    cJSON_AddStringToObject(o, "images_of", !j->n ? "none" : j->o->data ? j->o->data : "noise");
    cJSON *list = cJSON_AddArrayToObject(o, "readers");
    for (int i = 0; j->n && i < VERIFY_READERS; ++i)
        if (j->result[i].ran >= 0) cJSON_AddItemToArray(list, reader_json(j, &j->result[i]));
    if (j->n && model_is_detector(j->m)) {
        cJSON *boxes = cJSON_AddArrayToObject(o, "boxes");
        for (int i = 0; i < BOX_READERS; ++i) cJSON_AddItemToArray(boxes, boxes_json(&j->boxes[i]));
    }
    add_notes(o, j);
    if (j->teacher) cJSON_AddStringToObject(o, "teacher", j->teacher);
    return o;
}

static void print_reader(const export_job *j, const verify_result *r, FILE *out)
{
    if (r->ran < 0) return;
    if (!r->ran) {
        fprintf(out, "%-18s %s\n", r->reader, r->why);
        return;
    }
    fprintf(out, "%-18s largest difference %.2e (allowed %.1e)", r->reader, r->difference, r->bound);
    if (j->p->raw) fprintf(out, ", of head maps\n");
    else fprintf(out, ", same class on %d of %d images\n", r->agree, j->n);
}

static void print_boxes(const box_result *r, FILE *out)
{
    if (!r->ran) fprintf(out, "%-18s boxes: %s\n", r->reader, r->why);
    else fprintf(out, "%-18s boxes: largest difference %.2e (allowed %.1e), %zu looked for\n", r->reader, r->difference, BOX_BOUND, r->boxes);
}

static void print_work(const export_job *j, FILE *out)
{
    if (j->folded) fprintf(out, "folded the batch norm of %d layers\n", j->folded);
    if (!j->merged) return;
    fprintf(out, "merged %d of %d projectors: %.3f M multiply-adds, %.3f M without -merge, %.3f M for the student with a classifier of its own\n",
            j->merged, j->p->low->heads, j->p->low->shape->macs / 1e6, j->macs / 1e6, j->macs_alone / 1e6);
}

static void print_notes(const export_job *j, FILE *out)
{
    reader_note note[READER_ROWS];
    int n = readers_note(j->p->low->cfg, j->p->low->shape, note);
    for (int i = 0; i < n; ++i)
        fprintf(out, "%s (%d layer%s, first in %d): %s\n  remedy: %s\n", note[i].row->construct, note[i].count, note[i].count > 1 ? "s" : "",
                note[i].layer, note[i].row->readers, note[i].row->remedy);
}

static void print_export(const export_job *j, FILE *out)
{
    fprintf(out, "%s\n%s\n", j->name[EXPORT_CFG], j->name[EXPORT_WEIGHTS]);
    if (j->name[EXPORT_ONNX]) fprintf(out, "%s\n", j->name[EXPORT_ONNX]);
    print_work(j, out);
    if (!j->n) fprintf(out, "not verified\n");
    else fprintf(out, "verified on %d images of %s\n", j->n, j->o->data ? j->o->data : "noise (-data takes real ones)");
    for (int i = 0; j->n && i < VERIFY_READERS; ++i) print_reader(j, &j->result[i], out);
    for (int i = 0; j->n && model_is_detector(j->m) && i < BOX_READERS; ++i) print_boxes(&j->boxes[i], out);
    print_notes(j, out);
    if (j->teacher) fprintf(out, "\n%s", j->teacher);
}

int export_report(const export_job *j, diag *d)
{
    if (j->o->json) return json_print(export_json(j), j->o->out, d);
    print_export(j, j->o->out);
    return 0;
}
