/* Runs kernels. Blocks are shared out among the processor's threads, of which one is the rule: then every run gives the same
 * sums, and a busy machine does not matter. The threads of a block take turns on one of them.
 *
 * Each runs on a fiber, a stack of its own, until it ends or meets __syncthreads(). A thread that ends leaves its fiber to
 * the next, so that a kernel without barriers needs one fiber and runs as a plain loop; one that meets a barrier keeps it,
 * and the next thread starts on another. When all threads of the block have met the barrier, they go on in the same order.
 * That some end where others wait is an error in CUDA, and a mistake here.
 *
 * A fiber is entered once by makecontext; after that _setjmp and _longjmp change fibers without a system call. */
#undef _FORTIFY_SOURCE   /* its longjmp refuses to change stacks */
#include "device.h"

#include <csetjmp>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

__thread uint3 threadIdx __attribute__((tls_model("initial-exec")));
__thread uint3 blockIdx __attribute__((tls_model("initial-exec")));
__thread uint3 blockDim __attribute__((tls_model("initial-exec")));
__thread uint3 gridDim __attribute__((tls_model("initial-exec")));

namespace cuda_on_cpu {
static const size_t stack_size = 256 << 10, guard_size = 4096;   /* what is not touched costs nothing */

struct fiber {
    jmp_buf at;
    ucontext_t entry;
    char *stack;                       /* NULL: the processor thread's own */
    const void *bottom; size_t size;   /* of the stack, for AddressSanitizer */
    bool begun;
    size_t thread;                     /* the one that waits at a barrier */
};

/* One block on one processor thread. */
struct worker {
    fiber self = {}, *current = &self, *left = nullptr;
    std::vector<fiber *> fibers;
    std::vector<char> shared;
    const std::function<void()> *run;
    size_t threads, next, waiting;
    bool reverse;
    ~worker();
};
static thread_local worker mine;

worker::~worker()
{
    for (fiber *f : fibers) {
        munmap(f->stack - guard_size, stack_size + guard_size);
        delete f;
    }
}

static void leaving(void **fake, const fiber *to)
{
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(fake, to->bottom, to->size);
#endif
    (void)fake, (void)to;
}

static void arrived(void *fake)
{
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(fake, &mine.left->bottom, &mine.left->size);
#endif
    (void)fake;
}

/* Leaves the current fiber for another; returns when someone comes back. */
static __attribute__((noinline)) void change(fiber *to)
{
    void *fake = nullptr;
    mine.left = mine.current;
    mine.current = to;
    leaving(&fake, to);
    if (!_setjmp(mine.left->at)) {
        if (to->begun || !to->stack) _longjmp(to->at, 1);
        to->begun = true;
        setcontext(&to->entry);
    }
    arrived(fake);
}

/* Numbers as CUDA counts them: x runs fastest. */
static uint3 place(size_t i, uint3 of)
{
    return { (unsigned)(i % of.x), (unsigned)(i / of.x % of.y), (unsigned)(i / of.x / of.y) };
}

static void set_thread(size_t i) { threadIdx = place(mine.reverse ? mine.threads - 1 - i : i, blockDim); }

static void fiber_main()
{
    arrived(nullptr);
    for (;;) {
        while (mine.next < mine.threads) {
            set_thread(mine.current->thread = mine.next++);
            (*mine.run)();
        }
        change(&mine.self);
    }
}

static fiber *make_fiber()
{
    char *p = (char *)mmap(NULL, stack_size + guard_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED || mprotect(p, guard_size, PROT_NONE)) mistake("no memory for the stack of a thread");
    fiber *f = new fiber();
    f->bottom = f->stack = p + guard_size;
    f->size = stack_size;
    getcontext(&f->entry);
    f->entry.uc_stack.ss_sp = f->stack;
    f->entry.uc_stack.ss_size = stack_size;
    makecontext(&f->entry, fiber_main, 0);
    return f;
}

/* Until its thread waits or it has none left to run. */
static void go_on(size_t i)
{
    if (i == mine.fibers.size()) mine.fibers.push_back(make_fiber());
    set_thread(mine.fibers[i]->thread);
    change(mine.fibers[i]);
}

/* Of the fibers, the first `waiting` hold a thread that waits. */
static void run_block(const launch &l, size_t i)
{
    blockIdx = place(mine.reverse ? (size_t)gridDim.x * gridDim.y * gridDim.z - 1 - i : i, gridDim);
    mine.next = mine.waiting = 0;
    if (l.shared) mine.shared.assign(l.shared + 16, (char)0xff);
    while (mine.next < mine.threads) go_on(mine.waiting);
    for (size_t n; (n = mine.waiting);) {
        if (n != mine.threads) mistake("%s: %zu threads of block (%u, %u, %u) wait at a __syncthreads() that %zu never meet", l.name, n,
            blockIdx.x, blockIdx.y, blockIdx.z, mine.threads - n);
        mine.waiting = 0;
        for (size_t f = 0; f < n; ++f) go_on(f);
    }
}

static void run_grid(const launch &l, const std::function<void()> &thread)
{
    long blocks = (long)l.grid.x * l.grid.y * l.grid.z;
    size_t threads = (size_t)l.block.x * l.block.y * l.block.z;
    bool reverse = setting("DISTILL_EMULATED_REVERSE", 0);
    #pragma omp parallel for schedule(dynamic) num_threads(processors())
    for (long i = 0; i < blocks; ++i) {
        gridDim = { l.grid.x, l.grid.y, l.grid.z };
        blockDim = { l.block.x, l.block.y, l.block.z };
        mine.run = &thread;
        mine.threads = threads;
        mine.reverse = reverse;
        on_device = true;
        run_block(l, (size_t)i);
        on_device = false;
    }
}

/* An address of memory that is not the device's. What a structure holds is not always a pointer: two small numbers side by
 * side are below where the system puts programs (and in AddressSanitizer's own memory); what is above is looked up. */
static bool is_host(const word &w)
{
    static const uintptr_t lowest = (uintptr_t)1 << 45;
    uintptr_t page = w.value & ~(uintptr_t)4095;
    if (is_device((void *)w.value) || is_pinned((void *)w.value)) return false;
    return w.pointer ? w.value != 0 : page >= lowest && !msync((void *)page, 1, MS_ASYNC);
}

static std::vector<block *> blocks_of(const launch &l, const std::vector<word> &words, int device)
{
    std::vector<block *> list;
    for (const word &w : words) {
        if (is_host(w)) mistake("%s: argument %d %s %p, which is memory of the host", l.name, w.argument, w.pointer ? "is" : "holds", (void *)w.value);
        block *b = find(w.value);
        if (b && b->live && b->device != device)
            mistake("%s on device %d: argument %d is memory of device %d", l.name, device, w.argument, b->device);
        if (b) list.push_back(b);
    }
    return list;
}

static bool shape_is_good(const launch &l)
{
    size_t threads = (size_t)l.block.x * l.block.y * l.block.z;
    return threads && threads <= 1024 && l.block.z <= 64 && l.grid.x && l.grid.y && l.grid.z && l.grid.x <= 0x7fffffff &&
        l.grid.y <= 65535 && l.grid.z <= 65535 && l.shared <= 48 << 10;
}

void submit(const launch &l, const std::vector<word> &words, std::function<void()> thread)
{
    locked all(lock);
    if (need_device()) return;
    if (!shape_is_good(l)) {
        answer(cudaErrorInvalidConfiguration);
        return;
    }
    std::vector<block *> list = blocks_of(l, words, stream_device(l.stream));
    ++counts.launches;
    enqueue(l.stream, [=] {
        opened o(l.name, list);
        run_grid(l, thread);
    });
}
}

using namespace cuda_on_cpu;

void cuda_on_cpu_barrier(void)
{
    ++mine.waiting;
    change(&mine.self);
}

void *cuda_on_cpu_shared(void)
{
    return (void *)(((uintptr_t)mine.shared.data() + 15) & ~(uintptr_t)15);
}
