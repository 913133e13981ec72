/* What the ways are called in which an image fills the network's input (see augment_spec.h). */
#include "augment.h"

#include <string.h>

static const struct { const char *name, *text; } fits[] = {
    [FIT_CROP] = { "crop", "cropped to the square in the middle" },
    [FIT_LETTERBOX] = { "letterbox", "letterboxed: whole, within grey" },
    [FIT_STRETCH] = { "stretch", "stretched: whole, sides out of proportion" },
};

int augment_fit_named(const char *text)
{
    int fit = FIT_STRETCH;
    while (fit >= 0 && strcmp(fits[fit].name, text)) --fit;
    return fit;
}

const char *augment_fit_name(image_fit fit) { return fits[fit].name; }

const char *augment_fit_text(image_fit fit) { return fits[fit].text; }
