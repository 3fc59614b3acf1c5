/* layout.c - see layout.h. */
#include "layout.h"

#include <string.h>

static int64_t numel_of(int32_t ndim, const int64_t *shape)
{
    int64_t numel = 1;
    for (int32_t d = 0; d < ndim; d++)
        numel *= shape[d];
    return numel;
}

/* Strides with dimension order[0] innermost. */
static void strides_in_order(int32_t ndim, const int64_t *shape, const int32_t *order, int64_t *strides)
{
    int64_t next = 1;
    for (int32_t i = 0; i < ndim; i++) {
        strides[order[i]] = next;
        next *= shape[order[i]] > 1 ? shape[order[i]] : 1;
    }
}

static void last_dimension_first(int32_t ndim, int32_t *order)
{
    for (int32_t i = 0; i < ndim; i++)
        order[i] = ndim - 1 - i;
}

void layout_contiguous(int32_t ndim, const int64_t *shape, int64_t *strides)
{
    int32_t order[LAYOUT_DIMS];
    last_dimension_first(ndim, order);
    strides_in_order(ndim, shape, order, strides);
}

/* Dimensions of extent 1 may have any stride. */
static bool is_in_order(int32_t ndim, const int64_t *shape, const int32_t *order, const int64_t *strides)
{
    int64_t expected = 1;
    for (int32_t i = 0; i < ndim; i++) {
        int32_t d = order[i];
        if (shape[d] != 1 && strides[d] != expected)
            return false;
        expected *= shape[d];
    }
    return true;
}

bool layout_is_contiguous(int32_t ndim, const int64_t *shape, const int64_t *strides)
{
    int32_t order[LAYOUT_DIMS];
    last_dimension_first(ndim, order);
    return numel_of(ndim, shape) == 0 || is_in_order(ndim, shape, order, strides);
}

static const int32_t channels_last[4] = {1, 3, 2, 0};

static bool is_channels_last(int32_t ndim, const int64_t *shape, const int64_t *strides)
{
    return ndim == 4 && is_in_order(4, shape, channels_last, strides);
}

/* c10::TensorImpl::compute_non_overlapping_and_dense: some order of the dimensions fills the memory. */
static bool is_dense(int32_t ndim, const int64_t *shape, const int64_t *strides)
{
    int32_t order[LAYOUT_DIMS], count = 0;
    if (numel_of(ndim, shape) == 0)
        return true;
    for (int32_t d = 0; d < ndim; d++) {
        if (shape[d] < 2)
            continue;
        int32_t at = count++;
        for (; at > 0 && strides[order[at - 1]] > strides[d]; at--)
            order[at] = order[at - 1];
        order[at] = d;
    }
    return is_in_order(count, shape, order, strides);
}

bool layout_overlaps(int32_t ndim, const int64_t *shape, const int64_t *strides)
{
    for (int32_t d = 0; d < ndim; d++)
        if (strides[d] == 0 && shape[d] > 1)
            return numel_of(ndim, shape) > 0;
    return false;
}

/* ---- TensorIterator's fast set-ups ------------------------------------------------------------------------------------ */

typedef bool predicate(int32_t ndim, const int64_t *shape, const int64_t *strides);

static bool all_are(const layout *layout, predicate *is)
{
    for (int i = 0; i < LAYOUT_OPERANDS; i++)
        if (layout->strides[i] && !is(layout->ndim, layout->shape, layout->strides[i]))
            return false;
    return true;
}

static const int64_t *first_strides(const layout *layout)
{
    int i = 0;
    while (!layout->strides[i])
        i++;
    return layout->strides[i];
}

static bool all_equal(const layout *layout)
{
    const int64_t *first = first_strides(layout);
    for (int i = 0; i < LAYOUT_OPERANDS; i++)
        if (layout->strides[i] && layout->ndim &&
            memcmp(layout->strides[i], first, (size_t)layout->ndim * sizeof *first))
            return false;
    return true;
}

bool layout_is_flat(const layout *layout)
{
    return all_are(layout, layout_is_contiguous) || all_are(layout, is_channels_last) ||
           (all_are(layout, is_dense) && all_equal(layout));
}

/* ---- order of dimensions ---------------------------------------------------------------------------------------------- */

/* TensorIteratorBase::reorder_dimensions' should_swap: below 0 where `inner` belongs inside `outer`, above 0 the other way. */
static int compare_dimensions(const layout *layout, int32_t inner, int32_t outer)
{
    for (int i = 0; i < LAYOUT_OPERANDS; i++) {
        const int64_t *strides = layout->strides[i];
        if (!strides || strides[inner] == 0 || strides[outer] == 0)
            continue;
        if (strides[inner] != strides[outer])
            return strides[inner] < strides[outer] ? -1 : 1;
        if (layout->shape[inner] > layout->shape[outer])
            return 1;
    }
    return 0;
}

/* An insertion sort in which undecided pairs are passed over. */
static void order_dimensions(const layout *layout, int32_t *order)
{
    last_dimension_first(layout->ndim, order);
    for (int32_t i = 1; i < layout->ndim; i++) {
        int32_t moving = i;
        for (int32_t e = i - 1; e >= 0; e--) {
            int comparison = compare_dimensions(layout, order[e], order[moving]);
            if (comparison < 0)
                break;
            if (comparison > 0) {
                int32_t kept = order[e];
                order[e] = order[moving];
                order[moving] = kept;
                moving = e;
            }
        }
    }
}

void layout_result(const layout *inputs, int64_t *out)
{
    int32_t order[LAYOUT_DIMS];
    if (all_are(inputs, layout_is_contiguous)) {
        layout_contiguous(inputs->ndim, inputs->shape, out);
    } else if (all_are(inputs, is_channels_last)) {
        strides_in_order(4, inputs->shape, channels_last, out);
    } else if (all_are(inputs, is_dense) && all_equal(inputs)) {
        memcpy(out, first_strides(inputs), (size_t)inputs->ndim * sizeof *out);
    } else {
        order_dimensions(inputs, order);
        strides_in_order(inputs->ndim, inputs->shape, order, out);
    }
}

void layout_like(int32_t ndim, const int64_t *shape, const int64_t *strides, int64_t *out)
{
    int32_t order[LAYOUT_DIMS];
    if (is_dense(ndim, shape, strides)) {
        memcpy(out, strides, (size_t)ndim * sizeof *out);
        return;
    }
    order_dimensions(&(layout){.ndim = ndim, .shape = shape, .strides = {strides}}, order);
    strides_in_order(ndim, shape, order, out);
}

/* ---- iterations -------------------------------------------------------------------------------------------------------- */

static bool can_merge(const iteration *it, int32_t inner, int32_t outer)
{
    if (it->shape[inner] == 1 || it->shape[outer] == 1)
        return true;
    for (int i = 0; i < LAYOUT_OPERANDS; i++)
        if (it->strides[i][outer] != it->shape[inner] * it->strides[i][inner])
            return false;
    return true;
}

static void take_strides(iteration *it, int32_t to, int32_t from)
{
    for (int i = 0; i < LAYOUT_OPERANDS; i++)
        it->strides[i][to] = it->strides[i][from];
}

/* TensorIteratorBase::coalesce_dimensions */
static void merge_dimensions(iteration *it)
{
    int32_t last = 0;
    for (int32_t d = 1; d < it->ndim; d++) {
        if (can_merge(it, last, d)) {
            if (it->shape[last] == 1)
                take_strides(it, last, d);
            it->shape[last] *= it->shape[d];
            continue;
        }
        last++;
        take_strides(it, last, d);
        it->shape[last] = it->shape[d];
    }
    it->ndim = it->ndim ? last + 1 : 0;
}

/* ATen/native/cpu/Loops.h: is_contiguous, is_contiguous_scalar. */
static sgd_inner inner_of(const iteration *it, const layout *operands, bool in_place)
{
    int broadcast = 0;
    for (int i = 0; i < LAYOUT_OPERANDS; i++) {
        if (i > 0 && !operands->strides[i])
            continue;
        if (i > 0 && it->strides[i][0] == 0)
            broadcast++;
        else if (it->strides[i][0] != 1)
            broadcast = LAYOUT_OPERANDS;
    }
    if (it->ndim == 0 || broadcast > 1)
        return in_place ? SGD_INNER_STRIDED_IN_PLACE : SGD_INNER_STRIDED;
    if (broadcast)
        return operands->strides[2] && it->strides[2][0] == 0 ? SGD_INNER_BROADCAST_OTHER : SGD_INNER_BROADCAST;
    return SGD_INNER_CONTIGUOUS;
}

sgd_inner layout_inner_beside_scalar(sgd_inner inner)
{
    bool broadcast = inner == SGD_INNER_BROADCAST || inner == SGD_INNER_BROADCAST_OTHER;
    return broadcast ? SGD_INNER_STRIDED_IN_PLACE : inner;
}

static void make_flat(const layout *operands, iteration *out)
{
    out->ndim = 1;
    out->shape[0] = numel_of(operands->ndim, operands->shape);
    out->in_order[0] = 1;
    for (int i = 0; i < LAYOUT_OPERANDS; i++)
        out->strides[i][0] = 1;
    memcpy(out->index, first_strides(operands), (size_t)operands->ndim * sizeof *out->index);
    out->row = 0;
    out->inner = SGD_INNER_CONTIGUOUS;
}

void iteration_make(const layout *operands, bool in_place, iteration *out)
{
    if (layout_is_flat(operands)) {
        make_flat(operands, out);
        return;
    }
    int32_t order[LAYOUT_DIMS];
    order_dimensions(operands, order);
    strides_in_order(operands->ndim, operands->shape, order, out->index);
    out->ndim = operands->ndim;
    for (int32_t d = 0; d < operands->ndim; d++) {
        out->shape[d] = operands->shape[order[d]];
        for (int i = 0; i < LAYOUT_OPERANDS; i++) {
            const int64_t *strides = operands->strides[i];
            out->strides[i][d] = (strides ? strides : out->index)[order[d]]; /* a missing input moves with the result */
        }
    }
    merge_dimensions(out);
    out->inner = inner_of(out, operands, in_place);
    out->row = out->ndim ? (size_t)out->shape[0] : 0;
    int64_t next = 1;
    for (int32_t d = 0; d < out->ndim; d++) {
        out->in_order[d] = next;
        next *= out->shape[d];
    }
}

bool iteration_is_in_order(const iteration *it, int operand)
{
    return !memcmp(it->strides[operand], it->in_order, (size_t)it->ndim * sizeof it->in_order[0]);
}
