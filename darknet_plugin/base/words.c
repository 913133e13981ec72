/* Words in messages (see words.h). What is mistyped is matched by edit distance. */
#include "words.h"

#include "mem.h"

#include <stdlib.h>
#include <string.h>

enum { LONGEST = 64 };

static int lower_case(char letter) { return letter >= 'A' && letter <= 'Z' ? letter - 'A' + 'a' : letter; }

static int min3(int a, int b, int c)
{
    int m = a < b ? a : b;
    return m < c ? m : c;
}

/* Edit distance in which two letters changed about count once; case does not matter. Lengths up to LONGEST. */
static int edit_distance(const char *one, int na, const char *other, int nb)
{
    int row[3][LONGEST + 1];   /* the last three rows of the table, in turn */
    for (int j = 0; j <= nb; ++j) row[0][j] = j;
    for (int i = 1; i <= na; ++i) {
        int *now = row[i % 3], *last = row[(i + 2) % 3], *before = row[(i + 1) % 3];
        now[0] = i;
        for (int j = 1; j <= nb; ++j) {
            int x = lower_case(one[i - 1]), y = lower_case(other[j - 1]);
            now[j] = min3(last[j] + 1, now[j - 1] + 1, last[j - 1] + (x != y));
            int swapped = i > 1 && j > 1 && x == lower_case(other[j - 2]) && lower_case(one[i - 2]) == y;
            if (swapped && before[j - 2] + 1 < now[j]) now[j] = before[j - 2] + 1;
        }
    }
    return row[na % 3][nb];
}

const char *nearest_name(const char *word, const char *const *names, int n)
{
    size_t len = strlen(word);
    if (len < 3 || len > LONGEST) return NULL;
    int best = (int)len / 3 + 1;
    const char *found = NULL;
    for (int i = 0; i < n; ++i) {
        size_t other = strlen(names[i]);
        if (other > LONGEST) continue;
        int d = edit_distance(word, (int)len, names[i], (int)other);
        if (d < best) {
            best = d;
            found = names[i];
        }
    }
    return found;
}

void words_list(char **list, int *words, int most, const char *word)
{
    char *before = *list;
    if (*words > most) return;
    if (*words == most) word = "...";
    *list = before ? mem_printf("%s, %s", before, word) : mem_strdup(word);
    ++*words;
    free(before);
}

int words_one_of(const char *word, const char *choices)
{
    size_t n = strlen(word);
    for (const char *p = choices; n && p; p = strchr(p, '|') ? strchr(p, '|') + 1 : NULL)
        if (!strncmp(p, word, n) && (p[n] == '|' || !p[n])) return 1;
    return 0;
}
