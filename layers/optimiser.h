/* Optimisers, by their number in the list of optimiser_ops.h. A network carries its number where the host has a flag
 * for the only one it knows: network.adam, update_args.adam. */
#ifndef DISTILL_OPTIMISER_H
#define DISTILL_OPTIMISER_H
#include "darknet_plugin/sections/cfg.h"
#include "update_ops.h"

/* Tells the reader of cfgs their keys. Once, before any cfg is read (network_init does it). */
void optimisers_register(void);
/* The one that [net] asks for; -1 after reporting that it asks for two. */
int optimiser_of(const cfg_section *net, diag *d);
/* Rewrites the [net] that the host will parse: it then allocates m and v, if that optimiser wants any, and reads B1, B2
 * and eps. */
void optimiser_for_host(cfg_section *net, int optimiser);
/* How many of m and v it keeps: arrays as large as the weights. */
int optimiser_moments(int optimiser);
/* Hands every array of layer l that updates move to `update`, with what is kept with it: those of the device, or
 * not. */
void optimiser_update(const layer *l, const update_args *args, int on_device,
                      void (*update)(const update_job *job, int optimiser));

#endif
