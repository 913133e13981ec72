/* Lowering a distillation cfg to a stock cfg (see lower.h), in this order:
 *
 *   triples    every [projector] [feature_l2] [reused_classifier] complete and in order, a [teacher] there
 *   teachers   their cfgs, taps, input sizes; one tap for each triple (lower_taps.c)
 *   layers     section after section: copied, expanded, renumbered
 *   shapes     of the whole, and of the copied layers against the teacher's
 *
 * Each step reports all it finds; the next runs only where it would not repeat the same mistake. A plain cfg takes
 * the same road and comes out with absolute layer numbers. */
#include "lower_build.h"
#include "darknet_plugin/base/mem.h"
#include "layers/optimiser.h"

#include <stdlib.h>
#include <string.h>

void lower_free(lowered *low)
{
    if (!low) return;
    for (int i = 0; i < low->heads; ++i) free(low->head[i].tail_of);
    free(low->head);
    free(low->role);
    free(low->out);
    teachers_free(low->teacher, low->teachers);
    cfg_free(low->cfg);
    cfg_free(low->source);
    shapes_free(low->shape);
    free(low);
}

/* One row a plugin section: what must stand beside it, and how it is lowered. Stock sections have no row. */
static const struct plugin_row {
    const char *name, *before, *after;
    int (*lower)(lower_build *b, int i);
    const char *hint;
} plugin[] = {
    { "projector", NULL, "feature_l2", lower_projector, "[feature_l2] is the loss that trains it" },
    { "feature_l2", "projector", "reused_classifier", lower_loss,
      "without [reused_classifier] nothing could predict; without a projector write [projector] stack=none" },
    { "reused_classifier", "feature_l2", NULL, lower_tail,
      "the order is [projector], [feature_l2], [reused_classifier]" },
};

static const struct plugin_row *plugin_row(const cfg_section *section)
{
    for (size_t i = 0; i < sizeof plugin / sizeof *plugin; ++i)
        if (cfg_is(section, plugin[i].name)) return &plugin[i];
    return NULL;
}

static void check_neighbour(lower_build *build, const cfg_section *section, const struct plugin_row *row, int at,
                            const char *wanted, const char *where)
{
    const cfg_section *there = cfg_layer(build->l->source, at);
    if (!wanted || (there && cfg_is(there, wanted))) return;
    diag_error(build->d, section->file, section->line, section->name, "expected [%s] %s it, not %s%s%s", wanted, where,
               there ? "[" : "", there ? there->name : "nothing", there ? "]" : "");
    diag_hint(build->d, "%s", row->hint);
}

static void count_heads(lower_build *build)
{
    for (int i = 0; i < build->l->source->n; ++i) {
        const cfg_section *s = &build->l->source->section[i];
        const struct plugin_row *row = plugin_row(s);
        if (!row) continue;
        check_neighbour(build, s, row, s->index - 1, row->before, "before");
        check_neighbour(build, s, row, s->index + 1, row->after, "after");
        if (!row->before) ++build->l->heads;
    }
    build->l->head = mem_calloc((size_t)build->l->heads + 1, sizeof *build->l->head);
    for (int i = 0; i < build->l->heads; ++i)
        build->l->head[i] = (lower_head){ .tap = -1, .tap_index = -1, .feeds = -1, .pool = -1, .projector = -1,
                                          .loss = -1, .tail = -1,
                                      .target_pool = 1, .scale = 1, .mean = 1 };
}

/* The first section that needs a teacher; NULL in a plain cfg. */
static const cfg_section *first_plugin(const cfg_file *cfg)
{
    for (int i = 0; i < cfg->n; ++i)
        if (plugin_row(&cfg->section[i])) return &cfg->section[i];
    return NULL;
}

/* Sections that stand alone: a teacher nobody asks, questions without a teacher. */
static void check_teacher_there(lower_build *build)
{
    const cfg_section *t = cfg_first(build->l->source, "teacher"), *p = first_plugin(build->l->source);
    if (p && !t) {
        diag_error(build->d, p->file, p->line, p->name, "there is no [teacher] section to learn from");
        diag_hint(build->d, "add [teacher] with cfg= and weights= after [net]");
    } else if (t && !p) {
        diag_error(build->d, t->file, t->line, t->name,
                   "nothing is learnt from it: [projector], [feature_l2] and [reused_classifier] are missing");
        diag_hint(build->d, "they stand at the end of the student, in this order");
    }
}

static int lower_preamble(lower_build *build)
{
    cfg_section *net = cfg_append_copy(build->l->cfg, cfg_net(build->l->source));
    if (build->mode == LOWER_DEPLOY) {
        lower_deploy_net(net);
        return 0;
    }
    int optimiser = optimiser_of(net, build->d);
    if (optimiser < 0) return -1;
    optimiser_for_host(net, optimiser);
    build->l->optimiser = optimiser;
    return 0;
}

/* All layers, as far as it makes sense to go on. */
static int lower_all(lower_build *build)
{
    int n = cfg_layers(build->l->source), bad = lower_preamble(build);
    build->map = mem_calloc((size_t)n + 1, sizeof *build->map);
    for (int i = 0; i < n && bad != -2; ++i) {
        const struct plugin_row *row = plugin_row(lower_at(build, i));
        int status = row ? row->lower(build, i) : lower_stock(build, i);
        if (status) bad = status;
    }
    return bad;
}

/* `clean` = 0: the text has mistakes that would be met again layer by layer, so only what is beside them is checked. */
static int build(lower_build *b, int clean)
{
    lowered *l = b->l;
    b->errors = diag_errors(b->d);
    count_heads(b);
    check_teacher_there(b);
    if (cfg_first(l->source, "teacher") && !(l->teacher = teachers_read(l->source, b->mode == LOWER_TRAIN, &l->teachers,
                                                                        b->d))) return -1;
    if (!clean || diag_errors(b->d) > b->errors || (l->teacher && lower_assign_taps(b))) return -1;
    if (lower_all(b) || !(l->shape = shapes_infer(l->cfg, b->d))) return -1;
    if (!l->heads || b->mode == LOWER_DEPLOY) l->trained = l->shape->n;
    augment_read(l->source, l->cfg, &l->augment);
    l->outs = lower_outputs(l->cfg, &l->out);
    return lower_check_tails(b);
}

static lowered *lower_source(cfg_file *source, lower_mode mode, int clean, diag *d)
{
    lower_build b = { .mode = mode, .d = d };
    b.l = mem_calloc(1, sizeof *b.l);
    b.l->source = source;
    b.l->cfg = cfg_new(source->path);
    int bad = cfg_net(source) ? build(&b, clean) : -1;   /* the reader has said that [net] is missing */
    free(b.map);
    if (!bad) return b.l;
    lower_free(b.l);
    return NULL;
}

lowered *lower_cfg(cfg_file *source, lower_mode mode, diag *d)
{
    return lower_source(source, mode, 1, d);
}

lowered *lower_read(const char *path, lower_mode mode, diag *d) { return lower_read_batch(path, mode, 0, d); }

lowered *lower_read_batch(const char *path, lower_mode mode, int batch, diag *d)
{
    int before = diag_errors(d);
    cfg_file *source = cfg_read(path, d);
    if (batch && source && cfg_net(source)) {
        cfg_set(&source->section[0], "batch", "%d", batch);
        cfg_set(&source->section[0], "subdivisions", "1");
    }
    return source ? lower_source(source, mode, diag_errors(d) == before, d) : NULL;
}
