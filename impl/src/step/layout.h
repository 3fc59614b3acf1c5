/* layout.h - in which order PyTorch walks strided tensors, and how its results lie in memory.
 *
 * Strides count elements.  Dimensions run as in torch.Tensor.shape, but for those of an `iteration`.
 * Mirrors aten/src/ATen/TensorIterator.cpp (compute_fast_setup_type, reorder_dimensions, coalesce_dimensions,
 * allocate_or_resize_outputs), ATen/native/cpu/Loops.h and c10/core/MemoryFormat.h.
 */
#ifndef SGD_LAYOUT_H
#define SGD_LAYOUT_H

#include "backend.h"

#define LAYOUT_DIMS 64 /* the most that PyTorch takes */
#define LAYOUT_OPERANDS 3

/* A shape and the strides of the operands of one operation; an operand without strides does not exist yet. */
typedef struct layout {
    int32_t ndim;
    const int64_t *shape;
    const int64_t *strides[LAYOUT_OPERANDS];
} layout;

void layout_contiguous(int32_t ndim, const int64_t *shape, int64_t *strides);
bool layout_is_contiguous(int32_t ndim, const int64_t *shape, const int64_t *strides);

/* Whether one element of memory serves several indices (at::has_internal_overlap's answer "yes"). */
bool layout_overlaps(int32_t ndim, const int64_t *shape, const int64_t *strides);

/* Whether all operands fill their memory in one common order, so that element i of each lies at its start + i. */
bool layout_is_flat(const layout *layout);

/* The strides of a new tensor like this one: clone() and empty_like(). */
void layout_like(int32_t ndim, const int64_t *shape, const int64_t *strides, int64_t *out);

/* The strides of an operation's new result. */
void layout_result(const layout *inputs, int64_t *out);

/* An operation as PyTorch's loops see it: dimensions innermost first and merged where all operands allow it. */
typedef struct iteration {
    int32_t ndim;
    int64_t shape[LAYOUT_DIMS];
    int64_t strides[LAYOUT_OPERANDS][LAYOUT_DIMS];
    int64_t in_order[LAYOUT_DIMS]; /* the strides of memory that is walked from its first element to its last */
    int64_t index[LAYOUT_DIMS];    /* an element's number in this walk: strides by the tensors' own dimensions */
    size_t row;
    sgd_inner inner;
} iteration;

/* `operands`: first the output, NULL where it is new; then the inputs, self before other.  `in_place`: the output is one of them. */
void iteration_make(const layout *operands, bool in_place, iteration *out);

/* The inner loop where a scalar tensor is one operand more: beside it a broadcast one is the second of stride 0. */
sgd_inner layout_inner_beside_scalar(sgd_inner inner);

/* Whether an operand lies in the order of the iteration. */
bool iteration_is_in_order(const iteration *iteration, int operand);

#endif
