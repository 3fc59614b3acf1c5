/* sparse.c - COO tensors: descriptors, checked, and the memory behind those that the library makes.
 *
 * c10/core/SparseTensorImpl.h; the checks of indices are at::native::_validate_sparse_coo_tensor_args.
 */
#include "sparse.h"

#include <stdlib.h>
#include <string.h>

#define ALIGNMENT 64

sgd_status sparse_no_memory(const char *what, sgd_error *error)
{
    return sgd_error_set(error, SGD_ERROR_MEMORY, "no memory for %s of a sparse step", what);
}

static size_t product(const int64_t *shape, int32_t ndim)
{
    size_t numel = 1;
    for (int32_t d = 0; d < ndim; d++)
        numel *= (size_t)shape[d];
    return numel;
}

size_t sparse_numel(const sgd_sparse *sparse) { return product(sparse->shape, sparse->ndim); }
size_t sparse_block(const sgd_sparse *sparse) { return product(sparse->values.shape + 1, sparse->values.ndim - 1); }

bool sparse_is_contiguous(const sgd_sparse *sparse)
{
    const DLTensor *values = &sparse->values;
    return !values->strides || layout_is_contiguous(values->ndim, values->shape, values->strides);
}

const int64_t *sparse_strides(const sgd_sparse *sparse, int64_t room[LAYOUT_DIMS])
{
    if (sparse->values.strides)
        return sparse->values.strides;
    layout_contiguous(sparse->values.ndim, sparse->values.shape, room);
    return room;
}

/* ---- memory ------------------------------------------------------------------------------------------------------------ */

static size_t aligned(size_t bytes) { return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT; }

/* One block: indices, values, then shapes and strides. */
sgd_status sparse_make(const sgd_sparse *like, int64_t nnz, const int64_t *strides, sgd_sparse *out)
{
    int32_t ndim = like->ndim, rank = like->values.ndim;
    size_t element = like->values.dtype.bits / 8u, block = sparse_block(like), count = (size_t)nnz;
    size_t entry = (size_t)sparse_dims(like) * sizeof(int64_t) + block * element;
    size_t numbers = (size_t)ndim + 2 + 2 * (size_t)rank;
    if (entry != 0 && count > (SIZE_MAX / 2) / entry)
        return SGD_ERROR_MEMORY;
    size_t index_bytes = aligned(count * (size_t)sparse_dims(like) * sizeof(int64_t));
    size_t value_bytes = aligned(count * block * element);
    char *memory = aligned_alloc(ALIGNMENT, index_bytes + value_bytes + aligned(numbers * sizeof(int64_t)));
    if (!memory)
        return SGD_ERROR_MEMORY;

    int64_t *shape = (int64_t *)(memory + index_bytes + value_bytes);
    int64_t *index_shape = shape + ndim, *value_shape = index_shape + 2;
    DLDevice host = {kDLCPU, 0};
    memcpy(shape, like->shape, (size_t)ndim * sizeof *shape);
    index_shape[0] = sparse_dims(like);
    index_shape[1] = nnz;
    memcpy(value_shape, like->values.shape, (size_t)rank * sizeof *value_shape);
    value_shape[0] = nnz;
    if (strides)
        strides = memcpy(value_shape + rank, strides, (size_t)rank * sizeof *strides);
    *out = (sgd_sparse){
        .indices = {.data = memory, .device = host, .ndim = 2, .dtype = {kDLInt, 64, 1}, .shape = index_shape},
        .values = {.data = memory + index_bytes, .device = host, .ndim = rank, .dtype = like->values.dtype,
                   .shape = value_shape, .strides = (int64_t *)strides},
        .ndim = ndim,
        .shape = shape,
        .owned = memory};
    return SGD_OK;
}

sgd_status sparse_make_like(const sgd_sparse *like, sgd_sparse *out)
{
    int64_t room[LAYOUT_DIMS], strides[LAYOUT_DIMS];
    layout_like(like->values.ndim, like->values.shape, sparse_strides(like, room), strides);
    sgd_status status = sparse_make(like, sparse_nnz(like), sparse_is_contiguous(like) ? NULL : strides, out);
    if (status)
        return status;
    int64_t *indices = out->indices.data;
    for (int32_t d = 0; d < sparse_dims(like); d++)
        for (int64_t k = 0; k < sparse_nnz(like); k++)
            *indices++ = sparse_index(like, d, k);
    out->coalesced = like->coalesced;
    return SGD_OK;
}

void sgd_sparse_destroy(sgd_sparse *sparse)
{
    if (!sparse)
        return;
    free(sparse->owned);
    *sparse = (sgd_sparse){0};
}

/* ---- checks ------------------------------------------------------------------------------------------------------------ */

static sgd_status check_shapes(const sgd_sparse *sparse, const char *what, size_t index, sgd_error *error)
{
    const DLTensor *indices = &sparse->indices, *values = &sparse->values;
    if (sparse->ndim < 0 || sparse->ndim >= LAYOUT_DIMS || (sparse->ndim > 0 && !sparse->shape))
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "%s %zu has no shape, or more than %d dimensions", what, index,
                             LAYOUT_DIMS - 1);
    if (indices->ndim != 2 || !indices->shape || indices->shape[0] < 0 || indices->shape[1] < 0)
        return sgd_error_set(error, SGD_ERROR_SHAPE, "%s %zu: indices must be of shape (sparse dims, entries)", what, index);
    int64_t dims = indices->shape[0];
    bool fits = dims <= sparse->ndim && values->ndim == 1 + sparse->ndim - dims && values->shape &&
                values->shape[0] == indices->shape[1];
    for (int32_t d = 1; fits && d < values->ndim; d++)
        fits = values->shape[d] == sparse->shape[dims + d - 1];
    return fits ? SGD_OK
                : sgd_error_set(error, SGD_ERROR_SHAPE, "%s %zu: indices, values and shape do not fit each other", what, index);
}

static sgd_status check_index_memory(const sgd_sparse *sparse, const char *what, size_t index, sgd_error *error)
{
    const DLTensor *indices = &sparse->indices;
    bool some = indices->shape[0] > 0 && indices->shape[1] > 0;
    if (indices->device.device_type != kDLCPU || sparse->values.device.device_type != kDLCPU)
        return sgd_error_set(error, SGD_ERROR_DEVICE, "%s %zu: sparse tensors must be in host memory", what, index);
    if (indices->dtype.code != kDLInt || indices->dtype.bits != 64 || indices->dtype.lanes != 1)
        return sgd_error_set(error, SGD_ERROR_DTYPE, "%s %zu: indices must be int64", what, index);
    if (some && !indices->data)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "%s %zu has no data", what, index);
    if (some && ((uintptr_t)indices->data + indices->byte_offset) % sizeof(int64_t) != 0)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "%s %zu: indices are not aligned to 8 bytes", what, index);
    if (indices->strides && (indices->strides[0] < 0 || indices->strides[1] < 0))
        return sgd_error_set(error, SGD_ERROR_LAYOUT, "%s %zu has a negative stride", what, index);
    return SGD_OK;
}

static sgd_status check_indices(const sgd_sparse *sparse, sgd_error *error)
{
    for (int32_t d = 0; d < sparse_dims(sparse); d++) {
        int64_t least = 0, most = -1;
        for (int64_t k = 0; k < sparse_nnz(sparse); k++) {
            int64_t at = sparse_index(sparse, d, k);
            least = at < least ? at : least;
            most = at > most ? at : most;
        }
        if (least < 0)
            return sgd_error_set(error, SGD_ERROR_RUNTIME, "found negative index %lld for dim %d", (long long)least, (int)d);
        if (most >= sparse->shape[d])
            return sgd_error_set(error, SGD_ERROR_RUNTIME,
                                 "size is inconsistent with indices: for dim %d, size is %lld but found index %lld", (int)d,
                                 (long long)sparse->shape[d], (long long)most);
    }
    return SGD_OK;
}

sgd_status sparse_check(const sgd_sparse *sparse, const char *what, size_t index, sgd_dtype *dtype, sgd_error *error)
{
    static const sgd_backend host = {.name = "of sparse tensors", .dl_device = kDLCPU};
    tensor_view values;
    sgd_status status = check_shapes(sparse, what, index, error);
    if (!status)
        status = check_index_memory(sparse, what, index, error);
    if (!status)
        status = tensor_view_check(&sparse->values, &host, what, index, &values, error);
    if (!status)
        status = check_indices(sparse, error);
    if (!status)
        *dtype = values.dtype;
    return status;
}

/* ---- public ------------------------------------------------------------------------------------------------------------ */

sgd_status sgd_sparse_clone(const sgd_sparse *sparse, sgd_sparse *out, sgd_error *error)
{
    if (!sparse || !out)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "%s is NULL", sparse ? "out" : "sparse");
    sparse_context context = {.backend = sgd_backend_cpu(SGD_ISA_SCALAR)};
    sgd_sparse clone;
    sgd_status status = sparse_check(sparse, "tensor", 0, &context.dtype, error);
    if (status)
        return status;
    if (sparse_make_like(sparse, &clone))
        return sparse_no_memory("a clone", error);
    sparse_copy_values(&context, sparse, &clone, 0);
    *out = clone;
    return SGD_OK;
}
