/* A run as points to be drawn: what its record says (run_log.h), line by line. */
#ifndef DISTILL_CURVE_H
#define DISTILL_CURVE_H
#include <cjson/cJSON.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { CURVE_PARTS = 16, CURVE_TEACHERS = 8 };

typedef struct curve_series {
    double *x, *y;           /* n each, owned; x are steps; y is finite */
    size_t n, room;
} curve_series;

typedef struct curve {
    char *name;              /* of the run, owned; NULL: nothing is known yet */
    int detector;            /* `score` is mAP@0.5, else top-1; percent */
    double steps, epochs;    /* the run's length; NAN: unknown */
    curve_series loss, score;
    int parts, teachers;
    char *part_name[CURVE_PARTS], *teacher_name[CURVE_TEACHERS];   /* owned */
    curve_series part[CURVE_PARTS];
    double teacher[CURVE_TEACHERS];   /* their scores; teachers without one are left out */
} curve;

/* One line of a record; what it does not know it leaves alone. */
void curve_take(curve *curve, const cJSON *line);
/* The lines of the record there, if there is one and it is one; a file that is not is no mistake. */
void curve_read(curve *curve, const char *path);
void curve_free(curve *curve);                    /* all that it owns */

#ifdef __cplusplus
}
#endif
#endif
