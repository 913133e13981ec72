/* Anchors for a detector's cfg, from the boxes of train= as they come to lie in the network's input (see verb_data.h).
 *
 * A box's size in the input depends on how its image gets there: letterboxed it keeps its proportions, stretched it
 * does not. Augmentation changes sizes around that. Numbers are pixels of the input, as [yolo] anchors= takes them. */
#include "verb_data.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/data/augment.h"
#include "darknet_plugin/data/boxes_anchors.h"

#include <stdlib.h>

/* Sizes of all boxes in pixels of the input, *n of them; the caller frees. */
static box_size *sizes_in_input(const dataset *set, const data_input *input, size_t *n)
{
    box_size *size = NULL;
    size_t room = 0;
    *n = 0;
    for (size_t i = 0; i < dataset_count(set); ++i) {
        int boxes, w, h;
        const data_box *box = dataset_boxes(set, i, &boxes);
        if (boxes < 1 || dataset_size(set, i, &w, &h) || w < 1 || h < 1) continue;
        double sx = (double)input->w / w, sy = (double)input->h / h, least = sx < sy ? sx : sy;
        if (input->augment.fit != FIT_STRETCH) sx = sy = least;
        for (int k = 0; k < boxes; ++k) {
            if (*n == room) size = mem_realloc(size, room = room ? 2 * room : 1024, sizeof *size);
            size[(*n)++] = (box_size){ (float)(sx * w * (double)box[k].w), (float)(sy * h * (double)box[k].h) };
        }
    }
    return size;
}

static void print(const data_input *input, const box_size *anchor, int k, size_t n, double mean, double old, FILE *out)
{
    fprintf(out, "anchors\n  boxes       %zu of train=, at %d x %d, %s\n  mean IoU    %.3f", n, input->w, input->h,
            augment_fit_name(input->augment.fit), mean);
    if (old >= 0) fprintf(out, "; of those in %s %.3f", input->cfg, old);
    fprintf(out, "\n  anchors=");
    for (int i = 0; i < k; ++i)
        fprintf(out, "%s%.0f,%.0f", i ? ", " : "", (double)anchor[i].w, (double)anchor[i].h);
    fprintf(out, "\n");
}

/* The same for programs. */
static cJSON *as_json(const data_input *input, const box_size *anchor, int k, size_t n, double mean, double old)
{
    cJSON *object = cJSON_CreateObject();
    cJSON_AddNumberToObject(object, "boxes", (double)n);
    cJSON_AddNumberToObject(object, "w", input->w);
    cJSON_AddNumberToObject(object, "h", input->h);
    cJSON_AddStringToObject(object, "fit", augment_fit_name(input->augment.fit));
    cJSON_AddNumberToObject(object, "mean_iou", mean);
    if (old >= 0) cJSON_AddNumberToObject(object, "cfg_mean_iou", old);
    cJSON *list = cJSON_AddArrayToObject(object, "anchors");
    for (int i = 0; i < k; ++i) {
        cJSON_AddItemToArray(list, cJSON_CreateNumber((double)anchor[i].w));
        cJSON_AddItemToArray(list, cJSON_CreateNumber((double)anchor[i].h));
    }
    return object;
}

int verb_data_anchors(const contents *train, const data_input *input, cJSON *object, FILE *out, diag *d)
{
    size_t n;
    box_size *size = sizes_in_input(train->set, input, &n);
    int k = input->anchors;
    if (n < (size_t)k) {
        diag_error(d, NULL, 0, NULL, "%zu boxes are too few for %d anchors", n, k);
        free(size);
        return -1;
    }
    box_size *anchor = mem_calloc((size_t)k, sizeof *anchor);
    double mean = boxes_anchors(size, n, k, input->seed, anchor), old = -1;
    if (input->old_anchors) old = boxes_mean_iou(size, n, input->old, input->old_anchors);
    if (object) cJSON_AddItemToObject(object, "anchors", as_json(input, anchor, k, n, mean, old));
    else print(input, anchor, k, n, mean, old, out);
    free(anchor);
    free(size);
    return 0;
}
