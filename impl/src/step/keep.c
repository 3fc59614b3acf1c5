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

sgd_status keep_reserve(const step_group *groups, size_t count, sgd_workspace *workspace, sgd_error *error)
{
    size_t dims = 0;
    for (size_t g = 0; g < count; g++)
        for (size_t i = 0; i < groups[g].count; i++)
            dims += dims_of(&groups[g].items[i]);
    return MAKE_ROOM(workspace->dims, dims, workspace->dim_room) ? SGD_OK
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

static int64_t *keep_item(step_item *item, int64_t *room)
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

void keep_step(step_group *groups, size_t count, sgd_workspace *workspace)
{
    int64_t *room = workspace->dims;
    for (size_t g = 0; g < count; g++)
        if (!can_be_kept(&groups[g]))
            return;
    for (size_t g = 0; g < count; g++)
        for (size_t i = 0; i < groups[g].count; i++)
            room = keep_item(&groups[g].items[i], room);
    workspace->holds = true;
}

/* ---- comparing ----------------------------------------------------------------------------------------------------------- */

static bool same_dims(const int64_t *x, const int64_t *y, int32_t ndim)
{
    int64_t differences = 0;
    for (int32_t d = 0; d < ndim; d++)
        differences |= x[d] ^ y[d];
    return differences == 0;
}

static bool same_kind(const tensor_view *view, const DLTensor *tensor)
{
    return view->ndim == tensor->ndim && view->type.code == tensor->dtype.code && view->type.bits == tensor->dtype.bits &&
           view->type.lanes == tensor->dtype.lanes && view->device.device_type == tensor->device.device_type &&
           view->device.device_id == tensor->device.device_id && !view->strides == !tensor->strides;
}

bool tensor_view_renew(tensor_view *view, const DLTensor *tensor, bool *moved)
{
    if (!same_kind(view, tensor) || !same_dims(view->shape, tensor->shape, view->ndim) ||
        (view->strides && !same_dims(view->strides, tensor->strides, view->ndim)))
        return false;
    void *data = tensor->data ? (char *)tensor->data + tensor->byte_offset : NULL;
    if (data == view->data)
        return true;
    if (!data || !view->data || !tensor_is_aligned(data, view->dtype))
        return false;
    view->data = data;
    *moved = true;
    return true;
}

bool step_item_renew(step_item *item, const sgd_item *from, bool momentum, bool *moved)
{
    if (from->sparse_grad || from->sparse_buffer || item->active != (from->grad != NULL))
        return false;
    if (!item->active)
        return true;
    return from->has_buffer == !item->first && from->param && tensor_view_renew(&item->grad, from->grad, moved) &&
           tensor_view_renew(&item->param, from->param, moved) &&
           (!momentum || (from->buffer && tensor_view_renew(&item->buffer, from->buffer, moved)));
}
