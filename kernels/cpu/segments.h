/* segments.h - which elements of a tensor PyTorch computes in vectors (body) and which one by one (tail).
 *
 * Eager 16-bit and complex operations: TensorIterator walks rows (sgd_operand.row), and cuts tensors of GRAIN_SIZE elements and
 * more into one chunk per thread, wherever that falls; every piece of a row that comes of it has a body, since the vectorised
 * loop takes two registers a turn, and a tail (ATen/ParallelOpenMP.h, ATen/native/cpu/Loops.h vectorized_loop).  Where the
 * strides do not allow vectors all is tail.  Fused: one tail at the end of the tensor (FusedSGDKernel.cpp).  Elsewhere the
 * segment changes no bit.
 */
#ifndef SGD_CPU_SEGMENTS_H
#define SGD_CPU_SEGMENTS_H

#include "kernels.h"

#define TORCH_GRAIN_SIZE 32768

typedef enum operation { OP_STEP, OP_NEGATE, OP_COPY, OP_AXPY, OP_SCALE, OP_ADDCMUL } operation;

typedef struct segmenting {
    sgd_dtype dtype;
    sgd_inner inner;
    bool base; /* the contract without FMA */
    size_t numel;
    size_t row;   /* elements of PyTorch's inner loop */
    size_t chunk; /* elements per thread */
    size_t lanes; /* a piece's body is a multiple of this; 0: no body */
} segmenting;

/* A run of elements that round alike: up to the element `end`. */
typedef struct segment {
    size_t end;
    rounding rounding;
} segment;

/* Two registers of 256 bits. */
static inline size_t eager_lanes(sgd_dtype dtype) { return 64 / sgd_dtype_size(dtype); }

static inline size_t eager_chunk(uint32_t torch_threads, size_t numel)
{
    size_t chunks = numel / TORCH_GRAIN_SIZE + (numel % TORCH_GRAIN_SIZE != 0);
    if (chunks > torch_threads)
        chunks = torch_threads;
    return numel < TORCH_GRAIN_SIZE || chunks < 2 ? numel : numel / chunks + (numel % chunks != 0);
}

static inline segmenting segmenting_of(const sgd_arithmetic *arithmetic, sgd_dtype dtype, sgd_inner inner, size_t row, size_t numel)
{
    segmenting s = {.dtype = dtype,
                    .inner = inner,
                    .base = arithmetic->contract == SGD_TORCH_2_13_CPU_BASE,
                    .numel = numel,
                    .row = row && row < numel ? row : numel,
                    .chunk = numel,
                    .lanes = 1};
    bool half = dtype == SGD_F16 || dtype == SGD_BF16, complex = dtype == SGD_C64 || dtype == SGD_C128;
    bool strided = inner == SGD_INNER_STRIDED || inner == SGD_INNER_STRIDED_IN_PLACE;
    if (arithmetic->path == SGD_FUSED) {
        s.row = numel;
        s.lanes = half ? 0 : 32 / sgd_dtype_size(dtype);
    } else if (half || (complex && !s.base)) {
        s.chunk = eager_chunk(arithmetic->torch_threads, numel);
        s.lanes = strided ? 0 : eager_lanes(dtype);
    }
    /* Rows that are all body or all tail are as good as one; only the groups of c64 tails count from where a row begins. */
    bool whole = s.lanes ? s.row % s.lanes == 0 && s.chunk == numel : dtype != SGD_C64;
    if (whole)
        s.row = s.chunk = numel;
    return s;
}

/* GCC vectorised the scalar loop over c64: elements [begin, end) of a tail of `length` go through that code, which fuses another
 * product than the rest does. */
typedef struct c64_group {
    size_t begin, end;
} c64_group;

static inline c64_group c64_group_of(sgd_inner inner, operation operation, size_t length)
{
    bool vectors = inner == SGD_INNER_CONTIGUOUS || inner == SGD_INNER_BROADCAST;
    if (operation == OP_AXPY && inner == SGD_INNER_CONTIGUOUS)
        return (c64_group){0, length >= 4 ? 4 : 0};
    if (operation == OP_AXPY && inner == SGD_INNER_STRIDED)
        return (c64_group){0, length - length % 2};
    if ((operation == OP_AXPY || operation == OP_SCALE) && vectors && length >= 5)
        return (c64_group){1, 5};
    return (c64_group){0, 0};
}

/* The segment of element `at` within a tail [begin, end). */
static inline segment tail_segment(segmenting s, operation operation, size_t begin, size_t end, size_t at)
{
    if (s.base)
        return (segment){end, BASE_TAIL};
    if (s.dtype != SGD_C64)
        return (segment){end, FMA_TAIL};
    c64_group group = c64_group_of(s.inner, operation, end - begin);
    if (at - begin < group.begin)
        return (segment){begin + group.begin, BASE_TAIL}; /* what is fused there shows in no bit: see complex_text.h */
    return at - begin < group.end ? (segment){begin + group.end, FMA_TAIL} : (segment){end, BASE_TAIL};
}

/* The segment that element `at` lies in. */
static inline segment segment_of(segmenting s, operation operation, size_t at)
{
    size_t row = at - at % s.row, chunk = at - at % s.chunk;
    size_t begin = row > chunk ? row : chunk;
    size_t left = s.numel - begin, row_left = s.row - (begin - row), chunk_left = s.chunk - (begin - chunk);
    size_t length = row_left < left ? row_left : left;
    length = chunk_left < length ? chunk_left : length;
    size_t body = s.lanes ? begin + (length - length % s.lanes) : begin;
    if (at < body)
        return (segment){body, s.base ? BASE_BODY : FMA_BODY};
    return tail_segment(s, operation, body, begin + length, at);
}

#endif
