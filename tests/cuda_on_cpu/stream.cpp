/* What runs when. Every operation is queued in its stream and runs only when someone waits for it, or for something that
 * comes after it: the latest moment CUDA allows. A program that forgets to wait reads what was there before. Order is
 * CUDA's: within a stream as queued; the default stream waits for what was queued before in the device's other streams
 * and they wait for it, but for those created with cudaStreamNonBlocking; a stream waits for events it was told to wait for.
 * The devices, errors and events of the runtime are here too. */
#include "device.h"

#include <chrono>
#include <cstdio>
#include <deque>

using namespace cuda_on_cpu;

namespace { struct operation { long number; std::function<void()> run; }; }
struct CUstream_st { int device; bool ordered, live; std::deque<operation> queue; };
struct CUevent_st { cudaStream_t stream; long number; std::chrono::steady_clock::time_point time; };

static CUstream_st defaults[max_devices];
static std::vector<CUstream_st *> streams;   /* never deleted: an event may still name one */
static long last_number;
static __thread int chosen;
static __thread cudaError_t last_error;

static const struct { cudaError_t code; const char *name, *text; } errors[] = {
    { cudaSuccess, "cudaSuccess", "no error" },
    { cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument" },
    { cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory" },
    { cudaErrorInitializationError, "cudaErrorInitializationError", "initialization error" },
    { cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration", "invalid configuration argument" },
    { cudaErrorInvalidMemcpyDirection, "cudaErrorInvalidMemcpyDirection", "invalid copy direction for memcpy" },
    { cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected" },
    { cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal" },
    { cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle" },
    { cudaErrorNotReady, "cudaErrorNotReady", "device not ready" },
    { cudaErrorNotSupported, "cudaErrorNotSupported", "operation not supported" },
};

namespace cuda_on_cpu {
long setting(const char *name, long otherwise)
{
    const char *text = getenv(name);
    return text && *text ? atol(text) : otherwise;
}

int device_count()
{
    long n = setting("DISTILL_EMULATED_GPUS", 1);
    return (int)(n < 0 ? 0 : n > max_devices ? (long)max_devices : n);
}

int current_device() { return chosen; }

int processors()
{
    long n = setting("DISTILL_EMULATED_THREADS", 1);
    return (int)(n < 1 ? 1 : n > 256 ? 256 : n);
}

cudaError_t answer(cudaError_t e)
{
    if (e) last_error = e;
    return e;
}

cudaError_t need_device() { return answer(device_count() ? cudaSuccess : cudaErrorNoDevice); }

static CUstream_st *stream(cudaStream_t s)
{
    if (!s) {
        defaults[chosen].device = chosen;
        return &defaults[chosen];
    }
    for (CUstream_st *known : streams)
        if (known == s && s->live) return s;
    mistake("%p is not a stream", (void *)s);
}

int stream_device(cudaStream_t s)
{
    if (stream(s)->device != chosen) mistake("a stream of device %d is used on device %d", stream(s)->device, chosen);
    return chosen;
}

/* Runs what is queued up to and with that number, and first what that waits for: always of lower numbers. */
static void run_until(CUstream_st *s, long number)
{
    while (!s->queue.empty() && s->queue.front().number <= number) {
        long earlier = s->queue.front().number - 1;
        if (s == &defaults[s->device]) {
            for (CUstream_st *other : streams)
                if (other->ordered && other->device == s->device) run_until(other, earlier);
        } else if (s->ordered) run_until(&defaults[s->device], earlier);
        std::function<void()> run = std::move(s->queue.front().run);
        s->queue.pop_front();
        run();
    }
}

void enqueue(cudaStream_t s, std::function<void()> run)
{
    stream(s)->queue.push_back({ ++last_number, std::move(run) });
    long eager = setting("DISTILL_EMULATED_EAGER", 0);
    if (eager == 1 || (eager == 2 && s)) wait_stream(s);
}

void wait_stream(cudaStream_t s) { run_until(stream(s), last_number); }

void wait_all()
{
    for (CUstream_st &s : defaults) run_until(&s, last_number);
    for (CUstream_st *s : streams) run_until(s, last_number);
}

/* One operation more, so that whoever asks again and again gets an answer in the end. */
static cudaError_t query(CUstream_st *s, long number)
{
    if (s->queue.empty() || s->queue.front().number > number) return cudaSuccess;
    run_until(s, s->queue.front().number);
    return cudaErrorNotReady;
}
}

extern "C" {
cudaError_t cudaGetLastError(void)
{
    cudaError_t e = last_error;
    last_error = cudaSuccess;
    return e;
}

cudaError_t cudaPeekAtLastError(void) { return last_error; }

const char *cudaGetErrorString(cudaError_t e)
{
    for (const auto &row : errors)
        if (row.code == e) return row.text;
    return "unrecognized error code";
}

const char *cudaGetErrorName(cudaError_t e)
{
    for (const auto &row : errors)
        if (row.code == e) return row.name;
    return "unrecognized error code";
}

cudaError_t cudaGetDeviceCount(int *n)
{
    *n = device_count();
    return need_device();
}

cudaError_t cudaSetDevice(int n)
{
    if (need_device()) return cudaErrorNoDevice;
    if (n < 0 || n >= device_count()) return answer(cudaErrorInvalidDevice);
    chosen = n;
    return cudaSuccess;
}

cudaError_t cudaGetDevice(int *n)
{
    *n = chosen;
    return need_device();
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *p, int n)
{
    if (need_device()) return cudaErrorNoDevice;
    if (n < 0 || n >= device_count()) return answer(cudaErrorInvalidDevice);
    *p = {};
    snprintf(p->name, sizeof p->name, "CUDA on CPU");
    p->totalGlobalMem = (size_t)setting("DISTILL_EMULATED_MEMORY", 8192) << 20;
    p->sharedMemPerBlock = 48 << 10;
    p->warpSize = 32;
    p->maxThreadsPerBlock = p->maxThreadsDim[0] = p->maxThreadsDim[1] = 1024;
    p->maxThreadsDim[2] = 64;
    p->maxGridSize[0] = 0x7fffffff;
    p->maxGridSize[1] = p->maxGridSize[2] = 65535;
    p->major = 7;
    p->minor = 5;
    p->multiProcessorCount = 1;
    return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *v) { *v = CUDART_VERSION; return cudaSuccess; }
cudaError_t cudaRuntimeGetVersion(int *v) { *v = CUDART_VERSION; return cudaSuccess; }

cudaError_t cudaDeviceSynchronize(void)
{
    locked l(lock);
    if (need_device()) return cudaErrorNoDevice;
    wait_stream(NULL);
    for (CUstream_st *s : streams)
        if (s->device == chosen) run_until(s, last_number);
    return cudaSuccess;
}

cudaError_t cudaThreadSynchronize(void) { return cudaDeviceSynchronize(); }

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *s, unsigned flags)
{
    locked l(lock);
    if (need_device()) return cudaErrorNoDevice;
    streams.push_back(*s = new CUstream_st{ chosen, flags != cudaStreamNonBlocking, true, {} });
    return cudaSuccess;
}

cudaError_t cudaStreamCreate(cudaStream_t *s) { return cudaStreamCreateWithFlags(s, cudaStreamDefault); }

cudaError_t cudaStreamDestroy(cudaStream_t s)
{
    locked l(lock);
    if (!s) return answer(cudaErrorInvalidResourceHandle);
    wait_stream(s);
    s->live = false;
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t s)
{
    locked l(lock);
    if (need_device()) return cudaErrorNoDevice;
    wait_stream(s);
    return cudaSuccess;
}

cudaError_t cudaStreamQuery(cudaStream_t s)
{
    locked l(lock);
    return query(stream(s), last_number);
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *e, unsigned)
{
    locked l(lock);
    if (need_device()) return cudaErrorNoDevice;
    *e = new CUevent_st{ NULL, 0, {} };
    return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t *e) { return cudaEventCreateWithFlags(e, cudaEventDefault); }

cudaError_t cudaEventDestroy(cudaEvent_t e)
{
    locked l(lock);
    if (e->stream) run_until(e->stream, e->number);
    delete e;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s)
{
    locked l(lock);
    e->stream = stream(s);
    e->number = last_number + 1;
    enqueue(s, [=] { e->time = std::chrono::steady_clock::now(); });
    return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned)
{
    locked l(lock);
    CUstream_st *of = e->stream;
    long number = e->number;
    if (of) enqueue(s, [=] { run_until(of, number); });
    return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t e)
{
    locked l(lock);
    if (e->stream) run_until(e->stream, e->number);
    return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t e)
{
    locked l(lock);
    return e->stream ? query(e->stream, e->number) : cudaSuccess;
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t from, cudaEvent_t to)
{
    locked l(lock);
    if (!from->stream || !to->stream) return answer(cudaErrorInvalidResourceHandle);
    if (cudaEventQuery(from) || cudaEventQuery(to)) return answer(cudaErrorNotReady);
    *ms = std::chrono::duration<float, std::milli>(to->time - from->time).count();
    return cudaSuccess;
}
}
