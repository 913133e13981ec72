/* Names that a loaded library looks up, made to mean something else there and nowhere else. */
#ifndef DISTILL_HOST_REDIRECT_H
#define DISTILL_HOST_REDIRECT_H

typedef struct redirection {
    const char *name;      /* of a function or variable of another library */
    void *to;              /* its address from now on */
} redirection;

/* In the library that has the address `inside`, and only in it, the `count` names of `rows` are looked up as their
 * `to`. Returns how many places were rewritten: 0 where the library names none of them, -1 where it cannot be written
 * to. */
int host_redirect(const void *inside, const redirection *rows, int count);

#endif
