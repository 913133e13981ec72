/* Constructs of a deployed cfg that some reader does not take, or reads in another way: one row each in readers.c. */
#ifndef DISTILL_READERS_H
#define DISTILL_READERS_H
#include "darknet_plugin/sections/cfg.h"
#include "darknet_plugin/sections/shapes.h"

/* A layer that is looked at. */
typedef struct reader_site {
    const cfg_section *section;
    const net_shape *shape;          /* of the whole */
} reader_site;

typedef struct reader_row {
    const char *construct;
    int (*has)(const reader_site *at);
    int opencv;                      /* 1: OpenCV is one of those, so there is no point in asking it */
    const char *readers;             /* who, and what they do */
    const char *remedy;
} reader_row;

/* A row that some section of a cfg meets. */
typedef struct reader_note {
    const reader_row *row;
    int layer, count;                /* the first such layer, and how many there are */
} reader_note;

enum { READER_ROWS = 16 };
/* Fills note[]; returns how many. `cfg` is a deployed one, whose layer numbers are absolute. */
int readers_note(const cfg_file *cfg, const net_shape *shape, reader_note note[READER_ROWS]);
/* The first of `notes` that keeps OpenCV from reading the cfg; NULL if there is none. Borrowed from `note`. */
const reader_note *readers_not_opencv(const reader_note *note, int notes);

#endif
