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

typedef struct segmenting {
    sgd_dtype dtype;
    sgd_inner inner;
    bool base; /* the contract without FMA */
    size_t numel;
    size_t row;   /* elements of PyTorch's inner loop */
    size_t chunk; /* elements per thread */
    size_t lanes; /* a piece's body is a multiple of this; 0: no body */
    bool groups;  /* part of a tail may round otherwise than the rest of it */
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
    bool wide_group = inner == SGD_INNER_BROADCAST_OTHER && (dtype == SGD_F64 || dtype == SGD_F32);
    s.groups = arithmetic->path != SGD_FUSED && !s.base && (dtype == SGD_C64 || wide_group);
    if (arithmetic->path == SGD_FUSED) {
        s.row = numel;
        s.lanes = half ? 0 : 32 / sgd_dtype_size(dtype);
    } else if (half || ((complex || wide_group) && !s.base)) {
        s.chunk = eager_chunk(arithmetic->torch_threads, numel);
        s.lanes = strided ? 0 : eager_lanes(dtype);
    }
    /* Rows that are all body or all tail are as good as one; only groups count from where a row begins. */
    bool whole = s.lanes ? s.row % s.lanes == 0 && s.chunk == numel : !s.groups;
    if (whole)
        s.row = s.chunk = numel;
    return s;
}

/* GCC vectorised some scalar loops: as many whole units of a tail's elements as there are from `begin` on go through that code,
 * which fuses another product of c64 than the rest does, and of f32 and f64 none. */
typedef struct tail_group {
    size_t begin, unit; /* unit 0: there is none */
} tail_group;

static inline tail_group tail_group_of(sgd_dtype dtype, sgd_inner inner, sgd_operation operation)
{
    if (operation == SGD_OP_AXPY && inner == SGD_INNER_BROADCAST_OTHER)
        return dtype == SGD_C64 ? (tail_group){1, 4} : (tail_group){1, 16 / sgd_dtype_size(dtype)};
    if (dtype != SGD_C64)
        return (tail_group){0, 0};
    if (operation == SGD_OP_AXPY && inner == SGD_INNER_CONTIGUOUS)
        return (tail_group){0, 4};
    if (operation == SGD_OP_AXPY && inner == SGD_INNER_STRIDED)
        return (tail_group){0, 2};
    if ((operation == SGD_OP_AXPY && inner == SGD_INNER_BROADCAST) || (operation == SGD_OP_SCALE && inner <= SGD_INNER_BROADCAST_OTHER))
        return (tail_group){1, 4};
    return (tail_group){0, 0};
}

/* The segment of element `at` within a tail [begin, end). */
static inline segment tail_segment(segmenting s, sgd_operation operation, size_t begin, size_t end, size_t at)
{
    if (s.base)
        return (segment){end, BASE_TAIL};
    if (!s.groups)
        return (segment){end, FMA_TAIL};
    /* What is fused in a c64 tail outside of its group shows in no bit: see complex_text.h. */
    rounding inside = s.dtype == SGD_C64 ? FMA_TAIL : BASE_TAIL, outside = s.dtype == SGD_C64 ? BASE_TAIL : FMA_TAIL;
    tail_group group = tail_group_of(s.dtype, s.inner, operation);
    size_t first = begin + group.begin, last = first;
    if (group.unit && end > first)
        last = end - (end - first) % group.unit;
    if (at >= last || last == first)
        return (segment){end, outside};
    return at < first ? (segment){first, outside} : (segment){last, inside};
}

/* The segment that element `at` lies in. */
static inline segment segment_of(segmenting s, sgd_operation operation, size_t at)
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
