/* Rewrites entries of a loaded library's global offset table (see host_redirect.h).
 *
 * Which definition a library's own call of error() reaches is decided by the program that loads it: in a program of
 * ours it is ours, in an interpreter it is glibc's function of that name, which takes other arguments. The table in
 * which the library looks its names up is its own, so what is written there holds whoever loaded it. Relocations with
 * a symbol are entries of that table; those that the loader has made read-only are opened for the moment. */
#include "host_redirect.h"

#include <elf.h>
#include <link.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* A library in memory. */
typedef struct image {
    const char *inside;
    const redirection *rows;
    int count;
    ElfW(Addr) base;
    ElfW(Addr) closed, closed_end;    /* what the loader has made read-only; both 0: nothing */
    const char *names;
    const ElfW(Sym) *symbol;
    const ElfW(Rela) *table[2];       /* of calls, of everything else */
    size_t bytes[2];
    int rewritten;
} image;

static int holds(const struct dl_phdr_info *info, const char *inside)
{
    for (int i = 0; i < info->dlpi_phnum; ++i) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        const char *begin = (const char *)(info->dlpi_addr + part->p_vaddr);
        if (part->p_type == PT_LOAD && inside >= begin && inside < begin + part->p_memsz) return 1;
    }
    return 0;
}

/* Where its names, symbols and relocations are. */
static void read_dynamic(image *image, const ElfW(Dyn) *entry)
{
    for (; entry->d_tag != DT_NULL; ++entry) {
        switch (entry->d_tag) {
        case DT_STRTAB: image->names = (const char *)entry->d_un.d_ptr; break;
        case DT_SYMTAB: image->symbol = (const ElfW(Sym) *)entry->d_un.d_ptr; break;
        case DT_JMPREL: image->table[0] = (const ElfW(Rela) *)entry->d_un.d_ptr; break;
        case DT_PLTRELSZ: image->bytes[0] = entry->d_un.d_val; break;
        case DT_RELA: image->table[1] = (const ElfW(Rela) *)entry->d_un.d_ptr; break;
        case DT_RELASZ: image->bytes[1] = entry->d_un.d_val; break;
        default: break;
        }
    }
}

/* Writes an entry, which may lie where the loader allows no writing. */
static int write_slot(image *image, ElfW(Addr) address, void *to)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = address & ~(page - 1);
    size_t bytes = address + sizeof to - begin;
    int closed = address >= image->closed && address < image->closed_end;
    if (closed && mprotect((void *)begin, bytes, PROT_READ | PROT_WRITE)) return -1;
    memcpy((void *)address, &to, sizeof to);
    if (closed && mprotect((void *)begin, bytes, PROT_READ)) return -1;
    ++image->rewritten;
    return 0;
}

static int rewrite(image *image, const ElfW(Rela) *relocation)
{
    size_t number = ELF64_R_SYM(relocation->r_info);
    const char *name = number ? image->names + image->symbol[number].st_name : "";
    for (int i = 0; i < image->count; ++i)
        if (!strcmp(name, image->rows[i].name))
            return write_slot(image, image->base + relocation->r_offset, image->rows[i].to);
    return 0;
}

/* Called for each library in memory; ends the walk at the one that was meant. */
static int visit(struct dl_phdr_info *info, size_t size, void *argument)
{
    image *image = argument;
    (void)size;
    if (!holds(info, image->inside)) return 0;
    image->base = info->dlpi_addr;
    for (int i = 0; i < info->dlpi_phnum; ++i) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        if (part->p_type == PT_DYNAMIC) read_dynamic(image, (const ElfW(Dyn) *)(image->base + part->p_vaddr));
        if (part->p_type != PT_GNU_RELRO) continue;
        image->closed = image->base + part->p_vaddr;
        image->closed_end = image->closed + part->p_memsz;
    }
    for (int i = 0; i < 2; ++i)
        for (size_t k = 0; image->table[i] && k < image->bytes[i] / sizeof *image->table[i]; ++k)
            if (rewrite(image, &image->table[i][k])) return -1;
    return 1;
}

int host_redirect(const void *inside, const redirection *rows, int count)
{
    image image = { .inside = inside, .rows = rows, .count = count };
    return dl_iterate_phdr(visit, &image) == 1 ? image.rewritten : -1;
}
