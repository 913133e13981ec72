/* UTF-8, told from other bytes (see utf8.h). RFC 3629: no longer than needed, no surrogates. */
#include "utf8.h"

size_t utf8_sequence(const unsigned char *text)
{
    static const struct { unsigned char from, to, second_from, second_to; size_t n; } rows[] = {
        { 0x01, 0x7f, 0, 0, 1 }, { 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 },
            { 0xe1, 0xec, 0x80, 0xbf, 3 },
        { 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 }, { 0xf0, 0xf0, 0x90, 0xbf, 4 },
        { 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i) {
        if (*text < rows[i].from || *text > rows[i].to) continue;
        for (size_t k = 1; k < rows[i].n; ++k)
            if (text[k] < (k == 1 ? rows[i].second_from : 0x80) || text[k] > (k == 1 ? rows[i].second_to : 0xbf))
                return 0;
        return rows[i].n;
    }
    return 0;
}

/* The letter of U+00C0 to U+00FF that ASCII has for it. */
static char plain_letter(const unsigned char *text)
{
    static const char letters[] = "AAAAAAACEEEEIIIIDNOOOOOxOUUUUYTsaaaaaaaceeeeiiiidnooooo/ouuuuyty";
    return *text == 0xc3 ? letters[text[1] & 0x3f] : '?';
}

void utf8_plain(char *text)
{
    const unsigned char *from = (const unsigned char *)text;
    char *to = text;
    while (*from) {
        size_t n = utf8_sequence(from);
        if (n == 1) *to++ = (char)*from;
        else *to++ = n ? plain_letter(from) : '?';
        from += n ? n : 1;
    }
    *to = 0;
}
