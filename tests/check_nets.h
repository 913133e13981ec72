/* Whole networks with random weights, in memory and in files. */
#ifndef DISTILL_TESTS_CHECK_NETS_H
#define DISTILL_TESTS_CHECK_NETS_H
#include "check.h"

#include "darknet_plugin/deploying/deploy.h"

/* Fills every array of every layer; variances are positive. Weights are small enough that activations stay near 1. */
void check_fill_network(network *net, uint64_t stream);
/* Writes a stock cfg and random weights for it: NAME.cfg and NAME.weights in the current folder. */
void check_write_network(const char *name, const char *cfg, uint64_t stream);
/* Writes NAME.cfg, opens it as training would with random weights and the teacher's classifier, and writes NAME.weights. */
model *check_model(const char *name, const char *cfg, uint64_t stream);
/* What its losses have to know before they train, made up: a variance a channel, and what the classifier sees of them. */
void check_make_up_facts(model *model);
/* Writes `net`, parsed from `cfg`, as the ONNX file `path`; 0, or -1 with messages. */
int check_write_onnx(const network *net, const cfg_file *cfg, const int *output, int outputs, const char *path, diag *d);
/* `text`, read as s.cfg, lowers without an error; free with lower_free. */
lowered *check_lowered(const char *text, lower_mode mode);
/* `d` has one error, its first message, which is `expected`, "LINE: [SECTION] TEXT". */
void check_only_error(const diag *d, const char *expected);
/* `text` does not lower, and says that. */
void check_not_lowered(const char *text, lower_mode mode, const char *expected);
/* The text of message i's hint or "". */
const char *check_hint(const diag *d, int i);

#endif
