/* ONNX models: read, brought together, given to the layers of a small cfg, and held against them node by node. */
#include "checkpoint.h"

#include "weights_tools/import/import.h"

static const char network_text[] =
    "[net]\nbatch=1\nsubdivisions=1\nwidth=8\nheight=8\nchannels=3\n"
    "[convolutional]\nfilters=4\nsize=3\nstride=1\npad=1\nactivation=relu\n[maxpool]\nsize=2\nstride=2\n"
    "[convolutional]\nfilters=4\nsize=1\nstride=1\npad=1\nactivation=linear\n[upsample]\nstride=2\n[route]\nlayers=-1,0\n"
    "[convolutional]\nfilters=4\nsize=1\nstride=1\nactivation=leaky\n[shortcut]\nfrom=0\nactivation=relu\n"
    "[avgpool]\n[connected]\noutput=5\nactivation=linear\n[softmax]\n";

static import_job job;

void fuzz_begin(void)
{
    diag *d = diag_new();
    fuzz_write_text("net.cfg", network_text);
    job = (import_job){ .cfg = "net.cfg", .model = "m.onnx", .out = fopen("/dev/null", "w"), .epsilon = 1e-5 };
    job.low = lower_read("net.cfg", LOWER_TRAIN, d);
    job.net = host_parse(network_text, strlen(network_text), "net.cfg", d);
    if (!job.out || !job.low || !job.net) abort();
    diag_free(d);
}

void fuzz_one(const uint8_t *data, size_t n)
{
    fuzz_write("m.onnx", data, n);
    job.encoder = (int)(n & 1);
    diag *d = diag_new();
    job.tensors = named_tensors_read("m.onnx", d);
    int failed = !job.tensors || tensor_groups_make(job.tensors, &job.map, &job.groups, d) || import_match(&job, d) ||
        import_check_graph(&job, d);
    for (int g = 0; g < job.groups.n && !failed; ++g) failed = job.layer[g] >= 0 && import_fill(&job, g, d);
    free(job.layer);
    tensor_groups_free(&job.groups);
    named_tensors_free(job.tensors);
    job.layer = NULL;
    job.tensors = NULL;
    fuzz_end(d, failed != 0);
}
