/* The nearest known word to one that is not known, for "did you mean". */
#ifndef DISTILL_WORDS_H
#define DISTILL_WORDS_H

/* The nearest of n names within a third of the word's length, borrowed from `names`; NULL if none is. */
const char *nearest_name(const char *word, const char *const *names, int n);

#endif
