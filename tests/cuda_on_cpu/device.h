/* What the parts of the emulated device tell each other: memory.cpp (blocks of memory and who may touch them), stream.cpp
 * (what runs when), launch.cpp (kernels) and libraries.cpp (cuBLAS, cuRAND). One lock makes every call whole. */
#ifndef CUDA_ON_CPU_DEVICE_H
#define CUDA_ON_CPU_DEVICE_H
#include "cuda_runtime.h"

#include <mutex>

namespace cuda_on_cpu {
enum { max_devices = 16 };
struct block { uintptr_t start, page; size_t size, pages; int device; bool live; };
struct range { const char *what; const void *start; size_t size; };

extern std::recursive_mutex lock;
extern cuda_on_cpu_counts counts;
typedef std::lock_guard<std::recursive_mutex> locked;

/* A number from the environment. */
long setting(const char *name, long otherwise);
/* The program under test is wrong: says so on stderr, even where that is silenced, and ends the process. */
[[noreturn]] void mistake(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Remembers and returns an error; success leaves the remembered one alone. */
cudaError_t answer(cudaError_t e);
int device_count(), current_device();
int processors();                        /* threads that kernels are shared out among */
cudaError_t need_device();               /* cudaErrorNoDevice where there is none */

/* The block whose pages hold the address, freed ones too; NULL for memory of the host. Borrowed. */
block *find(uintptr_t address);
bool is_device(const void *p), is_pinned(const void *p);
/* The range lies within one live block of the device, or mistake(). */
block *need(const char *who, int device, const range &r);

/* Opens blocks for as long as it lives; `who` and threads that set on_device are named if memory is touched wrongly. */
class opened {
public:
    opened(const char *who, const std::vector<block *> &blocks);
    ~opened();
private:
    std::vector<block *> list;
};
extern __thread bool on_device;

/* Queues an operation; it runs when someone waits. NULL: the current device's default stream. */
void enqueue(cudaStream_t s, std::function<void()> run);
int stream_device(cudaStream_t s);       /* mistake() if there is no such stream, or not on the current device */
void wait_stream(cudaStream_t s);
void wait_all();
/* Queues work of a library on these ranges, counts it. `who` is a constant text. */
void enqueue_library(const char *who, cudaStream_t s, const std::vector<range> &ranges, std::function<void()> run);
}
#endif
