/* A host network as an ONNX file. */
#ifndef DISTILL_ONNX_LAYERS_H
#define DISTILL_ONNX_LAYERS_H
#include "darknet_plugin/sections/cfg.h"
#include "darknet_plugin/host/host.h"
#include "darknet_plugin/base/out_file.h"
#include "onnx_write.h"

/* Writes `net`, parsed from `cfg`, for `path`, to a file that is finished and not yet kept (see out_file.h): input
 * "input" (N, c, h, w) with pixels in 0..1; the layers `output` are its outputs, "output", or "output0", "output1", ...
 * where there are several. Batch norm is folded. Checked by ONNX's own checker before it is written. 0, or -1 with
 * messages, naming a section that ONNX export does not know. */
int net_file_onnx(out_file *file, const char *path, const network *net, const cfg_file *cfg, const int *output,
                  int outputs, onnx_precision precision, diag *d);

#endif
