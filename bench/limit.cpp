/* limit.cpp - the loops, compiled for each instruction set that the library knows. */
#include "limit.hpp"

#include <algorithm>
#include <cstdint>
#include <omp.h>

/* ---- loops ------------------------------------------------------------------------------------------------------- */

typedef void stream_loop(uint16_t *p, const uint16_t *g, uint16_t *b, size_t count);

#define STREAM_LOOPS(name, target)                                                                                         \
    target static void name##_3r2w(uint16_t *__restrict p, const uint16_t *__restrict g, uint16_t *__restrict b, size_t n) \
    {                                                                                                                      \
        _Pragma("omp simd") for (size_t i = 0; i < n; i++)                                                                 \
        {                                                                                                                  \
            uint16_t sum = static_cast<uint16_t>(b[i] + g[i]);                                                             \
            b[i] = sum;                                                                                                    \
            p[i] = static_cast<uint16_t>(p[i] + sum);                                                                      \
        }                                                                                                                  \
    }                                                                                                                      \
    target static void name##_2r1w(uint16_t *__restrict p, const uint16_t *__restrict g, uint16_t *, size_t n)             \
    {                                                                                                                      \
        _Pragma("omp simd") for (size_t i = 0; i < n; i++) p[i] = static_cast<uint16_t>(p[i] + g[i]);                      \
    }

STREAM_LOOPS(plain, )
#if defined(__x86_64__)
STREAM_LOOPS(avx2, __attribute__((target("avx2"))))
STREAM_LOOPS(avx512, __attribute__((target("avx512f,avx512bw"))))
#endif

static stream_loop *loop_for(sgd_isa isa, bool has_buffer)
{
    switch (isa) {
#if defined(__x86_64__)
    case SGD_ISA_AVX512:
        return has_buffer ? avx512_3r2w : avx512_2r1w;
    case SGD_ISA_AVX2:
        return has_buffer ? avx2_3r2w : avx2_2r1w;
#endif
    default:
        return has_buffer ? plain_3r2w : plain_2r1w;
    }
}

/* ---- threads ----------------------------------------------------------------------------------------------------- */

/* Each thread's part is whole cache lines, so that no two threads write one. */
static size_t part_begin(size_t count, size_t part, size_t parts)
{
    constexpr size_t line = 64 / sizeof(uint16_t);
    return part == parts ? count : count / parts * part / line * line;
}

static void share_out(uint16_t *p, uint16_t *g, uint16_t *b, size_t count, unsigned threads, stream_loop *loop)
{
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        size_t part = static_cast<size_t>(omp_get_thread_num()), parts = static_cast<size_t>(omp_get_num_threads());
        size_t begin = part_begin(count, part, parts), end = part_begin(count, part + 1, parts);
        loop(p + begin, g + begin, b ? b + begin : nullptr, end - begin);
    }
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

/* Large allocations begin at the same place in a page, and streams that walk in step from the same place evict each other from
 * the caches: some 15 % slower than these, which begin apart.  A limit is the fastest there is. */
static constexpr size_t APART = 37 * 4096 + 1344;

/* Less than this in a stream takes one thread less time than it takes to wake another. */
static constexpr size_t WORTH_THREADS = 64 * 1024;

Streams::Streams(size_t bytes, bool has_buffer, unsigned threads)
    : count_(std::max<size_t>(bytes / sizeof(uint16_t), 1)), threads_(bytes < WORTH_THREADS ? 1 : threads)
{
    uint16_t **const streams[] = {&p_, &g_, &b_};
    for (size_t i = 0; i < (has_buffer ? 3 : 2); i++) {
        memory_[i] = allocate(bytes + i * APART);
        *streams[i] = static_cast<uint16_t *>(memory_[i].get()) + i * APART / sizeof(uint16_t);
        std::fill_n(*streams[i], count_, uint16_t{1});
    }
}

void Streams::pass() { share_out(p_, g_, b_, count_, threads_, loop_for(sgd_isa_best(), b_ != nullptr)); }
