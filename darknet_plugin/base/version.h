/* The program's version, which CHANGELOG.md begins with. */
#ifndef DISTILL_VERSION_H
#define DISTILL_VERSION_H

#define DISTILL_VERSION "0.1.0"

#endif
