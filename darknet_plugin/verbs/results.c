/* JSON objects of the verbs, written with cJSON (see results.h; the keys are documented in docs/reference.md). */
#include "results.h"

#include <stdlib.h>

static void add_score(cJSON *to, const char *name, const score *score, int labelled)
{
    cJSON *o = cJSON_AddObjectToObject(to, name);
    if (!labelled) return;
    cJSON_AddNumberToObject(o, "top1", score->top1);
    cJSON_AddNumberToObject(o, "top5", score->top5);
}

static void add_comparison(cJSON *object, const evaluation *evaluation, const top_comparison *comparison)
{
    int rated = comparison->rated && evaluation->labelled > 0;
    if (evaluation->has_student) add_score(object, "student", &comparison->student, rated);
    if (!evaluation->has_teacher) return;
    add_score(object, "teacher", &comparison->teacher, rated);
    if (!evaluation->has_student) return;
    cJSON_AddNumberToObject(object, "agreement", comparison->agreement);
    cJSON_AddNumberToObject(object, "feature_mse", comparison->feature_mse);
}

cJSON *results_evaluation(const evaluation *evaluation)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddNumberToObject(o, "images", (double)evaluation->images);
    if (evaluation->labelled != evaluation->images) cJSON_AddNumberToObject(o, "labelled",
                                                                            (double)evaluation->labelled);
    add_comparison(o, evaluation, &evaluation->of[evaluation->last]);
    if (evaluation->n < 2) return o;
    cJSON *list = cJSON_AddArrayToObject(o, "teachers");
    for (int i = 0; i < evaluation->n; ++i) {
        cJSON *one = cJSON_CreateObject();
        cJSON_AddStringToObject(one, "name", evaluation->of[i].name);
        add_comparison(one, evaluation, &evaluation->of[i]);
        cJSON_AddItemToArray(list, one);
    }
    return o;
}
