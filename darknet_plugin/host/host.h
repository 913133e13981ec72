/* The host: Darknet's library, and the only file that knows what is wrong with it (host.c).
 * The library calls exit(0) or asserts on errors; host.c makes both end non-zero with a message. */
#ifndef DISTILL_HOST_H
#define DISTILL_HOST_H
#include "darknet_plugin/sections/cfg.h"

#include <darknet.h>
#include <stddef.h>

/* Darknet passes `network` to a layer's callbacks; AlexeyAB's fork passes `network_state`. */
typedef network host_state;
/* A layer's forward or backward, as the host calls it. */
typedef void (*host_callback)(layer l, host_state net);

/* Once, by network_init (layers/network.h): error handlers, floating-point mode, gpu_index = -1. */
void host_init(void);
/* The same in someone else's process, where exit and signal handlers, streams and floating-point mode stay the
 * program's: the library's calls that would end it come back to host_guarded, what it prints goes nowhere. 0, or -1
 * with a message. */
int host_init_as_guest(diag *d);
/* A guest's call of anything that may reach the host: returns what work(of) does, or 1 with a message (`d` may be
 * NULL) where the host failed inside, or host_fail was called; what that call had allocated is then lost. */
int host_guarded(int (*work)(void *of), void *of, diag *d);
/* Is such a call under way on this thread? Then host_fail ends it, and never returns. */
int host_is_guarded(void);
void host_fail(const char *text);
/* What a room above does, NULL: nothing. */
typedef struct host_hooks {
    /* A copy of a cfg in which the host can parse all sections; NULL where that goes for `cfg` itself. */
    cfg_file *(*stand_ins)(const cfg_file *cfg, diag *d);
    /* Makes the layers of a network that the host has just parsed what `cfg`, as it was given, says. 0, or -1 with a
     * message. */
    int (*parsed)(network *net, const cfg_file *cfg, diag *d);
    void (*freed)(network *net);    /* it is about to be freed */
} host_hooks;
void host_set_hooks(host_hooks of);

/* Was the library built with the same GPU= and CUDNN= as this program? -1 with a message: then call nothing of it. */
int host_check(diag *d);
/* Flush-to-zero for the calling thread, as the library sets it for the main one. Worker threads call it first. */
void host_thread_init(void);
/* What the process is doing, for the message should the host exit: "parsing cfg/x.cfg". NULL: nothing of the host's. */
void host_doing(const char *what);

/* Parses a stock cfg text with parse_network_cfg (through a memfd), the host's chatter silenced, trees and maps
 * checked. NULL with a message in `d` if the host refused. The caller frees with host_free. */
network *host_parse(const char *text, size_t len, const char *name, diag *d);
/* The same of a cfg that has been read; `name` in messages. */
network *host_parse_cfg(const cfg_file *cfg, const char *name, diag *d);
void host_free(network *net);
/* All layers for an input of w x h, as resize_network does; dropout, which that does not know, too. Call network_resize
 * (layers/network.h), which tells what is bound of it. 0, or -1 with a message where a layer's size is fixed. */
int host_resize(network *net, int w, int h, diag *d);
/* The host's own load_weights, silenced; the caller has measured the file first. */
void host_load_weights(network *net, const char *path);

/* From here on nobody sees what the host prints to stdout: its detection layers print at every training step. */
void host_hush(void);
/* From here on stdout is only ours: what the host prints to stdout goes to stderr. Returns the FILE for results. */
FILE *host_claim_stdout(void);

/* A detector's output: [yolo] or [region]. */
static inline int host_is_boxes(const layer *l) { return l->type == YOLO || l->type == REGION; }

#endif
