/* sparse_sum.c - the operations on sparse tensors that a step is made of, each as PyTorch computes it.
 *
 * ATen/native/sparse/SparseTensorMath.cpp: add_out_sparse_cpu, add_out_dense_sparse_cpu, neg_out_sparse, _mul_dense_sparse_out;
 * SparseTensor.cpp: _coalesce_sparse_cpu, copy_sparse_to_sparse_.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "iterate.h"
#include "sparse_parts.h"

static bool out_of_memory(const coo_step *step) { return coo_refuse(step, "out of memory"); }

static bool is_half(sgd_dtype dtype) { return dtype == SGD_F16 || dtype == SGD_BF16; }

/* ---- shapes ------------------------------------------------------------------------------------------------------------ */

/* The shape of the values; answers its number of dimensions. */
static size_t values_shape(const coo_step *step, const sgd_oracle_sparse *sparse, int64_t *shape)
{
    size_t dense = step->ndim - sparse->sparse_dim;
    shape[0] = (int64_t)sparse->nnz;
    if (dense)
        memcpy(shape + 1, step->shape + sparse->sparse_dim, dense * sizeof *shape);
    return dense + 1;
}

size_t coo_block(const coo_step *step, const sgd_oracle_sparse *sparse)
{
    return iterate_numel(step->ndim - sparse->sparse_dim, step->shape + sparse->sparse_dim);
}

void *coo_entry(const coo_step *step, const sgd_oracle_sparse *sparse, size_t entry)
{
    return (char *)sparse->values + entry * (size_t)sparse->strides[0] * step->size;
}

static bool is_contiguous(const coo_step *step, const sgd_oracle_sparse *sparse)
{
    int64_t shape[SGD_ORACLE_DIMS + 1], next = 1;
    size_t rank = values_shape(step, sparse, shape);
    if (iterate_numel(rank, shape) == 0)
        return true;
    for (size_t d = rank; d-- > 0; next *= shape[d])
        if (shape[d] != 1 && sparse->strides[d] != next)
            return false;
    return true;
}

/* ---- new tensors ------------------------------------------------------------------------------------------------------- */

/* Contiguous values of zeros, indices unset. */
static bool make(const coo_step *step, size_t sparse_dim, size_t nnz, sgd_oracle_sparse *out)
{
    int64_t shape[SGD_ORACLE_DIMS + 1];
    *out = (sgd_oracle_sparse){.sparse_dim = sparse_dim, .nnz = nnz};
    size_t rank = values_shape(step, out, shape);
    iterate_contiguous(rank, shape, out->strides);
    out->indices = malloc(sparse_dim * nnz * sizeof *out->indices + 1);
    out->values = calloc(nnz * coo_block(step, out) + 1, step->size);
    return (out->indices && out->values) || out_of_memory(step);
}

void sgd_oracle_sparse_free(sgd_oracle_sparse *sparse)
{
    free(sparse->indices);
    free(sparse->values);
    *sparse = (sgd_oracle_sparse){0};
}

/* All elements of `from` to the entries of `out` from `at` on, whatever their layouts. */
static void copy_values(const coo_step *step, const sgd_oracle_sparse *from, sgd_oracle_sparse *out, size_t at)
{
    int64_t shape[SGD_ORACLE_DIMS + 1];
    size_t rank = values_shape(step, from, shape), numel = iterate_numel(rank, shape);
    for (size_t i = 0; i < numel; i++)
        memcpy((char *)coo_entry(step, out, at) + step->size * iterate_index_offset(rank, shape, out->strides, i),
               (const char *)from->values + step->size * iterate_index_offset(rank, shape, from->strides, i), step->size);
}

static void copy_index(sgd_oracle_sparse *to, size_t at, const sgd_oracle_sparse *from, size_t entry)
{
    for (size_t d = 0; d < from->sparse_dim; d++)
        to->indices[d * to->nnz + at] = from->indices[d * from->nnz + entry];
}

static void copy_indices(sgd_oracle_sparse *to, size_t at, const sgd_oracle_sparse *from)
{
    for (size_t k = 0; k < from->nnz; k++)
        copy_index(to, at + k, from, k);
}

bool coo_clone(const coo_step *step, const sgd_oracle_sparse *from, sgd_oracle_sparse *out)
{
    int64_t shape[SGD_ORACLE_DIMS + 1];
    if (!make(step, from->sparse_dim, from->nnz, out))
        return false;
    if (!is_contiguous(step, from))
        iterate_like(values_shape(step, from, shape), shape, from->strides, out->strides);
    copy_indices(out, 0, from);
    copy_values(step, from, out, 0);
    out->coalesced = from->coalesced;
    return true;
}

/* ---- operations on one -------------------------------------------------------------------------------------------------- */

static size_t values_numel(const coo_step *step, const sgd_oracle_sparse *sparse)
{
    return sparse->nnz * coo_block(step, sparse);
}

bool coo_negate(const coo_step *step, const sgd_oracle_sparse *from, sgd_oracle_sparse *out)
{
    return coo_clone(step, from, out) && coo_negate_values(step, out->values, values_numel(step, out));
}

/* buf.mul_(momentum): of a tensor without elements no entry is left; the flag is that of a new tensor. */
bool coo_scale_buffer(const coo_step *step, const sgd_oracle_sparse *from, sgd_oracle_sparse *out)
{
    if (step->numel == 0) {
        bool made = make(step, from->sparse_dim, 0, out);
        out->coalesced = true;
        return made;
    }
    if (!coo_clone(step, from, out))
        return false;
    out->coalesced = out->nnz < 2;
    return coo_scale_values(step, BUFFER, step->options->momentum, out->values, values_numel(step, out));
}

/* The first entry of each index is copied, the others are added to it. */
static bool sum_sorted(const coo_step *step, const sgd_oracle_sparse *from, const int64_t *keys, const size_t *order,
                       sgd_oracle_sparse *out)
{
    size_t count = 0, block = coo_block(step, from);
    for (size_t i = 0; i < from->nnz; i++)
        count += i == 0 || keys[order[i]] != keys[order[i - 1]];
    if (!make(step, from->sparse_dim, count, out))
        return false;
    size_t at = (size_t)-1;
    for (size_t i = 0; i < from->nnz; i++) {
        const void *entry = coo_entry(step, from, order[i]);
        if (i > 0 && keys[order[i]] == keys[order[i - 1]]) {
            if (!coo_add_entry(step, step->options->contract, 1, coo_entry(step, out, at), entry, block))
                return false;
            continue;
        }
        at++;
        copy_index(out, at, from, order[i]);
        memcpy(coo_entry(step, out, at), entry, block * step->size);
    }
    return true;
}

bool coo_coalesce(const coo_step *step, const sgd_oracle_sparse *from, sgd_oracle_sparse *out)
{
    if (from->nnz < 2 || from->coalesced) {
        bool cloned = coo_clone(step, from, out);
        out->coalesced = true;
        return cloned;
    }
    sgd_oracle_sparse contiguous;
    int64_t *keys = calloc(from->nnz, sizeof *keys);
    size_t *order = malloc(from->nnz * sizeof *order);
    bool done = make(step, from->sparse_dim, from->nnz, &contiguous) && keys && order;
    if (done) {
        copy_indices(&contiguous, 0, from);
        copy_values(step, from, &contiguous, 0);
        for (size_t k = 0; k < from->nnz; k++)
            for (size_t d = 0; d < from->sparse_dim; d++)
                keys[k] = keys[k] * step->shape[d] + from->indices[d * from->nnz + k];
        done = coo_order(keys, from->nnz, order);
    }
    done = done ? sum_sorted(step, &contiguous, keys, order, out) : out_of_memory(step);
    out->coalesced = true;
    sgd_oracle_sparse_free(&contiguous);
    free(keys);
    free(order);
    return done;
}

/* ---- sparse + sparse ---------------------------------------------------------------------------------------------------- */

/* Below 0 where entry i of t comes before entry j of g. */
static int compare(const sgd_oracle_sparse *t, size_t i, const sgd_oracle_sparse *g, size_t j)
{
    for (size_t d = 0; d < t->sparse_dim; d++) {
        int64_t x = t->indices[d * t->nnz + i], y = g->indices[d * g->nnz + j];
        if (x != y)
            return x < y ? -1 : 1;
    }
    return 0;
}

/* Cuts a tensor with room for more entries down to those that it has. */
static void narrow(sgd_oracle_sparse *sparse, size_t nnz)
{
    for (size_t d = 1; d < sparse->sparse_dim; d++)
        memmove(sparse->indices + d * nnz, sparse->indices + d * sparse->nnz, nnz * sizeof *sparse->indices);
    sparse->nnz = nnz;
}

/* add_out_sparse_contiguous: two sorted lists merged, and two unsorted ones by the same loop. */
static bool merge(const coo_step *step, const sgd_oracle_sparse *t, const sgd_oracle_sparse *g, double alpha,
                  sgd_oracle_sparse *out)
{
    size_t block = coo_block(step, g), i = 0, j = 0, at = 0;
    sgd_contract contract = step->options->contract;
    if (!make(step, g->sparse_dim, t->nnz + g->nnz, out))
        return false;
    for (; i < t->nnz || j < g->nnz; at++) {
        int order = i >= t->nnz ? 1 : j >= g->nnz ? -1 : compare(t, i, g, j);
        void *sum = coo_entry(step, out, at);
        if (order <= 0) {
            copy_index(out, at, t, i);
            if (!coo_add_entry(step, contract, 1, sum, coo_entry(step, t, i++), block))
                return false;
        }
        if (order >= 0) {
            copy_index(out, at, g, j);
            if (!coo_add_entry(step, contract, alpha, sum, coo_entry(step, g, j++), block))
                return false;
        }
    }
    narrow(out, at);
    out->coalesced = t->coalesced && g->coalesced;
    return true;
}

/* add_out_sparse_non_contiguous: one list behind the other, coalesced where that is longer than the tensor. */
static bool concatenate(const coo_step *step, const sgd_oracle_sparse *t, const sgd_oracle_sparse *g, double alpha,
                        sgd_oracle_sparse *out)
{
    sgd_oracle_sparse scaled = {0}, both = {0};
    bool wide = step->dtype == SGD_F64 || step->dtype == SGD_C128, one = wide ? alpha == 1 : (float)alpha == 1;
    bool done = make(step, g->sparse_dim, t->nnz + g->nnz, &both) && coo_clone(step, g, &scaled) &&
                (one || coo_scale_values(step, SUM, alpha, scaled.values, values_numel(step, g)));
    if (done) {
        copy_indices(&both, 0, t);
        copy_values(step, t, &both, 0);
        copy_indices(&both, t->nnz, g);
        copy_values(step, &scaled, &both, t->nnz);
    }
    sgd_oracle_sparse_free(&scaled);
    if (!done || both.nnz <= step->numel) {
        *out = both;
        return done;
    }
    done = coo_coalesce(step, &both, out);
    out->coalesced = out->nnz < 2;
    sgd_oracle_sparse_free(&both);
    return done;
}

bool coo_sum(const coo_step *step, const sgd_oracle_sparse *t, const sgd_oracle_sparse *g, double alpha,
             sgd_oracle_sparse *out)
{
    if (g->nnz == 0)
        return coo_clone(step, t, out);
    if (t->nnz == 0)
        return coo_clone(step, g, out) && coo_scale_values(step, SUM, alpha, out->values, values_numel(step, g));
    if (t->sparse_dim != g->sparse_dim)
        return coo_refuse(step,
                          "RuntimeError: add: expected 'self' and 'other' to have same density, but 'self' has %zu sparse "
                          "dimensions while 'other' has %zu sparse dimensions",
                          t->sparse_dim, g->sparse_dim);
    bool contiguous = is_contiguous(step, t) && is_contiguous(step, g);
    if (step->dtype == SGD_F16 || (is_half(step->dtype) && !contiguous))
        return coo_refuse(step, "NotImplementedError: \"%s\" not implemented for '%s'",
                          contiguous ? "cadd_sparse" : "add_out_sparse_cpu", step->dtype == SGD_F16 ? "Half" : "BFloat16");
    return coo_check_alpha(step, alpha) && (contiguous ? merge : concatenate)(step, t, g, alpha, out);
}

/* ---- dense + sparse ----------------------------------------------------------------------------------------------------- */

static size_t place_of(const sgd_oracle_sparse *sparse, const int64_t *strides, size_t entry)
{
    size_t place = 0;
    for (size_t d = 0; d < sparse->sparse_dim; d++)
        place += (size_t)(strides[d] * sparse->indices[d * sparse->nnz + entry]);
    return place;
}

/* Each row through at::add_: a step of the oracle's with nothing but lr.  More than 100 rows are spread over threads, in which
 * no row is spread further. */
static bool add_strided_rows(const coo_step *step, char *memory, const int64_t *strides, const sgd_oracle_sparse *sparse,
                             double alpha)
{
    size_t dense = step->ndim - sparse->sparse_dim;
    sgd_oracle_options options = {.contract = step->options->contract,
                                  .path = SGD_FORLOOP,
                                  .torch_threads = sparse->nnz > 100 ? 1 : step->options->torch_threads,
                                  .lr = -alpha};
    sgd_oracle_layout layout = {.ndim = (uint32_t)dense};
    for (size_t d = 0; d < dense; d++) {
        layout.shape[d] = step->shape[sparse->sparse_dim + d];
        layout.param_strides[d] = strides[sparse->sparse_dim + d];
        layout.grad_strides[d] = sparse->strides[1 + d];
    }
    for (size_t k = 0; k < sparse->nnz; k++) {
        sgd_oracle_tensor row = {.dtype = step->dtype,
                                 .numel = coo_block(step, sparse),
                                 .param = memory + step->size * place_of(sparse, strides, k),
                                 .grad = coo_entry(step, sparse, k),
                                 .layout = &layout};
        if (row.numel > 0 && !sgd_oracle_step(step->oracle, &options, &row, 1))
            return coo_refuse(step, "a row of a strided tensor is not taken");
    }
    return true;
}

bool coo_add_to_dense(const coo_step *step, void *memory, const int64_t *strides, const sgd_oracle_sparse *sparse,
                      double alpha)
{
    int64_t expected[SGD_ORACLE_DIMS];
    bool contiguous = step->numel > 0 && is_contiguous(step, sparse), coalesced = sparse->coalesced || sparse->nnz == 1;
    iterate_contiguous(step->ndim, step->shape, expected);
    for (size_t d = 0; d < step->ndim; d++)
        contiguous &= step->shape[d] == 1 || strides[d] == expected[d];
    if (sparse->nnz == 0)
        return true;
    if (!coo_check_alpha(step, alpha))
        return false;
    if (!contiguous || (!coalesced && sparse->sparse_dim == 0)) {
        sgd_oracle_sparse sums = {0};
        bool done = coo_coalesce(step, sparse, &sums);
        /* A tensor that is coalesced is not copied: its rows lie as they did. */
        done = done && add_strided_rows(step, memory, strides, sparse->coalesced ? sparse : &sums, alpha);
        sgd_oracle_sparse_free(&sums);
        return done;
    }
    bool element = coalesced && sparse->sparse_dim == step->ndim;
    sgd_contract contract = element ? SGD_TORCH_2_13_CPU_BASE : step->options->contract;
    for (size_t k = 0; k < sparse->nnz; k++)
        if (!coo_add_entry(step, contract, alpha, (char *)memory + step->size * place_of(sparse, strides, k),
                           coo_entry(step, sparse, k), coo_block(step, sparse)))
            return false;
    return true;
}
