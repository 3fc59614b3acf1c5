/* iterate.c - see iterate.h. */
#include "iterate.h"

#include <string.h>

/* ---- layouts ------------------------------------------------------------------------------------------------------- */

size_t iterate_numel(size_t ndim, const int64_t *shape)
{
    size_t numel = 1;
    for (size_t d = 0; d < ndim; d++)
        numel *= (size_t)shape[d];
    return numel;
}

size_t iterate_index_offset(size_t ndim, const int64_t *shape, const int64_t *strides, size_t index)
{
    size_t offset = 0;
    for (size_t d = ndim; d-- > 0; index /= (size_t)shape[d])
        offset += index % (size_t)shape[d] * (size_t)strides[d];
    return offset;
}

/* Strides without gaps for dimensions in the order `perm`, innermost first; a size of 0 counts as 1. */
static void dense_in_order(size_t ndim, const int64_t *shape, const size_t *perm, int64_t *strides)
{
    int64_t next = 1;
    for (size_t k = 0; k < ndim; k++) {
        strides[perm[k]] = next;
        next *= shape[perm[k]] > 1 ? shape[perm[k]] : 1;
    }
}

/* Whether the strides are those of dense_in_order, dimensions of size 1 apart. */
static bool is_dense_in_order(size_t ndim, const int64_t *shape, const size_t *perm, const int64_t *strides)
{
    int64_t expected[SGD_ORACLE_DIMS];
    dense_in_order(ndim, shape, perm, expected);
    for (size_t d = 0; d < ndim; d++)
        if (shape[d] != 1 && strides[d] != expected[d])
            return false;
    return true;
}

static void reversed(size_t ndim, size_t *perm)
{
    for (size_t k = 0; k < ndim; k++)
        perm[k] = ndim - 1 - k;
}

void iterate_contiguous(size_t ndim, const int64_t *shape, int64_t *strides)
{
    size_t perm[SGD_ORACLE_DIMS];
    reversed(ndim, perm);
    dense_in_order(ndim, shape, perm, strides);
}

static bool is_contiguous(size_t ndim, const int64_t *shape, const int64_t *strides)
{
    size_t perm[SGD_ORACLE_DIMS];
    reversed(ndim, perm);
    return iterate_numel(ndim, shape) == 0 || is_dense_in_order(ndim, shape, perm, strides);
}

static const size_t channels_last[4] = {1, 3, 2, 0};

static bool is_channels_last(size_t ndim, const int64_t *shape, const int64_t *strides)
{
    return ndim == 4 && is_dense_in_order(ndim, shape, channels_last, strides);
}

bool iterate_is_dense(size_t ndim, const int64_t *shape, const int64_t *strides)
{
    if (is_contiguous(ndim, shape, strides))
        return true;
    size_t perm[SGD_ORACLE_DIMS], count = 0;
    for (size_t d = 0; d < ndim; d++) {
        if (shape[d] < 2)
            continue;
        size_t at = count++;
        for (; at > 0 && strides[perm[at - 1]] > strides[d]; at--)
            perm[at] = perm[at - 1];
        perm[at] = d;
    }
    int64_t expected = 1;
    for (size_t k = 0; k < count; expected *= shape[perm[k++]])
        if (strides[perm[k]] != expected)
            return false;
    return true;
}

bool iterate_overlaps(size_t ndim, const int64_t *shape, const int64_t *strides)
{
    bool repeats = false;
    for (size_t d = 0; d < ndim; d++)
        repeats |= strides[d] == 0 && shape[d] > 1;
    return repeats && !iterate_is_dense(ndim, shape, strides);
}

bool iterate_same_order(size_t ndim, const int64_t *shape, const int64_t *a, const int64_t *b)
{
    if (!iterate_is_dense(ndim, shape, a) || !iterate_is_dense(ndim, shape, b))
        return false;
    bool empty = iterate_numel(ndim, shape) == 0;
    for (size_t d = 0; d < ndim; d++)
        if (!empty && shape[d] > 1 && a[d] != b[d])
            return false;
    return true;
}

size_t iterate_span(size_t ndim, const int64_t *shape, const int64_t *strides)
{
    if (iterate_numel(ndim, shape) == 0)
        return 0;
    size_t last = 0;
    for (size_t d = 0; d < ndim; d++)
        last += (size_t)(shape[d] - 1) * (size_t)strides[d];
    return last + 1;
}

/* ---- the order of dimensions --------------------------------------------------------------------------------------- */

typedef enum order { INSIDE, OUTSIDE, UNDECIDED } order;

/* Where dimension a lies relative to b: the first operand that tells decides; the output comes first. */
static order compare(const operation *operation, size_t a, size_t b)
{
    for (size_t k = 0; k < operation->operands; k++) {
        const int64_t *strides = operation->strides[k];
        if (!strides || strides[a] == 0 || strides[b] == 0)
            continue;
        if (strides[a] != strides[b])
            return strides[a] < strides[b] ? INSIDE : OUTSIDE;
        if (operation->shape[a] > operation->shape[b])
            return OUTSIDE;
    }
    return UNDECIDED;
}

/* Insertion sort, as in reorder_dimensions; it is no total order, so the steps matter. */
static void order_dimensions(const operation *operation, size_t *perm)
{
    reversed(operation->ndim, perm);
    for (size_t i = 1; i < operation->ndim; i++) {
        size_t moving = i;
        for (size_t k = i; k-- > 0;) {
            order found = compare(operation, perm[k], perm[moving]);
            if (found == INSIDE)
                break;
            if (found == UNDECIDED)
                continue;
            size_t kept = perm[k];
            perm[k] = perm[moving];
            perm[moving] = kept;
            moving = k;
        }
    }
}

void iterate_like(size_t ndim, const int64_t *shape, const int64_t *strides, int64_t *out)
{
    size_t perm[SGD_ORACLE_DIMS];
    if (iterate_is_dense(ndim, shape, strides)) {
        memcpy(out, strides, ndim * sizeof *out);
        return;
    }
    order_dimensions(&(operation){.ndim = ndim, .shape = shape, .operands = 1, .strides = {strides}}, perm);
    dense_in_order(ndim, shape, perm, out);
}

/* ---- operations ---------------------------------------------------------------------------------------------------- */

typedef bool layout_test(size_t ndim, const int64_t *shape, const int64_t *strides);

static bool all(const operation *operation, layout_test *test)
{
    for (size_t k = 0; k < operation->operands; k++)
        if (operation->strides[k] && !test(operation->ndim, operation->shape, operation->strides[k]))
            return false;
    return true;
}

static bool all_strides_equal(const operation *operation)
{
    const int64_t *last = operation->strides[operation->operands - 1];
    for (size_t k = 0; k < operation->operands; k++)
        if (operation->strides[k] && memcmp(operation->strides[k], last, operation->ndim * sizeof *last) != 0)
            return false;
    return true;
}

/* Where all operands lie alike the walk is one row from the first to the last element of memory (fast_set_up). */
static bool plan_flat(const operation *operation, int64_t *result, iteration *out)
{
    size_t ndim = operation->ndim;
    const int64_t *shape = operation->shape, *last = operation->strides[operation->operands - 1];
    if (operation->has_scalar && ndim > 0)
        return false;
    if (all(operation, is_contiguous)) {
        if (!operation->strides[0])
            iterate_contiguous(ndim, shape, result);
    } else if (all(operation, is_channels_last)) {
        if (!operation->strides[0])
            dense_in_order(ndim, shape, channels_last, result);
    } else if (all(operation, iterate_is_dense) && all_strides_equal(operation)) {
        if (!operation->strides[0])
            memcpy(result, last, ndim * sizeof *result);
    } else {
        return false;
    }
    out->ndim = 1;
    out->shape[0] = (int64_t)iterate_numel(ndim, shape);
    for (size_t k = 0; k < operation->operands; k++)
        out->strides[k][0] = 1;
    out->inner = SGD_INNER_CONTIGUOUS;
    return true;
}

static bool can_merge(const iteration *iteration, size_t operands, size_t inner, size_t outer)
{
    if (iteration->shape[inner] == 1 || iteration->shape[outer] == 1)
        return true;
    for (size_t k = 0; k < operands; k++)
        if (iteration->shape[inner] * iteration->strides[k][inner] != iteration->strides[k][outer])
            return false;
    return true;
}

static void move_strides(iteration *iteration, size_t operands, size_t to, size_t from)
{
    for (size_t k = 0; k < operands; k++)
        iteration->strides[k][to] = iteration->strides[k][from];
}

static void merge_dimensions(iteration *iteration, size_t operands)
{
    size_t kept = 0;
    for (size_t d = 1; d < iteration->ndim; d++) {
        if (can_merge(iteration, operands, kept, d)) {
            if (iteration->shape[kept] == 1)
                move_strides(iteration, operands, kept, d);
            iteration->shape[kept] *= iteration->shape[d];
        } else if (++kept != d) {
            move_strides(iteration, operands, kept, d);
            iteration->shape[kept] = iteration->shape[d];
        }
    }
    iteration->ndim = kept + 1;
}

static sgd_inner inner_of(const operation *operation, const iteration *iteration)
{
    size_t broadcast = operation->has_scalar, ones = 0;
    for (size_t k = 0; k < operation->operands; k++) {
        ones += iteration->strides[k][0] == 1;
        broadcast += k > 0 && iteration->strides[k][0] == 0;
    }
    if (ones == operation->operands && !operation->has_scalar)
        return SGD_INNER_CONTIGUOUS;
    if (broadcast == 1 && ones + broadcast == operation->operands + operation->has_scalar)
        return operation->operands == 3 && iteration->strides[2][0] == 0 ? SGD_INNER_BROADCAST_OTHER : SGD_INNER_BROADCAST;
    return operation->in_place ? SGD_INNER_STRIDED_IN_PLACE : SGD_INNER_STRIDED;
}

void iterate_plan(const operation *operation, int64_t *result, iteration *out)
{
    size_t perm[SGD_ORACLE_DIMS], ndim = operation->ndim;
    if (plan_flat(operation, result, out))
        return;
    order_dimensions(operation, perm);
    if (!operation->strides[0])
        dense_in_order(ndim, operation->shape, perm, result);
    out->ndim = ndim;
    for (size_t k = 0; k < ndim; k++)
        out->shape[k] = operation->shape[perm[k]];
    for (size_t i = 0; i < operation->operands; i++)
        for (size_t k = 0; k < ndim; k++)
            out->strides[i][k] = (operation->strides[i] ? operation->strides[i] : result)[perm[k]];
    merge_dimensions(out, operation->operands);
    out->inner = inner_of(operation, out);
}

size_t iterate_offset(const iteration *iteration, size_t operand, size_t place)
{
    size_t offset = 0;
    for (size_t d = 0; d < iteration->ndim; place /= (size_t)iteration->shape[d++])
        offset += place % (size_t)iteration->shape[d] * (size_t)iteration->strides[operand][d];
    return offset;
}
