/* Constructs of a deployed cfg that some reader does not take, or reads in another way: one row each in readers.c. */
#ifndef DISTILL_READERS_H
#define DISTILL_READERS_H
#include "cfg.h"

typedef struct reader_row {
    const char *construct;
    int (*has)(const cfg_section *s);
    const char *readers;             /* who, and what they do */
    const char *remedy;
} reader_row;

/* A row that some section of a cfg meets. */
typedef struct reader_note {
    const reader_row *row;
    int layer, count;                /* the first such layer, and how many there are */
} reader_note;

enum { READER_ROWS = 16 };
/* Fills note[]; returns how many. `cfg` is a deployed one. */
int readers_note(const cfg_file *cfg, reader_note note[READER_ROWS]);

#endif
