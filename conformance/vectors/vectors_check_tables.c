/* vectors_check_tables.c - arrays, layouts, options, sparse tensors: whatever problems and cases refer to; see vectors.h. */
#include "vectors_checker.h"

static bool check_arrays(const checker *check)
{
    const vectors *v = check->file;
    for (size_t i = 0; i < v->array.count; i++) {
        uint8_t dtype = v->array.dtype[i];
        if (v->array.kind[i] >= VECTORS_KIND_COUNT)
            return check_wrong(check, "array/kind", i, v->array.kind[i], "is no kind of array");
        if (dtype >= SGD_DTYPE_COUNT && dtype != VECTORS_I64)
            return check_wrong(check, "array/dtype", i, dtype, "is no dtype");
        if (dtype == VECTORS_I64 && v->array.kind[i] != VECTORS_STORED)
            return check_wrong(check, "array/kind", i, v->array.kind[i], "is not for integers, which are always stored");
        if (v->array.numel[i] > VECTORS_MAX_NUMEL)
            return check_wrong(check, "array/numel", i, v->array.numel[i], "elements are more than an array may have");
        if (v->array.kind[i] != VECTORS_STORED)
            continue;
        size_t word = vectors_word_size(dtype);
        uint64_t stored = word == 2 ? v->u16.count : word == 4 ? v->u32.count : v->u64.count;
        uint64_t words = v->array.numel[i] * (dtype == SGD_C64 || dtype == SGD_C128 ? 2 : 1);
        if (!range_fits(v->array.where[i], words, stored))
            return check_wrong(check, "array/where", i, v->array.where[i],
                               "with the array's length lies beyond the stored bits");
    }
    return true;
}

/* Neither the number of elements nor the memory that a layout spans may be more than a tensor may have. */
static bool check_layout(const checker *check, size_t row)
{
    const vectors *v = check->file;
    uint64_t begin = v->layout.dim_begin[row], ndim = v->layout.ndim[row], numel = 1, last = v->layout.offset[row];
    if (ndim > VECTORS_MAX_DIMS)
        return check_wrong(check, "layout/ndim", row, ndim, "dimensions are more than a tensor may have");
    if (!range_fits(begin, ndim, v->dim.count))
        return check_wrong(check, "layout/dim_begin", row, begin, "with the layout's ndim lies beyond table dim");
    if (last >= VECTORS_MAX_NUMEL)
        return check_wrong(check, "layout/offset", row, last, "lies beyond the memory that a tensor may have");
    for (uint64_t dim = begin; dim < begin + ndim; dim++) {
        uint64_t size = v->dim.size[dim], stride = v->dim.stride[dim];
        if (size > VECTORS_MAX_NUMEL || numel * (size ? size : 1) > VECTORS_MAX_NUMEL)
            return check_wrong(check, "dim/size", dim, size, "makes more elements than a tensor may have");
        numel *= size ? size : 1;
        if (stride > VECTORS_MAX_NUMEL || last + (size ? size - 1 : 0) * stride >= VECTORS_MAX_NUMEL)
            return check_wrong(check, "dim/stride", dim, stride, "leads beyond the memory that a tensor may have");
        last += (size ? size - 1 : 0) * stride;
    }
    return true;
}

static bool check_options(const checker *check)
{
    const vectors *v = check->file;
    for (size_t i = 0; i < v->option.count; i++) {
        if (v->option.nesterov[i] > 1)
            return check_wrong(check, "option/nesterov", i, v->option.nesterov[i], "is neither 0 nor 1");
        if (v->option.maximize[i] > 1)
            return check_wrong(check, "option/maximize", i, v->option.maximize[i], "is neither 0 nor 1");
    }
    for (size_t i = 0; i < v->scalar.count; i++) {
        if (v->scalar.dtype[i] >= SGD_DTYPE_COUNT)
            return check_wrong(check, "scalar/dtype", i, v->scalar.dtype[i], "is no dtype");
        if (v->scalar.dtype[i] == SGD_C64 || v->scalar.dtype[i] == SGD_C128)
            return check_wrong(check, "scalar/dtype", i, v->scalar.dtype[i], "is no dtype of a hyper-parameter");
        if (v->scalar.ndim[i] > VECTORS_MAX_SCALAR_DIMS)
            return check_wrong(check, "scalar/ndim", i, v->scalar.ndim[i], "dimensions are more than an option may have");
        if (v->scalar.requires_grad[i] > 1)
            return check_wrong(check, "scalar/requires_grad", i, v->scalar.requires_grad[i], "is neither 0 nor 1");
    }
    for (size_t i = 0; i < v->scaling.count; i++) {
        if (v->scaling.has_grad_scale[i] > 1)
            return check_wrong(check, "scaling/has_grad_scale", i, v->scaling.has_grad_scale[i], "is neither 0 nor 1");
        if (v->scaling.has_found_inf[i] > 1)
            return check_wrong(check, "scaling/has_found_inf", i, v->scaling.has_found_inf[i], "is neither 0 nor 1");
    }
    return true;
}

/* ---- sparse tensors ------------------------------------------------------------------------------------------------ */

/* Every index lies in the tensor. */
static bool check_indices(const checker *check, size_t row)
{
    const vectors *v = check->file;
    const int64_t *indices = vectors_stored(v, v->sparse.indices[row]);
    uint64_t nnz = v->sparse.nnz[row];
    for (size_t d = 0; d < v->sparse.sparse_dim[row]; d++) {
        uint64_t size = v->dim.size[v->layout.dim_begin[v->sparse.layout[row]] + d];
        for (uint64_t k = 0; k < nnz; k++)
            if ((uint64_t)indices[d * nnz + k] >= size)
                return check_wrong(check, "sparse/indices", row, v->sparse.indices[row], "holds an index beyond the tensor");
    }
    return true;
}

static bool check_sparse(const checker *check, size_t row)
{
    const vectors *v = check->file;
    uint32_t layout = v->sparse.layout[row], indices = v->sparse.indices[row], values = v->sparse.values[row];
    uint64_t sparse_dim = v->sparse.sparse_dim[row], nnz = v->sparse.nnz[row], dense = 1;
    if (layout >= v->layout.count)
        return check_wrong(check, "sparse/layout", row, layout, "is no row of layout");
    if (!sparse_dim || sparse_dim > v->layout.ndim[layout])
        return check_wrong(check, "sparse/sparse_dim", row, sparse_dim, "is no number of the tensor's dimensions");
    if (v->sparse.coalesced[row] > 1)
        return check_wrong(check, "sparse/coalesced", row, v->sparse.coalesced[row], "is neither 0 nor 1");
    if (nnz > VECTORS_MAX_NUMEL)
        return check_wrong(check, "sparse/nnz", row, nnz, "elements are more than a tensor may have");
    for (uint64_t d = sparse_dim; d < v->layout.ndim[layout]; d++)
        dense *= v->dim.size[v->layout.dim_begin[layout] + d];
    if (indices >= v->array.count || v->array.dtype[indices] != VECTORS_I64 || v->array.numel[indices] != sparse_dim * nnz)
        return check_wrong(check, "sparse/indices", row, indices, "is no array of sparse_dim * nnz indices");
    if (values >= v->array.count || v->array.dtype[values] == VECTORS_I64 || v->array.numel[values] != nnz * dense)
        return check_wrong(check, "sparse/values", row, values, "is no array of nnz values");
    return check_indices(check, row);
}

bool check_referred_tables(const checker *check)
{
    if (!check_arrays(check))
        return false;
    for (size_t i = 0; i < check->file->layout.count; i++)
        if (!check_layout(check, i))
            return false;
    if (!check_options(check))
        return false;
    for (size_t i = 0; i < check->file->sparse.count; i++)
        if (!check_sparse(check, i))
            return false;
    return true;
}
