/* Who computes: results are the same bit for bit only with the same library, kernels, compiler and processor. */
#include "cpu.h"

#include "darknet_plugin/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef DNNL
#include <dnnl.h>
#endif

/* "model name : X" of /proc/cpuinfo; the caller frees. */
static char *processor_name(void)
{
    char *line = NULL, *name = NULL, *colon;
    size_t room = 0;
    FILE *f = fopen("/proc/cpuinfo", "r");
    while (f && !name && getline(&line, &room, f) > 0)
        if (!strncmp(line, "model name", 10) && (colon = strchr(line, ':')))
            name = mem_printf("%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
    if (f) fclose(f);
    free(line);
    return name ? name : mem_strdup("unknown");
}

static char *library_name(void)
{
#ifdef DNNL
    const dnnl_version_t *v = dnnl_version();
    return mem_printf("oneDNN %d.%d.%d with instruction set %#x", v->major, v->minor, v->patch,
                      (unsigned)dnnl_get_effective_cpu_isa());
#else
    return mem_strdup("no oneDNN");
#endif
}

const char *cpu_bf16_products(void)
{
#ifdef DNNL
    unsigned isa = (unsigned)dnnl_get_effective_cpu_isa();
    if ((isa & dnnl_cpu_isa_avx512_core_amx) == dnnl_cpu_isa_avx512_core_amx) return "AMX";
    if ((isa & dnnl_cpu_isa_avx512_core_bf16) == dnnl_cpu_isa_avx512_core_bf16) return "AVX512_BF16";
    if ((isa & dnnl_cpu_isa_avx512_core) == dnnl_cpu_isa_avx512_core) return "AVX-512";
#endif
    return NULL;
}

char *cpu_identity(void)
{
#ifdef WINOGRAD
    const char *winograd = "Winograd";
#else
    const char *winograd = "no Winograd";
#endif
    char *processor = processor_name(), *library = library_name();
    char *text = mem_printf("library=%s\nkernels=%s, compiled by %s\nprocessor=%s\n", library, winograd, __VERSION__,
                            processor);
    free(processor);
    free(library);
    return text;
}
