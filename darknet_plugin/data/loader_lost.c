/* Lists of images that could not be read (see loader_lost.h). */
#include "loader_lost.h"

#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/words.h"

#include <stdlib.h>
#include <string.h>

void lost_add(lost_list *list, uint64_t index, char *why)
{
    if (list->n == list->room) {
        list->room = list->room ? 2 * list->room : 8;
        list->image = mem_realloc(list->image, list->room, sizeof *list->image);
    }
    list->image[list->n++] = (lost_image){ index, why };
}

/* The place of `index` in the list, which is sorted. */
static size_t find_lost(const lost_list *list, uint64_t index)
{
    size_t lo = 0, hi = list->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (list->image[mid].index < index) lo = mid + 1;
        else hi = mid;
    }
    return lo;
}

void lost_merge(lost_list *list, lost_list *from)
{
    for (size_t i = 0; i < from->n; ++i) {
        lost_image lost = from->image[i];
        size_t at = find_lost(list, lost.index);
        if (at < list->n && list->image[at].index == lost.index) {
            free(lost.why);
            continue;
        }
        lost_add(list, 0, NULL);
        memmove(list->image + at + 1, list->image + at, (list->n - 1 - at) * sizeof lost);
        list->image[at] = lost;
    }
    from->n = 0;
}

char *lost_names(const lost_list *list, const dataset *data, int all, size_t *count)
{
    char *names = NULL;
    int words = 0;
    *count = 0;
    for (size_t i = 0; i < list->n; ++i) {
        if (!all && dataset_left_out(data, list->image[i].index)) continue;
        words_list(&names, &words, 10, list->image[i].why);
        ++*count;
    }
    return names;
}

void lost_free(lost_list *list)
{
    for (size_t i = 0; i < list->n; ++i) free(list->image[i].why);
    free(list->image);
}
