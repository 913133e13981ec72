/* What measuring a detector has found, as a table and as JSON (see results.h; all in percent). */
#include "results.h"

static cJSON *numbers(const map_class *c)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddNumberToObject(o, "map50", c->ap50);
    cJSON_AddNumberToObject(o, "map", c->ap);
    cJSON_AddNumberToObject(o, "precision", c->precision);
    cJSON_AddNumberToObject(o, "recall", c->recall);
    return o;
}

static void add_side(cJSON *to, const char *side, const map_result *result, double darknet, const data_file *file)
{
    char buf[16];
    cJSON *o = numbers(&result->all);
    cJSON_AddNumberToObject(o, "map50_darknet", darknet);
    cJSON *list = cJSON_AddArrayToObject(o, "classes");
    for (int i = 0; i < result->classes; ++i) {
        const map_class *c = &result->of[i];
        if (!c->truths) continue;
        cJSON *one = cJSON_CreateObject();
        cJSON_AddStringToObject(one, "name", data_file_class(file, i, buf, sizeof buf));
        cJSON_AddNumberToObject(one, "objects", (double)c->truths);
        cJSON_AddNumberToObject(one, "ap50", c->ap50);
        cJSON_AddNumberToObject(one, "ap", c->ap);
        cJSON_AddNumberToObject(one, "precision", c->precision);
        cJSON_AddNumberToObject(one, "recall", c->recall);
        cJSON_AddItemToArray(list, one);
    }
    cJSON_AddItemToObject(to, side, o);
}

static void add_comparison(cJSON *object, const detect_evaluation *evaluation, const detect_comparison *comparison,
                           const data_file *file)
{
    if (evaluation->has_student) add_side(object, "student", &comparison->student, comparison->student_darknet, file);
    if (evaluation->has_teacher) add_side(object, "teacher", &comparison->teacher, comparison->teacher_darknet, file);
    if (evaluation->has_student && evaluation->has_teacher)
        cJSON_AddNumberToObject(object, "feature_mse", comparison->feature_mse);
}

cJSON *results_detect_evaluation(const detect_evaluation *evaluation, const data_file *file)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddNumberToObject(o, "images", (double)evaluation->images);
    cJSON_AddNumberToObject(o, "objects", (double)evaluation->truths);
    add_comparison(o, evaluation, &evaluation->of[evaluation->last], file);
    if (evaluation->n < 2) return o;
    cJSON *list = cJSON_AddArrayToObject(o, "teachers");
    for (int i = 0; i < evaluation->n; ++i) {
        cJSON *one = cJSON_CreateObject();
        cJSON_AddStringToObject(one, "name", evaluation->of[i].name);
        add_comparison(one, evaluation, &evaluation->of[i], file);
        cJSON_AddItemToArray(list, one);
    }
    return o;
}

static void print_side(const char *who, const map_result *result, double darknet, FILE *out)
{
    fprintf(out, "%-10s %9.2f %13.2f %10.2f %8.2f %17.2f\n", who, result->all.ap50, result->all.ap,
            result->all.precision, result->all.recall, darknet);
}

static void print_classes(const detect_evaluation *evaluation, const detect_comparison *comparison,
                          const data_file *file, FILE *out)
{
    const map_result *any = evaluation->has_student ? &comparison->student : &comparison->teacher;
    char buf[16];
    fprintf(out, "\n%-20s %8s", "AP@0.5 / AP", "objects");
    if (evaluation->has_teacher) fprintf(out, " %15s", "teacher");
    if (evaluation->has_student) fprintf(out, " %15s", evaluation->has_teacher ? "student" : "network");
    fprintf(out, "\n");
    for (int i = 0; i < any->classes; ++i) {
        if (!any->of[i].truths) continue;
        fprintf(out, "%-20s %8zu", data_file_class(file, i, buf, sizeof buf), any->of[i].truths);
        if (evaluation->has_teacher) fprintf(out, " %6.2f / %6.2f", comparison->teacher.of[i].ap50,
                                             comparison->teacher.of[i].ap);
        if (evaluation->has_student) fprintf(out, " %6.2f / %6.2f", comparison->student.of[i].ap50,
                                             comparison->student.of[i].ap);
        fprintf(out, "\n");
    }
}

void results_print_detect_evaluation(const detect_evaluation *evaluation, const data_file *file, FILE *out)
{
    fprintf(out, "%zu images, %zu objects\n", evaluation->images, evaluation->truths);
    for (int i = 0; i < evaluation->n; ++i) {
        const detect_comparison *c = &evaluation->of[i];
        fprintf(out, "%-10s %9s %13s %10s %8s %17s\n", c->name, "mAP@0.5", "mAP@[.5:.95]", "precision", "recall",
                "AlexeyAB's mAP");
        if (evaluation->has_teacher) print_side("teacher", &c->teacher, c->teacher_darknet, out);
        if (evaluation->has_student) print_side(evaluation->has_teacher ? "student" : "network", &c->student,
                                                c->student_darknet, out);
        if (evaluation->has_teacher && evaluation->has_student)
            fprintf(out, "features   %9.6f mean squared error\n", c->feature_mse);
        print_classes(evaluation, c, file, out);
    }
}
