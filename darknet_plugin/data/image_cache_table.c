/* Two hash tables over one array (see image_cache_table.h): buckets of chains that run from later entries to earlier
 * ones. They are built anew, twice as large, when there are as many entries as buckets. */
#include "image_cache_table.h"

#include "darknet_plugin/base/mem.h"

#include <stdlib.h>

enum { FIRST_BUCKETS = 256 };

typedef struct image_slot {
    image_entry entry;
    size_t next_hash, next_print;   /* 1 + the slot before it in the chain; 0: none */
} image_slot;

/* Files of one folder have inodes in a row. */
static uint64_t mixed(uint64_t x) { return (x * 0x9fb21c651e98df25u) >> 20; }

static size_t hash_bucket(const image_table *table, uint64_t hash) { return hash & (table->buckets - 1); }

static size_t print_bucket(const image_table *table, const data_print *print)
{
    return mixed(print->inode) & (table->buckets - 1);
}

/* Slot i becomes the first of its chains. */
static void link_slot(image_table *table, size_t i)
{
    image_slot *slot = &table->slot[i];
    size_t *hash = &table->by_hash[hash_bucket(table, slot->entry.print.hash)];
    size_t *print = &table->by_print[print_bucket(table, &slot->entry.print)];
    slot->next_hash = *hash;
    slot->next_print = *print;
    *hash = *print = i + 1;
}

static void grow(image_table *table)
{
    table->room = table->buckets = table->room ? 2 * table->room : FIRST_BUCKETS;
    table->slot = mem_realloc(table->slot, table->room, sizeof *table->slot);
    free(table->by_hash);
    free(table->by_print);
    table->by_hash = mem_calloc(table->buckets, sizeof *table->by_hash);
    table->by_print = mem_calloc(table->buckets, sizeof *table->by_print);
    for (size_t i = 0; i < table->n; ++i) link_slot(table, i);
}

void image_table_add(image_table *table, const image_entry *entry)
{
    if (table->n == table->room) grow(table);
    table->slot[table->n].entry = *entry;
    link_slot(table, table->n++);
}

image_entry *image_table_of(const image_table *table, uint64_t hash, image_kind kind)
{
    size_t at = table->n ? table->by_hash[hash_bucket(table, hash)] : 0;
    for (; at; at = table->slot[at - 1].next_hash) {
        image_entry *e = &table->slot[at - 1].entry;
        if (e->print.hash == hash && e->channels == (uint32_t)kind.channels && e->side == (uint32_t)kind.side) return e;
    }
    return NULL;
}

const image_entry *image_table_agreeing(const image_table *table, const data_print *print)
{
    size_t at = table->n ? table->by_print[print_bucket(table, print)] : 0;
    for (; at; at = table->slot[at - 1].next_print)
        if (data_print_agrees(&table->slot[at - 1].entry.print, print)) return &table->slot[at - 1].entry;
    return NULL;
}

void image_table_free(image_table *table)
{
    free(table->slot);
    free(table->by_hash);
    free(table->by_print);
}
