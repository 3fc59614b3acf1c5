/* sparse_ops.c - the arithmetic of sparse steps, all of it the backend's single operations.
 *
 * ATen/native/sparse/SparseTensorMath.cpp adds entries with cpublas::axpy, a scalar loop whatever the length (SPARSE_ROW), or,
 * where an entry is one element of a coalesced tensor, in place (SPARSE_SCALAR); the latter's file is compiled once, for
 * processors without FMA.  Rows of strided tensors go through at::add_.
 */
#include <stdlib.h>
#include <string.h>

#include "sparse.h"

static sgd_status axpy(const sparse_context *context, const sgd_arithmetic *arithmetic, double alpha, size_t count,
                       const sgd_operand *operands)
{
    return context->backend->axpy(context->backend->context, arithmetic, alpha, count, operands);
}

/* ---- rows -------------------------------------------------------------------------------------------------------------- */

/* How TensorIterator's inner loops would have to see a row, to compute what these loops do. */
static sgd_inner row_inner(sgd_dtype dtype) { return dtype == SGD_C64 ? SGD_INNER_STRIDED : SGD_INNER_STRIDED_IN_PLACE; }

/* Of two NaNs cpublas::axpy keeps the product's, where the tail of at::add keeps that of `out`: seen in f16 with FMA alone.
 * R(R(alpha * x) + out) is therefore taken apart, and its sum turned round. */
static sgd_status add_f16_product_first(const sparse_context *context, const sgd_arithmetic *arithmetic, double alpha,
                                        const sgd_operand *row)
{
    uint16_t products[512];
    sgd_arithmetic rounded = *arithmetic;
    rounded.path = SGD_FOREACH; /* alpha in 16 bits */
    sgd_status status = SGD_OK;
    for (size_t at = 0, count; at < row->numel && !status; at += count) {
        count = row->numel - at < 512 ? row->numel - at : 512;
        uint16_t *out = (uint16_t *)row->out + at;
        sgd_operand product = {.dtype = SGD_F16, .inner = row->inner, .numel = count, .out = products,
                               .x = (const uint16_t *)row->x + at};
        sgd_operand sum = {.dtype = SGD_F16, .inner = row->inner, .numel = count, .out = out, .x = out, .y = products};
        status = context->backend->scale(context->backend->context, &rounded, alpha, 1, &product);
        if (!status)
            status = axpy(context, arithmetic, 1, 1, &sum);
    }
    return status;
}

static sgd_status add_rows(const row_batch *batch, size_t count, const sgd_operand *rows)
{
    const sparse_context *context = batch->context;
    sgd_arithmetic arithmetic = context->arithmetic;
    if (batch->rounding == SPARSE_SCALAR)
        arithmetic.contract = SGD_TORCH_2_13_CPU_BASE;
    if (context->dtype != SGD_F16 || arithmetic.contract == SGD_TORCH_2_13_CPU_BASE)
        return axpy(context, &arithmetic, batch->alpha, count, rows);
    sgd_status status = SGD_OK;
    for (size_t i = 0; i < count && !status; i++)
        status = add_f16_product_first(context, &arithmetic, batch->alpha, &rows[i]);
    return status;
}

/* Rows of one element are brought together, so that the backend sees one operand. */
static sgd_status add_elements(const row_batch *batch)
{
    size_t size = sgd_dtype_size(batch->context->dtype);
    _Alignas(16) char x[ROW_BATCH * 16], out[ROW_BATCH * 16];
    for (size_t i = 0; i < batch->count; i++) {
        memcpy(x + i * size, batch->x[i], size);
        memcpy(out + i * size, batch->out[i], size);
    }
    sgd_operand row = {.dtype = batch->context->dtype, .inner = row_inner(batch->context->dtype), .numel = batch->count,
                       .row = 1, .out = out, .x = x, .y = out};
    sgd_status status = add_rows(batch, 1, &row);
    for (size_t i = 0; i < batch->count; i++)
        memcpy(batch->out[i], out + i * size, size);
    return status;
}

sgd_status row_batch_finish(row_batch *batch)
{
    sgd_status status = SGD_OK;
    if (batch->block == 1) {
        status = add_elements(batch);
    } else if (batch->block > 0) {
        sgd_operand rows[ROW_BATCH];
        for (size_t i = 0; i < batch->count; i++)
            rows[i] = (sgd_operand){.dtype = batch->context->dtype, .inner = row_inner(batch->context->dtype),
                                    .numel = batch->block, .out = batch->out[i], .x = batch->x[i], .y = batch->out[i]};
        status = add_rows(batch, batch->count, rows);
    }
    batch->count = 0;
    return status;
}

sgd_status row_batch_add(row_batch *batch, char *out, const char *x)
{
    bool again = batch->count == ROW_BATCH;
    for (size_t i = 0; batch->repeats && i < batch->count; i++)
        again |= batch->out[i] == out;
    sgd_status status = again ? row_batch_finish(batch) : SGD_OK;
    batch->out[batch->count] = out;
    batch->x[batch->count++] = x;
    return status;
}

/* ---- whole values ------------------------------------------------------------------------------------------------------ */

static sgd_operand all_values(const sparse_context *context, sgd_sparse *sparse)
{
    void *values = sparse_values(sparse);
    return (sgd_operand){.dtype = context->dtype, .numel = (size_t)sparse_nnz(sparse) * sparse_block(sparse), .out = values,
                         .x = values};
}

sgd_status sparse_negate(const sparse_context *context, sgd_sparse *sparse)
{
    sgd_operand operand = all_values(context, sparse);
    return context->backend->negate(context->backend->context, &context->arithmetic, 1, &operand);
}

sgd_status sparse_scale(const sparse_context *context, sgd_path path, double alpha, sgd_sparse *sparse)
{
    sgd_operand operand = all_values(context, sparse);
    sgd_arithmetic arithmetic = context->arithmetic;
    arithmetic.path = path;
    return context->backend->scale(context->backend->context, &arithmetic, alpha, 1, &operand);
}

sgd_status sparse_copy_values(const sparse_context *context, const sgd_sparse *from, sgd_sparse *to, int64_t at)
{
    size_t size = sgd_dtype_size(context->dtype), count = (size_t)sparse_nnz(from) * sparse_block(from);
    int64_t from_room[LAYOUT_DIMS], to_room[LAYOUT_DIMS];
    const int64_t *from_strides = sparse_strides(from, from_room), *to_strides = sparse_strides(to, to_room);
    if (count == 0)
        return SGD_OK;
    char *out = sparse_values(to) + (size_t)(at * to_strides[0]) * size;
    if (sparse_is_contiguous(from) && sparse_is_contiguous(to)) {
        memcpy(out, sparse_values(from), count * size);
        return SGD_OK;
    }
    return context->backend->copy_strided(context->backend->context, size, from->values.ndim, from->values.shape, out,
                                          to_strides, sparse_values(from), from_strides);
}

/* ---- strided tensors --------------------------------------------------------------------------------------------------- */

/* Operands as TensorIterator lists them: the output, self, other. */
enum { OUT, SELF, OTHER };

static bool is_direct(const strided_operation *operation, int operand)
{
    return iteration_is_in_order(&operation->iteration, operand);
}

sgd_status strided_prepare(strided_operation *operation, sgd_dtype dtype, int32_t ndim, const int64_t *shape,
                           const int64_t *out, const int64_t *x, sgd_error *error)
{
    iteration_make(&(layout){.ndim = ndim, .shape = shape, .strides = {out, out, x}}, true, &operation->iteration);
    operation->numel = 1;
    for (int32_t d = 0; d < ndim; d++)
        operation->numel *= (size_t)shape[d];
    size_t bytes = operation->numel * sgd_dtype_size(dtype);
    if (is_direct(operation, OUT) && is_direct(operation, OTHER))
        return SGD_OK;
    operation->scratch = bytes < SIZE_MAX / 4 ? malloc(2 * bytes + 1) : NULL;
    return operation->scratch ? SGD_OK : sparse_no_memory("strided tensors", error);
}

void strided_clear(strided_operation *operation)
{
    free(operation->scratch);
    *operation = (strided_operation){0};
}

static sgd_status bring_in_order(const strided_operation *operation, const sparse_context *context, int operand, char *copy,
                                 const char *tensor)
{
    const iteration *it = &operation->iteration;
    return context->backend->copy_strided(context->backend->context, sgd_dtype_size(context->dtype), it->ndim, it->shape, copy,
                                          it->in_order, tensor, it->strides[operand]);
}

static sgd_status bring_back(const strided_operation *operation, const sparse_context *context, char *tensor)
{
    const iteration *it = &operation->iteration;
    return context->backend->copy_strided(context->backend->context, sgd_dtype_size(context->dtype), it->ndim, it->shape,
                                          tensor, it->strides[OUT], operation->scratch, it->in_order);
}

static sgd_status call(const sparse_context *context, strided_kind kind, double alpha, sgd_operand *operand)
{
    const sgd_backend *backend = context->backend;
    switch (kind) {
    case STRIDED_SCALE:
        operand->x = operand->out;
        return backend->scale(backend->context, &context->arithmetic, alpha, 1, operand);
    case STRIDED_ADDCMUL:
        operand->inner = layout_inner_beside_scalar(operand->inner);
        return backend->addcmul(backend->context, &context->arithmetic, -1, alpha, 1, operand);
    default:
        return backend->axpy(backend->context, &context->arithmetic, alpha, 1, operand);
    }
}

sgd_status strided_run(const strided_operation *operation, const sparse_context *context, strided_kind kind, double alpha,
                       char *out, const char *x)
{
    const iteration *it = &operation->iteration;
    bool direct = is_direct(operation, OUT);
    sgd_status status = SGD_OK;
    if (operation->numel == 0)
        return SGD_OK;
    if (!direct)
        status = bring_in_order(operation, context, OUT, operation->scratch, out);
    if (!status && x && !is_direct(operation, OTHER)) {
        char *copy = operation->scratch + operation->numel * sgd_dtype_size(context->dtype);
        status = bring_in_order(operation, context, OTHER, copy, x);
        x = copy;
    }
    char *result = direct ? out : operation->scratch;
    sgd_operand operand = {.dtype = context->dtype, .inner = it->inner, .numel = operation->numel, .row = it->row,
                           .out = result, .x = x, .y = result};
    if (!status)
        status = call(context, kind, alpha, &operand);
    return status || direct ? status : bring_back(operation, context, out);
}
