/* The words of a CUDA kernel in C++: included by cuda_runtime.h where that is compiled as C++.
 *
 * A launch packs its arguments into a closure that runs one thread, and hands that to launch.cpp with a list of the
 * pointers among the arguments: only the device memory they point into is opened while the kernel runs, and a pointer
 * to memory of the host is refused. */
#ifndef CUDA_ON_CPU_KERNEL_H
#define CUDA_ON_CPU_KERNEL_H
#include <cmath>
#include <cstdint>
#include <functional>
#include <type_traits>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __shared__ static thread_local     /* a processor thread runs one block at a time */
#define __constant__ static

/* Where a thread is; set by launch.cpp before it runs. */
extern __thread uint3 threadIdx, blockIdx, blockDim, gridDim __attribute__((tls_model("initial-exec")));
enum { warpSize = 32 };
extern "C" void cuda_on_cpu_barrier(void);
extern "C" void *cuda_on_cpu_shared(void);
#define __syncthreads cuda_on_cpu_barrier
static inline void __threadfence() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }

namespace cuda_on_cpu {
/* Eight bytes of an argument that may be an address. */
struct word { uintptr_t value; int argument; bool pointer; };
struct launch { const char *name; dim3 grid, block; size_t shared; cudaStream_t stream; };
/* Checks the launch and queues it; a bad shape becomes the thread's last error. */
void submit(const launch &l, const std::vector<word> &words, std::function<void()> thread);

/* A pointer is one word; a structure may hold pointers anywhere. */
template <class T> void list_words(std::vector<word> &words, int argument, const T &value)
{
    if constexpr (std::is_pointer_v<T>) words.push_back({ reinterpret_cast<uintptr_t>(value), argument, true });
    else if constexpr (std::is_class_v<T>) {
        T copy = value;
        __builtin_clear_padding(&copy);   /* what lay there may look like an address */
        for (size_t at = 0; at + sizeof(uintptr_t) <= sizeof(T); at += sizeof(uintptr_t)) {
            uintptr_t v;
            memcpy(&v, reinterpret_cast<const char *>(&copy) + at, sizeof v);
            words.push_back({ v, argument, false });
        }
    }
}

template <class... P> auto on(const char *name, void (*kernel)(P...), dim3 grid, dim3 block, size_t shared = 0, cudaStream_t stream = nullptr)
{
    return [=](P... p) {
        std::vector<word> words;
        int argument = 0;
        (list_words(words, ++argument, p), ...);
        submit({ name, grid, block, shared, stream }, words, [=] { kernel(p...); });
    };
}

template <class T, class F> T atomic_update(T *p, F f)
{
    T old = *p, next;   /* a torn read only costs a turn */
    do next = f(old);
    while (!__atomic_compare_exchange(p, &old, &next, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
    return old;
}
}

template <class T> T atomicAdd(T *p, std::common_type_t<T> v) { return cuda_on_cpu::atomic_update(p, [=](T a) { return (T)(a + v); }); }
template <class T> T atomicMax(T *p, std::common_type_t<T> v) { return cuda_on_cpu::atomic_update(p, [=](T a) { return a > v ? a : v; }); }
template <class T> T atomicMin(T *p, std::common_type_t<T> v) { return cuda_on_cpu::atomic_update(p, [=](T a) { return a < v ? a : v; }); }
template <class T> T atomicExch(T *p, std::common_type_t<T> v) { return cuda_on_cpu::atomic_update(p, [=](T) { return v; }); }
template <class T> T atomicCAS(T *p, std::common_type_t<T> was, std::common_type_t<T> v) { return cuda_on_cpu::atomic_update(p, [=](T a) { return a == was ? v : a; }); }

static inline float2 make_float2(float x, float y) { return { x, y }; }
static inline float3 make_float3(float x, float y, float z) { return { x, y, z }; }
static inline float4 make_float4(float x, float y, float z, float w) { return { x, y, z, w }; }
template <class T> T __ldg(const T *p) { return *p; }
template <class A, class B> constexpr auto min(A a, B b) -> std::common_type_t<A, B> { return b < a ? b : a; }
template <class A, class B> constexpr auto max(A a, B b) -> std::common_type_t<A, B> { return a < b ? b : a; }
using std::abs;
static inline float rsqrtf(float x) { return 1 / sqrtf(x); }
#define __expf expf     /* glibc declares these names itself */
#define __logf logf
#define __powf powf
static inline float __fdividef(float a, float b) { return a / b; }
static inline float __int_as_float(int i) { float f; memcpy(&f, &i, sizeof f); return f; }
static inline int __float_as_int(float f) { int i; memcpy(&i, &f, sizeof i); return i; }

/* The typed forms CUDA has in C++. */
template <class T> cudaError_t cudaMalloc(T **p, size_t size) { return ::cudaMalloc(reinterpret_cast<void **>(p), size); }
template <class T> cudaError_t cudaMallocHost(T **p, size_t size) { return ::cudaMallocHost(reinterpret_cast<void **>(p), size); }
template <class T> cudaError_t cudaHostAlloc(T **p, size_t size, unsigned flags) { return ::cudaHostAlloc(reinterpret_cast<void **>(p), size, flags); }
#endif
