/* The optimisers as a cfg, a layer and the host see them (see optimiser.h). */
#include "optimiser.h"

#include "darknet_plugin/base/bug.h"
#include "darknet_plugin/sections/cfg_keys.h"
#include "optimiser_ops.h"
#include "weights_tools/file/weights_file.h"

/* m and v are the layer's own fields, so there are no more of them. */
#define ROW(name, moments) { #name, moments },
static const struct {
    const char *key;
    int moments;
} rows[] = { OPTIMISERS(ROW) };
enum { ROWS = sizeof rows / sizeof *rows };

#define KEY(optimiser, moments) { .name = #optimiser, .type = KEY_INT, .min = 0, .max = 1 },
static const key_row keys[] = { OPTIMISERS(KEY) { .name = NULL } };

/* Nobody asks for the first. */
void optimisers_register(void) { cfg_register_net_keys(keys + 1); }

int optimiser_of(const cfg_section *net, diag *d)
{
    int chosen = 0;
    for (int i = 1; i < ROWS; ++i) {
        if (!cfg_int(net, rows[i].key, 0)) continue;
        if (chosen) {
            diag_error(d, net->file, cfg_line(net, rows[i].key), net->name, "%s=1 and %s=1 contradict each other",
                       rows[chosen].key, rows[i].key);
            return -1;
        }
        chosen = i;
    }
    return chosen;
}

void optimiser_for_host(cfg_section *net, int optimiser)
{
    for (int i = 1; i < ROWS; ++i) cfg_unset(net, rows[i].key);
    if (rows[optimiser].moments) cfg_set(net, "adam", "1");
}

int optimiser_moments(int optimiser) { return rows[optimiser].moments; }

void optimiser_update(const layer *l, const update_args *args, int on_device,
                      void (*update)(const update_job *job, int optimiser))
{
    weights_tensor t[WEIGHTS_MAX_TENSORS];
    int n = weights_tensors(l, t);
    float rate = args->learning_rate * l->learning_rate_scale;
    for (int i = 0; i < n; ++i) {
        float *const *kept = on_device ? t[i].device_kept : t[i].kept;
        if (!t[i].trained) continue;
        for (int k = 0; k <= rows[args->adam].moments; ++k) BUG_UNLESS(kept[k], "an optimiser's arrays are not there");
        update_job job = { on_device ? t[i].device : t[i].data, kept[KEPT_SUM], kept[KEPT_M], kept[KEPT_V], t[i].n,
                           make_update_step(rate, t[i].decays ? args->decay : 0, args) };
        update(&job, args->adam);
    }
}
