/* Memory of the emulated device. It lies in one reserved stretch of addresses that nobody may touch, so that the host is
 * caught when it follows a device pointer; the blocks a kernel was given are opened while it runs. A block ends where a
 * page ends and the next page stays closed, so an overrun is caught too; addresses are not used twice, so freed memory is
 * caught as long as the process lives. What lies between a block and the borders of its pages holds a pattern that is
 * checked after every kernel; under AddressSanitizer it is poisoned instead. Leaves out: which of the blocks a kernel was
 * given it may write. */
#include "device.h"

#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <map>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n) ((void)0)
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)0)
#endif

namespace cuda_on_cpu {
enum { page_size = 4096, pattern = 0xa5 };
static const size_t arena_size = (size_t)1 << 40;

std::recursive_mutex lock;
cuda_on_cpu_counts counts;
__thread bool on_device;
static char *arena;
static size_t arena_used;
static std::map<uintptr_t, block> blocks;          /* by first page */
static std::map<uintptr_t, size_t> pinned;
static size_t used[max_devices];
static const char *running;                        /* the kernel or library function that runs */
static struct sigaction before;
static const int first_stderr = dup(STDERR_FILENO);

/* Async-signal-safe enough: the process ends here. */
static void say_on(int fd, const char *text)
{
    struct iovec { const char *p; size_t n; } part[] = { { "cuda on cpu: ", 13 }, { text, strlen(text) }, { "\n", 1 } };
    for (const iovec &v : part)
        if (write(fd, v.p, v.n) < 0) return;
}

[[noreturn]] void mistake(const char *format, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    struct stat now, first;
    say_on(STDERR_FILENO, text);
    if (!fstat(STDERR_FILENO, &now) && !fstat(first_stderr, &first) && (now.st_ino != first.st_ino || now.st_dev != first.st_dev))
        say_on(first_stderr, text);
    signal(SIGABRT, SIG_DFL);
    abort();
}

bool is_device(const void *p) { return arena && (const char *)p >= arena && (const char *)p < arena + arena_size; }

bool is_pinned(const void *p)
{
    auto it = pinned.upper_bound((uintptr_t)p);
    return it != pinned.begin() && (uintptr_t)p < (--it)->first + it->second;
}

block *find(uintptr_t address)
{
    auto it = is_device((void *)address) ? blocks.upper_bound(address) : blocks.begin();
    return it == blocks.begin() ? nullptr : &(--it)->second;
}

/* A touch of closed memory, or of nothing. Where it is not ours to explain, whoever was there before does. */
static void at_fault(int, siginfo_t *info, void *)
{
    const char *who = on_device && running ? running : NULL;
    uintptr_t at = (uintptr_t)info->si_addr;
    block *b = find(at);
    if (!b && !who) {
        say_on(STDERR_FILENO, "a crash that is not the device's");
        sigaction(SIGSEGV, &before, NULL);
        return;
    }
    if (!b) mistake("%s follows the pointer %p in block (%u, %u, %u), thread (%u, %u, %u)", who, info->si_addr,
        blockIdx.x, blockIdx.y, blockIdx.z, threadIdx.x, threadIdx.y, threadIdx.z);
    const char *state = !b->live ? "freed " : "";
    long byte = (long)(at - b->start);
    if (!who) mistake("the host touches %sdevice memory: byte %ld of a block of %zu bytes", state, byte, b->size);
    mistake("%s touches byte %ld of a %sblock of %zu bytes%s in block (%u, %u, %u), thread (%u, %u, %u)", who, byte, state, b->size,
        b->live && byte >= 0 && (size_t)byte < b->size ? " that none of its arguments points to" : "",
        blockIdx.x, blockIdx.y, blockIdx.z, threadIdx.x, threadIdx.y, threadIdx.z);
}

/* Again at every kernel and copy: whoever took the signal in the meantime gets what is not ours. */
static void catch_faults()
{
    struct sigaction sa = {}, was;
    sa.sa_sigaction = at_fault;
    sa.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigaction(SIGSEGV, &sa, &was);
    if (was.sa_sigaction != at_fault) before = was;
}

static bool make_arena()
{
    if (arena) return true;
    void *p = mmap(NULL, arena_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) return false;
    arena = (char *)p;
    catch_faults();
    return true;
}

static size_t limit() { return (size_t)setting("DISTILL_EMULATED_MEMORY", 8192) << 20; }

/* The bytes of its pages that belong to nobody: in front of a block, and up to 15 behind it. */
template <class F> static void borders(const block &b, F f)
{
    char *page = (char *)b.page, *start = (char *)b.start;
    f(page, (size_t)(start - page));
    f(start + b.size, (size_t)(page + b.pages * page_size - (start + b.size)));
}

static bool add_block(block *b)
{
    b->pages = (b->size + page_size - 1) / page_size;
    size_t bytes = b->pages * page_size;
    if (arena_size - arena_used < bytes + page_size) return false;
    b->page = (uintptr_t)arena + arena_used;
    b->start = b->page + bytes - (b->size + 15) / 16 * 16;
    if (mprotect((void *)b->page, bytes, PROT_READ | PROT_WRITE)) return false;
    arena_used += bytes + page_size;
    memset((void *)b->page, 0xff, bytes);
    borders(*b, [](char *p, size_t n) { memset(p, pattern, n); ASAN_POISON_MEMORY_REGION(p, n); });
    mprotect((void *)b->page, bytes, PROT_NONE);
    blocks[b->page] = *b;
    return true;
}

static void check_borders(const block &b)
{
#ifndef __SANITIZE_ADDRESS__
    borders(b, [&](char *p, size_t n) {
        for (size_t i = 0; i < n; ++i)
            if ((unsigned char)p[i] != pattern)
                mistake("%s wrote byte %ld of a block of %zu bytes", running, (long)((uintptr_t)p + i - b.start), b.size);
    });
#endif
    (void)b;
}

block *need(const char *who, int device, const range &r)
{
    uintptr_t at = (uintptr_t)r.start;
    block *b = find(at);
    if (!b) mistake("%s: %s, %p, is not device memory", who, r.what, r.start);
    if (!b->live) mistake("%s: %s lies in a freed block of %zu bytes", who, r.what, b->size);
    if (at < b->start || at - b->start > b->size || r.size > b->size - (at - b->start))
        mistake("%s: %s is bytes %ld to %ld of a block of %zu bytes", who, r.what, (long)(at - b->start), (long)(at - b->start + r.size), b->size);
    if (b->device != device) mistake("%s on device %d: %s is memory of device %d", who, device, r.what, b->device);
    return b;
}

opened::opened(const char *who, const std::vector<block *> &wanted) : list(wanted)
{
    for (block *b : list)
        if (b->live && mprotect((void *)b->page, b->pages * page_size, PROT_READ | PROT_WRITE)) mistake("mprotect fails");
    catch_faults();
    running = who;
    on_device = true;
}

opened::~opened()
{
    for (block *b : list)
        if (b->live) check_borders(*b);
    on_device = false;
    running = NULL;
    for (block *b : list)
        if (b->live) mprotect((void *)b->page, b->pages * page_size, PROT_NONE);
}

/* Which way a copy goes, from the pointers themselves; mistake() if the caller says otherwise. */
static cudaMemcpyKind direction(const void *to, const void *from, cudaMemcpyKind said)
{
    static const char *const names[] = { "host to host", "host to device", "device to host", "device to device" };
    int is = (is_device(from) ? 2 : 0) | (is_device(to) ? 1 : 0);
    if (said != cudaMemcpyDefault && said != is) mistake("cudaMemcpy says %s, the pointers say %s", names[said], names[is]);
    return (cudaMemcpyKind)is;
}

static void count_copy(cudaMemcpyKind kind, size_t size)
{
    counts.to_device += kind == cudaMemcpyHostToDevice;
    counts.from_device += kind == cudaMemcpyDeviceToHost;
    counts.on_device += kind == cudaMemcpyDeviceToDevice;
    if (kind == cudaMemcpyHostToDevice) counts.to_device_bytes += (long)size;
    if (kind == cudaMemcpyDeviceToHost) counts.from_device_bytes += (long)size;
}

/* Queues a copy; `wait` = it has happened when this returns. A copy may reach memory of another device, as cudaMemcpy does. */
static cudaError_t copy(void *to, const void *from, size_t size, cudaMemcpyKind said, cudaStream_t s, bool wait)
{
    locked l(lock);
    if (need_device()) return cudaErrorNoDevice;
    if (!size) return cudaSuccess;
    cudaMemcpyKind kind = direction(to, from, said);
    std::vector<block *> list;
    for (const range &r : { range{ "the target", to, size }, range{ "the source", from, size } })
        if (is_device(r.start)) list.push_back(need("cudaMemcpy", find((uintptr_t)r.start)->device, r));
    count_copy(kind, size);
    enqueue(s, [=] {
        opened o("cudaMemcpy", list);
        memmove(to, from, size);
    });
    if (wait) wait_stream(s);
    return cudaSuccess;
}
}

using namespace cuda_on_cpu;

extern "C" {
cudaError_t cudaMalloc(void **p, size_t size)
{
    locked l(lock);
    int d = current_device();
    *p = NULL;
    if (need_device()) return cudaErrorNoDevice;
    if (!size) return cudaSuccess;
    block b = { 0, 0, size, 0, d, true };
    if (size > limit() - used[d] || !make_arena() || !add_block(&b)) return answer(cudaErrorMemoryAllocation);
    used[d] += size;
    counts.live += 1;
    counts.live_bytes += (long)size;
    if (counts.live_bytes > counts.peak_bytes) counts.peak_bytes = counts.live_bytes;
    *p = (void *)b.start;
    return cudaSuccess;
}

cudaError_t cudaFree(void *p)
{
    locked l(lock);
    if (need_device()) return cudaErrorNoDevice;
    if (!p) return cudaSuccess;
    block *b = find((uintptr_t)p);
    if (!b || b->start != (uintptr_t)p) mistake("cudaFree: %p is not what cudaMalloc gave", p);
    if (!b->live) mistake("cudaFree: a block of %zu bytes is freed twice", b->size);
    wait_all();
    size_t bytes = b->pages * page_size;
    mmap((void *)b->page, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    ASAN_UNPOISON_MEMORY_REGION((void *)b->page, bytes);   /* closed pages say it better */
    b->live = false;
    used[b->device] -= b->size;
    counts.live -= 1;
    counts.live_bytes -= (long)b->size;
    return cudaSuccess;
}

cudaError_t cudaMallocHost(void **p, size_t size) { return cudaHostAlloc(p, size, 0); }

cudaError_t cudaHostAlloc(void **p, size_t size, unsigned)
{
    locked l(lock);
    *p = NULL;
    if (need_device()) return cudaErrorNoDevice;
    if (!(*p = malloc(size ? size : 1))) return answer(cudaErrorMemoryAllocation);
    memset(*p, 0xff, size);
    pinned[(uintptr_t)*p] = size ? size : 1;
    return cudaSuccess;
}

cudaError_t cudaFreeHost(void *p)
{
    locked l(lock);
    if (!p) return cudaSuccess;
    if (!pinned.count((uintptr_t)p)) mistake("cudaFreeHost: %p is not what cudaMallocHost gave", p);
    wait_all();
    pinned.erase((uintptr_t)p);
    free(p);
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total)
{
    locked l(lock);
    if (need_device()) return cudaErrorNoDevice;
    *total = limit();
    *free_bytes = *total - used[current_device()];
    return cudaSuccess;
}

cudaError_t cudaMemcpy(void *to, const void *from, size_t size, cudaMemcpyKind kind)
{
    return copy(to, from, size, kind, NULL, !(is_device(to) && is_device(from)));
}

/* Memory that is not pinned is copied before the call returns. */
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t size, cudaMemcpyKind kind, cudaStream_t s)
{
    bool now = (!is_device(to) && !is_pinned(to)) || (!is_device(from) && !is_pinned(from));
    return copy(to, from, size, kind, s, now);
}

cudaError_t cudaMemset(void *p, int value, size_t size) { return cudaMemsetAsync(p, value, size, NULL); }

cudaError_t cudaMemsetAsync(void *p, int value, size_t size, cudaStream_t s)
{
    locked l(lock);
    if (need_device()) return cudaErrorNoDevice;
    if (!size) return cudaSuccess;
    block *b = need("cudaMemset", stream_device(s), { "the memory", p, size });
    enqueue(s, [=] {
        opened o("cudaMemset", { b });
        memset(p, value, size);
    });
    return cudaSuccess;
}

struct cuda_on_cpu_counts cuda_on_cpu_count(void)
{
    locked l(lock);
    return counts;
}

__attribute__((destructor)) static void report(void)
{
    if (setting("DISTILL_EMULATED_REPORT", 0))
        fprintf(stderr, "cuda on cpu: %ld launches, %ld library calls, %ld copies to the device of %ld bytes, %ld back of %ld bytes, "
            "%ld on it, peak %ld bytes, never freed %ld blocks of %ld bytes\n", counts.launches, counts.library_calls, counts.to_device,
            counts.to_device_bytes, counts.from_device, counts.from_device_bytes, counts.on_device, counts.peak_bytes, counts.live, counts.live_bytes);
}
}
