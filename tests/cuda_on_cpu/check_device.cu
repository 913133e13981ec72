/* What the emulated device must do and what it must catch: tests/test_cuda_on_cpu.sh runs the rows of `checks` one by one.
 * A row of the first kind ends with status 0; a row of the second is a mistake, which must not come back. */
#include <cublas_v2.h>
#include <cuda_runtime.h>
#include <curand.h>
#include <stdio.h>

#define CHECK(true_here) ((true_here) ? (void)0 : (fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #true_here), exit(1)))
#define CALL(call) CHECK((call) == cudaSuccess)

enum { N = 1000 };
struct job { int n, h, w, k; const float *from; float *to; };   /* small numbers side by side are no pointers */

struct padded { float *x; int n; };

__global__ void padded_kernel(padded p) { p.x[0] = (float)p.n; }

__global__ void scale_kernel(float *x, int n, float by)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) x[i] *= by;
}

__global__ void copy_kernel(job j)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < j.n) j.to[i] = j.from[i];
}

/* Every thread of a grid of any shape writes the number it thinks it has. */
__global__ void number_kernel(int *x)
{
    size_t block = blockIdx.x + gridDim.x * (blockIdx.y + (size_t)gridDim.y * blockIdx.z);
    size_t thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    x[block * (blockDim.x * blockDim.y * blockDim.z) + thread] += (int)(block * 10000 + thread);
}

__device__ static float tree_sum(float mine)
{
    __shared__ float part[256];
    __syncthreads();
    part[threadIdx.x] = mine;
    __syncthreads();
    for (int half = 128; half > 0; half /= 2) {
        if (threadIdx.x < half) part[threadIdx.x] += part[threadIdx.x + half];
        __syncthreads();
    }
    return part[0];
}

/* Two sums with barriers between them: all threads see both. */
template <class T> __global__ void sums_kernel(const T *x, T *out)
{
    T sum = tree_sum(x[blockIdx.x * 256 + threadIdx.x]);
    out[blockIdx.x * 256 + threadIdx.x] = sum + tree_sum(threadIdx.x == 255 ? 1 : 0);
}

__global__ void turn_kernel(float *x, int n)
{
    extern __shared__ float row[];
    for (int i = threadIdx.x; i < n; i += blockDim.x) row[i] = x[i];
    __syncthreads();
    for (int i = threadIdx.x; i < n; i += blockDim.x) x[i] = row[n - 1 - i];
}

__global__ void count_kernel(int *bins, float *sum)
{
    atomicAdd(&bins[threadIdx.x % 7], 1);
    atomicAdd(sum, 0.5f);
    atomicMax(&bins[7], (int)threadIdx.x);
}

__global__ void lonely_kernel(float *x)
{
    if (threadIdx.x < 3) __syncthreads();
    x[threadIdx.x] = 0;
}

__global__ void read_kernel(const float *x, long at, float *out) { out[0] = x[at]; }
__global__ void write_kernel(float *x, long at) { x[at] = 1; }

static float *device_floats(size_t n)
{
    float *p;
    CALL(cudaMalloc(&p, n * sizeof *p));
    return p;
}

static float *filled(size_t n, float value)
{
    float *host = (float *)malloc(n * sizeof *host), *p = device_floats(n);
    for (size_t i = 0; i < n; ++i) host[i] = value + (float)i;
    CALL(cudaMemcpy(p, host, n * sizeof *p, cudaMemcpyHostToDevice));
    free(host);
    return p;
}

static float at(const float *p, size_t i)
{
    float v;
    CALL(cudaMemcpy(&v, p + i, sizeof v, cudaMemcpyDeviceToHost));
    return v;
}

/* ---- what it must do ---- */

static void launches()
{
    float *x = filled(N, 1), *y = device_floats(N);
    scale_kernel<<<(N + 255) / 256, 256>>>(x, N, 2);
    copy_kernel<<<4,
        dim3(256)>>>
        (job{ N, 9, 1, 6, x, y });
    CALL(cudaGetLastError());
    CHECK(at(x, 0) == 2 && at(y, N - 1) == 2 * N);
    int *numbers, host[2 * 3 * 4 * 5 * 6 * 7];
    CALL(cudaMalloc(&numbers, sizeof host));
    CALL(cudaMemset(numbers, 0, sizeof host));
    number_kernel<<<dim3(2, 3, 4), dim3(5, 6, 7)>>>(numbers);
    CALL(cudaMemcpy(host, numbers, sizeof host, cudaMemcpyDeviceToHost));
    for (int i = 0; i < 24 * 210; ++i) CHECK(host[i] == i / 210 * 10000 + i % 210);
}

static void barriers()
{
    float *x = filled(512, 0), *out = device_floats(512);
    sums_kernel<float><<<2, 256>>>(x, out);
    for (int i = 0; i < 512; ++i) CHECK(at(out, (size_t)i) == (i < 256 ? 255 * 128 : 255 * 128 + 65536) + 1);
    turn_kernel<<<1, 64, 512 * sizeof(float)>>>(x, 512);
    for (int i = 0; i < 512; ++i) CHECK(at(x, (size_t)i) == 511 - i);
}

static void atomics()
{
    int *bins, host[8];
    float *sum = device_floats(1);
    CALL(cudaMalloc(&bins, sizeof host));
    CALL(cudaMemset(bins, 0, sizeof host));
    CALL(cudaMemset(sum, 0, sizeof(float)));
    count_kernel<<<100, 70>>>(bins, sum);
    CALL(cudaMemcpy(host, bins, sizeof host, cudaMemcpyDeviceToHost));
    for (int i = 0; i < 7; ++i) CHECK(host[i] == 1000);
    CHECK(host[7] == 69 && at(sum, 0) == 3500);
}

/* Nothing has happened before someone waits for it, but what is not pinned. */
static void waiting()
{
    float *x = filled(1, 5), *pinned, pageable = 0;
    cudaStream_t s, t;
    cudaEvent_t e;
    CALL(cudaMallocHost(&pinned, sizeof *pinned));
    CALL(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking));
    CALL(cudaStreamCreateWithFlags(&t, cudaStreamNonBlocking));
    CALL(cudaEventCreateWithFlags(&e, cudaEventDisableTiming));
    *pinned = 1;
    CALL(cudaMemcpyAsync(pinned, x, sizeof *x, cudaMemcpyDeviceToHost, s));
    CALL(cudaStreamSynchronize(0));
    CHECK(*pinned == 1);
    CHECK(cudaStreamQuery(s) == cudaErrorNotReady);
    CALL(cudaStreamSynchronize(s));
    CHECK(*pinned == 5 && cudaStreamQuery(s) == cudaSuccess);
    scale_kernel<<<1, 1, 0, s>>>(x, 1, 3);
    CALL(cudaEventRecord(e, s));
    CALL(cudaStreamWaitEvent(t, e, 0));
    CALL(cudaMemcpyAsync(&pageable, x, sizeof *x, cudaMemcpyDeviceToHost, t));
    CHECK(pageable == 15);
    *pinned = 7;
    CALL(cudaMemcpyAsync(x, pinned, sizeof *x, cudaMemcpyHostToDevice, s));
    *pinned = 8;      /* too early: the copy has not happened */
    CALL(cudaStreamSynchronize(s));
    CHECK(at(x, 0) == 8);
}

/* The default stream and others that are not cudaStreamNonBlocking wait for each other. */
static void default_stream()
{
    float *x = filled(1, 1);
    cudaStream_t s;
    CALL(cudaStreamCreate(&s));
    scale_kernel<<<1, 1, 0, s>>>(x, 1, 2);
    scale_kernel<<<1, 1>>>(x, 1, 3);
    scale_kernel<<<1, 1, 0, s>>>(x, 1, 5);
    CALL(cudaStreamSynchronize(s));
    CHECK(at(x, 0) == 30);
    scale_kernel<<<1, 1, 0, s>>>(x, 1, 2);
    CHECK(at(x, 0) == 60);
}

/* A stream that does not wait for the default stream: true only if it overtakes that (DISTILL_EMULATED_EAGER=2). */
static void overtaking()
{
    float *x = filled(1, 1), *pinned;
    cudaStream_t s;
    CALL(cudaMallocHost(&pinned, sizeof *pinned));
    CALL(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking));
    *pinned = 7;
    scale_kernel<<<1, 1>>>(x, 1, 2);
    CALL(cudaMemcpyAsync(x, pinned, sizeof *x, cudaMemcpyHostToDevice, s));
    CALL(cudaDeviceSynchronize());
    CHECK(at(x, 0) == 14);
}

static void counts()
{
    struct cuda_on_cpu_counts before = cuda_on_cpu_count(), now;
    float *x = filled(10, 0), *y = device_floats(10);
    CALL(cudaMemcpy(y, x, 40, cudaMemcpyDeviceToDevice));
    scale_kernel<<<1, 10>>>(y, 10, 2);
    CHECK(at(y, 9) == 18);
    now = cuda_on_cpu_count();
    CHECK(now.launches - before.launches == 1 && now.on_device - before.on_device == 1 && now.live - before.live == 2);
    CHECK(now.to_device - before.to_device == 1 && now.to_device_bytes - before.to_device_bytes == 40);
    CHECK(now.from_device - before.from_device == 1 && now.from_device_bytes - before.from_device_bytes == 4);
}

static float element(int i, int j) { return (float)((i * 7 + j * 3) % 11 - 5); }

static float *matrix(int rows, int columns, int ld, bool turned)
{
    float *host = (float *)calloc((size_t)ld * (turned ? rows : columns), sizeof *host), *p = device_floats((size_t)ld * (turned ? rows : columns));
    for (int i = 0; i < rows; ++i)
        for (int j = 0; j < columns; ++j) host[turned ? j + i * ld : i + j * ld] = element(i, j);
    CALL(cudaMemcpy(p, host, (size_t)ld * (turned ? rows : columns) * sizeof *p, cudaMemcpyHostToDevice));
    free(host);
    return p;
}

/* Small whole numbers: exact in any order. beta 0 must not look at c, which is NaN. */
static void product(int m, int n, int k, bool ta, bool tb, float beta)
{
    cublasHandle_t h;
    int lda = (ta ? k : m) + 2, ldb = (tb ? n : k) + 1, ldc = m + 3;
    float alpha = 2, *a = matrix(m, k, lda, ta), *b = matrix(k, n, ldb, tb), *c = beta ? filled((size_t)ldc * n, 1) : device_floats((size_t)ldc * n);
    CHECK(!cublasCreate(&h));
    CHECK(!cublasSgemm(h, ta ? CUBLAS_OP_T : CUBLAS_OP_N, tb ? CUBLAS_OP_T : CUBLAS_OP_N, m, n, k, &alpha, a, lda, b, ldb, &beta, c, ldc));
    for (int j = 0; j < n; j += 3)
        for (int i = 0; i < m; i += 5) {
            float sum = beta ? beta * (float)(1 + i + j * ldc) : 0;
            for (int q = 0; q < k; ++q) sum += alpha * element(i, q) * element(q, j);
            CHECK(at(c, (size_t)(i + j * ldc)) == sum);
        }
    CHECK(!cublasDestroy(h));
}

static void products()
{
    for (int t = 0; t < 4; ++t) {
        product(17, 6, 9, t & 1, t & 2, 0);
        product(1100, 5, 3, t & 1, t & 2, 1);
    }
    CHECK(cublasSgemm(NULL, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, NULL, NULL, 1, NULL, 1, NULL, NULL, 1) == CUBLAS_STATUS_NOT_INITIALIZED);
}

static void random_numbers()
{
    enum { MANY = 20000 };
    static float a[MANY], b[MANY];
    curandGenerator_t g;
    float *x = device_floats(MANY);
    double mean = 0, square = 0;
    CHECK(!curandCreateGenerator(&g, CURAND_RNG_PSEUDO_DEFAULT));
    for (float *to : { a, b }) {
        CHECK(!curandSetPseudoRandomGeneratorSeed(g, 7) && !curandGenerateUniform(g, x, MANY));
        CALL(cudaMemcpy(to, x, sizeof a, cudaMemcpyDeviceToHost));
    }
    CHECK(!memcmp(a, b, sizeof a));
    for (float v : a) CHECK(v > 0 && v <= 1);
    for (float v : a) mean += v / MANY;
    CHECK(fabs(mean - 0.5) < 0.01);
    CHECK(!curandGenerateNormal(g, x, MANY, 3, 2));
    CALL(cudaMemcpy(a, x, sizeof a, cudaMemcpyDeviceToHost));
    mean = 0;
    for (float v : a) mean += v / MANY;
    for (float v : a) square += (v - mean) * (v - mean) / MANY;
    CHECK(fabs(mean - 3) < 0.05 && fabs(square - 4) < 0.15);
}

static void errors()
{
    float *x = device_floats(1), *none = NULL;
    size_t rest, total;
    CHECK(isnan(at(x, 0)));
    scale_kernel<<<1, 2000>>>(x, 1, 1);
    CHECK(cudaPeekAtLastError() == cudaErrorInvalidConfiguration && cudaGetLastError() == cudaErrorInvalidConfiguration);
    scale_kernel<<<0, 1>>>(x, 1, 1);
    CHECK(cudaGetLastError() == cudaErrorInvalidConfiguration && cudaGetLastError() == cudaSuccess);
    CHECK(cudaMalloc(&none, (size_t)1 << 42) == cudaErrorMemoryAllocation && !none);
    CALL(cudaMemGetInfo(&rest, &total));
    CHECK(total - rest == sizeof *x);
    CHECK(cudaSetDevice(9) == cudaErrorInvalidDevice && !strcmp(cudaGetErrorString(cudaErrorInvalidDevice), "invalid device ordinal"));
    CALL(cudaFree(x));
    CALL(cudaFree(NULL));
}

static void no_device()
{
    int n = -1;
    float *x;
    CHECK(cudaGetDeviceCount(&n) == cudaErrorNoDevice && n == 0);
    CHECK(cudaMalloc(&x, 4) == cudaErrorNoDevice && cudaSetDevice(0) == cudaErrorNoDevice && cudaDeviceSynchronize() == cudaErrorNoDevice);
}

/* ---- what it must catch ---- */

static void host_pointer()
{
    static float here[4];
    scale_kernel<<<1, 4>>>(here, 4, 1);
}

static void host_pointer_inside()
{
    static float here[4];
    copy_kernel<<<1, 4>>>(job{ 4, 2, 1, 2, here, filled(4, 0) });
}

/* The half of a word behind the last member is nobody's, and what an earlier call left there no pointer. */
static void padding()
{
    static float here[4];
    static_assert(sizeof(padded) == 16 && offsetof(padded, n) == 8, "padding is behind n");
    uintptr_t stale[2] = { (uintptr_t)filled(1, 0), (uintptr_t)here };
    padded p;
    memcpy(&p, stale, sizeof p);
    padded_kernel<<<1, 1>>>(p);
    CHECK(at(p.x, 0) == (float)p.n);
}

static void freed()
{
    float *x = filled(100, 0), *out = filled(1, 0);
    CALL(cudaFree(x));
    read_kernel<<<1, 1>>>(x, 4, out);
    CALL(cudaDeviceSynchronize());
}

static void touch(size_t n, long where, bool write)
{
    float *x = filled(n, 0), *out = filled(1, 0);
    if (write) write_kernel<<<1, 1>>>(x, where);
    else read_kernel<<<1, 1>>>(x, where, out);
    CALL(cudaDeviceSynchronize());
}

static void read_behind() { touch(100, 100, false); }
static void read_just_behind() { touch(101, 101, false); }  /* the same: AddressSanitizer only */
static void read_far_behind() { touch(100, 500, false); }
static void write_behind() { touch(101, 101, true); }       /* within the last 16 bytes: seen afterwards */
static void write_before() { touch(100, -1, true); }
static void not_given() { touch(100, filled(10, 0) + 3 - filled(100, 0), false); }
static void null_pointer() { read_kernel<<<1, 1>>>(NULL, 0, filled(1, 0)); CALL(cudaDeviceSynchronize()); }

static void copy_too_long()
{
    float host[12] = { 0 };
    CALL(cudaMemcpy(device_floats(10), host, sizeof host, cudaMemcpyHostToDevice));
}

static void copy_freed()
{
    float *x = filled(10, 0);
    CALL(cudaFree(x));
    at(x, 0);
}

static void copy_wrong_way()
{
    float host[4] = { 0 };
    CALL(cudaMemcpy(host, device_floats(4), sizeof host, cudaMemcpyHostToDevice));
}

static void host_reads() { printf("%g\n", *(volatile float *)filled(4, 1)); }

static void free_twice()
{
    float *x = filled(3, 0);
    CALL(cudaFree(x));
    CALL(cudaFree(x));
}

static void lonely_barrier()
{
    lonely_kernel<<<1, 8>>>(filled(8, 0));
    CALL(cudaDeviceSynchronize());
}

static void product_too_large()
{
    cublasHandle_t h;
    float one = 1;
    CHECK(!cublasCreate(&h));
    cublasSgemm(h, CUBLAS_OP_N, CUBLAS_OP_N, 4, 4, 4, &one, filled(16, 0), 4, filled(15, 0), 4, &one, filled(16, 0), 4);
}

static void other_device()
{
    float *x = filled(4, 0);
    CALL(cudaSetDevice(1));
    scale_kernel<<<1, 4>>>(x, 4, 1);
}

static void other_stream()
{
    cudaStream_t s;
    CALL(cudaStreamCreate(&s));
    CALL(cudaSetDevice(1));
    scale_kernel<<<1, 4, 0, s>>>(filled(4, 0), 4, 1);
}

static void dead_stream()
{
    cudaStream_t s;
    CALL(cudaStreamCreate(&s));
    CALL(cudaStreamDestroy(s));
    scale_kernel<<<1, 4, 0, s>>>(filled(4, 0), 4, 1);
}

static const struct { const char *name; void (*run)(); } checks[] = {
    { "launches", launches }, { "barriers", barriers }, { "atomics", atomics }, { "waiting", waiting }, { "default_stream", default_stream },
    { "overtaking", overtaking }, { "counts", counts }, { "products", products }, { "random_numbers", random_numbers }, { "errors", errors }, { "no_device", no_device }, { "padding", padding },
    { "host_pointer", host_pointer }, { "host_pointer_inside", host_pointer_inside }, { "freed", freed }, { "read_behind", read_behind },
    { "read_just_behind", read_just_behind }, { "read_far_behind", read_far_behind }, { "write_behind", write_behind }, { "write_before", write_before }, { "not_given", not_given },
    { "null_pointer", null_pointer }, { "copy_too_long", copy_too_long }, { "copy_freed", copy_freed }, { "copy_wrong_way", copy_wrong_way },
    { "host_reads", host_reads }, { "free_twice", free_twice }, { "lonely_barrier", lonely_barrier }, { "product_too_large", product_too_large },
    { "other_device", other_device }, { "other_stream", other_stream }, { "dead_stream", dead_stream },
};

int main(int argc, char **argv)
{
    for (const auto &row : checks)
        if (argc == 2 && !strcmp(argv[1], row.name)) {
            row.run();
            return 0;
        }
    fprintf(stderr, "usage: check_device NAME\n");
    return 2;
}
