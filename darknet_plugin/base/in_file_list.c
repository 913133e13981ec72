/* A set of (device, inode) with open addressing (see in_file_list.h): a list may name a million images. */
#include "in_file_list.h"

#include "mem.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct place {
    dev_t device;
    ino_t inode;
    int taken;
} place;

struct in_file_list {
    place *at;               /* `room` places, a power of two, owned */
    size_t n, room;
    char **own;              /* `owned` names, each owned, as is the array */
    size_t owned;
};

in_file_list *in_file_list_new(void) { return mem_calloc(1, sizeof(in_file_list)); }

void in_file_list_free(in_file_list *list)
{
    if (!list) return;
    for (size_t i = 0; i < list->owned; ++i) free(list->own[i]);
    free(list->own);
    free(list->at);
    free(list);
}

/* Where the file stands, or would. Never full: a third is free. */
static place *find(const in_file_list *list, dev_t device, ino_t inode)
{
    uint64_t mixed = ((uint64_t)inode * 0x9e3779b97f4a7c15u) ^ (uint64_t)device * 0xbf58476d1ce4e5b9u;
    size_t i = (size_t)(mixed >> 20) & (list->room - 1);
    while (list->at[i].taken && (list->at[i].inode != inode || list->at[i].device != device))
        i = (i + 1) & (list->room - 1);
    return &list->at[i];
}

static void grow(in_file_list *list)
{
    in_file_list larger = { .room = list->room ? 2 * list->room : 64 };
    larger.at = mem_calloc(larger.room, sizeof *larger.at);
    for (size_t i = 0; i < list->room; ++i)
        if (list->at[i].taken) *find(&larger, list->at[i].device, list->at[i].inode) = list->at[i];
    free(list->at);
    list->at = larger.at;
    list->room = larger.room;
}

void in_file_list_add(in_file_list *list, const struct stat *file)
{
    if (3 * (list->n + 1) > 2 * list->room) grow(list);
    place *to = find(list, file->st_dev, file->st_ino);
    list->n += !to->taken;
    *to = (place){ file->st_dev, file->st_ino, 1 };
}

int in_file_list_has(const in_file_list *list, const struct stat *file)
{
    return list->n && find(list, file->st_dev, file->st_ino)->taken;
}

void in_file_list_own(in_file_list *list, const char *path)
{
    if (in_file_list_owns(list, path)) return;
    list->own = mem_realloc(list->own, list->owned + 1, sizeof *list->own);
    list->own[list->owned++] = mem_strdup(path);
}

int in_file_list_owns(const in_file_list *list, const char *path)
{
    for (size_t i = 0; i < list->owned; ++i)
        if (!strcmp(list->own[i], path)) return 1;
    return 0;
}

const char *in_file_list_owned(const in_file_list *list, int i)
{
    return (size_t)i < list->owned ? list->own[i] : NULL;
}
