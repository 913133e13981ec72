/* JSON objects of the verbs, written with cJSON (see results.h; the keys are documented in README.md). */
#include "results.h"

#include <stdlib.h>

static void add_score(cJSON *to, const char *name, const score *s, int labelled)
{
    cJSON *o = cJSON_AddObjectToObject(to, name);
    if (!labelled) return;
    cJSON_AddNumberToObject(o, "top1", s->top1);
    cJSON_AddNumberToObject(o, "top5", s->top5);
}

static void add_comparison(cJSON *o, const evaluation *e, const top_comparison *c)
{
    int rated = c->rated && e->labelled > 0;
    if (e->has_student) add_score(o, "student", &c->student, rated);
    if (!e->has_teacher) return;
    add_score(o, "teacher", &c->teacher, rated);
    if (!e->has_student) return;
    cJSON_AddNumberToObject(o, "agreement", c->agreement);
    if (c->has_features) cJSON_AddNumberToObject(o, "feature_mse", c->feature_mse);
}

cJSON *results_evaluation(const evaluation *e)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddNumberToObject(o, "images", (double)e->images);
    if (e->labelled != e->images) cJSON_AddNumberToObject(o, "labelled", (double)e->labelled);
    add_comparison(o, e, &e->of[e->last]);
    if (e->n < 2) return o;
    cJSON *list = cJSON_AddArrayToObject(o, "teachers");
    for (int i = 0; i < e->n; ++i) {
        cJSON *one = cJSON_CreateObject();
        cJSON_AddStringToObject(one, "name", e->of[i].name);
        add_comparison(one, e, &e->of[i]);
        cJSON_AddItemToArray(list, one);
    }
    return o;
}
