/* sparse_sum.c - sums of sparse tensors, and of a dense and a sparse one.
 *
 * ATen/native/sparse/SparseTensorMath.cpp (add_out_sparse_cpu, add_out_dense_sparse_cpu) and SparseTensor.cpp
 * (_coalesce_sparse_cpu): which of their loops an addition takes depends on flags, layouts and numbers of entries, and each
 * rounds in its own way.
 */
#include <stdlib.h>
#include <string.h>

#include "sparse.h"

/* Bytes of one entry. */
static size_t row_bytes(const sparse_context *context, const sgd_sparse *sparse)
{
    return sparse_block(sparse) * sgd_dtype_size(context->dtype);
}

static void copy_index(sgd_sparse *to, int64_t at, const sgd_sparse *from, int64_t entry)
{
    int64_t *indices = to->indices.data;
    for (int32_t d = 0; d < sparse_dims(from); d++)
        indices[d * sparse_nnz(to) + at] = sparse_index(from, d, entry);
}

/* ---- coalesce ---------------------------------------------------------------------------------------------------------- */

static int64_t flat_index(const sgd_sparse *sparse, int64_t entry)
{
    int64_t flat = 0;
    for (int32_t d = 0; d < sparse_dims(sparse); d++)
        flat = flat * sparse->shape[d] + sparse_index(sparse, d, entry);
    return flat;
}

static bool begins_entry(const sort_entry *order, int64_t i) { return i == 0 || order[i].key != order[i - 1].key; }

static sgd_status coalesce_indices(coalescing *coalescing)
{
    const sgd_sparse *from = coalescing->from;
    int64_t nnz = sparse_nnz(from), count = 0;
    sort_entry *order = coalescing->order = malloc((size_t)nnz * sizeof *order);
    if (!order)
        return SGD_ERROR_MEMORY;
    for (int64_t k = 0; k < nnz; k++)
        order[k] = (sort_entry){flat_index(from, k), k};
    sort_like_torch(order, (size_t)nnz);
    for (int64_t i = 0; i < nnz; i++)
        count += begins_entry(order, i);
    sgd_status status = sparse_make(from, count, NULL, &coalescing->result);
    if (!status && !sparse_is_contiguous(from))
        status = sparse_make(from, nnz, NULL, &coalescing->contiguous);
    if (status)
        return status;
    for (int64_t i = 0, at = 0; i < nnz; i++)
        if (begins_entry(order, i))
            copy_index(&coalescing->result, at++, from, order[i].place);
    return SGD_OK;
}

sgd_status coalescing_prepare(coalescing *coalescing, const sgd_sparse *from, sgd_error *error)
{
    coalescing->from = from;
    sgd_status status =
        sparse_nnz(from) < 2 ? sparse_make_like(from, &coalescing->result) : coalesce_indices(coalescing);
    coalescing->result.coalesced = true;
    return status ? sparse_no_memory("a coalesced tensor", error) : SGD_OK;
}

sgd_status coalescing_run(coalescing *coalescing, const sparse_context *context)
{
    const sgd_sparse *from = coalescing->from;
    sgd_status status = SGD_OK;
    if (!coalescing->order)
        return sparse_copy_values(context, from, &coalescing->result, 0);
    if (coalescing->contiguous.owned) {
        status = sparse_copy_values(context, from, &coalescing->contiguous, 0);
        from = &coalescing->contiguous;
    }
    size_t bytes = row_bytes(context, from);
    row_batch sums = {.context = context, .alpha = 1, .block = sparse_block(from), .repeats = true};
    char *to = sparse_values(&coalescing->result);
    for (int64_t i = 0, at = -1; i < sparse_nnz(from) && bytes > 0 && !status; i++) {
        const char *row = sparse_values(from) + (size_t)coalescing->order[i].place * bytes;
        if (begins_entry(coalescing->order, i))
            memcpy(to + (size_t)++at * bytes, row, bytes);
        else
            status = row_batch_add(&sums, to + (size_t)at * bytes, row);
    }
    return status ? status : row_batch_finish(&sums);
}

void coalescing_clear(coalescing *coalescing)
{
    free(coalescing->order);
    sgd_sparse_destroy(&coalescing->contiguous);
    sgd_sparse_destroy(&coalescing->result);
}

/* ---- sparse + sparse --------------------------------------------------------------------------------------------------- */

/* A walk over the entries of both in the order of their indices; unsorted ones are walked as if they were sorted. */
typedef struct merge {
    const sgd_sparse *t, *g;
    int64_t next_t, next_g;
    int64_t from_t, from_g; /* the entries that make the present one; -1: none */
} merge;

/* Below 0 where the next entry of t comes first. */
static int compare_next(const merge *merge)
{
    if (merge->next_t >= sparse_nnz(merge->t))
        return 1;
    if (merge->next_g >= sparse_nnz(merge->g))
        return -1;
    for (int32_t d = 0; d < sparse_dims(merge->t); d++) {
        int64_t t = sparse_index(merge->t, d, merge->next_t), g = sparse_index(merge->g, d, merge->next_g);
        if (t != g)
            return t < g ? -1 : 1;
    }
    return 0;
}

static bool merge_next(merge *merge)
{
    if (merge->next_t >= sparse_nnz(merge->t) && merge->next_g >= sparse_nnz(merge->g))
        return false;
    int comparison = compare_next(merge);
    merge->from_t = comparison <= 0 ? merge->next_t++ : -1;
    merge->from_g = comparison >= 0 ? merge->next_g++ : -1;
    return true;
}

static sgd_status merge_indices(sparse_sum *sum)
{
    int64_t count = 0;
    for (merge walk = {.t = sum->t, .g = sum->g}; merge_next(&walk);)
        count++;
    sgd_status status = sparse_make(sum->g, count, NULL, &sum->result);
    if (status)
        return status;
    merge walk = {.t = sum->t, .g = sum->g};
    for (int64_t at = 0; merge_next(&walk); at++)
        copy_index(&sum->result, at, walk.from_t >= 0 ? walk.t : walk.g, walk.from_t >= 0 ? walk.from_t : walk.from_g);
    sum->result.coalesced = sum->t->coalesced && sum->g->coalesced;
    return SGD_OK;
}

static sgd_status concatenate_indices(sparse_sum *sum, sgd_error *error)
{
    int64_t nnz_t = sparse_nnz(sum->t), nnz_g = sparse_nnz(sum->g);
    sgd_status status = sparse_make(sum->g, nnz_t + nnz_g, NULL, &sum->result);
    if (!status)
        status = sparse_make_like(sum->g, &sum->scaled);
    if (status)
        return sparse_no_memory("a sum", error);
    for (int64_t k = 0; k < nnz_t; k++)
        copy_index(&sum->result, k, sum->t, k);
    for (int64_t k = 0; k < nnz_g; k++)
        copy_index(&sum->result, nnz_t + k, sum->g, k);
    if ((size_t)(nnz_t + nnz_g) <= sparse_numel(sum->g))
        return SGD_OK;
    sum->kind = SUM_COALESCED; /* "Prevent unbounded growth of nnz" */
    status = coalescing_prepare(&sum->coalescing, &sum->result, error);
    sum->coalescing.result.coalesced = sparse_nnz(&sum->coalescing.result) < 2;
    return status;
}

/* What PyTorch refuses, in the order of add_out_sparse_cpu. */
static sgd_status check_sum(const sparse_sum *sum, sgd_dtype dtype, sgd_error *error)
{
    bool half = dtype == SGD_F16 || dtype == SGD_BF16, concatenated = sum->kind == SUM_CONCATENATED;
    if (sparse_dims(sum->t) != sparse_dims(sum->g))
        return sgd_error_set(error, SGD_ERROR_RUNTIME,
                             "add: expected 'self' and 'other' to have same density, but 'self' has %d sparse dimensions while "
                             "'other' has %d sparse dimensions",
                             (int)sparse_dims(sum->t), (int)sparse_dims(sum->g));
    if (dtype == SGD_F16 || (half && concatenated))
        return sgd_error_set(error, SGD_ERROR_NOT_IMPLEMENTED, "\"%s\" not implemented for '%s'",
                             concatenated ? "add_out_sparse_cpu" : "cadd_sparse", dtype == SGD_F16 ? "Half" : "BFloat16");
    return step_check_alpha(dtype, sum->alpha, error);
}

sgd_status sparse_sum_prepare(sparse_sum *sum, sgd_dtype dtype, const sgd_sparse *t, const sgd_sparse *g, double alpha,
                              sgd_error *error)
{
    *sum = (sparse_sum){.t = t, .g = g, .alpha = alpha};
    sgd_status status;
    if (sparse_nnz(g) == 0 || sparse_nnz(t) == 0) {
        sum->kind = sparse_nnz(g) == 0 ? SUM_IS_T : SUM_IS_SCALED_G;
        status = sparse_make_like(sum->kind == SUM_IS_T ? t : g, &sum->result);
        return status ? sparse_no_memory("a sum", error) : SGD_OK;
    }
    sum->kind = sparse_is_contiguous(t) && sparse_is_contiguous(g) ? SUM_MERGED : SUM_CONCATENATED;
    status = check_sum(sum, dtype, error);
    if (status)
        return status;
    if (sum->kind == SUM_CONCATENATED)
        return concatenate_indices(sum, error);
    return merge_indices(sum) ? sparse_no_memory("a sum", error) : SGD_OK;
}

/* Both are added onto zeros, so that -0 becomes +0. */
static sgd_status run_merge(sparse_sum *sum, const sparse_context *context)
{
    size_t bytes = row_bytes(context, sum->g);
    char *to = sparse_values(&sum->result);
    memset(to, 0, (size_t)sparse_nnz(&sum->result) * bytes);
    sgd_status status = SGD_OK;
    for (int turn = 0; turn < 2 && !status; turn++) {
        const sgd_sparse *from = turn ? sum->g : sum->t;
        row_batch rows = {.context = context, .alpha = turn ? sum->alpha : 1, .block = sparse_block(from)};
        merge walk = {.t = sum->t, .g = sum->g};
        for (size_t at = 0; merge_next(&walk) && !status; at++) {
            int64_t entry = turn ? walk.from_g : walk.from_t;
            if (entry >= 0)
                status = row_batch_add(&rows, to + at * bytes, sparse_values(from) + (size_t)entry * bytes);
        }
        if (!status)
            status = row_batch_finish(&rows);
    }
    return status;
}

/* Cast to the dtype, as PyTorch compares it. */
static bool is_one(sgd_dtype dtype, double alpha)
{
    return dtype == SGD_F64 || dtype == SGD_C128 ? alpha == 1 : (float)alpha == 1;
}

static sgd_status run_concatenation(sparse_sum *sum, const sparse_context *context)
{
    sgd_status status = sparse_copy_values(context, sum->g, &sum->scaled, 0);
    if (!status && !is_one(context->dtype, sum->alpha))
        status = sparse_scale(context, SGD_FORLOOP, sum->alpha, &sum->scaled);
    if (!status)
        status = sparse_copy_values(context, sum->t, &sum->result, 0);
    if (!status)
        status = sparse_copy_values(context, &sum->scaled, &sum->result, sparse_nnz(sum->t));
    if (!status && sum->kind == SUM_COALESCED)
        status = coalescing_run(&sum->coalescing, context);
    return status;
}

sgd_status sparse_sum_run(sparse_sum *sum, const sparse_context *context)
{
    sgd_status status;
    switch (sum->kind) {
    case SUM_IS_T:
        return sparse_copy_values(context, sum->t, &sum->result, 0);
    case SUM_IS_SCALED_G:
        status = sparse_copy_values(context, sum->g, &sum->result, 0);
        return status ? status : sparse_scale(context, SGD_FORLOOP, sum->alpha, &sum->result);
    case SUM_MERGED:
        return run_merge(sum, context);
    default:
        return run_concatenation(sum, context);
    }
}

sgd_sparse *sparse_sum_result(sparse_sum *sum)
{
    return sum->kind == SUM_COALESCED ? &sum->coalescing.result : &sum->result;
}

void sparse_sum_clear(sparse_sum *sum)
{
    coalescing_clear(&sum->coalescing);
    sgd_sparse_destroy(&sum->scaled);
    sgd_sparse_destroy(&sum->result);
}

/* ---- dense + sparse ---------------------------------------------------------------------------------------------------- */

/* parallel_for's grain over the rows of strided tensors: beyond it, a row is one thread's. */
#define STRIDED_GRAIN 100

static sgd_status prepare_strided_rows(dense_sum *sum, sgd_error *error)
{
    const tensor_view *tensor = sum->tensor;
    int64_t tensor_room[LAYOUT_DIMS], sparse_room[LAYOUT_DIMS];
    sum->kind = DENSE_STRIDED_ROWS;
    sum->coalesces = !sum->sparse->coalesced;
    sgd_status status = sum->coalesces ? coalescing_prepare(&sum->coalescing, sum->sparse, error) : SGD_OK;
    if (status)
        return status;
    if (sum->coalesces)
        sum->sparse = &sum->coalescing.result;
    int32_t dims = sparse_dims(sum->sparse);
    return strided_prepare(&sum->add, tensor->dtype, tensor->ndim - dims, tensor->shape + dims,
                           tensor_view_strides(tensor, tensor_room) + dims, sparse_strides(sum->sparse, sparse_room) + 1,
                           error);
}

sgd_status dense_sum_prepare(dense_sum *sum, const tensor_view *tensor, const sgd_sparse *sparse, double alpha,
                             sgd_error *error)
{
    *sum = (dense_sum){.tensor = tensor, .sparse = sparse, .alpha = alpha};
    if (sparse_nnz(sparse) == 0)
        return SGD_OK;
    sgd_status status = step_check_alpha(tensor->dtype, alpha, error);
    bool contiguous = tensor->numel > 0 && tensor->contiguous && sparse_is_contiguous(sparse);
    bool coalesced = sparse->coalesced || sparse_nnz(sparse) == 1;
    if (status)
        return status;
    if (!contiguous || (!coalesced && sparse_dims(sparse) == 0))
        return prepare_strided_rows(sum, error);
    sum->kind = coalesced && sparse->values.ndim == 1 ? DENSE_SCALARS : DENSE_ROWS;
    return SGD_OK;
}

/* The dense element, or the first of the dense row, that an entry belongs to. */
static char *row_of(const dense_sum *sum, const int64_t *strides, int64_t entry)
{
    int64_t at = 0;
    for (int32_t d = 0; d < sparse_dims(sum->sparse); d++)
        at += strides[d] * sparse_index(sum->sparse, d, entry);
    return (char *)sum->tensor->data + (size_t)at * sgd_dtype_size(sum->tensor->dtype);
}

static sgd_status run_strided_rows(const dense_sum *sum, const sparse_context *context, const int64_t *strides)
{
    int64_t room[LAYOUT_DIMS];
    sparse_context inside = *context;
    if (sparse_nnz(sum->sparse) > STRIDED_GRAIN)
        inside.arithmetic.torch_threads = 1;
    size_t bytes = (size_t)sparse_strides(sum->sparse, room)[0] * sgd_dtype_size(context->dtype);
    sgd_status status = SGD_OK;
    for (int64_t k = 0; k < sparse_nnz(sum->sparse) && !status; k++)
        status = strided_run(&sum->add, &inside, STRIDED_ADD, sum->alpha, row_of(sum, strides, k),
                             sparse_values(sum->sparse) + (size_t)k * bytes);
    return status;
}

sgd_status dense_sum_run(dense_sum *sum, const sparse_context *context)
{
    int64_t room[LAYOUT_DIMS];
    const int64_t *strides = tensor_view_strides(sum->tensor, room);
    sgd_status status = sum->coalesces ? coalescing_run(&sum->coalescing, context) : SGD_OK;
    if (status || sum->kind == DENSE_NOTHING)
        return status;
    if (sum->kind == DENSE_STRIDED_ROWS)
        return run_strided_rows(sum, context, strides);
    size_t bytes = row_bytes(context, sum->sparse);
    row_batch rows = {.context = context,
                      .rounding = sum->kind == DENSE_SCALARS ? SPARSE_SCALAR : SPARSE_ROW,
                      .alpha = sum->alpha,
                      .block = sparse_block(sum->sparse),
                      .repeats = !sum->sparse->coalesced};
    for (int64_t k = 0; k < sparse_nnz(sum->sparse) && !status; k++)
        status = row_batch_add(&rows, row_of(sum, strides, k), sparse_values(sum->sparse) + (size_t)k * bytes);
    return status ? status : row_batch_finish(&rows);
}

void dense_sum_clear(dense_sum *sum)
{
    coalescing_clear(&sum->coalescing);
    strided_clear(&sum->add);
}
