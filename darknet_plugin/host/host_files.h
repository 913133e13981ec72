/* The files that sections of a stock cfg name, which the host reads without looking: tree= and map=. */
#ifndef DISTILL_HOST_FILES_H
#define DISTILL_HOST_FILES_H
#include "darknet_plugin/sections/cfg.h"
#include "host.h"

/* Before the host parses `cfg`: 0, or -1 with a message at the section's file:line. */
int host_files_check(const cfg_file *cfg, diag *d);
/* After it has: does every tree have the layer's classes? Maps get one entry a class. 0, or -1 with a message. */
int host_files_fit(const cfg_file *cfg, network *net, diag *d);

#endif
