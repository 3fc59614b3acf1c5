/* iterate.h - in which order PyTorch's elementwise operations walk strided tensors, and how their results lie in memory.
 *
 * A model of ATen/TensorIterator.cpp (compute_fast_setup_type, reorder_dimensions, coalesce_dimensions,
 * allocate_or_resize_outputs), ATen/ExpandUtils.cpp (infer_dense_strides) and ATen/native/cpu/Loops.h.  Strides count
 * elements.
 */
#ifndef SGD_ORACLE_ITERATE_H
#define SGD_ORACLE_ITERATE_H

#include "oracle.h"

#define ITERATE_OPERANDS 4

/* The operands of one operation.  [0] is the output; one that does not exist yet has strides NULL.  A scalar operand, a tensor
 * with one element beside bigger ones, is not listed but told. */
typedef struct operation {
    size_t ndim;
    const int64_t *shape;
    size_t operands;
    const int64_t *strides[ITERATE_OPERANDS];
    bool has_scalar; /* a further input of shape () */
    bool in_place;   /* the output is one of the inputs */
} operation;

/* The operation as its loops run: innermost dimension first, merged where all operands allow it. */
typedef struct iteration {
    size_t ndim;
    int64_t shape[SGD_ORACLE_DIMS];
    int64_t strides[ITERATE_OPERANDS][SGD_ORACLE_DIMS];
    sgd_inner inner;
} iteration;

/* Plans an operation.  `result`, where the output does not exist yet, is given the strides of the output that is made. */
void iterate_plan(const operation *operation, int64_t *result, iteration *out);

/* The offset of an operand's element at a place of the iteration, counted in its order. */
size_t iterate_offset(const iteration *iteration, size_t operand, size_t place);

/* The offset of an element counted in row-major order. */
size_t iterate_index_offset(size_t ndim, const int64_t *shape, const int64_t *strides, size_t index);

size_t iterate_numel(size_t ndim, const int64_t *shape);

/* Row-major. */
void iterate_contiguous(size_t ndim, const int64_t *shape, int64_t *strides);

/* Every element has memory of its own and there is none between them (is_non_overlapping_and_dense). */
bool iterate_is_dense(size_t ndim, const int64_t *shape, const int64_t *strides);

/* An element surely serves several indices (at::has_internal_overlap): PyTorch refuses to change such a tensor in place. */
bool iterate_overlaps(size_t ndim, const int64_t *shape, const int64_t *strides);

/* Both without gaps in the same order, so that element i of one memory belongs to element i of the other. */
bool iterate_same_order(size_t ndim, const int64_t *shape, const int64_t *a, const int64_t *b);

/* The strides of clone() and empty_like(). */
void iterate_like(size_t ndim, const int64_t *shape, const int64_t *strides, int64_t *out);

/* Elements from a tensor's first to its farthest. */
size_t iterate_span(size_t ndim, const int64_t *shape, const int64_t *strides);

#endif
