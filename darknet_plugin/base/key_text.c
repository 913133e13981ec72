/* Comparing two descriptions (see key_text.h). */
#include "key_text.h"

#include <string.h>

static int line_length(const char *at) { return (int)strcspn(at, "\n"); }

int key_next_difference(const char **has, const char **want, key_difference *difference)
{
    while (**has && **want) {
        key_difference next = { *has, *want, line_length(*has), line_length(*want) };
        *difference = next;
        *has += next.has_length + (next.has[next.has_length] == '\n');
        *want += next.want_length + (next.want[next.want_length] == '\n');
        if (next.has_length != next.want_length || memcmp(next.has, next.want, (size_t)next.has_length)) return 1;
    }
    return **has || **want ? -1 : 0;
}
