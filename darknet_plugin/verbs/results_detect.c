/* What measuring a detector has found, as a table and as JSON (see results.h; all in percent). */
#include "results.h"

static void add_class(cJSON *list, const map_class *numbers, const char *name)
{
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "name", name);
    cJSON_AddNumberToObject(object, "objects", (double)numbers->truths);
    cJSON_AddNumberToObject(object, "ap50", numbers->ap50);
    cJSON_AddNumberToObject(object, "ap", numbers->ap);
    cJSON_AddNumberToObject(object, "precision", numbers->precision);
    cJSON_AddNumberToObject(object, "recall", numbers->recall);
    cJSON_AddItemToArray(list, object);
}

/* Teacher's or student's numbers, over all classes and of each that has objects. */
static void add_side(cJSON *to, const char *side, const map_result *result, double darknet, const data_file *file)
{
    char buf[16];
    cJSON *object = cJSON_AddObjectToObject(to, side);
    cJSON_AddNumberToObject(object, "map50", result->all.ap50);
    cJSON_AddNumberToObject(object, "map", result->all.ap);
    cJSON_AddNumberToObject(object, "precision", result->all.precision);
    cJSON_AddNumberToObject(object, "recall", result->all.recall);
    cJSON_AddNumberToObject(object, "map50_darknet", darknet);
    cJSON *list = cJSON_AddArrayToObject(object, "classes");
    for (int i = 0; i < result->classes; ++i)
        if (result->of[i].truths) add_class(list, &result->of[i], data_file_class(file, i, buf, sizeof buf));
}

static void add_comparison(cJSON *object, const detect_evaluation *evaluation, const detect_comparison *comparison,
                           const data_file *file)
{
    if (evaluation->has_student) add_side(object, "student", &comparison->student, comparison->student_darknet, file);
    if (evaluation->has_teacher) add_side(object, "teacher", &comparison->teacher, comparison->teacher_darknet, file);
    if (!evaluation->has_student || !evaluation->has_teacher) return;
    cJSON_AddNumberToObject(object, "feature_mse", comparison->feature_mse);
    cJSON *list = comparison->maps > 1 ? cJSON_AddArrayToObject(object, "head_feature_mse") : NULL;
    for (int i = 0; list && i < comparison->maps; ++i)
        cJSON_AddItemToArray(list, cJSON_CreateNumber(comparison->map_mse[i]));
}

/* The comparison that counts, and, where there are several teachers, all of them. */
cJSON *results_detect_evaluation(const detect_evaluation *evaluation, const data_file *file)
{
    cJSON *object = cJSON_CreateObject();
    cJSON_AddNumberToObject(object, "images", (double)evaluation->images);
    cJSON_AddNumberToObject(object, "objects", (double)evaluation->truths);
    add_comparison(object, evaluation, &evaluation->of[evaluation->last], file);
    if (evaluation->n < 2) return object;
    cJSON *list = cJSON_AddArrayToObject(object, "teachers");
    for (int i = 0; i < evaluation->n; ++i) {
        cJSON *one = cJSON_CreateObject();
        cJSON_AddStringToObject(one, "name", evaluation->of[i].name);
        add_comparison(one, evaluation, &evaluation->of[i], file);
        cJSON_AddItemToArray(list, one);
    }
    return object;
}

static void print_side(const char *who, const map_result *result, double darknet, FILE *out)
{
    fprintf(out, "%-10s %9.2f %13.2f %10.2f %8.2f %17.2f\n", who, result->all.ap50, result->all.ap,
            result->all.precision, result->all.recall, darknet);
}

/* Classes that have objects, one a line. */
static void print_classes(const detect_evaluation *evaluation, const detect_comparison *comparison,
                          const data_file *file, FILE *out)
{
    const map_result *teacher = evaluation->has_teacher ? &comparison->teacher : NULL;
    const map_result *student = evaluation->has_student ? &comparison->student : NULL;
    const map_result *any = student ? student : teacher;
    char buf[16];
    fprintf(out, "\n%-20s %8s", "AP@0.5 / AP", "objects");
    if (teacher) fprintf(out, " %15s", "teacher");
    if (student) fprintf(out, " %15s", teacher ? "student" : "network");
    fprintf(out, "\n");
    for (int i = 0; i < any->classes; ++i) {
        if (!any->of[i].truths) continue;
        fprintf(out, "%-20s %8zu", data_file_class(file, i, buf, sizeof buf), any->of[i].truths);
        if (teacher) fprintf(out, " %6.2f / %6.2f", teacher->of[i].ap50, teacher->of[i].ap);
        if (student) fprintf(out, " %6.2f / %6.2f", student->of[i].ap50, student->of[i].ap);
        fprintf(out, "\n");
    }
}

/* Of all heads, and of each where there are several. */
static void print_maps(const detect_comparison *comparison, FILE *out)
{
    fprintf(out, "features   %9.6f mean squared error", comparison->feature_mse);
    for (int i = 0; comparison->maps > 1 && i < comparison->maps; ++i)
        fprintf(out, "%s %.6f", i ? "," : "; by head:", comparison->map_mse[i]);
    fprintf(out, "\n");
}

static void print_comparison(const detect_evaluation *evaluation, const detect_comparison *comparison, FILE *out)
{
    const char *student = evaluation->has_teacher ? "student" : "network";
    fprintf(out, "%-10s %9s %13s %10s %8s %17s\n", comparison->name,
            "mAP@0.5", "mAP@[.5:.95]", "precision", "recall", "AlexeyAB's mAP");
    if (evaluation->has_teacher) print_side("teacher", &comparison->teacher, comparison->teacher_darknet, out);
    if (evaluation->has_student) print_side(student, &comparison->student, comparison->student_darknet, out);
    if (evaluation->has_teacher && evaluation->has_student)
        print_maps(comparison, out);
}

void results_print_detect_evaluation(const detect_evaluation *evaluation, const data_file *file, FILE *out)
{
    fprintf(out, "%zu images, %zu objects\n", evaluation->images, evaluation->truths);
    for (int i = 0; i < evaluation->n; ++i) {
        print_comparison(evaluation, &evaluation->of[i], out);
        print_classes(evaluation, &evaluation->of[i], file, out);
    }
}
