/* Shares of work: each of [0, n) once, in the same share whoever computes it, and by the caller alone where waiting for
 * another thread takes longer than that. */
#include "check.h"

#include "layers/cpu/parallel.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

enum { N = 10, SHARES = 2 };

/* What happened to each of [0, N). */
typedef struct record {
    pthread_t caller, by[N];
    size_t begin[N], end[N];
    int index[N], times[N], threads[N];
    int sleeps;               /* other threads take long */
} record;

static void note(void *ctx, size_t begin, size_t end)
{
    record *r = ctx;
    if (r->sleeps && !pthread_equal(pthread_self(), r->caller)) usleep(10000);
    for (size_t i = begin; i < end; ++i) {
        r->by[i] = pthread_self();
        r->begin[i] = begin;
        r->end[i] = end;
        r->index[i] = parallel_index();
        r->threads[i] = parallel_threads();
        ++r->times[i];
    }
}

static record run(int sleeps)
{
    record r = { .caller = pthread_self(), .sleeps = sleeps };
    parallel_for(N, note, &r);
    return r;
}

static void check_shares(const record *r)
{
    for (size_t i = 0; i < N; ++i) {
        size_t share = i / (N / SHARES);
        assert_int_equal(r->times[i], 1);
        assert_int_equal(r->begin[i], share * N / SHARES);
        assert_int_equal(r->end[i], (share + 1) * N / SHARES);
        assert_int_equal(r->index[i], (int)share);
        assert_int_equal(r->threads[i], 1);   /* nothing within a share is shared out again */
    }
    assert_int_equal(parallel_index(), 0);
}

static int by_caller(const record *r)
{
    int all = 1;
    for (size_t i = 0; i < N; ++i) all = all && pthread_equal(r->by[i], r->caller);
    return all;
}

static int set_up(void **unused)
{
    (void)unused;
    parallel_set_threads(SHARES);
    usleep(50000);   /* what an earlier test has seen is forgotten */
    return 0;
}

static void each_once(void **unused)
{
    (void)unused;
    if (parallel_threads() < SHARES) skip();   /* built without OpenMP */
    record r = run(0);
    check_shares(&r);
}

/* fork() takes no threads along, and a child would wait for them for ever. */
static void works_in_a_child(void **unused)
{
    (void)unused;
    if (parallel_threads() < SHARES) skip();
    run(0);
    parallel_end_threads();
    pid_t child = fork();
    int status = 1;
    if (!child) {
        alarm(60);
        record r = run(0);
        _exit(r.times[0] != 1 || r.times[N - 1] != 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    record r = run(0);
    check_shares(&r);
}

static void goes_on_alone_and_looks_again(void **unused)
{
    (void)unused;
    if (parallel_threads() < SHARES) skip();
    int alone = 0, together = 0;
    for (int k = 0; k < 200 && !(alone && together); ++k) {
        record slow = run(1);
        check_shares(&slow);
        if (!by_caller(&slow)) {
            record next = run(1);
            check_shares(&next);
            alone = alone || by_caller(&next);
        }
        usleep(30000);
        record later = run(0);
        check_shares(&later);
        together = together || !by_caller(&later);
    }
    assert_true(alone);
    assert_true(together);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test_setup(each_once, set_up), cmocka_unit_test_setup(works_in_a_child, set_up),
                                        cmocka_unit_test_setup(goes_on_alone_and_looks_again, set_up) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
