/* OUT.cfg and OUT.weights written as one: under temporary names, to be looked at, and given their own only then.
 *
 *   net_pair p;
 *   if (net_pair_begin(&p, "out", d)) return -1;
 *   failed = net_pair_write(&p, cfg, net, d) || ... look at p.temp_cfg, p.temp_weights ... || net_pair_keep(&p, d);
 *   net_pair_end(&p);        what was not kept is removed */
#ifndef DISTILL_NET_PAIR_H
#define DISTILL_NET_PAIR_H
#include "../darknet_plugin/cfg.h"
#include "../darknet_plugin/host.h"
#include "../darknet_plugin/mem.h"

typedef struct net_pair {
    char *cfg, *weights, *temp_cfg, *temp_weights;   /* owned */
    mem_unfinished unfinished[2];
} net_pair;

/* Names only; *p must stay where it is until net_pair_end. -1 with a message where OUT's folder is not there or cannot be written to. */
int net_pair_begin(net_pair *p, const char *out, diag *d);
/* Both files under their temporary names, fsynced. -1 with a message. */
int net_pair_write(const net_pair *p, const cfg_file *cfg, const network *net, diag *d);
/* Gives them their own names, the weights first. -1 with a message. */
int net_pair_keep(const net_pair *p, diag *d);
void net_pair_end(net_pair *p);

#endif
