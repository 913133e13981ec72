/* Texts of "name=value" lines that say what a file was made with: two of them are compared line by line. Both have the
 * same names in the same order unless they are from different versions of the program. */
#ifndef DISTILL_KEY_TEXT_H
#define DISTILL_KEY_TEXT_H

typedef struct key_difference {
    const char *has, *want;    /* the lines, borrowed; without their newlines */
    int has_length, want_length;
} key_difference;

/* The next pair of lines that differ, from *has and *want on, which move behind them. 1 and *difference; 0: none is
 * left; -1: one text is longer than the other. */
int key_next_difference(const char **has, const char **want, key_difference *difference);

#endif
