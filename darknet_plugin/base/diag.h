/* Diagnostics: what a user did wrong, collected so that one run reports all of it.
 *
 *   cfg/simkd.cfg:41: [feature_l2] teacher feature is 256x8x8, student is 128x8x8
 *   hint: ...
 *
 * Every function of the library that can fail takes a `diag *`, adds what went wrong and returns non-zero (or NULL);
 * only main prints and exits. Texts are lower case without a full stop. The first 1000 errors and the first 1000
 * warnings are kept, the rest is counted: a file may have a mistake in every line. Of many alike one is printed, with
 * how many there are and the first three lines. */
#ifndef DISTILL_DIAG_H
#define DISTILL_DIAG_H
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum { DIAG_ERROR, DIAG_WARNING } diag_level;

typedef struct diag_message {
    diag_level level;
    char *file;      /* owned; NULL where no file is at fault */
    int line;        /* 1-based; 0 = the file as a whole */
    char *section;   /* owned; without brackets; NULL = none */
    char *text;      /* owned */
    char *hint;      /* owned; NULL = none */
    char *kind;      /* owned; the sentence without its words: what is of one kind; NULL = none */
} diag_message;

typedef struct diag diag;

diag *diag_new(void);                 /* the caller frees with diag_free */
/* Messages that are looked at, or dropped, apart from the command's own: a part of the same command all the same, so
 * the files that it reads are the command's (below). Freed before `d`. */
diag *diag_aside(diag *d);
void diag_free(diag *d);

/* Adds a message. `file` may be NULL, `line` 0, `section` NULL; texts are copied. */
void diag_error(diag *d, const char *file, int line, const char *section, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
void diag_warn(diag *d, const char *file, int line, const char *section, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
/* Gives the message added last a hint. */
void diag_hint(diag *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Adds copies of all messages of `from`; `as_warnings`: its errors become warnings. */
void diag_append(diag *d, const diag *from, int as_warnings);

int diag_errors(const diag *d);       /* how many errors */
int diag_warnings(const diag *d);
int diag_count(const diag *d);        /* errors and warnings that were kept */
const diag_message *diag_get(const diag *d, int i);   /* borrowed, in the order added */
/* Is there an error at this line already? `file` may be NULL. */
int diag_told(const diag *d, const char *file, int line);
void diag_print(const diag *d, FILE *out);            /* those not flushed, ordered by file (as first met) and line */
/* Nobody is to read them: none will be printed. */
void diag_clear(diag *d);
/* Prints them now: what is known before a long run is said before it. */
void diag_flush(diag *d, FILE *out);

/* A diag goes wherever a command goes, so it also carries which files the command has read (in_file_list.h).
 * Borrowed. */
struct in_file_list *diag_files(const diag *d);

#ifdef __cplusplus
}
#endif
#endif
