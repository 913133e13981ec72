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

static void add_side(cJSON *to, const char *side, const map_result *r, double darknet, const data_file *f)
{
    char buf[16];
    cJSON *o = numbers(&r->all);
    cJSON_AddNumberToObject(o, "map50_darknet", darknet);
    cJSON *list = cJSON_AddArrayToObject(o, "classes");
    for (int i = 0; i < r->classes; ++i) {
        const map_class *c = &r->of[i];
        if (!c->truths) continue;
        cJSON *one = cJSON_CreateObject();
        cJSON_AddStringToObject(one, "name", data_file_class(f, i, buf, sizeof buf));
        cJSON_AddNumberToObject(one, "objects", (double)c->truths);
        cJSON_AddNumberToObject(one, "ap50", c->ap50);
        cJSON_AddNumberToObject(one, "ap", c->ap);
        cJSON_AddNumberToObject(one, "precision", c->precision);
        cJSON_AddNumberToObject(one, "recall", c->recall);
        cJSON_AddItemToArray(list, one);
    }
    cJSON_AddItemToObject(to, side, o);
}

static void add_comparison(cJSON *o, const detect_evaluation *e, const detect_comparison *c, const data_file *f)
{
    if (e->has_student) add_side(o, "student", &c->student, c->student_darknet, f);
    if (e->has_teacher) add_side(o, "teacher", &c->teacher, c->teacher_darknet, f);
    if (e->has_student && e->has_teacher) cJSON_AddNumberToObject(o, "feature_mse", c->feature_mse);
}

cJSON *results_detect_evaluation(const detect_evaluation *e, const data_file *f)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddNumberToObject(o, "images", (double)e->images);
    cJSON_AddNumberToObject(o, "objects", (double)e->truths);
    add_comparison(o, e, &e->of[e->last], f);
    if (e->n < 2) return o;
    cJSON *list = cJSON_AddArrayToObject(o, "teachers");
    for (int i = 0; i < e->n; ++i) {
        cJSON *one = cJSON_CreateObject();
        cJSON_AddStringToObject(one, "name", e->of[i].name);
        add_comparison(one, e, &e->of[i], f);
        cJSON_AddItemToArray(list, one);
    }
    return o;
}

static void print_side(const char *who, const map_result *r, double darknet, FILE *out)
{
    fprintf(out, "%-10s %9.2f %13.2f %10.2f %8.2f %17.2f\n", who, r->all.ap50, r->all.ap, r->all.precision, r->all.recall, darknet);
}

static void print_classes(const detect_evaluation *e, const detect_comparison *c, const data_file *f, FILE *out)
{
    const map_result *any = e->has_student ? &c->student : &c->teacher;
    char buf[16];
    fprintf(out, "\n%-20s %8s", "AP@0.5 / AP", "objects");
    if (e->has_teacher) fprintf(out, " %15s", "teacher");
    if (e->has_student) fprintf(out, " %15s", e->has_teacher ? "student" : "network");
    fprintf(out, "\n");
    for (int i = 0; i < any->classes; ++i) {
        if (!any->of[i].truths) continue;
        fprintf(out, "%-20s %8zu", data_file_class(f, i, buf, sizeof buf), any->of[i].truths);
        if (e->has_teacher) fprintf(out, " %6.2f / %6.2f", c->teacher.of[i].ap50, c->teacher.of[i].ap);
        if (e->has_student) fprintf(out, " %6.2f / %6.2f", c->student.of[i].ap50, c->student.of[i].ap);
        fprintf(out, "\n");
    }
}

void results_print_detect_evaluation(const detect_evaluation *e, const data_file *f, FILE *out)
{
    fprintf(out, "%zu images, %zu objects\n", e->images, e->truths);
    for (int i = 0; i < e->n; ++i) {
        const detect_comparison *c = &e->of[i];
        fprintf(out, "%-10s %9s %13s %10s %8s %17s\n", c->name, "mAP@0.5", "mAP@[.5:.95]", "precision", "recall", "AlexeyAB's mAP");
        if (e->has_teacher) print_side("teacher", &c->teacher, c->teacher_darknet, out);
        if (e->has_student) print_side(e->has_teacher ? "student" : "network", &c->student, c->student_darknet, out);
        if (e->has_teacher && e->has_student) fprintf(out, "features   %9.6f mean squared error\n", c->feature_mse);
        print_classes(e, c, f, out);
    }
}
