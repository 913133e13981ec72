/* The host and what is wrong with it, in one place.
 *
 * - The library calls exit(0) where it fails, and error()/file_error()/malloc_error() end the same way. Its calls to
 *   those three resolve to the executable's, so they are defined here; while host_parse guards a call they jump back
 *   to it, otherwise they end the process with status 1. An exit handler catches the remaining exit(0)s, a SIGABRT
 *   handler the asserts.
 * - It believes the files that tree= and map= name: host_files.c looks at them first.
 * - It prints its layer table to stderr and much else to stdout: silenced while parsing, moved aside for results.
 * - Loading it sets flush-to-zero in the main thread (it was linked with -ffast-math). Denormals only cost time here,
 *   so the mode is kept, on purpose and in every thread.
 * - free_network leaks the workspace; struct fields are read through darknet.h: both must be built alike (host_check).
 * - What it does wrong with CUDA is mended in layers/gpu. */
#include "host.h"

#include "host_files.h"
#include "host_redirect.h"
#include "darknet_plugin/base/mem.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#ifdef __SSE__
#include <xmmintrin.h>
#endif

/* The library finds them in whatever program this is, so they are seen from outside. */
void error(const char *text);
void file_error(char *path);
void malloc_error(void);

static const char *doing;            /* what the host is busy with, for messages; borrowed */
static host_hooks hooks;             /* of the room above, see host_set_hooks */
static int guest;                    /* someone else's process: its handlers and streams are not ours */
static FILE *nowhere;                /* a guest's: what the library takes for stderr */
/* Where a call that is under way on this thread wants to be told of a failure: host_parse, host_guarded. */
static _Thread_local sigjmp_buf *guard;
static _Thread_local char guard_text[256];
static int quiet_fd = -1;            /* the real stderr while the host is silenced */

static void say(const char *text)
{
    int fd = quiet_fd >= 0 ? quiet_fd : STDERR_FILENO;
    const char *part[] = { "darknet: ", text, doing ? " (while " : "", doing ? doing : "", doing ? ")\n" : "\n" };
    for (size_t i = 0; i < sizeof part / sizeof *part; ++i)
        if (write(fd, part[i], strlen(part[i])) < 0) return;
}

static _Noreturn void host_failed(const char *text)
{
    if (guard) {
        snprintf(guard_text, sizeof guard_text, "%s", text);
        siglongjmp(*guard, 1);
    }
    fflush(NULL);   /* results printed so far */
    say(text);
    _exit(1);
}

void error(const char *text) { host_failed(text); }
void malloc_error(void) { host_failed("out of memory"); }
void file_error(char *path)
{
    char text[240];
    snprintf(text, sizeof text, "cannot open %s", path);
    host_failed(text);
}

static void at_exit(int status, void *unused)
{
    (void)unused;
    if (!doing) return;
    fflush(NULL);
    say("the host library ended the program");
    _exit(status ? status : 1);
}

static void at_abort(int sig)
{
    (void)sig;
    if (guard) host_failed("a check inside the host failed");
    say("a check inside the program failed");
    _exit(134);
}

/* The host reads through a NULL file where a [softmax] tree= or a map= is missing. */
static void at_segv(int sig)
{
    (void)sig;
    host_failed("it crashed on it; does every file named in it exist?");
}

void host_thread_init(void)
{
#ifdef __SSE__
    _mm_setcsr(_mm_getcsr() | 0x8040);   /* flush-to-zero, denormals-are-zero */
#endif
}

void host_init(void)
{
    struct sigaction sa = { .sa_handler = at_abort, .sa_flags = SA_NODEFER };
    gpu_index = -1;
    on_exit(at_exit, NULL);
    sigaction(SIGABRT, &sa, NULL);
    host_thread_init();
}

static const char *library_path(void)
{
    Dl_info info;
    return dladdr((void *)(uintptr_t)parse_network_cfg, &info) && info.dli_fname ? info.dli_fname : "libdarknet.so";
}

/* ---- in someone else's process ---- */

static _Noreturn void guest_exit(int status)
{
    char text[64];
    snprintf(text, sizeof text, "it wanted to end the program with status %d", status);
    host_failed(text);
}

static _Noreturn void guest_assert(const char *expected, const char *file, unsigned line, const char *function)
{
    char text[240];
    (void)function;
    snprintf(text, sizeof text, "%s:%u: expected %s", file, line, expected);
    host_failed(text);
}

static _Noreturn void guest_abort(void) { host_failed("it wanted to abort the program"); }
static int hushed_printf(const char *format, ...)
{
    (void)format;
    return 0;
}
static int hushed_puts(const char *text)
{
    (void)text;
    return 0;
}
static int hushed_putchar(int character) { return character; }
static void hushed_perror(const char *text) { (void)text; }

#define CODE(function) ((void *)(uintptr_t)(function))

int host_init_as_guest(diag *d)
{
    const redirection rows[] = {
        { "error", CODE(error) }, { "file_error", CODE(file_error) }, { "malloc_error", CODE(malloc_error) },
        { "exit", CODE(guest_exit) }, { "abort", CODE(guest_abort) }, { "__assert_fail", CODE(guest_assert) },
        { "printf", CODE(hushed_printf) }, { "puts", CODE(hushed_puts) }, { "putchar", CODE(hushed_putchar) },
        { "perror", CODE(hushed_perror) }, { "stderr", &nowhere },
    };
    guest = 1;
    gpu_index = -1;
    if (!nowhere) nowhere = fopen("/dev/null", "we");
    if (nowhere && host_redirect(CODE(parse_network_cfg), rows, sizeof rows / sizeof *rows) > 0) return 0;
    diag_error(d, library_path(), 0, NULL, "cannot redirect its calls of exit and error, which would end the program");
    return -1;
}

int host_guarded(int (*work)(void *of), void *of, diag *d)
{
    sigjmp_buf here, *before = guard;
    guard = &here;
    if (!sigsetjmp(here, 0)) {
        int failed = work(of);
        guard = before;
        return failed;
    }
    guard = before;
    if (d && doing) diag_error(d, NULL, 0, NULL, "ended while %s: %s", doing, guard_text);
    else if (d) diag_error(d, NULL, 0, NULL, "the call ended: %s", guard_text);
    host_doing(NULL);
    return 1;
}

int host_is_guarded(void) { return guard != NULL; }

void host_fail(const char *text) { host_failed(text); }

void host_set_hooks(host_hooks of) { hooks = of; }

void host_doing(const char *what) { doing = what; }

/* ---- built alike? ---- */

#ifdef GPU
enum { BUILT_GPU = 1 };
#else
enum { BUILT_GPU = 0 };
#endif

static int library_has(const char *symbol) { return dlsym(RTLD_DEFAULT, symbol) != NULL; }

network *make_network(int layers);   /* exported, in no header */

/* Bytes of a layer as the library allocates it: fields of a layer that it returns reveal nothing. */
static size_t library_layer_bytes(void)
{
    enum { MANY = 64 };
    network *net = make_network(MANY);
    size_t bytes = malloc_usable_size(net->layers) / MANY;
    host_free(net);
    return bytes;
}

int host_check(diag *d)
{
    int gpu = library_has("forward_network_gpu"), cudnn = library_has("cudnn_handle");
    size_t bytes = library_layer_bytes();
    if (gpu == BUILT_GPU && bytes / 8 == sizeof(layer) / 8) return 0;
    if (gpu != BUILT_GPU)
        diag_error(d, library_path(), 0, NULL, "was built with GPU=%d, this program with GPU=%d", gpu, BUILT_GPU);
    else
        diag_error(d, library_path(), 0, NULL,
                   "its layers have %zu bytes, this program's %zu: built with another CUDNN= or darknet.h", bytes,
                   sizeof(layer));
    diag_hint(d, "build this program for it: make GPU=%d CUDNN=%d DARKNET=the folder of that library", gpu, cudnn);
    return -1;
}

FILE *host_claim_stdout(void)
{
    fflush(stdout);
    int mine = dup(STDOUT_FILENO);
    FILE *out = mine < 0 ? NULL : fdopen(mine, "w");
    if (!out || dup2(STDERR_FILENO, STDOUT_FILENO) < 0) return stdout;
    return out;
}

/* A guest's host writes nowhere anyway, and the descriptor is not only ours. */
static void silence_begin(void)
{
    if (guest) return;
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    fflush(stderr);
    quiet_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    if (null >= 0 && quiet_fd >= 0) dup2(null, STDERR_FILENO);
    if (null >= 0) close(null);
}

static void silence_end(void)
{
    if (guest) return;
    fflush(stderr);
    if (quiet_fd >= 0) {
        dup2(quiet_fd, STDERR_FILENO);
        close(quiet_fd);
    }
    quiet_fd = -1;
}

static int write_all_bytes(int fd, const char *text, size_t len)
{
    while (len) {
        ssize_t n = write(fd, text, len);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return -1;
        text += n;
        len -= (size_t)n;
    }
    return 0;
}

/* parse_network_cfg between guards: an exit, an error or an assert inside comes back as NULL. A guest's SIGSEGV stays
 * the program's. */
static network *guarded_parse(char *path, const char *name, diag *d)
{
    sigjmp_buf here, *volatile outer = guard;
    char *busy = mem_printf("parsing %s", name);
    network *volatile net = NULL;
    struct sigaction sa = { .sa_handler = at_segv, .sa_flags = SA_NODEFER }, before;
    host_doing(busy);
    silence_begin();
    guard = &here;
    if (!guest) sigaction(SIGSEGV, &sa, &before);
    int failed = sigsetjmp(here, 1);
    if (!failed) net = parse_network_cfg(path);
    guard = outer;
    if (!guest) sigaction(SIGSEGV, &before, NULL);
    host_thread_init();   /* a signal handler starts with the mode cleared, and the jump out of it keeps that */
    silence_end();
    host_doing(NULL);
    if (failed) diag_error(d, name, 0, NULL, "the host library refused this cfg: %s", guard_text);
    free(busy);
    return failed ? NULL : net;
}

/* Hands the text over as a file in memory. */
static network *parse_checked(const char *text, size_t len, const char *name, diag *d)
{
    char path[64];
    int fd = memfd_create("cfg", MFD_CLOEXEC);
    if (fd < 0 || write_all_bytes(fd, text, len)) {
        diag_error(d, name, 0, NULL, "cannot hand the cfg to the host: %s", strerror(errno));
        if (fd >= 0) close(fd);
        return NULL;
    }
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    network *net = guarded_parse(path, name, d);
    close(fd);
    return net;
}

/* With stand-ins for what the host cannot parse. */
static network *parse_with_stand_ins(const cfg_file *cfg, const char *text, size_t len, const char *name, diag *d)
{
    cfg_file *known = cfg && hooks.stand_ins ? hooks.stand_ins(cfg, d) : NULL;
    if (!known) return parse_checked(text, len, name, d);
    size_t known_len;
    char *known_text = cfg_text(known, &known_len);
    network *net = parse_checked(known_text, known_len, name, d);
    free(known_text);
    cfg_free(known);
    return net;
}

network *host_parse(const char *text, size_t len, const char *name, diag *d)
{
    diag *quiet = diag_new();     /* what is wrong with the text itself has been said, or is the host's to say */
    cfg_file *cfg = cfg_parse(name, text, len, quiet);
    network *net = cfg && host_files_check(cfg, d) ? NULL : parse_with_stand_ins(cfg, text, len, name, d);
    if (net && cfg && (host_files_fit(cfg, net, d) || (hooks.parsed && hooks.parsed(net, cfg, d)))) {
        host_free(net);
        net = NULL;
    }
    cfg_free(cfg);
    diag_free(quiet);
    return net;
}

network *host_parse_cfg(const cfg_file *cfg, const char *name, diag *d)
{
    size_t len;
    char *text = cfg_text(cfg, &len);
    network *net = host_parse(text, len, name, d);
    free(text);
    return net;
}

void host_load_weights(network *net, const char *path)
{
    host_doing("loading weights");
    silence_begin();
    load_weights(net, (char *)path);
    silence_end();
    host_doing(NULL);
}

/* What resize_network can resize; AVGPOOL ends its walk. */
static const LAYER_TYPE resizable[] = { CONVOLUTIONAL, CROP, MAXPOOL, REGION, YOLO, ROUTE, SHORTCUT, UPSAMPLE, REORG,
                                        AVGPOOL, NORMALIZATION, COST };

static int is_resizable(const layer *l)
{
    for (size_t i = 0; i < sizeof resizable / sizeof *resizable; ++i)
        if (resizable[i] == l->type) return 1;
    return 0;
}

/* The first layer whose size is fixed; -1 if there is none. */
static int fixed_layer(const network *net)
{
    for (int i = 0; i < net->n; ++i) {
        if (!is_resizable(&net->layers[i]) && net->layers[i].type != DROPOUT) return i;
        if (net->layers[i].type == AVGPOOL) break;
    }
    return -1;
}

/* Dropout goes as what grows its buffers and nothing else: upsampling by 1. */
static void disguise_dropout(network *net, LAYER_TYPE from, LAYER_TYPE to, const char *dropout)
{
    for (int i = 0; i < net->n; ++i) {
        layer *l = &net->layers[i];
        if (!dropout[i] || l->type != from) continue;
        l->type = to;
        l->stride = 1;
        l->c = l->out_c;
    }
}

int resize_network(network *net, int w, int h);   /* to w x h; exported, in no header */

int host_resize(network *net, int w, int h, diag *d)
{
    int fixed = fixed_layer(net);
    if (fixed >= 0) {
        diag_error(d, NULL, 0, NULL, "layer %d cannot change its size, so this network's input stays %dx%d", fixed,
                   net->w, net->h);
        return -1;
    }
    char *dropout = mem_calloc((size_t)net->n, 1);
    for (int i = 0; i < net->n; ++i) dropout[i] = net->layers[i].type == DROPOUT;
    host_doing("resizing the network");
    disguise_dropout(net, DROPOUT, UPSAMPLE, dropout);
    resize_network(net, w, h);
    disguise_dropout(net, UPSAMPLE, DROPOUT, dropout);
    host_doing(NULL);
    free(dropout);
    return 0;
}

void host_hush(void)
{
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    fflush(stdout);
    if (null >= 0) dup2(null, STDOUT_FILENO);
    if (null >= 0) close(null);
}

/* The host's free_network leaves the workspace and the cost behind. */
void host_free(network *net)
{
    if (!net) return;
    if (hooks.freed) hooks.freed(net);
    free(net->workspace);
    free(net->cost);
    free(net->seen);
    free(net->t);
    net->workspace = net->cost = NULL;
    free_network(net);
}
