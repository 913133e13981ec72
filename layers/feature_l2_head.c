/* [feature_l2] metric=head and weight=teacher: which weights of the reused classifier read the map first, and what is
 * wrong where they cannot be used. An error goes through them alone only where nothing but an average stands before
 * them. */
#include "box_head.h"
#include "darknet_plugin/base/mem.h"
#include "feature_l2_internal.h"
#include "map_loss.h"
#include "weights_tools/file/fold.h"

#include <stdlib.h>
#include <string.h>

int feature_l2_reads_means(const cfg_section *section) { return cfg_int(section, "pooled", 0); }

/* The plain loss does, feature_l2_metric.c's does not. */
int feature_l2_weighs(const cfg_section *section)
{
    return !feature_l2_reads_means(section) && !strcmp(cfg_str(section, "normalise", "none"), "none") &&
           !strcmp(cfg_str(section, "metric", "map"), "map") && !strcmp(cfg_str(section, "weight", "none"), "none");
}

/* How `layer` reads the map, HEAD_NONE if not as one matrix. */
static feature_l2_head reads_as(const cfg_section *layer, const loss_place *place, int averaged)
{
    int connected = cfg_is(layer, "connected");
    if (!connected && !(cfg_is(layer, "convolutional") && box_head_is_1x1(layer))) return HEAD_NONE;
    if (averaged) return HEAD_MEANS;
    return connected && place->h * place->w > 1 ? HEAD_MAP : HEAD_PLACES;
}

static int refuse(const cfg_section *section, const char *key, const char *hint, diag *d, const char *why)
{
    diag_error(d, section->file, cfg_line(section, key), section->name, "%s", why);
    diag_hint(d, "%s", hint);
    return -1;
}

/* The first layer behind the tap that is no average over places, and what it is. */
static const cfg_section *first_reader(const loss_place *place, int *number, int *averaged)
{
    *averaged = 0;
    for (int k = 0; k < place->tails; ++k) {
        *number = place->tail_of[k];
        const cfg_section *layer = *number < 0 ? NULL : cfg_layer(place->teacher, *number);
        if (layer && !cfg_is(layer, "avgpool")) return layer;
        if (layer) *averaged = 1;
    }
    return NULL;
}

int feature_l2_find_head(const cfg_section *section, const loss_place *place, feature_l2_params *p, diag *d)
{
    static const char hint[] =
        "it wants a 1x1 [convolutional] or a [connected] behind the tap, with nothing but [avgpool] between";
    int averaged;
    if (strcmp(cfg_str(section, "metric", "map"), "head")) return 0;
    const cfg_section *reader = first_reader(place, &p->head_layer, &averaged);
    if (!reader)
        return refuse(section, "metric", hint, d, "metric=head: no layer with weights is reused behind the tap");
    p->head = reads_as(reader, place, averaged);
    if (p->head == HEAD_NONE) {
        diag_error(d, section->file, cfg_line(section, "metric"), section->name,
                   "metric=head: what reads the map first, [%s] (%s:%d), teacher's layer %d, is no matrix of its "
                   "channels", reader->name, reader->file, reader->line, p->head_layer);
        diag_hint(d, "%s", hint);
        return -1;
    }
    if (p->head == HEAD_MEANS || !cfg_int(section, "pooled", 0)) return 0;
    return refuse(section, "pooled", "leave out one of the two", d,
                  "pooled=1 compares means over places, but the classifier that metric=head asks reads each place");
}

int feature_l2_find_boxes(const cfg_section *section, const loss_place *place, feature_l2_params *p, diag *d)
{
    p->by_teacher = !strcmp(cfg_str(section, "weight", "none"), "teacher");
    if (!p->by_teacher && cfg_find(section, "floor"))
        return refuse(section, "floor", "write weight=teacher, or leave out floor=", d,
                      "floor= is the least that a place weighs with weight=teacher, which is not there");
    if (!p->by_teacher) return 0;
    if (feature_l2_reads_means(section) || p->head == HEAD_MEANS)
        return refuse(section, "weight", "leave out one of the two", d,
                      "weight=teacher weighs places, and means over all of them are compared");
    if (box_head_find(section, "weight", place, &p->boxes, d)) return -1;
    if (place->h == place->teacher_h && place->w == place->teacher_w) return 0;
    return refuse(section, "weight", "give the student the teacher's stride", d,
                  "weight=teacher weighs the teacher's places, and the student's map has others");
}

int check_feature_l2_section(const cfg_section *section, const loss_place *place, diag *d)
{
    feature_l2_params p = { 0 };
    if (map_loss_check_alike(section, place, d) || feature_l2_find_head(section, place, &p, d)) return -1;
    return feature_l2_find_boxes(section, place, &p, d);
}

/* W, with batch norm folded in. */
void feature_l2_see_teacher(layer *l, const network *teacher)
{
    const feature_l2_params *p = &feature_l2_state_of(l)->p;
    if (p->by_teacher) box_head_see(&feature_l2_state_of(l)->metric->boxes, teacher);
    if (!p->head) return;
    const layer *from = &teacher->layers[p->head_layer];
    int connected = from->type == CONNECTED;
    size_t rows = (size_t)(connected ? from->outputs : from->n), width = (size_t)(connected ? from->inputs : from->c);
    float *head = mem_calloc(rows * width, sizeof *head), *biases = mem_calloc(rows, sizeof *biases);
    fold_arrays(from, head, biases);
    set_feature_l2_head(l, head, rows, width);
    free(biases);
    free(head);
}
