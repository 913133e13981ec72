/* Comparing two descriptions (see key_text.h). */
#include "key_text.h"

#include <string.h>

static int line_length(const char *at) { return (int)strcspn(at, "\n"); }

int key_next_difference(const char **has, const char **want, key_difference *k)
{
    while (**has && **want) {
        *k = (key_difference){ *has, *want, line_length(*has), line_length(*want) };
        *has += k->has_length + ((*has)[k->has_length] == '\n');
        *want += k->want_length + ((*want)[k->want_length] == '\n');
        if (k->has_length != k->want_length || memcmp(k->has, k->want, (size_t)k->has_length)) return 1;
    }
    return **has || **want ? -1 : 0;
}
