/* Some layers of a network as a network of their own: what extract and strip share.
 *
 *   weights_cut cut;
 *   weights_cut_begin(&cut, view);                       everything is kept
 *   cut.keep[3] = 0;  cut.stands[3] = 2;                 layer 3 goes, what read it reads layer 2
 *   if (!weights_cut_build(&cut, d)) weights_cut_write(&cut, &contents, ...);
 *   weights_cut_free(&cut); */
#ifndef DISTILL_WEIGHTS_CUT_H
#define DISTILL_WEIGHTS_CUT_H
#include "weights_view.h"
#include "darknet_plugin/base/options.h"

enum { CUT_NOTHING = -2, CUT_INPUT = -1 };

typedef struct weights_cut {
    const weights_view *view;   /* the whole network, borrowed */
    char *keep;              /* a mark for each of its layers, owned */
    int *stands;             /* for each layer: the one that stands for it, itself if kept; CUT_INPUT, the new network's
                                input; CUT_NOTHING, it may not be read. owned */
    int entrance;            /* a layer that changes nothing ([maxpool] size=1) comes first: CUT_INPUT has a number */
    int c, h, w, inputs;     /* the new network's input; a map, or plain numbers where c is 0 */
    cfg_file *cfg;           /* the new network, owned */
    int *number;             /* each old layer's number in it, CUT_NOTHING if it is not there; owned */
} weights_cut;

void weights_cut_begin(weights_cut *cut, const weights_view *view);
void weights_cut_free(weights_cut *cut);
/* Makes cut->cfg. 0, or -1 after naming the first layer that reads what is not there. */
int weights_cut_build(weights_cut *cut, diag *d);

/* What weights_cut_write reads and where it writes. */
typedef struct cut_files {
    const char *cfg, *weights;   /* read */
    const char *out;             /* OUT of OUT.cfg and OUT.weights */
    uint64_t seen;               /* what the new header says */
} cut_files;
/* Gives cut->cfg the kept layers' arrays of `contents` and writes both files: under temporary names, read back as any
 * reader of ours does, compared bit for bit, and only then renamed. 0, or -1 with a message and nothing written. */
int weights_cut_write(const weights_cut *cut, const weights_contents *contents, const cut_files *files, diag *d);

/* A verb that cuts CFG WEIGHTS OUT: has `cut` work on CFG's network, OUT without the ending that it may have of either
 * file. 0, or -1 with messages. */
int weights_cut_run(options *options, int (*cut)(const weights_view *view, const struct options *options, diag *d),
                    diag *d);

/* The layers that layer i of a lowered cfg names, in file order, the one before it not among them unless named; returns
 * how many. *from is the caller's to free. */
int weights_cut_names(const cfg_file *cfg, int i, int **from);
/* Does layer i read the one before it, named or not? */
int weights_cut_reads_before(const cfg_file *cfg, int i);

#endif
