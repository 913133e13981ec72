/* The program's version: the newest in CHANGELOG.md that has a number, and its day. */
#ifndef DISTILL_VERSION_H
#define DISTILL_VERSION_H

#define DISTILL_VERSION "0.1.0"
#define DISTILL_RELEASED "2026-11-28"

#endif
