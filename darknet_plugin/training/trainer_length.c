/* What is odd about a run's length (see trainer_length.h). */
#include "trainer_length.h"

#include <math.h>

/* The rate's rise takes most of the run. */
static void look_at_burn_in(const model *model, uint64_t steps, diag *d)
{
    const cfg_section *net = cfg_net(model->low->source);
    if (model->net->burn_in <= 0 || (uint64_t)model->net->burn_in <= steps / 2) return;
    diag_warn(d, net->file, cfg_line(net, "burn_in"), net->name,
              "burn_in=%d, of %llu steps in all: the learning rate is small for most of them", model->net->burn_in,
              (unsigned long long)steps);
    diag_hint(d, "a tenth of the steps is usual: change burn_in=, or train longer");
}

/* Every loss is gone before the end (fade=). */
static void look_at_fade(const model *model, uint64_t steps, diag *d)
{
    const lowered *low = model->low;
    double last = 0;
    if (low->labels) return;
    for (int i = 0; i < low->losses; ++i) {
        if (low->loss[i].fade <= 0) return;
        last = fmax(last, low->loss[i].fade * model->net->max_batches);
    }
    if (!low->losses || last >= (double)steps) return;
    const cfg_section *section = low->loss->section;
    diag_warn(d, section->file, cfg_line(section, "fade"), section->name,
              "all losses have faded after step %.0f of %llu: nothing is learnt from then on", last,
              (unsigned long long)steps);
}

void trainer_look_at_length(const model *model, uint64_t steps, diag *d)
{
    look_at_burn_in(model, steps, d);
    look_at_fade(model, steps, d);
}
