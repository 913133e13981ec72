/* Feature maps of student and teacher, copied (see model_maps.h). */
#include "model_maps.h"

#include "layers/gpu/gpu.h"
#include "layers/map_loss.h"

#include <string.h>

int model_learnt_maps(const model *model, learnt_map *map, int most)
{
    const lowered *low = model->low;
    int n = 0;
    for (int i = 0; model->teacher && i < low->heads && n < most; ++i) {
        const lower_head *head = &low->head[i];
        if (head->loss < 0 || !low->type[head->loss]->error) continue;
        const layer *l = &model->net->layers[head->loss];
        map[n++] = (learnt_map){ .head = i, .teacher = head->teacher, .c = l->out_c, .h = l->out_h, .w = l->out_w };
    }
    return n;
}

/* The teacher's map at the student's size. */
static void copy_teacher(const learnt_map *map, const float *from, size_t k, float *to)
{
    size_t plane = (size_t)map->h * k * (size_t)map->w * k;
    for (int c = 0; c < map->c; ++c)
        for (int y = 0; y < map->h; ++y)
            for (int x = 0; x < map->w; ++x)
                *to++ = (float)map_loss_value(from + (size_t)c * plane, (size_t)map->w, k, (size_t)y, (size_t)x);
}

void model_copy_maps(const model *model, const learnt_map *map, int b, float *student, float *teacher)
{
    const lower_head *head = &model->low->head[map->head];
    const layer_shape *shape = &model->low->teacher[map->teacher].shape->layer[head->tap];
    const float *theirs = teacher_feature(model->teacher[map->teacher], head->tap);
    size_t n = (size_t)map->c * (size_t)map->h * (size_t)map->w;
    size_t k = (size_t)(shape->h / map->h), of_teacher = n * k * k;
    gpu_pull_output(model->net, head->loss);
    memcpy(student, model->net->layers[head->loss].output + (size_t)b * n, n * sizeof *student);
    copy_teacher(map, theirs + (size_t)b * of_teacher, k, teacher);
}
