/* The trees and maps of classes that a cfg names for the host. */
#include "fuzz.h"

#include "darknet_plugin/host/host_files.h"

static cfg_file *c;

void fuzz_begin(void)
{
    static const char text[] = "[net]\nwidth=1\nheight=1\nchannels=3\n[region]\nclasses=3\ntree=tree\nmap=map\n";
    diag *d = diag_new();
    c = cfg_parse("c.cfg", text, sizeof text - 1, d);
    fuzz_end(d, 0);
}

/* What the host relies on: parents stand before their children. */
static void rely_on_it(const char *text)
{
    int parent, line = 0;
    for (const char *p = text; *p; p = strchrnul(p, '\n'), p += *p != 0, ++line)
        if (sscanf(p, "%*s %d", &parent) != 1 || parent < -1 || parent >= line) abort();
}

void fuzz_one(const uint8_t *data, size_t n)
{
    static const char *const names[] = { "tree", "map" };
    fuzz_write_parts(data, n, names, 2);
    diag *d = diag_new();
    int failed = host_files_check(c, d);
    fuzz_end(d, failed);
    if (failed) return;
    char tree[17000] = "";
    FILE *f = fopen("tree", "r");
    tree[fread(tree, 1, sizeof tree - 1, f)] = 0;
    fclose(f);
    rely_on_it(tree);
}
