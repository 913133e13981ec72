/* Words in messages: the nearest known one to a word that is not known, and lists of them. */
#ifndef DISTILL_WORDS_H
#define DISTILL_WORDS_H

/* The nearest of n names within a third of the word's length, borrowed from `names`; NULL if none is. */
const char *nearest_name(const char *word, const char *const *names, int n);

/* A list for a message, begun with *list = NULL: "a", "a, b", ... and after `most` words once ", ...". The caller frees
 * *list. */
void words_list(char **list, int *words, int most, const char *word);

/* Is `word` one of "a|b|c"? */
int words_one_of(const char *word, const char *choices);

#endif
