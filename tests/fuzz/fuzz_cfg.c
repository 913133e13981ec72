/* Reading, checking and lowering a cfg, for training and deployed; a second text is its teacher's. */
#include "fuzz.h"

#include "darknet_plugin/lowering/lower.h"

void fuzz_begin(void) { fuzz_write_text("t.weights", ""); }

/* Text written from a cfg reads the same. */
static void write_and_read(const cfg_file *c)
{
    diag *d = diag_new();
    size_t n, again;
    char *text = cfg_text(c, &n);
    cfg_file *copy = cfg_parse("copy.cfg", text, n, d);
    char *second = copy ? cfg_text(copy, &again) : NULL;
    if (!second || n != again || memcmp(text, second, n)) abort();
    free(second);
    free(text);
    cfg_free(copy);
    diag_free(d);
}

static void lower_as(lower_mode mode, int batch)
{
    diag *d = diag_new();
    lowered *l = lower_read_batch("s.cfg", mode, batch, d);
    if (l) write_and_read(l->cfg);
    fuzz_end(d, !l);
    lower_free(l);
}

void fuzz_one(const uint8_t *data, size_t n)
{
    static const char *const names[] = { "s.cfg", "t.cfg" };
    fuzz_write_parts(data, n, names, 2);
    lower_as(LOWER_TRAIN, 0);
    lower_as(LOWER_DEPLOY, 1);
    lower_as(LOWER_LABELS, 1);
}
