/* Text that may be any bytes, as names of files are. */
#ifndef DISTILL_UTF8_H
#define DISTILL_UTF8_H
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes of the UTF-8 sequence that begins here; 0: it is none, or the end. */
size_t utf8_sequence(const unsigned char *text);
/* For fonts that have ASCII only, in place: Latin letters without their marks, of anything else a '?' a character. */
void utf8_plain(char *text);

#ifdef __cplusplus
}
#endif

#endif
