/* JSON objects of the verbs, written with cJSON (see results.h; the keys are documented in docs/reference.md). */
#include "results.h"

#include <math.h>
#include <stdlib.h>

static void add_score(cJSON *to, const char *name, const score *score, int labelled)
{
    cJSON *object = cJSON_AddObjectToObject(to, name);
    if (!labelled) return;
    cJSON_AddNumberToObject(object, "top1", score->top1);
    if (!isnan(score->top5)) cJSON_AddNumberToObject(object, "top5", score->top5);
}

static void add_comparison(cJSON *object, const evaluation *evaluation, const top_comparison *comparison)
{
    int rated = comparison->rated && evaluation->labelled > 0;
    if (evaluation->has_student) add_score(object, "student", &comparison->student, rated);
    if (!evaluation->has_teacher) return;
    add_score(object, "teacher", &comparison->teacher, rated);
    if (!evaluation->has_student) return;
    cJSON_AddNumberToObject(object, "agreement", comparison->agreement);
    if (comparison->has_features) cJSON_AddNumberToObject(object, "feature_mse", comparison->feature_mse);
}

/* The comparison that counts, and, where there are several teachers, all of them. */
cJSON *results_evaluation(const evaluation *evaluation)
{
    size_t images = evaluation->images, labelled = evaluation->labelled;
    cJSON *object = cJSON_CreateObject();
    cJSON_AddNumberToObject(object, "images", (double)images);
    if (labelled != images) cJSON_AddNumberToObject(object, "labelled", (double)labelled);
    add_comparison(object, evaluation, &evaluation->of[evaluation->last]);
    if (evaluation->n < 2) return object;
    if (evaluation->combined) cJSON_AddBoolToObject(object, "combined", 1);
    cJSON *list = cJSON_AddArrayToObject(object, "teachers");
    for (int i = 0; i < evaluation->n - evaluation->combined; ++i) {
        cJSON *one = cJSON_CreateObject();
        cJSON_AddStringToObject(one, "name", evaluation->of[i].name);
        add_comparison(one, evaluation, &evaluation->of[i]);
        cJSON_AddItemToArray(list, one);
    }
    return object;
}
