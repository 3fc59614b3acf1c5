/* keep.c - what a step leaves to the next one: its items as they were prepared, with shapes and strides that outlive the call, to
 * be compared with what comes then.
 *
 * All that a descriptor says is compared by content, its shape and strides too, but for the address: a tensor that has only
 * moved takes the place of the old one.  Whatever else differs, or is out of the ordinary (sparse tensors, a step that made
 * buffers), leaves nothing held, and the next step looks at everything again.
 */
#include <string.h>

#include "engine.h"

/* ---- keeping ------------------------------------------------------------------------------------------------------------- */

static size_t dims_of(const step_item *item)
{
    const tensor_view *views[] = {&item->param, &item->grad, &item->buffer};
    size_t arrays = 1; /* the shape is one for all */
    for (size_t i = 0; i < sizeof views / sizeof views[0]; i++)
        arrays += views[i]->strides != NULL;
    return item->active ? arrays * (size_t)item->param.ndim : 0;
}

/* Nothing out of the ordinary: a first step makes its buffers, so the next one is another. */
static bool can_be_kept(const step_group *group)
{
    for (size_t i = 0; i < group->count; i++) {
        const step_item *item = &group->items[i];
        if (item->way == WAY_SPARSE || (item->active && item->first && group->hyper.momentum != 0))
            return false;
    }
    return true;
}

#define TENSORS_OF_ITEM 3

sgd_status keep_reserve(const step_group *groups, size_t count, step_kind kind, sgd_workspace *workspace, sgd_error *error)
{
    size_t dims = 0, items = 0;
    for (size_t g = 0; g < count; g++) {
        items += groups[g].count;
        for (size_t i = 0; i < groups[g].count; i++)
            dims += dims_of(&groups[g].items[i]);
    }
    if (kind == STEP_AGAIN)
        items *= TENSORS_OF_ITEM;
    return MAKE_ROOM(workspace->dims, dims, workspace->dim_room) && MAKE_ROOM(workspace->kept, items, workspace->kept_room)
               ? SGD_OK
               : sgd_error_set(error, SGD_ERROR_MEMORY, "out of memory");
}

static int64_t *keep_strides(tensor_view *view, int64_t *room)
{
    if (!view->strides)
        return room;
    if (view->ndim)
        memcpy(room, view->strides, (size_t)view->ndim * sizeof *room);
    view->strides = room;
    return room + view->ndim;
}

static int64_t *keep_dims(step_item *item, int64_t *room)
{
    if (!item->active)
        return room;
    size_t ndim = (size_t)item->param.ndim;
    if (ndim)
        memcpy(room, item->param.shape, ndim * sizeof *room);
    item->param.shape = item->grad.shape = item->buffer.shape = room;
    room = keep_strides(&item->param, room + ndim);
    room = keep_strides(&item->grad, room);
    return keep_strides(&item->buffer, room);
}

static kept_tensor keep_view(const tensor_view *view, bool there)
{
    return (kept_tensor){view->data, view->device, there ? view->ndim : -1, view->type, view->shape, view->strides};
}

void keep_step(step_group *groups, size_t count, step_kind kind, sgd_workspace *workspace)
{
    int64_t *dims = workspace->dims;
    kept_tensor *kept = workspace->kept;
    for (size_t g = 0; g < count; g++)
        if (!can_be_kept(&groups[g]))
            return;
    for (size_t g = 0; g < count; g++)
        for (size_t i = 0; i < groups[g].count; i++) {
            step_item *item = &groups[g].items[i];
            dims = keep_dims(item, dims);
            *kept++ = keep_view(&item->grad, item->active);
            if (kind == STEP_AGAIN_GRADS)
                continue;
            *kept++ = keep_view(&item->param, item->active);
            *kept++ = keep_view(&item->buffer, item->active && groups[g].hyper.momentum != 0);
        }
    workspace->holds = true;
}

/* ---- comparing ----------------------------------------------------------------------------------------------------------- */

static bool same_dims(const int64_t *x, const int64_t *y, int32_t ndim)
{
    for (int32_t d = 0; d < ndim; d++)
        if (x[d] != y[d])
            return false;
    return true;
}

#define KIND_SIZE (sizeof(DLDevice) + sizeof(int32_t) + sizeof(DLDataType))
_Static_assert(offsetof(DLTensor, shape) - offsetof(DLTensor, device) == KIND_SIZE &&
                   offsetof(kept_tensor, shape) - offsetof(kept_tensor, device) == KIND_SIZE,
               "device, number of dimensions and dtype are compared as one block");

static bool same_kind(const kept_tensor *kept, const DLTensor *tensor)
{
    return !memcmp((const char *)kept + offsetof(kept_tensor, device), (const char *)tensor + offsetof(DLTensor, device), KIND_SIZE);
}

/* Apart from the comparison, which saves no registers then. */
__attribute__((noinline)) static bool has_moved(kept_tensor *kept, void *data, tensor_view *view, bool *moved)
{
    if (!data || !kept->data || !tensor_is_aligned(data, view->dtype))
        return false;
    kept->data = view->data = data;
    *moved = true;
    return true;
}

static bool same_tensor(kept_tensor *kept, const DLTensor *tensor, tensor_view *view, bool *moved)
{
    if (!same_kind(kept, tensor) || !same_dims(kept->shape, tensor->shape, kept->ndim))
        return false;
    if ((kept->strides || tensor->strides) &&
        (!kept->strides || !tensor->strides || !same_dims(kept->strides, tensor->strides, kept->ndim)))
        return false;
    void *data = tensor->data ? (char *)tensor->data + tensor->byte_offset : NULL;
    return data == kept->data ? true : has_moved(kept, data, view, moved);
}

bool keep_same_grad(kept_tensor *kept, const DLTensor *grad, step_item *item, bool *moved)
{
    return grad ? same_tensor(kept, grad, &item->grad, moved) : kept->ndim < 0;
}

/* A buffer is looked at only where there was one: without momentum whatever is there does not matter. */
static bool same_item(kept_tensor kept[TENSORS_OF_ITEM], const sgd_item *from, step_item *item, bool *moved)
{
    if (from->sparse_grad || from->sparse_buffer || !keep_same_grad(&kept[0], from->grad, item, moved))
        return false;
    if (!from->grad)
        return true;
    bool has_buffer = kept[2].ndim >= 0;
    return from->param && same_tensor(&kept[1], from->param, &item->param, moved) &&
           (!has_buffer || (from->has_buffer && from->buffer && same_tensor(&kept[2], from->buffer, &item->buffer, moved)));
}

bool keep_same_items(sgd_workspace *workspace, const sgd_item *items, size_t count, bool *moved)
{
    for (size_t i = 0; i < count; i++)
        if (!same_item(workspace->kept + TENSORS_OF_ITEM * i, &items[i], &workspace->items[i], moved))
            return false;
    return true;
}
