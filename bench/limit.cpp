/* limit.cpp - a = a*k + b, compiled for each instruction set that the library knows.
 *
 * The arrays come from the same allocator as the tensors: pages of the same size, the same alignment.
 */
#include "limit.hpp"

#include <algorithm>
#include <omp.h>

typedef void stream_loop(float *a, float *b, size_t count);

#define STREAM_LOOP(name, target)                                                   \
    target static void name(float *__restrict a, float *__restrict b, size_t count) \
    {                                                                               \
        _Pragma("omp simd") for (size_t i = 0; i < count; i++)                      \
            a[i] = a[i] * 0.5f + b[i];                                              \
    }

STREAM_LOOP(stream_scalar, )
#if defined(__x86_64__)
STREAM_LOOP(stream_avx2, __attribute__((target("avx2"))))
STREAM_LOOP(stream_avx512, __attribute__((target("avx512f"))))
#endif

static stream_loop *stream_for(sgd_isa isa)
{
    switch (isa) {
#if defined(__x86_64__)
    case SGD_ISA_AVX512:
        return stream_avx512;
    case SGD_ISA_AVX2:
        return stream_avx2;
#endif
    default:
        return stream_scalar;
    }
}

/* a goes from 1 towards 2*b = 2 and stays there. */
static void fill(float *a, float *b, size_t count)
{
    std::fill_n(a, count, 1.0f);
    std::fill_n(b, count, 1.0f);
}

/* Each thread's part is whole cache lines, so that no two threads write one. */
static size_t part_begin(size_t count, size_t part, size_t parts)
{
    constexpr size_t line = 64 / sizeof(float);
    return part == parts ? count : count / parts * part / line * line;
}

static void share_out(const Memory &a, const Memory &b, size_t count, unsigned threads, stream_loop *loop)
{
    float *to = static_cast<float *>(a.get()), *from = static_cast<float *>(b.get());
#pragma omp parallel num_threads(threads)
    {
        size_t part = static_cast<size_t>(omp_get_thread_num()), parts = static_cast<size_t>(omp_get_num_threads());
        size_t begin = part_begin(count, part, parts), end = part_begin(count, part + 1, parts);
        loop(to + begin, from + begin, end - begin);
    }
}

size_t Stream::elements(size_t bytes) { return std::max<size_t>(bytes / (2 * sizeof(float)), 1); }

Stream::Stream(size_t bytes, unsigned threads)
    : bytes_(bytes), threads_(threads), a_(allocate(elements(bytes) * sizeof(float))),
      b_(allocate(elements(bytes) * sizeof(float)))
{
    share_out(a_, b_, elements(bytes_), threads_, fill);
}

void Stream::pass() { share_out(a_, b_, elements(bytes_), threads_, stream_for(sgd_isa_best())); }
