/* Writing, reading and going on with NAME.jsonl (see run_log.h). */
#include "run_log.h"

#include "darknet_plugin/base/in_file.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/out_file.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What is more is none of ours: it would cost memory and time. */
enum { MOST_BYTES = 64 << 20, MOST_LINE = 64 << 10 };

struct run_log {
    char *path;              /* owned */
    int fd;
    char *waiting;           /* bytes that are not written yet, owned */
    size_t n;
    int warned;
};

/* ---- reading ---- */

/* The whole file with a NUL behind it; NULL with a message. The caller frees. */
static char *read_whole(const char *path, size_t *bytes, diag *d)
{
    int fd = in_file_open(path, "this record of a training", bytes, d);
    if (fd < 0) return NULL;
    char *text = *bytes <= MOST_BYTES ? (char *)in_file_take(fd, *bytes) : NULL;
    if (*bytes > MOST_BYTES) errno = EFBIG;
    if (!text) diag_error(d, path, 0, NULL, "cannot read this record of a training: %s", strerror(errno));
    close(fd);
    if (text) text = mem_realloc(text, *bytes + 1, 1);
    if (text) text[*bytes] = 0;
    return text;
}

/* NULL: it is torn, or no object. The caller deletes it. */
static cJSON *parse(const char *text, size_t len)
{
    if (len > MOST_LINE || strlen(text) != len) return NULL;
    cJSON *line = cJSON_ParseWithOpts(text, NULL, 1);
    if (cJSON_IsObject(line)) return line;
    cJSON_Delete(line);
    return NULL;
}

static int is_kind(const cJSON *line, const char *kind) { return !strcmp(json_text(line, "kind"), kind); }

/* Lines of `text`, which is changed, to visit; -1: the first is no start. */
static int visit_lines(char *text, size_t bytes, run_log_visit visit, void *ctx)
{
    int first = 1;
    for (size_t at = 0, next; at < bytes; at = next) {
        char *end = memchr(text + at, '\n', bytes - at);
        size_t len = end ? (size_t)(end - text) - at : bytes - at;
        next = at + len + 1;
        text[at + len] = 0;
        cJSON *line = parse(text + at, len);
        int bad = first && !is_kind(line, "start");
        if (line && !bad) visit(ctx, text + at, line);
        cJSON_Delete(line);
        if (bad) return -1;
        first = 0;
    }
    return 0;
}

int run_log_read(const char *path, run_log_visit visit, void *ctx, diag *d)
{
    size_t bytes = 0;
    if (access(path, F_OK)) return 0;
    char *text = read_whole(path, &bytes, d);
    if (!text) return -1;
    int bad = visit_lines(text, bytes, visit, ctx);
    if (bad) diag_error(d, path, 0, NULL, "is no record of a training");
    free(text);
    return bad;
}

static void ignore(void *ctx, const char *text, const cJSON *line) { (void)ctx, (void)text, (void)line; }

int run_log_check(const char *path, diag *d) { return run_log_read(path, ignore, NULL, d); }

/* ---- going on ---- */

typedef struct kept_lines {
    run_log_place *place;
    cJSON *start;            /* borrowed; gets what of the old one stays */
    FILE *out;               /* all but the start */
} kept_lines;

static void keep_of_start(cJSON *start, const cJSON *old)
{
    static const char *const keys[] = { "time", "teachers", "from_step" };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; ++i) {
        const cJSON *value = cJSON_GetObjectItemCaseSensitive(old, keys[i]);
        if (value) cJSON_ReplaceItemInObjectCaseSensitive(start, keys[i], cJSON_Duplicate(value, 1));
    }
}

static void keep_line(void *ctx, const char *text, const cJSON *line)
{
    kept_lines *kept = ctx;
    double step = json_get(line, "step"), here = (double)kept->place->step, seconds = json_get(line, "seconds");
    if (seconds > kept->place->seconds) kept->place->seconds = seconds;
    int again = is_kind(line, "epoch") && kept->place->epoch_due && step >= here;
    if (is_kind(line, "start")) keep_of_start(kept->start, line);
    else if (!(step > here) && !again && !is_kind(line, "end")) fprintf(kept->out, "%s\n", text);
}

/* The lines that stay, the start's not among them; NULL with a message. The caller frees. */
static char *lines_before(const char *path, cJSON *start, run_log_place *place, size_t *len, diag *d)
{
    char *text;
    kept_lines kept = { .place = place, .start = start, .out = mem_stream(&text, len) };
    int failed = place ? run_log_read(path, keep_line, &kept, d) : 0;
    mem_stream_end(kept.out);
    if (!failed) return text;
    free(text);
    return NULL;
}

/* ---- writing ---- */

static int write_first(const char *path, cJSON *start, const char *lines, size_t len, diag *d)
{
    out_file f;
    if (out_file_open(&f, path, d)) {
        cJSON_Delete(start);
        return -1;
    }
    int failed = json_print(start, f.file, d);
    return out_file_close(&f, failed || fwrite(lines, 1, len, f.file) != len, d);
}

run_log *run_log_open(const char *path, cJSON *start, run_log_place *place, diag *d)
{
    size_t len = 0;
    char *lines = lines_before(path, start, place, &len, d);
    if (!lines) {
        cJSON_Delete(start);
        return NULL;
    }
    int failed = write_first(path, start, lines, len, d);
    free(lines);
    int fd = failed ? -1 : open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (!failed && fd < 0) diag_error(d, path, 0, NULL, "cannot write: %s", strerror(errno));
    if (fd < 0) return NULL;
    run_log *log = mem_calloc(1, sizeof *log);
    *log = (run_log){ .path = mem_strdup(path), .fd = fd };
    return log;
}

/* As much of what is waiting as can be: the rest of a line goes on where its beginning ends. -1 and errno. */
static int write_waiting(run_log *log)
{
    size_t at = 0;
    int failed = 0;
    while (at < log->n && !failed) {
        ssize_t got = write(log->fd, log->waiting + at, log->n - at);
        if (got > 0) at += (size_t)got;
        else failed = got == 0 || errno != EINTR;
    }
    if (at) memmove(log->waiting, log->waiting + at, log->n - at);
    log->n -= at;
    return failed ? -1 : 0;
}

/* The line's text to what is waiting; takes `line`. */
static void add_waiting(run_log *log, cJSON *line, diag *d)
{
    char *text;
    size_t len;
    FILE *out = mem_stream(&text, &len);
    int failed = json_print(line, out, d);
    mem_stream_end(out);
    if (!failed) {
        log->waiting = mem_realloc(log->waiting, log->n + len, 1);
        memcpy(log->waiting + log->n, text, len);
        log->n += len;
    }
    free(text);
}

void run_log_add(run_log *log, cJSON *line, diag *d)
{
    add_waiting(log, line, d);
    if (!write_waiting(log) || log->warned) return;
    log->warned = 1;
    diag_warn(d, log->path, 0, NULL, "cannot write: %s; training goes on, these lines are written when there is room",
              strerror(errno));
}

void run_log_sync(run_log *log)
{
    (void)write_waiting(log);
    (void)fsync(log->fd);
}

void run_log_close(run_log *log)
{
    if (!log) return;
    (void)write_waiting(log);
    close(log->fd);
    free(log->waiting);
    free(log->path);
    free(log);
}

int run_log_wants(uint64_t step)
{
    static const uint64_t factor[] = { 1, 2, 5 };
    uint64_t unit = 1;
    for (uint64_t ten = 1; ten <= step / 100; ten *= 10)
        for (int i = 0; i < 3; ++i)
            if (factor[i] * ten <= step / 100) unit = factor[i] * ten;
    return step && step % unit == 0;
}
