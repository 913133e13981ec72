/* sheet.png: the first images of a set side by side, enlarged where they are small, to be looked at. They come in the
 * order in which classes were drawn, so of a few classes each has a column. */
#include "synthesis_internal.h"

#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/data/image_io.h"

#include <stdlib.h>
#include <string.h>

enum { ROWS = 10, COLUMNS = 10, MOST_COLUMNS = 16, TILE = 64, GAP = 2, GROUND = 255 };

typedef struct sheet {
    uint8_t *pixels;         /* (h, w, c), owned */
    int w, h, c;
    int columns, times;      /* tiles in a row; how much they are enlarged */
} sheet;

/* An empty sheet for n images. */
static sheet sheet_of(int n, const judge *judge)
{
    int side = judge->h > judge->w ? judge->h : judge->w;
    sheet s = { .c = judge->c, .columns = judge->classes <= MOST_COLUMNS ? judge->classes : COLUMNS,
                .times = side < TILE ? TILE / side : 1 };
    int rows = (n + s.columns - 1) / s.columns;
    if (rows > ROWS) rows = ROWS;
    s.w = s.columns * (judge->w * s.times + GAP) + GAP;
    s.h = rows * (judge->h * s.times + GAP) + GAP;
    s.pixels = mem_calloc((size_t)s.w * (size_t)s.h, (size_t)s.c);
    memset(s.pixels, GROUND, (size_t)s.w * (size_t)s.h * (size_t)s.c);
    return s;
}

/* Tile number `at`: an image of w x h. */
static void put_tile(sheet *sheet, int at, const uint8_t *image, int w, int h)
{
    int left = GAP + at % sheet->columns * (w * sheet->times + GAP);
    int top = GAP + at / sheet->columns * (h * sheet->times + GAP);
    for (int row = 0; row < h * sheet->times; ++row)
        for (int column = 0; column < w * sheet->times; ++column) {
            const uint8_t *from = image + (size_t)(row / sheet->times * w + column / sheet->times) * (size_t)sheet->c;
            size_t to = (size_t)(top + row) * (size_t)sheet->w + (size_t)(left + column);
            memcpy(sheet->pixels + to * (size_t)sheet->c, from, (size_t)sheet->c);
        }
}

int folder_sheet(const synthesis_folder *folder, int n, const judge *judge, diag *d)
{
    sheet s = sheet_of(n, judge);
    int failed = 0;
    for (int i = 0; i < n && i < ROWS * s.columns && !failed; ++i) {
        char *path = folder_image(folder, i), why[256];
        uint8_t *pixels = NULL;
        int w, h;
        failed = image_decode(path, judge->c, &pixels, &w, &h, why, sizeof why);
        if (failed) diag_error(d, path, 0, NULL, "%s", why);
        else if (w == judge->w && h == judge->h) put_tile(&s, i, pixels, w, h);
        free(pixels);
        free(path);
    }
    if (!failed) failed = image_save(folder->sheet, s.pixels, s.w, s.h, s.c, d);
    free(s.pixels);
    return failed;
}
