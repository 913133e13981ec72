/* The program's version: the newest in CHANGELOG.md that has a number. */
#ifndef DISTILL_VERSION_H
#define DISTILL_VERSION_H

#define DISTILL_VERSION "0.1.0"

#endif
