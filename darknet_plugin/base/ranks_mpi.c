/* Ranks by MPI (see ranks.h).
 *
 * Every call sends a small message of a fixed size from all to all first: what it is about, how many bytes follow, and
 * these themselves where they are few. A rank that ends says so in the same way, so that the others, wherever they are,
 * learn it at their next call and nobody waits for ever. MPI only moves numbers: sums are ours, in the order of ranks,
 * whatever way MPI chooses to send. */
#include "ranks.h"

#include "hash.h"
#include "mem.h"
#include "ranks_started.h"

#include <limits.h>
#include <mpi.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { INLINE_BYTES = 96, BLOCK = 1 << 28 };

typedef struct envelope {
    int topic, status;
    uint64_t bytes, said;    /* that follow; RANKS_END: hash of the messages of the rank */
    char few[INLINE_BYTES];
} envelope;

/* ---- beginning ---- */

/* Cores that this process may run on. */
static int own_cores(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);
}

int ranks_threads(const ranks *ranks)
{
    if (!ranks) return 0;
    int cores = (int)sysconf(_SC_NPROCESSORS_ONLN) / ranks->on_host, own = own_cores();
    if (cores < 1) cores = 1;
    return own < cores ? own : cores;
}

/* Who else is on this host. */
static int count_on_host(ranks *ranks)
{
    MPI_Comm here;
    if (MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, ranks->mine, MPI_INFO_NULL, &here)) return -1;
    return MPI_Comm_size(here, &ranks->on_host) || MPI_Comm_rank(here, &ranks->place) || MPI_Comm_free(&here);
}

int ranks_begin(ranks **ranks, diag *d)
{
    int started = ranks_started(), level;
    *ranks = NULL;
    if (started < 2) return 0;
    struct ranks *r = mem_calloc(1, sizeof *r);
    if (MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level) ||
        MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN) || MPI_Comm_size(MPI_COMM_WORLD, &r->count) ||
        MPI_Comm_rank(MPI_COMM_WORLD, &r->mine) || count_on_host(r)) {
        diag_error(d, NULL, 0, NULL, "MPI cannot begin");
    } else if (r->count < 2) {
        diag_error(d, NULL, 0, NULL, "started %d times by an mpirun, but MPI sees one process", started);
        diag_hint(d, "that mpirun is another MPI's than the one that this program was built with");
        MPI_Finalize();
    } else {
        gethostname(r->host, sizeof r->host - 1);
        *ranks = r;
        return 0;
    }
    free(r);
    return -1;
}

/* ---- small messages ---- */

/* What MPI says of it; -1. */
static int lost(ranks *ranks, int status, diag *d)
{
    char text[MPI_MAX_ERROR_STRING] = "";
    int len;
    ranks->broken = ranks->over = 1;
    if (MPI_Error_string(status, text, &len)) *text = 0;
    diag_error(d, NULL, 0, NULL, "rank %d cannot reach the others any more: %s", ranks->mine, text);
    return -1;
}

/* Is everybody where this rank is? 0, or -1 with a message. */
static int all_here(ranks *ranks, const envelope *mine, const envelope *all, diag *d)
{
    for (int i = 0; i < ranks->count; ++i) {
        if (all[i].topic == RANKS_END) {
            ranks->over = 1;
            diag_error(d, NULL, 0, NULL, "rank %d has failed", i);
            return -1;
        }
        if (all[i].topic == mine->topic) continue;
        ranks->broken = ranks->over = 1;
        diag_error(d, NULL, 0, NULL, "ranks 0 and %d are not at the same point: do they run the same program?", i);
        return -1;
    }
    return 0;
}

/* Sends this rank's envelope and gets all; the caller frees. NULL with a message. */
static envelope *meet(ranks *ranks, envelope mine, diag *d)
{
    if (ranks->over) {
        diag_error(d, NULL, 0, NULL, "ranks have ended");
        return NULL;
    }
    envelope *all = mem_calloc((size_t)ranks->count, sizeof *all);
    int status = MPI_Allgather(&mine, sizeof mine, MPI_BYTE, all, sizeof mine, MPI_BYTE, MPI_COMM_WORLD);
    if (!(status ? lost(ranks, status, d) : all_here(ranks, &mine, all, d))) return all;
    free(all);
    return NULL;
}

static envelope *meet_with(ranks *ranks, ranks_topic topic, const void *mine, size_t bytes, diag *d)
{
    envelope own = { .topic = (int)topic, .bytes = bytes };
    if (bytes && bytes <= INLINE_BYTES) memcpy(own.few, mine, bytes);
    return meet(ranks, own, d);
}

int ranks_meet(ranks *ranks, ranks_topic topic, diag *d)
{
    if (!ranks) return 0;
    envelope *all = meet_with(ranks, topic, NULL, 0, d);
    free(all);
    return all ? 0 : -1;
}

/* ---- bytes ---- */

/* The bytes that all ranks have announced, one after the other, into `to`. */
static int collect(ranks *ranks, const envelope *all, const void *mine, char *to, diag *d)
{
    size_t n = (size_t)ranks->count, at = 0;
    int *bytes = mem_calloc(n, sizeof *bytes), *begin = mem_calloc(n, sizeof *begin), few = 1, failed = 0;
    for (size_t i = 0; i < n && !failed; ++i) {
        failed = all[i].bytes > INT_MAX || at > INT_MAX;
        few = few && all[i].bytes <= INLINE_BYTES;
        bytes[i] = (int)all[i].bytes;
        begin[i] = (int)at;
        at += all[i].bytes;
    }
    if (failed) diag_error(d, NULL, 0, NULL, "more than ranks can send");
    for (size_t i = 0; i < n && few && !failed; ++i) memcpy(to + begin[i], all[i].few, all[i].bytes);
    int status = few || failed ? 0 : MPI_Allgatherv(mine, bytes[ranks->mine], MPI_BYTE, to, bytes, begin, MPI_BYTE,
                                                    MPI_COMM_WORLD);
    free(bytes);
    free(begin);
    return status ? lost(ranks, status, d) : -failed;
}

int ranks_exchange(ranks *ranks, ranks_topic topic, const void *mine, size_t bytes, void *all, diag *d)
{
    if (!ranks) {
        memcpy(all, mine, bytes);
        return 0;
    }
    envelope *sent = meet_with(ranks, topic, mine, bytes, d);
    int failed = !sent;
    for (int i = 0; i < ranks->count && !failed; ++i) {
        failed = sent[i].bytes != bytes;
        if (failed) diag_error(d, NULL, 0, NULL, "ranks 0 and %d are not at the same point", i);
    }
    failed = failed || collect(ranks, sent, mine, all, d);
    free(sent);
    return failed ? -1 : 0;
}

void *ranks_gather(ranks *ranks, ranks_topic topic, const void *mine, size_t bytes, size_t *total, diag *d)
{
    envelope *sent = ranks ? meet_with(ranks, topic, mine, bytes, d) : NULL;
    *total = ranks ? 0 : bytes;
    if (ranks && !sent) return NULL;
    for (int i = 0; sent && i < ranks->count; ++i) *total += sent[i].bytes;
    char *all = mem_calloc(*total + 1, 1);
    int failed = sent ? collect(ranks, sent, mine, all, d) : 0;
    if (!sent && bytes) memcpy(all, mine, bytes);
    free(sent);
    if (!failed) return all;
    free(all);
    return NULL;
}

int ranks_broadcast(ranks *ranks, void *data, size_t bytes, diag *d)
{
    char *at = data;
    if (!ranks) return 0;
    while (bytes) {
        size_t n = bytes < BLOCK ? bytes : BLOCK;
        int status = MPI_Bcast(at, (int)n, MPI_BYTE, 0, MPI_COMM_WORLD);
        if (status) return lost(ranks, status, d);
        at += n;
        bytes -= n;
    }
    return 0;
}

/* ---- sums ---- */

/* A stretch is what one rank adds up. */
static size_t stretch_of(const ranks *ranks, size_t n) { return (n + (size_t)ranks->count - 1) / (size_t)ranks->count; }

size_t ranks_room(const ranks *ranks, size_t n) { return ranks ? stretch_of(ranks, n) * (size_t)ranks->count : n; }

/* As MPI adds them up. */
static int sum_fast(float *x, size_t n)
{
    int status = 0;
    for (size_t at = 0; at < n && !status; at += BLOCK) {
        size_t len = n - at < BLOCK ? n - at : BLOCK;
        status = MPI_Allreduce(MPI_IN_PLACE, x + at, (int)len, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
    }
    return status;
}

/* All get every rank's part of their own stretch, add them up, and send the sum to all. */
static int sum_in_order(const ranks *ranks, float *x, size_t n)
{
    size_t len = stretch_of(ranks, n), count = (size_t)ranks->count;
    float *parts = mem_aligned(len * count, sizeof *parts);
    for (size_t i = n; i < len * count; ++i) x[i] = 0;
    int status = MPI_Alltoall(x, (int)len, MPI_FLOAT, parts, (int)len, MPI_FLOAT, MPI_COMM_WORLD);
    for (size_t k = 1; k < count && !status; ++k)
        for (size_t i = 0; i < len; ++i) parts[i] += parts[k * len + i];
    if (!status) status = MPI_Allgather(parts, (int)len, MPI_FLOAT, x, (int)len, MPI_FLOAT, MPI_COMM_WORLD);
    free(parts);
    return status;
}

int ranks_sum(ranks *ranks, float *x, size_t n, diag *d)
{
    if (!ranks || !n) return 0;
    if (!ranks->fast && stretch_of(ranks, n) > INT_MAX) {
        diag_error(d, NULL, 0, NULL, "more than ranks can send");
        return -1;
    }
    int status = ranks->fast ? sum_fast(x, n) : sum_in_order(ranks, x, n);
    return status ? lost(ranks, status, d) : 0;
}

/* ---- the end ---- */

static uint64_t hash_text(uint64_t h, const char *text) { return text ? hash_bytes(text, strlen(text) + 1, h) : h; }

/* Two that say the same have the same. */
static uint64_t hash_errors(const diag *d)
{
    uint64_t h = HASH_START;
    for (int i = 0; i < diag_count(d); ++i) {
        const diag_message *message = diag_get(d, i);
        if (message->level != DIAG_ERROR) continue;
        h = hash_text(hash_text(h, message->file), message->text);
    }
    return h;
}

/* Who speaks: rank 0, and whoever has failed by itself with something else to say than a rank before it. */
static int may_speak(const ranks *ranks, const envelope *mine, const envelope *all)
{
    if (!ranks->mine) return 1;
    if (!mine->status) return 0;
    for (int i = 0; i < ranks->mine; ++i)
        if (all[i].topic == RANKS_END && all[i].status && all[i].said == mine->said) return 0;
    return 1;
}

int ranks_end(ranks *ranks, int status, const diag *d)
{
    if (!ranks) return 1;
    int speaks = !ranks->mine || ranks->broken, failed = ranks->broken;
    if (!ranks->over) {
        envelope mine = { .topic = RANKS_END, .status = status, .said = hash_errors(d) };
        envelope *all = mem_calloc((size_t)ranks->count, sizeof *all);
        failed = MPI_Allgather(&mine, sizeof mine, MPI_BYTE, all, sizeof mine, MPI_BYTE, MPI_COMM_WORLD);
        speaks = failed ? !ranks->mine : may_speak(ranks, &mine, all);
        free(all);
    }
    if (speaks && ranks->mine) fprintf(stderr, "rank %d on %s:\n", ranks->mine, ranks->host);
    if (failed) {
        diag_print(d, stderr);
        fflush(NULL);
        MPI_Abort(MPI_COMM_WORLD, status ? status : 1);
    }
    MPI_Finalize();
    free(ranks);
    return speaks;
}
