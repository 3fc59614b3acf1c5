/* segments.h - which elements of a tensor PyTorch computes in vectors (body) and which one by one (tail).
 *
 * 16-bit eager operations: TensorIterator cuts tensors of GRAIN_SIZE elements and more into one chunk per thread, and the
 * vectorised loop takes 2 x 16 elements a turn (ATen/ParallelOpenMP.h, ATen/native/cpu/Loops.h vectorized_loop).  Fused: one
 * tail at the end of the tensor (FusedSGDKernel.cpp).  Elsewhere the segment changes no bit.
 */
#ifndef SGD_CPU_SEGMENTS_H
#define SGD_CPU_SEGMENTS_H

#include "kernels.h"

#define TORCH_GRAIN_SIZE 32768

typedef struct segmenting {
    size_t row;   /* elements per chunk */
    size_t lanes; /* a chunk's body is a multiple of this; 0: no body */
} segmenting;

static inline segmenting segmenting_of(const sgd_arithmetic *arithmetic, sgd_dtype dtype, size_t numel)
{
    bool half = dtype == SGD_F16 || dtype == SGD_BF16;
    if (arithmetic->path == SGD_FUSED)
        return (segmenting){numel, half ? 0 : 32 / sgd_dtype_size(dtype)};
    if (!half)
        return (segmenting){numel, 1};
    size_t rows = numel / TORCH_GRAIN_SIZE + (numel % TORCH_GRAIN_SIZE != 0);
    if (rows > arithmetic->torch_threads)
        rows = arithmetic->torch_threads;
    if (numel < TORCH_GRAIN_SIZE || rows < 2)
        rows = 1;
    return (segmenting){numel / rows + (numel % rows != 0), 32};
}

/* The end of the segment that element `at` lies in, at most `end`, and whether it is a tail. */
static inline size_t segment_end(segmenting segmenting, size_t numel, size_t at, size_t end, bool *tail)
{
    size_t begin = at - at % segmenting.row;
    size_t length = segmenting.row < numel - begin ? segmenting.row : numel - begin;
    size_t body = segmenting.lanes ? begin + (length - length % segmenting.lanes) : begin;
    *tail = at >= body;
    size_t stop = *tail ? begin + length : body;
    return stop < end ? stop : end;
}

#endif
