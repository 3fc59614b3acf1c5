/* sparse.h - a step whose gradient is a COO tensor (torch/optim/sgd.py over ATen/native/sparse/SparseTensorMath.cpp).
 *
 * The engine's seam is at the end: sparse_item_check, sparse_step_prepare, sparse_step_run, sparse_steps_destroy.
 *
 * Every operation here has two halves.  `prepare` raises what PyTorch raises, allocates, and settles all that depends on
 * indices alone: which entries a result has and whether it is coalesced.  `run` computes values; it fails only where the
 * backend does.  An operand may be another operation's result that has not run yet: its indices are known already.
 */
#ifndef SGD_SPARSE_PRIVATE_H
#define SGD_SPARSE_PRIVATE_H

#include <sgd/sparse.h>

#include "engine.h"

/* ---- tensors (sparse.c) ---------------------------------------------------------------------------------------------- */

static inline int64_t sparse_nnz(const sgd_sparse *sparse) { return sparse->values.shape[0]; }
static inline int32_t sparse_dims(const sgd_sparse *sparse) { return (int32_t)sparse->indices.shape[0]; }

static inline int64_t sparse_index(const sgd_sparse *sparse, int32_t dim, int64_t entry)
{
    const int64_t *indices = (const int64_t *)((const char *)sparse->indices.data + sparse->indices.byte_offset);
    const int64_t *strides = sparse->indices.strides;
    return strides ? indices[dim * strides[0] + entry * strides[1]] : indices[dim * sparse->indices.shape[1] + entry];
}

static inline char *sparse_values(const sgd_sparse *sparse)
{
    return (char *)sparse->values.data + sparse->values.byte_offset;
}

/* Elements of the tensor it stands for, and of one entry. */
size_t sparse_numel(const sgd_sparse *sparse);
size_t sparse_block(const sgd_sparse *sparse);

bool sparse_is_contiguous(const sgd_sparse *sparse); /* its values */

/* The strides of its values, written to `room` where the descriptor leaves them out. */
const int64_t *sparse_strides(const sgd_sparse *sparse, int64_t room[LAYOUT_DIMS]);

/* A tensor of `nnz` entries with the shape and dtype of `like`, its indices and values uninitialised, not coalesced; values
 * with `strides`, which must be dense, or contiguous where that is NULL.  ERROR_MEMORY. */
sgd_status sparse_make(const sgd_sparse *like, int64_t nnz, const int64_t *strides, sgd_sparse *out);

/* A tensor with the indices and flag of `like`; its values lie as clone() would leave them, uninitialised. */
sgd_status sparse_make_like(const sgd_sparse *like, sgd_sparse *out);

/* Checks a descriptor; `what` and `index` name it in messages ("gradient 3"). */
sgd_status sparse_check(const sgd_sparse *sparse, const char *what, size_t index, sgd_dtype *dtype, sgd_error *error);

sgd_status sparse_no_memory(const char *what, sgd_error *error);

/* ---- order (sparse_sort.c) ------------------------------------------------------------------------------------------- */

typedef struct sort_entry {
    int64_t key;
    int64_t place;
} sort_entry;

/* Sorts by key as torch.sort does on a CPU, the order of equal keys included. */
void sort_like_torch(sort_entry *entries, size_t count);

/* ---- arithmetic (sparse_ops.c) --------------------------------------------------------------------------------------- */

typedef struct sparse_context {
    const sgd_backend *backend;
    sgd_arithmetic arithmetic; /* path: FORLOOP or FOREACH, what a dense buffer's mul_ goes by */
    sgd_dtype dtype;
} sparse_context;

typedef enum sparse_rounding {
    SPARSE_ROW,    /* cpublas::axpy over one entry */
    SPARSE_SCALAR, /* add_dense_sparse_worker_non_hybrid_cpu: compiled without FMA, whatever the processor */
} sparse_rounding;

#define ROW_BATCH 64

/* out += alpha * x over rows of `block` elements, in the order in which they are added; some go to the backend at once. */
typedef struct row_batch {
    const sparse_context *context;
    sparse_rounding rounding;
    double alpha;
    size_t block;
    bool repeats; /* an `out` may come again: its rows are then added one after another */
    size_t count;
    char *out[ROW_BATCH];
    const char *x[ROW_BATCH];
} row_batch;

sgd_status row_batch_add(row_batch *batch, char *out, const char *x);
sgd_status row_batch_finish(row_batch *batch);

/* In place over values that fill their memory. */
sgd_status sparse_negate(const sparse_context *context, sgd_sparse *sparse);
sgd_status sparse_scale(const sparse_context *context, sgd_path path, double alpha, sgd_sparse *sparse);

/* Brings the values of `from`, whatever their layout, to entries [at, ...) of `to`. */
sgd_status sparse_copy_values(const sparse_context *context, const sgd_sparse *from, sgd_sparse *to, int64_t at);

/* An operation in place on strided tensors, or on many rows that lie alike: how PyTorch walks them is found once. */
typedef struct strided_operation {
    iteration iteration;
    size_t numel;
    char *scratch; /* owned: copies in the order of the iteration */
} strided_operation;

typedef enum strided_kind {
    STRIDED_ADD,     /* out += alpha * x: add_               */
    STRIDED_ADDCMUL, /* out += -1 * x * alpha: addcmul_      */
    STRIDED_SCALE    /* out *= alpha: mul_                   */
} strided_kind;

/* `x` NULL: there is none. */
sgd_status strided_prepare(strided_operation *operation, sgd_dtype dtype, int32_t ndim, const int64_t *shape,
                           const int64_t *out, const int64_t *x, sgd_error *error);
sgd_status strided_run(const strided_operation *operation, const sparse_context *context, strided_kind kind, double alpha,
                       char *out, const char *x);
void strided_clear(strided_operation *operation);

/* ---- sums (sparse_sum.c) --------------------------------------------------------------------------------------------- */

/* torch.Tensor.coalesce() of a tensor that is not. */
typedef struct coalescing {
    const sgd_sparse *from;
    sgd_sparse contiguous; /* a copy of `from` where that is not contiguous */
    sort_entry *order;     /* NULL: fewer than two entries, a plain copy */
    sgd_sparse result;
} coalescing;

sgd_status coalescing_prepare(coalescing *coalescing, const sgd_sparse *from, sgd_error *error);
sgd_status coalescing_run(coalescing *coalescing, const sparse_context *context);
void coalescing_clear(coalescing *coalescing);

/* t.add(g, alpha) of two sparse tensors. */
typedef struct sparse_sum {
    enum { SUM_IS_T, SUM_IS_SCALED_G, SUM_MERGED, SUM_CONCATENATED, SUM_COALESCED } kind;
    const sgd_sparse *t, *g;
    double alpha;
    sgd_sparse scaled; /* alpha * g before it is concatenated */
    sgd_sparse result;
    coalescing coalescing; /* of `result` */
} sparse_sum;

sgd_status sparse_sum_prepare(sparse_sum *sum, sgd_dtype dtype, const sgd_sparse *t, const sgd_sparse *g, double alpha,
                              sgd_error *error);
sgd_status sparse_sum_run(sparse_sum *sum, const sparse_context *context);
sgd_sparse *sparse_sum_result(sparse_sum *sum);
void sparse_sum_clear(sparse_sum *sum);

/* tensor.add_(sparse, alpha) */
typedef struct dense_sum {
    enum { DENSE_NOTHING, DENSE_SCALARS, DENSE_ROWS, DENSE_STRIDED_ROWS } kind;
    const tensor_view *tensor;
    const sgd_sparse *sparse;
    double alpha;
    bool coalesces;
    coalescing coalescing;
    strided_operation add; /* of one row */
} dense_sum;

sgd_status dense_sum_prepare(dense_sum *sum, const tensor_view *tensor, const sgd_sparse *sparse, double alpha,
                             sgd_error *error);
sgd_status dense_sum_run(dense_sum *sum, const sparse_context *context);
void dense_sum_clear(dense_sum *sum);

/* ---- the step (sparse_step.c) ---------------------------------------------------------------------------------------- */

/* Whether the momentum buffer is a sparse one. */
bool sparse_buffer_exists(const sgd_item *item);

/* PyTorch's error where a dense gradient meets a sparse momentum buffer. */
sgd_status sparse_buffer_error(sgd_path path, sgd_error *error);

/* Checks an item's sparse gradient and sparse momentum buffer. */
sgd_status sparse_item_check(const step_group *group, const sgd_item *item, const tensor_view *param, size_t index,
                             sgd_error *error);

/* Makes item->sparse, one parameter's step, from an item that is checked: raises what PyTorch raises, in its order, changes
 * nothing.  The step belongs to the list that it is put on, whether this succeeds or not. */
sgd_status sparse_step_prepare(const step_group *group, step_item *item, sparse_step **list, sgd_error *error);

/* Does the work; `path` is FORLOOP where foreach falls back to Python's loop.  Replaces the item's sparse momentum buffer and,
 * where PyTorch changes p.grad (foreach with nesterov, without maximize), its sparse gradient.  The answer is the backend's. */
sgd_status sparse_step_run(sparse_step *step, sgd_path path);

/* Frees all steps of a list. */
void sparse_steps_destroy(sparse_step **list);

#endif
