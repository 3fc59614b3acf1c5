/* overlap.c - tensors that share memory.
 *
 * The library takes none within a step.  PyTorch's for-loop and fused kernels take one parameter after the other, so the same
 * tensor twice in a group (it warns only), or two views of one storage, are steps in a row.
 */
#include <stdlib.h>

#include "core.h"

static extent extent_of(const DLTensor *tensor)
{
    const extent none = {0, 0};
    if (!tensor)
        return none;
    size_t last = 0, contiguous = 1;
    for (int i = tensor->ndim - 1; i >= 0; i--) {
        size_t size = (size_t)tensor->shape[i];
        if (size == 0)
            return none;
        last += (size - 1) * (tensor->strides ? (size_t)tensor->strides[i] : contiguous);
        contiguous *= size;
    }
    uintptr_t begin = (uintptr_t)tensor->data + tensor->byte_offset;
    return (extent){begin, begin + (last + 1) * (tensor->dtype.bits / 8u)};
}

static int by_begin(const void *x, const void *y)
{
    const extent *one = x, *other = y;
    return (one->begin > other->begin) - (one->begin < other->begin);
}

/* ---- none, as before ------------------------------------------------------------------------------------------------- */

void core_extents_clear(extents *known)
{
    free(known->written);
    free(known->sorted);
    free(known->gaps);
    *known = (extents){0};
}

static bool reserve(extents *known, size_t count)
{
    if (count <= known->capacity)
        return true;
    core_extents_clear(known);
    known->written = calloc(2 * count, sizeof *known->written);
    known->sorted = calloc(2 * count, sizeof *known->sorted);
    known->gaps = calloc(count, sizeof *known->gaps);
    if (!known->written || !known->sorted || !known->gaps) {
        core_extents_clear(known);
        return false;
    }
    known->capacity = count;
    return true;
}

/* Takes down where params and buffers are; whether that is where they were. */
static bool same_written(extents *known, const sgd_item *items, size_t count)
{
    bool same = known->count == count;
    for (size_t i = 0; i < count; i++) {
        extent new[2] = {extent_of(items[i].param), extent_of(items[i].buffer)}, *old = &known->written[2 * i];
        if (new[0].begin != old[0].begin || new[0].end != old[0].end || new[1].begin != old[1].begin ||
            new[1].end != old[1].end) {
            same = false;
            memcpy(old, new, sizeof new);
        }
    }
    known->count = count;
    return same;
}

static void sort_written(extents *known)
{
    size_t count = 2 * known->count;
    memcpy(known->sorted, known->written, count * sizeof *known->sorted);
    qsort(known->sorted, count, sizeof *known->sorted, by_begin);
    known->disjoint = true;
    for (size_t i = 1; i < count; i++)
        if (known->sorted[i].begin < known->sorted[i - 1].end)
            known->disjoint = false;
}

static bool lies_in_gap(const extents *known, extent grad, size_t gap)
{
    return (gap == 0 || known->sorted[gap - 1].end <= grad.begin) &&
           (gap == 2 * known->count || grad.end <= known->sorted[gap].begin);
}

/* Whether what a gradient only lends is nobody's to write to; `gap` is where one was found last. */
static bool is_apart(const extents *known, extent grad, size_t *gap)
{
    if (grad.end == 0 || (*gap <= 2 * known->count && lies_in_gap(known, grad, *gap)))
        return true;
    size_t low = 0, high = 2 * known->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (known->sorted[middle].begin < grad.begin)
            low = middle + 1;
        else
            high = middle;
    }
    *gap = low;
    return lies_in_gap(known, grad, low);
}

static bool none_shared(extents *known, const sgd_item *items, size_t count)
{
    if (!same_written(known, items, count))
        sort_written(known);
    for (size_t i = 0; i < count && known->disjoint; i++)
        if (!is_apart(known, extent_of(items[i].grad), &known->gaps[i]))
            return false;
    return known->disjoint;
}

/* ---- which, where some do -------------------------------------------------------------------------------------------- */

typedef struct used_extent {
    extent extent;
    bool written;
} used_extent;

static size_t extents_of(const sgd_item *item, bool writes_grads, used_extent *out)
{
    const used_extent all[] = {{extent_of(item->param), true}, {extent_of(item->grad), writes_grads},
                               {extent_of(item->buffer), true}};
    size_t count = 0;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (all[i].extent.end)
            out[count++] = all[i];
    return count;
}

/* Sorts and walks: an extent that begins before an earlier one ended shares memory with it. */
static bool share_written(used_extent *extents, size_t count)
{
    uintptr_t end_of_any = 0, end_of_written = 0;
    qsort(extents, count, sizeof *extents, by_begin); /* each begins with its extent */
    for (size_t i = 0; i < count; i++) {
        if (extents[i].extent.begin < end_of_written || (extents[i].written && extents[i].extent.begin < end_of_any))
            return true;
        if (extents[i].extent.end > end_of_any)
            end_of_any = extents[i].extent.end;
        if (extents[i].written && extents[i].extent.end > end_of_written)
            end_of_written = extents[i].extent.end;
    }
    return false;
}

static overlap shared_by(const sgd_item *items, size_t count, bool writes_grads)
{
    size_t total = 0;
    used_extent *extents = malloc((3 * count + 1) * sizeof *extents);
    if (!extents)
        return OVERLAP_NO_MEMORY;
    for (size_t i = 0; i < count; i++)
        total += extents_of(&items[i], writes_grads, extents + total);
    overlap found = share_written(extents, total) ? OVERLAP_ITEMS : OVERLAP_NONE;
    for (size_t i = 0; found == OVERLAP_ITEMS && i < count; i++)
        if (share_written(extents, extents_of(&items[i], writes_grads, extents)))
            found = OVERLAP_WITHIN;
    free(extents);
    return found;
}

overlap core_overlap(extents *known, const sgd_item *items, size_t count, bool writes_grads)
{
    if (!reserve(known, count))
        return OVERLAP_NO_MEMORY;
    return !writes_grads && none_shared(known, items, count) ? OVERLAP_NONE : shared_by(items, count, writes_grads);
}
