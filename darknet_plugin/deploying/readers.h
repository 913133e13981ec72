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

/* Readers that a verification asks. READER_DARKNET: libdarknet and the stock program; ..._BOXES: its boxes alone. */
enum { READER_DARKNET = 1, READER_OPENCV = 2, READER_DARKNET_BOXES = 4 };

typedef struct reader_row {
    const char *construct;
    int (*has)(const reader_site *at);
    unsigned cannot;                 /* which of those refuse or misread it, so that there is no point in asking them */
    const char *readers;             /* who, and what they do */
    const char *remedy;
} reader_row;

/* A row that some section of a cfg meets. */
typedef struct reader_note {
    const reader_row *row;
    int layer, count;                /* the first such layer, and how many there are */
} reader_note;

enum { READER_ROWS = 32 };
/* Fills note[]; returns how many. `cfg` is a deployed one, whose layer numbers are absolute. */
int readers_note(const cfg_file *cfg, const net_shape *shape, reader_note note[READER_ROWS]);
/* The first of `notes` that keeps one of `who` from reading the cfg; NULL if there is none. Borrowed from `note`. */
const reader_note *readers_cannot(const reader_note *note, int notes, unsigned who);
/* The construct of that note, borrowed for good; NULL if all of `who` read the cfg. */
const char *readers_obstacle(const cfg_file *cfg, const net_shape *shape, unsigned who);

#endif
