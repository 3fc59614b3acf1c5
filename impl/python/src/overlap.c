/* overlap.c - tensors that share memory.
 *
 * The library takes none within a step.  PyTorch's for-loop and fused kernels take one parameter after the other, so the same
 * tensor twice in a group (it warns only), or two views of one storage, are steps in a row.
 */
#include <stdlib.h>

#include "core.h"

/* The memory of a tensor, from its first byte to behind its last. */
typedef struct extent {
    uintptr_t begin, end;
    bool written;
} extent;

static bool extent_of(const DLTensor *tensor, bool written, extent *out)
{
    if (!tensor)
        return false;
    size_t last = 0, contiguous = 1;
    for (int i = tensor->ndim - 1; i >= 0; i--) {
        size_t size = (size_t)tensor->shape[i];
        if (size == 0)
            return false;
        last += (size - 1) * (tensor->strides ? (size_t)tensor->strides[i] : contiguous);
        contiguous *= size;
    }
    uintptr_t begin = (uintptr_t)tensor->data + tensor->byte_offset;
    *out = (extent){begin, begin + (last + 1) * (tensor->dtype.bits / 8u), written};
    return true;
}

static size_t extents_of(const sgd_item *item, bool writes_grads, extent *out)
{
    size_t count = 0;
    count += extent_of(item->param, true, &out[count]);
    count += extent_of(item->grad, writes_grads, &out[count]);
    count += extent_of(item->buffer, true, &out[count]);
    return count;
}

static int by_begin(const void *x, const void *y)
{
    const extent *one = x, *other = y;
    return (one->begin > other->begin) - (one->begin < other->begin);
}

/* Sorts and walks: an extent that begins before an earlier one ended shares memory with it. */
static bool share_written(extent *extents, size_t count)
{
    uintptr_t end_of_any = 0, end_of_written = 0;
    qsort(extents, count, sizeof *extents, by_begin);
    for (size_t i = 0; i < count; i++) {
        if (extents[i].begin < end_of_written || (extents[i].written && extents[i].begin < end_of_any))
            return true;
        if (extents[i].end > end_of_any)
            end_of_any = extents[i].end;
        if (extents[i].written && extents[i].end > end_of_written)
            end_of_written = extents[i].end;
    }
    return false;
}

overlap core_overlap(const sgd_item *items, size_t count, bool writes_grads)
{
    size_t total = 0;
    extent *extents = malloc((3 * count + 1) * sizeof *extents);
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
