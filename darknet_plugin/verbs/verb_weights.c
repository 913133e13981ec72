/* `darknet distill weights SUB ...`: the table of what can be done with weights files. */
#include "weights_tools/verbs/weights_verbs.h"
#include "darknet_plugin/sections/cfg_keys.h"
#include "verbs.h"
#include "darknet_plugin/base/words.h"

#include <string.h>

typedef struct sub_row {
    const char *name;
    int (*run)(options *, diag *);
    int n;                      /* positional arguments behind the name */
    const char *arguments, *help;
} sub_row;

static const sub_row SUBS[] = {
    { "import",  weights_import,  3, "CFG MODEL OUT.weights", "from PyTorch, safetensors or ONNX" },
    { "show",    weights_show,    2, "CFG WEIGHTS", "layers, shapes, value ranges" },
    { "compare", weights_compare, 3, "CFG A B", "differences, layer by layer" },
    { "extract", weights_extract, 3, "CFG WEIGHTS OUT", "an encoder or a tail, as OUT.cfg and OUT.weights" },
    { "fold",    weights_fold,    3, "CFG WEIGHTS OUT", "batch norm into the weights before it" },
    { "strip",   weights_strip,   3, "CFG WEIGHTS OUT", "without what only training needs" },
};
enum { SUB_COUNT = sizeof SUBS / sizeof *SUBS };

static const sub_row *find_sub(const char *name)
{
    for (int i = 0; i < SUB_COUNT; ++i)
        if (!strcmp(SUBS[i].name, name)) return &SUBS[i];
    return NULL;
}

static int unknown_sub(const char *name, diag *d)
{
    const char *names[SUB_COUNT];
    for (int i = 0; i < SUB_COUNT; ++i) names[i] = SUBS[i].name;
    const char *near = nearest_name(name, names, SUB_COUNT);
    diag_error(d, NULL, 0, NULL, "unknown: weights %s", name);
    if (near) diag_hint(d, "did you mean 'weights %s'?", near);
    else diag_hint(d, "'darknet distill weights -help' lists what there is");
    return -1;
}

int verb_weights(options *o, diag *d)
{
    const sub_row *s = find_sub(o->arg[0]);
    if (!s) return unknown_sub(o->arg[0], d);
    if (options_check_sub(o, s->name, d)) return -1;
    if (o->n - 1 == s->n) return s->run(o, d);
    diag_error(d, NULL, 0, NULL, "'weights %s' takes %s", s->name, s->arguments);
    return -1;
}

void verb_weights_help(FILE *out)
{
    for (int i = 0; i < SUB_COUNT; ++i) fprintf(out, "  %-8s %-24s %s\n", SUBS[i].name, SUBS[i].arguments, SUBS[i].help);
}
