/* How far a training is, for who watches it: on a terminal one line that is drawn over itself five times a second, in a
 * pipe or a file a plain line every ten seconds; nothing where -quiet is given. The terminal's line is as wide as that
 * is, and never wraps: what does not fit is left out, the least important first. Whoever prints anything else hides it
 * before. */
#ifndef DISTILL_PROGRESS_H
#define DISTILL_PROGRESS_H
#include <stdio.h>

typedef struct progress progress;

typedef struct progress_view {
    double epoch, epochs;              /* passes over the images: done, in all */
    unsigned long long step, steps;
    double loss;                       /* running mean; NAN: not known yet, as all below */
    int parts;                         /* of the loss; one part is not told apart */
    const char *const *name;           /* parts, borrowed */
    const double *part;                /* their running means */
    double rate, images_per_s, left;   /* left: seconds */
    double data, teacher, student;     /* shares of a step's time; teacher NAN: there is none */
} progress_view;

/* `out` is borrowed. Free with progress_free, which hides the line. */
progress *progress_new(FILE *out, int quiet);
void progress_free(progress *progress);
/* Is there a line that is drawn over itself? */
int progress_is_live(const progress *progress);
/* Is it time to show something? */
int progress_is_due(const progress *progress);
void progress_show(progress *progress, const progress_view *view);
/* What takes its time beside steps, "measuring": on a terminal, until the next line. */
void progress_say(progress *progress, const char *text);
void progress_hide(progress *progress);

/* "1h02m", "2m03s", "3s" */
void progress_time(double seconds, char *out, size_t len);

#endif
