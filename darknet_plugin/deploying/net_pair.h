/* OUT.cfg and OUT.weights written as one: under temporary names, to be looked at, and given their own only then.
 *
 *   net_pair p;
 *   if (net_pair_begin(&p, "out", d)) return -1;
 *   failed = net_pair_write(&p, cfg, net, d) || ... look at p.file[PAIR_CFG].temp ... || net_pair_keep(&p, d);
 *   net_pair_end(&p);        what was not kept is removed */
#ifndef DISTILL_NET_PAIR_H
#define DISTILL_NET_PAIR_H
#include "darknet_plugin/sections/cfg.h"
#include "darknet_plugin/host/host.h"
#include "darknet_plugin/base/out_file.h"

/* in the order they get their names: a cfg that is there has its weights */
enum { PAIR_WEIGHTS, PAIR_CFG, PAIR_FILES };

typedef struct net_pair {
    char *cfg, *weights;           /* their names, owned */
    out_file file[PAIR_FILES];     /* owned */
} net_pair;

/* Names only; *pair must stay where it is until net_pair_end. -1 with a message where OUT's folder is not there or
 * cannot be written to. */
int net_pair_begin(net_pair *pair, const char *out, diag *d);
/* Both files under their temporary names, fsynced. -1 with a message. */
int net_pair_write(net_pair *pair, const cfg_file *cfg, const network *net, diag *d);
/* Gives both their own names, or neither. -1 with a message. */
int net_pair_keep(net_pair *pair, diag *d);
void net_pair_end(net_pair *pair);

/* One such file, opened, written and finished (see out_file.h). */
int net_file_cfg(out_file *file, const char *path, const cfg_file *cfg, diag *d);
int net_file_weights(out_file *file, const char *path, const network *net, diag *d);

#endif
