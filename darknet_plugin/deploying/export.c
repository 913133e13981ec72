/* `darknet distill export CFG WEIGHTS OUT`: OUT.cfg and OUT.weights, plain Darknet, and FILE.onnx. All are written under
 * temporary names beside their own, verified, and only then given these: weights first and the cfg last, so that a cfg which is
 * there has its weights. */
#include "net_pair.h"
#include "weights_tools/onnx/onnx_layers.h"
#include "export.h"
#include "darknet_plugin/base/mem.h"
#include "readers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void take_names(export_job *j)
{
    j->name[EXPORT_CFG] = mem_printf("%s.cfg", j->arg[2]);
    j->name[EXPORT_WEIGHTS] = mem_printf("%s.weights", j->arg[2]);
    if (j->o->onnx) j->name[EXPORT_ONNX] = mem_strdup(j->o->onnx);
}

static int same_names(const export_job *j)
{
    const char *onnx = j->name[EXPORT_ONNX];
    return onnx && (!strcmp(onnx, j->name[EXPORT_CFG]) || !strcmp(onnx, j->name[EXPORT_WEIGHTS]));
}

/* What would only be noticed when the first of the files has its name already. */
static int check_names(const export_job *j, diag *d)
{
    struct stat st;
    for (int i = 0; i < EXPORT_FILES; ++i) {
        if (!j->name[i] || stat(j->name[i], &st) || !S_ISDIR(st.st_mode)) continue;
        diag_error(d, j->name[i], 0, NULL, "cannot write: %s", strerror(EISDIR));
        return -1;
    }
    if (!same_names(j)) return 0;
    diag_error(d, j->name[EXPORT_ONNX], 0, NULL, "this name is taken by another file of the export");
    return -1;
}

static int write_files(export_job *j, diag *d)
{
    const deployed *p = j->p;
    if (net_file_cfg(&j->file[EXPORT_CFG], j->name[EXPORT_CFG], p->low->cfg, d)) return -1;
    if (net_file_weights(&j->file[EXPORT_WEIGHTS], j->name[EXPORT_WEIGHTS], p->net, d)) return -1;
    if (!j->name[EXPORT_ONNX]) return 0;
    return net_file_onnx(&j->file[EXPORT_ONNX], j->name[EXPORT_ONNX], p->net, p->low->cfg, p->output, p->outputs, d);
}

/* Encoder, and the tails as they would be on the encoder's own channels. */
static double macs_alone(const lowered *l)
{
    double sum = 0;
    for (int i = 0; i < l->shape->n; ++i)
        if (l->role[i] == ROLE_STUDENT) sum += l->shape->layer[i].macs;
    for (int h = 0; h < l->heads; ++h) {
        const lower_head *head = &l->head[h];
        const layer_shape *p = head->projector >= 0 ? &l->shape->layer[head->projector] : NULL;
        double part = p ? (double)p->in_c / p->c : 1;
        for (int k = 0; k < head->tails; ++k) {
            const layer_shape *s = &l->shape->layer[head->tail + k];
            sum += s->macs * part;
            if (s->stored) part = 1;
        }
    }
    return sum;
}

static int edit(export_job *j, diag *d)
{
    j->macs = j->p->low->shape->macs;
    j->macs_alone = macs_alone(j->p->low);
    if (j->o->merge && (j->merged = deploy_merge(j->p, d)) < 0) return -1;
    if (j->o->fold && (j->folded = deploy_fold(j->p, d)) < 0) return -1;
    return 0;
}

static const char *not_opencv(const deployed *p)
{
    reader_note note[READER_ROWS];
    int n = readers_note(p->low->cfg, p->low->shape, note);
    const reader_note *first = readers_not_opencv(note, n);
    return first ? first->row->construct : NULL;
}

static int verify_files(export_job *j, lower_mode mode, diag *d)
{
    const net_shape *s = j->p->low->shape;
    if (!j->o->verify) return 0;
    if (s->c < 1 || s->h < 1 || s->w < 1) {
        diag_warn(d, j->arg[0], 0, NULL, "not verified: a network on %d plain numbers takes no images", s->inputs);
        return 0;
    }
    if (export_images(j, d)) return -1;
    verify_job v = {
        .cfg = j->file[EXPORT_CFG].temp, .weights = j->file[EXPORT_WEIGHTS].temp, .onnx = j->file[EXPORT_ONNX].temp,
        .not_opencv = not_opencv(j->p),
        .n = j->n, .c = s->c, .h = s->h, .w = s->w, .outputs = j->p->outputs, .output = j->p->output, .values = deploy_values(j->p),
        .raw = j->p->raw, .pixels = j->pixels, .answer = j->answer,
        .source = { .cfg = j->arg[0], .weights = j->arg[1], .mode = mode, .from = j->p->from },
    };
    int failed = verify_deployed(&v, j->result, d);
    if (!failed && model_is_detector(j->m)) failed = verify_boxes(&v, j->m, j->boxes, d);
    return failed;
}

static int export_model(export_job *j, lower_mode mode, diag *d)
{
    model_options mo = { .threads = j->o->threads, .mode = mode };
    if (check_names(j, d) || model_backend(j->o->backend, &mo.backend, d)) return -1;
    if (!(j->m = model_open(j->arg[0], &mo, d)) || model_load_whole(j->m, j->arg[1], d)) return -1;
    if (!(j->p = deploy_open(j->m, j->arg[0], d)) || edit(j, d) || write_files(j, d)) return -1;
    if (verify_files(j, mode, d) || (j->o->teacher && export_teacher(j, d)) || out_file_keep(j->file, EXPORT_FILES, d)) return -1;
    return export_report(j, d);
}

static void close_job(export_job *j)
{
    for (int i = 0; i < EXPORT_FILES; ++i) {
        out_file_drop(&j->file[i]);
        free(j->name[i]);
    }
    deploy_close(j->p);
    model_close(j->m);
    free(j->pixels);
    free(j->answer);
    free(j->teacher);
}

int export_network(const options *o, const char *const arg[3], lower_mode mode, diag *d)
{
    export_job j = { .o = o, .arg = arg };
    take_names(&j);
    int failed = export_model(&j, mode, d);
    close_job(&j);
    return failed;
}
