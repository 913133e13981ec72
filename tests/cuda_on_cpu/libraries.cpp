/* cuBLAS and cuRAND as far as Darknet uses them. The product is summed in the order of k for every element, in tiles of
 * four columns that the compiler turns into vector code; the random numbers are a counter put through splitmix64's mixing
 * (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014). */
#include "cublas_v2.h"
#include "curand.h"
#include "device.h"

using namespace cuda_on_cpu;

struct cublasContext { cudaStream_t stream; };
struct curandGenerator_st { cudaStream_t stream; unsigned long long seed, used; };

namespace cuda_on_cpu {
void enqueue_library(const char *who, cudaStream_t s, const std::vector<range> &ranges, std::function<void()> run)
{
    std::vector<block *> list;
    for (const range &r : ranges)
        if (r.size) list.push_back(need(who, stream_device(s), r));
    ++counts.library_calls;
    enqueue(s, [=] {
        opened o(who, list);
        run();
    });
}
}

namespace {
struct product { bool ta, tb; int m, n, k; float alpha, beta; int lda, ldb, ldc; };

enum { tile = 1024 };   /* rows: four columns of sums stay in the first cache */

/* The tile of c at row `at`, columns j..j+3; a is (m, k), column-major, lda apart. */
void multiply_tile(const product &p, const float *a, int lda, const float *b, float *c, int at, int j)
{
    int width = min(p.n - j, 4), rows = min(p.m - at, (int)tile);
    float sum[4][tile] = {};
    for (int k = 0; k < p.k; ++k) {
        float v[4] = { 0, 0, 0, 0 };
        for (int q = 0; q < width; ++q) v[q] = p.tb ? b[j + q + (size_t)k * p.ldb] : b[k + (size_t)(j + q) * p.ldb];
        const float *column = a + at + (size_t)k * lda;
        #pragma omp simd
        for (int i = 0; i < rows; ++i)
            for (int q = 0; q < 4; ++q) sum[q][i] += column[i] * v[q];
    }
    for (int q = 0; q < width; ++q)
        for (int i = 0; i < rows; ++i) {
            float *to = c + at + i + (size_t)(j + q) * p.ldc;
            *to = p.alpha * sum[q][i] + (p.beta ? p.beta * *to : 0);   /* beta 0: c may hold anything */
        }
}

void multiply(const product &p, const float *a, const float *b, float *c)
{
    std::vector<float> turned;
    int lda = p.ta ? p.m : p.lda;
    if (p.ta) {
        turned.resize((size_t)p.m * p.k);
        for (int i = 0; i < p.m; ++i)
            for (int k = 0; k < p.k; ++k) turned[i + (size_t)k * p.m] = a[k + (size_t)i * p.lda];
        a = turned.data();
    }
    #pragma omp parallel for collapse(2) schedule(dynamic) num_threads(processors())
    for (int j = 0; j < p.n; j += 4)
        for (int at = 0; at < p.m; at += tile) multiply_tile(p, a, lda, b, c, at, j);
}

/* Bytes from the first to the last element of a matrix; 0 if it has none. */
size_t extent(int rows, int columns, int ld) { return rows && columns ? ((size_t)(columns - 1) * ld + rows) * sizeof(float) : 0; }

float uniform(unsigned long long seed, unsigned long long i)
{
    unsigned long long z = seed + (i + 1) * 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return (float)(((z ^ (z >> 31)) >> 40) + 1) / 16777216;   /* 24 bits: (0, 1] */
}
}

extern "C" {
cublasStatus_t cublasCreate(cublasHandle_t *h)
{
    locked l(lock);
    if (need_device()) return CUBLAS_STATUS_NOT_INITIALIZED;
    *h = new cublasContext{ NULL };
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDestroy(cublasHandle_t h)
{
    delete h;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetStream(cublasHandle_t h, cudaStream_t s)
{
    h->stream = s;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSgemmStridedBatched(cublasHandle_t h, cublasOperation_t ta, cublasOperation_t tb, int m, int n, int k,
    const float *alpha, const float *a, int lda, long long step_a, const float *b, int ldb, long long step_b,
    const float *beta, float *c, int ldc, long long step_c, int count)
{
    locked l(lock);
    if (!h) return CUBLAS_STATUS_NOT_INITIALIZED;
    if (m < 0 || n < 0 || k < 0 || count < 0 || lda < (ta ? k : m) || ldb < (tb ? n : k) || ldc < m || lda < 1 || ldb < 1 || ldc < 1)
        return CUBLAS_STATUS_INVALID_VALUE;
    if (!m || !n || !count) return CUBLAS_STATUS_SUCCESS;
    product p = { ta == CUBLAS_OP_T, tb == CUBLAS_OP_T, m, n, k, *alpha, *beta, lda, ldb, ldc };
    size_t last = (size_t)(count - 1) * sizeof(float);
    enqueue_library("cublasSgemm", h->stream, { { "a", a, last * (size_t)step_a + (p.ta ? extent(k, m, lda) : extent(m, k, lda)) },
        { "b", b, last * (size_t)step_b + (p.tb ? extent(n, k, ldb) : extent(k, n, ldb)) }, { "c", c, last * (size_t)step_c + extent(m, n, ldc) } }, [=] {
        for (long long i = 0; i < count; ++i) multiply(p, a + i * step_a, b + i * step_b, c + i * step_c);
    });
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSgemm(cublasHandle_t h, cublasOperation_t ta, cublasOperation_t tb, int m, int n, int k,
    const float *alpha, const float *a, int lda, const float *b, int ldb, const float *beta, float *c, int ldc)
{
    return cublasSgemmStridedBatched(h, ta, tb, m, n, k, alpha, a, lda, 0, b, ldb, 0, beta, c, ldc, 0, 1);
}

curandStatus_t curandCreateGenerator(curandGenerator_t *g, curandRngType_t)
{
    locked l(lock);
    if (need_device()) return CURAND_STATUS_NOT_INITIALIZED;
    *g = new curandGenerator_st{ NULL, 0, 0 };
    return CURAND_STATUS_SUCCESS;
}

curandStatus_t curandDestroyGenerator(curandGenerator_t g)
{
    delete g;
    return CURAND_STATUS_SUCCESS;
}

curandStatus_t curandSetStream(curandGenerator_t g, cudaStream_t s)
{
    g->stream = s;
    return CURAND_STATUS_SUCCESS;
}

curandStatus_t curandSetPseudoRandomGeneratorSeed(curandGenerator_t g, unsigned long long seed)
{
    g->seed = seed;
    g->used = 0;
    return CURAND_STATUS_SUCCESS;
}

curandStatus_t curandGenerateUniform(curandGenerator_t g, float *x, size_t n)
{
    locked l(lock);
    unsigned long long seed = g->seed, from = g->used;
    g->used += n;
    enqueue_library("curandGenerateUniform", g->stream, { { "the target", x, n * sizeof(float) } }, [=] {
        for (size_t i = 0; i < n; ++i) x[i] = uniform(seed, from + i);
    });
    return CURAND_STATUS_SUCCESS;
}

/* Box and Muller: two uniform numbers make two normal ones. */
curandStatus_t curandGenerateNormal(curandGenerator_t g, float *x, size_t n, float mean, float deviation)
{
    locked l(lock);
    if (n % 2) return CURAND_STATUS_LENGTH_NOT_MULTIPLE;
    unsigned long long seed = g->seed, from = g->used;
    g->used += n;
    enqueue_library("curandGenerateNormal", g->stream, { { "the target", x, n * sizeof(float) } }, [=] {
        for (size_t i = 0; i < n; i += 2) {
            float r = deviation * sqrtf(-2 * logf(uniform(seed, from + i))), turn = 2 * (float)M_PI * uniform(seed, from + i + 1);
            x[i] = mean + r * cosf(turn);
            x[i + 1] = mean + r * sinf(turn);
        }
    });
    return CURAND_STATUS_SUCCESS;
}
}
