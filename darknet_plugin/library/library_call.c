/* A call of the library, from outside (see library_call.h). */
#include "library_call.h"

#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/host/host.h"
#include "layers/network.h"

#include <locale.h>
#include <pthread.h>
#include <stdlib.h>
#ifdef __SSE__
#include <xmmintrin.h>
#endif

/* The host's state is the process's, and so is this: what it takes to call it. */
typedef struct process {
    pthread_mutex_t one_at_a_time;
    int ready;
    locale_t numbers;            /* decimal points, as cfgs have them */
} process;

static process shared = { .one_at_a_time = PTHREAD_MUTEX_INITIALIZER };

/* Loading the host has set flush-to-zero in this thread, which the program did not ask for. */
__attribute__((constructor)) static void give_mode_back(void)
{
#ifdef __SSE__
    _mm_setcsr(_mm_getcsr() & ~0x8040u);
#endif
}

/* Of a call under way: it ends, the program does not. */
static void end_call(void)
{
    if (host_is_guarded()) host_fail("out of memory");
}

static int get_ready(diag *d)
{
    if (shared.ready) return 0;
    mem_before_ending(end_call);
    if (network_init_as_guest(d) || host_check(d)) return -1;
    shared.ready = 1;
    return 0;
}

/* All of what is said. */
static char *text_of(const diag *d)
{
    char *text = NULL;
    size_t len = 0;
    FILE *stream = mem_stream(&text, &len);
    diag_print(d, stream);
    mem_stream_end(stream);
    return text;
}

typedef struct call {
    int (*work)(void *of, diag *d);
    void *of;
    diag *d;
    char *message;
} call;

/* Its three parts, each of which may end for want of memory. */
static int begin(void *of)
{
    call *call = of;
    call->d = diag_new();
    return 0;
}

static int run(void *of)
{
    call *call = of;
    return get_ready(call->d) ? -1 : call->work(call->of, call->d);
}

static int tell(void *of)
{
    call *call = of;
    call->message = text_of(call->d);
    diag_free(call->d);
    return 0;
}

static int run_guarded(call *call)
{
    if (host_guarded(begin, call, NULL)) return 1;
    int failed = host_guarded(run, call, call->d);
    if (!failed && diag_errors(call->d)) failed = -1;
    return host_guarded(tell, call, NULL) ? 1 : failed;
}

int library_call(int (*work)(void *of, diag *d), void *of, char **message)
{
    call call = { .work = work, .of = of };
    pthread_mutex_lock(&shared.one_at_a_time);
#ifdef __SSE__
    unsigned mode = _mm_getcsr();
#endif
    if (!shared.numbers) shared.numbers = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0);
    locale_t locale = shared.numbers ? uselocale(shared.numbers) : (locale_t)0;
    host_thread_init();
    int failed = run_guarded(&call);
    if (locale) uselocale(locale);
#ifdef __SSE__
    _mm_setcsr(mode);
#endif
    pthread_mutex_unlock(&shared.one_at_a_time);
    free(*message);
    *message = call.message;
    return failed;
}
