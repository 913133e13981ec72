/* The line of a training that is on (see progress.h). A terminal's line is made of pieces with ranks: those of the
 * first ranks are taken as long as they fit, and stand in the order of reading. One column stays free, since many
 * terminals go to the next line when the last is written. Bytes are counted for columns, which is too many at most. */
#include "progress.h"

#include "darknet_plugin/base/clock.h"
#include "darknet_plugin/base/mem.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* In the order of reading; how important each is, 0 most. */
enum { BAR, EPOCH, LOSS, PARTS, RATE, SPEED, LEFT, SHARES, PIECES };
static const int RANK[PIECES] = { [EPOCH] = 0, [LEFT] = 1, [LOSS] = 2, [BAR] = 3, [SPEED] = 4, [PARTS] = 5,
                                  [SHARES] = 6, [RATE] = 7 };
enum { BAR_CELLS = 20, MOST_COLUMNS = 400, PIECE = 240 };
#define GAP "  "
#define ERASE "\r\033[K"
#define PAUSE_LIVE .2      /* seconds between two lines */
#define PAUSE_PLAIN 10.

struct progress {
    FILE *out;               /* borrowed */
    int live, quiet, shown;
    double printed;          /* when, seconds */
    int width[PIECES];       /* a piece's widest so far: it keeps its place when its number is shorter */
};

typedef struct piece {
    char text[PIECE];
} piece;

/* A terminal that can erase a line. */
static int can_erase(FILE *out)
{
    const char *term = getenv("TERM");
    return isatty(fileno(out)) && term && *term && strcmp(term, "dumb") != 0;
}

progress *progress_new(FILE *out, int quiet)
{
    progress *p = mem_calloc(1, sizeof *p);
    *p = (progress){ .out = out, .quiet = quiet, .live = !quiet && can_erase(out), .printed = clock_now() };
    return p;
}

void progress_free(progress *progress)
{
    if (!progress) return;
    progress_hide(progress);
    free(progress);
}

int progress_is_live(const progress *progress) { return progress->live; }

int progress_is_due(const progress *progress)
{
    return !progress->quiet && clock_now() - progress->printed >= (progress->live ? PAUSE_LIVE : PAUSE_PLAIN);
}

void progress_time(double seconds, char *out, size_t len)
{
    long s = isfinite(seconds) && seconds < 1e9 ? (long)(seconds + .5) : 0;
    if (s >= 3600) snprintf(out, len, "%ldh%02ldm", s / 3600, s / 60 % 60);
    else if (s >= 60) snprintf(out, len, "%ldm%02lds", s / 60, s % 60);
    else snprintf(out, len, "%lds", s);
}

static int columns(FILE *out)
{
    struct winsize size;
    int n = ioctl(fileno(out), TIOCGWINSZ, &size) || !size.ws_col ? 80 : size.ws_col;
    return n < MOST_COLUMNS ? n : MOST_COLUMNS;
}

/* ---- pieces ---- */

/* At a piece's end, as far as there is room. */
static void put(piece *piece, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void put(piece *piece, const char *fmt, ...)
{
    size_t n = strlen(piece->text);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(piece->text + n, sizeof piece->text - n, fmt, ap);
    va_end(ap);
}

static void put_bar(piece *piece, double part)
{
    int full = (int)(part * BAR_CELLS), percent = (int)(100 * part);
    put(piece, "[");
    for (int i = 0; i < BAR_CELLS; ++i) put(piece, "%c", i < full ? '#' : '.');
    put(piece, "] %3d %%", percent);
}

static void put_parts(piece *piece, const progress_view *view)
{
    for (int i = 0; i < view->parts && view->parts > 1; ++i)
        put(piece, "%s%s %.4g", i ? ", " : "(", view->name[i], view->part[i]);
    if (view->parts > 1) put(piece, ")");
}

static void put_shares(piece *piece, const progress_view *view)
{
    if (!isfinite(view->data)) return;
    put(piece, "time: data %.0f %%", 100 * view->data);
    if (isfinite(view->teacher)) put(piece, ", teacher %.0f %%", 100 * view->teacher);
    put(piece, ", student %.0f %%", 100 * view->student);
}

/* A piece of what is not known stays empty. */
static void make_pieces(const progress_view *view, piece *piece)
{
    char left[32];
    put_bar(&piece[BAR], view->epochs > 0 ? fmin(1, view->epoch / view->epochs) : 0);
    put(&piece[EPOCH], "epoch %.2f/%.4g", view->epoch, view->epochs);
    if (isfinite(view->loss)) put(&piece[LOSS], "loss %.4g", view->loss);
    put_parts(&piece[PARTS], view);
    if (isfinite(view->rate)) put(&piece[RATE], "rate %.4g", view->rate);
    if (isfinite(view->images_per_s)) put(&piece[SPEED], "%.0f images/s", view->images_per_s);
    progress_time(view->left, left, sizeof left);
    if (isfinite(view->left)) put(&piece[LEFT], "left %s", left);
    put_shares(&piece[SHARES], view);
}

/* Blanks behind what has been wider, so that the others stay where they are. */
static void widen(progress *progress, piece *piece)
{
    for (int i = 0; i < PIECES; ++i) {
        int n = (int)strlen(piece[i].text), *width = &progress->width[i];
        if (n > *width) *width = n;
        if (n) put(&piece[i], "%*s", *width - n, "");
    }
}

/* Those that fit, by their ranks. */
static void choose(const piece *piece, int room, int *chosen)
{
    for (int rank = 0; rank < PIECES; ++rank)
        for (int i = 0; i < PIECES; ++i) {
            int width = (int)strlen(piece[i].text), whole = width < PIECE - 1;
            if (RANK[i] != rank || !width || !whole) continue;
            width += rank ? (int)strlen(GAP) : 0;
            chosen[i] = width <= room;
            if (chosen[i]) room -= width;
        }
}

/* As much of it as the terminal has columns for. */
static void show_live(progress *progress, const progress_view *view)
{
    piece piece[PIECES] = { 0 };
    int chosen[PIECES] = { 0 }, before = 0;
    make_pieces(view, piece);
    widen(progress, piece);
    choose(piece, columns(progress->out) - 1, chosen);
    fprintf(progress->out, ERASE);
    for (int i = 0; i < PIECES; ++i) {
        if (!chosen[i]) continue;
        fprintf(progress->out, "%s%s", before ? GAP : "", piece[i].text);
        before = 1;
    }
    progress->shown = 1;
}

/* As scripts know it. */
static void show_plain(const progress *progress, const progress_view *view)
{
    char left[32];
    progress_time(view->left, left, sizeof left);
    fprintf(progress->out, "epoch %.2f/%.4g  step %llu/%llu  loss %.6f  rate %.5g  %.0f images/s  left %s\n",
            view->epoch, view->epochs, view->step, view->steps, view->loss, view->rate, view->images_per_s, left);
}

void progress_show(progress *progress, const progress_view *view)
{
    if (progress->quiet) return;
    if (progress->live) show_live(progress, view);
    else show_plain(progress, view);
    progress->printed = clock_now();
    fflush(progress->out);
}

void progress_say(progress *progress, const char *text)
{
    if (!progress->live) return;
    fprintf(progress->out, ERASE "%.*s", columns(progress->out) - 1, text);
    fflush(progress->out);
    progress->shown = 1;
}

void progress_hide(progress *progress)
{
    if (!progress->shown) return;
    fprintf(progress->out, ERASE);
    fflush(progress->out);
    progress->shown = 0;
}
