/* step.c - the second half of a step: the work (torch/optim/sgd.py: _single_tensor_sgd, _multi_tensor_sgd, _fused_sgd).
 *
 * Items whose tensors lie in one common order go to the backend as they are, in whole lists.  The others are brought into
 * order first, or by the backend: in one pass where no position decides a bit (fused, most of f32 and f64), else operation by
 * operation.
 */
#include <stdlib.h>
#include <string.h>

#include "sparse.h"
#include "strided.h"

#define ALIGNMENT 64

size_t step_item_bytes(const step_item *item)
{
    size_t bytes = item->param.numel * sgd_dtype_size(item->param.dtype);
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* ---- which way an item goes ---------------------------------------------------------------------------------------------- */

/* PyTorch's fused kernel takes storage as it lies, whatever the strides say; that is a defect, which can be had. */
static bool walks_storage(const step_group *group)
{
    return group->path == SGD_FUSED && group->config->defects == SGD_DEFECTS_REPRODUCE;
}

static step_way way_of(const step_group *group, const step_item *item)
{
    if (!item->active)
        return WAY_NONE;
    if (item->from->sparse_grad)
        return WAY_SPARSE;
    if (item->param.numel == 0)
        return WAY_NONE;
    /* In f32 and f64 only beside expanded gradients. */
    bool position_decides = (item->param.dtype != SGD_F64 && item->param.dtype != SGD_F32) ||
                            (item->grad.strides && layout_overlaps(item->grad.ndim, item->grad.shape, item->grad.strides));
    if (group->path == SGD_FUSED)
        return item->flat || walks_storage(group) ? WAY_DIRECT : WAY_GATHERED;
    if (group->config->schedule == SGD_SCHEDULE_BY_OP || (!item->flat && position_decides) || item->promotes)
        return WAY_BY_OP;
    return item->flat ? WAY_DIRECT : WAY_GATHERED;
}

static void choose_ways(step_group *group)
{
    group->direct = group->by_op = group->others = 0;
    group->dtypes = 0;
    for (size_t i = 0; i < group->count; i++) {
        step_item *item = &group->items[i];
        item->way = way_of(group, item);
        group->direct += item->way == WAY_DIRECT;
        group->by_op += item->way == WAY_BY_OP;
        group->others += item->way > WAY_DIRECT;
        group->dtypes |= item->active ? 1u << item->param.dtype : 0;
    }
}

/* ---- work space ------------------------------------------------------------------------------------------------------------ */

#define GATHERED_ARRAYS 3

static size_t scratch_of(const step_group *group, const step_item *item)
{
    switch (item->way) {
    case WAY_GATHERED: return strided_offered(group->config->backend) ? 0 : GATHERED_ARRAYS * step_item_bytes(item);
    case WAY_BY_OP: return by_op_scratch(group, item);
    default: return 0;
    }
}

/* Foreach takes an operation through the whole list before the next one.  The for-loop takes one item after the other: as many
 * as the cache of a core holds go together, which spares small ones a parallel region for each operation. */
#define BATCH_BYTES (256 * 1024)

static bool batch_is_full(const step_group *group, size_t bytes) { return group->path != SGD_FOREACH && bytes >= BATCH_BYTES; }

static size_t scratch_size(const step_group *group)
{
    size_t largest = 0, batch = 0, bytes = 0;
    for (size_t i = 0; i < group->count && group->others > 0; i++) {
        const step_item *item = &group->items[i];
        size_t size = scratch_of(group, item);
        largest = size > largest ? size : largest;
        if (item->way != WAY_BY_OP)
            continue;
        batch += size;
        bytes += step_item_bytes(item);
        largest = batch > largest ? batch : largest;
        if (batch_is_full(group, bytes))
            batch = bytes = 0;
    }
    return largest;
}

static size_t strided_size(const step_group *group)
{
    const sgd_backend *backend = group->config->backend;
    sgd_arithmetic arithmetic = step_arithmetic(group);
    for (size_t i = 0; i < group->count && strided_offered(backend); i++) {
        const step_item *item = &group->items[i];
        if (!item->flat && (item->way == WAY_GATHERED || item->way == WAY_BY_OP))
            return backend->strided_scratch(backend->context, &arithmetic);
    }
    return 0;
}

bool make_room(void *array, size_t count, size_t size, size_t *room)
{
    void *memory, *old;
    if (count <= *room)
        return true;
    memory = malloc(count * size);
    if (!memory)
        return false;
    memcpy(&old, array, sizeof old);
    free(old);
    memcpy(array, &memory, sizeof memory);
    *room = count;
    return true;
}

static sgd_status reserve_by_op(sgd_workspace *workspace, size_t count, sgd_error *error)
{
    size_t room = workspace->by_op_room;
    if (MAKE_ROOM(workspace->walks, count, room) && MAKE_ROOM(workspace->operands, count, workspace->by_op_room))
        return SGD_OK;
    return sgd_error_set(error, SGD_ERROR_MEMORY, "out of memory");
}

static void release_scratch(sgd_workspace *workspace)
{
    const sgd_backend *backend = workspace->backend;
    if (workspace->scratch)
        backend->release(backend->context, workspace->scratch);
    if (workspace->strided)
        backend->release(backend->context, workspace->strided);
    workspace->scratch = workspace->strided = NULL;
    workspace->scratch_size = workspace->strided_size = 0;
}

/* Room on the device for `size` bytes; what was there is not needed any more, but stays where memory runs out. */
static sgd_status reserve_area(const sgd_backend *backend, size_t size, void **area, size_t *area_size, sgd_error *error)
{
    void *memory;
    if (size <= *area_size)
        return SGD_OK;
    sgd_status status = backend->allocate(backend->context, size, &memory);
    if (status)
        return sgd_error_set(error, status, "no memory for %zu bytes of gradients: %s", size, sgd_status_text(status));
    if (*area)
        backend->release(backend->context, *area);
    *area = memory;
    *area_size = size;
    return SGD_OK;
}

sgd_status step_reserve(step_group *group, sgd_workspace *workspace, sgd_error *error)
{
    const sgd_backend *backend = group->config->backend;
    choose_ways(group);
    sgd_status status = reserve_by_op(workspace, group->by_op, error);
    for (size_t i = 0; i < group->count && group->others > 0 && !status; i++)
        if (group->items[i].way == WAY_SPARSE)
            status = sparse_step_prepare(group, &group->items[i], &workspace->sparse, error);
    if (status)
        return status;
    if (workspace->backend != backend)
        release_scratch(workspace);
    workspace->backend = backend;
    status = reserve_area(backend, scratch_size(group), &workspace->scratch, &workspace->scratch_size, error);
    return status ? status : reserve_area(backend, strided_size(group), &workspace->strided,
                                          &workspace->strided_size, error);
}

void step_release(sgd_workspace *workspace) { sparse_steps_destroy(&workspace->sparse); }

void workspace_clear(sgd_workspace *workspace)
{
    step_release(workspace);
    release_scratch(workspace);
    if (workspace->plan)
        workspace->plan_backend->discard(workspace->plan_backend->context, workspace->plan);
    free(workspace->items);
    free(workspace->tensors);
    free(workspace->lists);
    free(workspace->hypers);
    free(workspace->walks);
    free(workspace->operands);
    free(workspace->kept);
    free(workspace->dims);
    *workspace = (sgd_workspace){0};
}

sgd_status sgd_workspace_create(sgd_workspace **out, sgd_error *error)
{
    if (!out)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "out is NULL");
    sgd_workspace *workspace = calloc(1, sizeof *workspace);
    if (!workspace)
        return sgd_error_set(error, SGD_ERROR_MEMORY, "out of memory");
    *out = workspace;
    return SGD_OK;
}

void sgd_workspace_destroy(sgd_workspace *workspace)
{
    if (!workspace)
        return;
    workspace_clear(workspace);
    free(workspace);
}

/* ---- the ways ---------------------------------------------------------------------------------------------------------------- */

/* A step in the middle of a list. */
typedef struct list {
    const step_group *group;
    sgd_workspace *workspace;
    sgd_arithmetic arithmetic;
} list;

/* Between a tensor's own layout and contiguous memory. */
static sgd_status copy_view(const list *list, const tensor_view *view, void *memory, bool back)
{
    const sgd_backend *backend = list->group->config->backend;
    int64_t own_room[LAYOUT_DIMS], contiguous[LAYOUT_DIMS];
    const int64_t *own = tensor_view_strides(view, own_room);
    layout_contiguous(view->ndim, view->shape, contiguous);
    size_t size = sgd_dtype_size(view->dtype);
    return back ? backend->copy_strided(backend->context, size, view->ndim, view->shape, view->data, own, memory, contiguous)
                : backend->copy_strided(backend->context, size, view->ndim, view->shape, memory, contiguous, view->data, own);
}

static strided_call strided_call_of(const list *list)
{
    return (strided_call){.backend = list->group->config->backend,
                          .arithmetic = &list->arithmetic,
                          .hyper = &list->group->hyper,
                          .scratch = list->workspace->strided,
                          .scratch_size = list->workspace->strided_size};
}

/* Brings one item into order, steps it, and puts it back. */
static sgd_status step_gathered(const list *list, const step_item *item)
{
    strided_call call = strided_call_of(list);
    if (strided_offered(call.backend))
        return strided_step(&call, item);
    char *scratch = list->workspace->scratch;
    size_t bytes = step_item_bytes(item);
    bool momentum = item->buffer.data != NULL;
    const sgd_backend *backend = list->group->config->backend;
    sgd_step_tensor tensor = step_tensor_of(item);
    tensor.param = scratch;
    tensor.grad = scratch + bytes;
    tensor.buffer = momentum ? scratch + 2 * bytes : NULL;
    sgd_status status = copy_view(list, &item->param, tensor.param, false);
    if (!status)
        status = copy_view(list, &item->grad, tensor.grad, false);
    if (!status && momentum && !item->first)
        status = copy_view(list, &item->buffer, tensor.buffer, false);
    if (!status)
        status = backend->step(backend->context, &list->arithmetic, &list->group->hyper, 1, &tensor);
    if (!status)
        status = copy_view(list, &item->param, tensor.param, true);
    if (!status && momentum)
        status = copy_view(list, &item->buffer, tensor.buffer, true);
    if (!status && item->write_grad)
        status = copy_view(list, &item->grad, tensor.grad, true);
    return status;
}

static sgd_status step_by_op(const list *list, size_t count)
{
    sgd_workspace *workspace = list->workspace;
    strided_call call = strided_call_of(list);
    return count ? by_op_step(list->group, &list->arithmetic, count, workspace->walks, workspace->operands, &call,
                              workspace->scratch)
                 : SGD_OK;
}

/* Items of one dtype (SGD_DTYPE_COUNT: of any), each on its way. */
static sgd_status run_list(const list *list, sgd_dtype dtype)
{
    const step_group *group = list->group;
    size_t by_op = 0, bytes = 0;
    sgd_status status = SGD_OK;
    for (size_t i = 0; i < group->count && !status; i++) {
        const step_item *item = &group->items[i];
        if (dtype != SGD_DTYPE_COUNT && item->param.dtype != dtype)
            continue;
        switch (item->way) {
        case WAY_SPARSE: status = sparse_step_run(item->sparse, list->arithmetic.path); break;
        case WAY_GATHERED: status = step_gathered(list, item); break;
        case WAY_BY_OP:
            list->workspace->walks[by_op++].item = item;
            bytes += step_item_bytes(item);
            if (batch_is_full(group, bytes)) {
                status = step_by_op(list, by_op);
                by_op = bytes = 0;
            }
            break;
        default: break;
        }
    }
    return status ? status : step_by_op(list, by_op);
}

sgd_status step_run_others(const step_group *group, sgd_workspace *workspace)
{
    list list = {.group = group, .workspace = workspace, .arithmetic = step_arithmetic(group)};
    if (group->path != SGD_FOREACH)
        return run_list(&list, SGD_DTYPE_COUNT);
    sgd_status status = SGD_OK;
    for (int dtype = 0; dtype < SGD_DTYPE_COUNT && !status; dtype++) {
        if (!(group->dtypes >> dtype & 1))
            continue;
        list.arithmetic.path = step_list_path(group, (sgd_dtype)dtype);
        status = run_list(&list, (sgd_dtype)dtype);
    }
    return status;
}

/* ---- sgd_step -------------------------------------------------------------------------------------------------------------- */

/* Whether the workspace still holds what these arguments would prepare; takes over what may have changed. */
static bool still_holds(sgd_workspace *workspace, const sgd_config *config, const sgd_options *options, const sgd_item *items,
                        size_t count, const sgd_scaling *scaling, bool *moved)
{
    return workspace->holds && count == workspace->group.count && config_same(config, &workspace->config) &&
           step_group_renew(&workspace->group, options, scaling) && keep_same_items(workspace, items, count, moved);
}

static sgd_status prepare_in(sgd_workspace *workspace, const sgd_options *options, sgd_item *items, size_t count,
                             const sgd_scaling *scaling, step_kind kind, sgd_error *error)
{
    step_group *group = &workspace->group;
    if (!MAKE_ROOM(workspace->items, count, workspace->item_room))
        return sgd_error_set(error, SGD_ERROR_MEMORY, "out of memory");
    sgd_status status = step_prepare(&workspace->config, options, items, count, scaling, workspace->items, group, error);
    if (!status)
        status = step_reserve(group, workspace, error);
    return status ? status : steps_plan(group, 1, kind, workspace, error);
}

static sgd_status step_in(sgd_workspace *workspace, const sgd_config *config, const sgd_options *options, sgd_item *items,
                          size_t count, const sgd_scaling *scaling, step_kind kind, sgd_error *error)
{
    step_group *group = &workspace->group;
    bool moved = false;
    sgd_status status = SGD_OK;
    if (still_holds(workspace, config, options, items, count, scaling, &moved)) {
        if (moved)
            status = steps_plan_moved(group, 1, workspace, error);
        return status ? status : steps_run(group, 1, workspace, NULL, error);
    }
    workspace->holds = false;
    workspace->config = *config;
    status = prepare_in(workspace, options, items, count, scaling, kind, error);
    if (!status)
        status = steps_run(group, 1, workspace, NULL, error);
    for (size_t i = 0; i < count && !status && !group->skip && group->hyper.momentum != 0; i++)
        if (group->items[i].active)
            items[i].has_buffer = true;
    step_release(workspace);
    return status;
}

sgd_status sgd_step(const sgd_config *config, const sgd_options *options, sgd_item *items, size_t count,
                    const sgd_scaling *scaling, sgd_workspace *workspace, sgd_error *error)
{
    sgd_config settings = config ? *config : sgd_config_default();
    sgd_workspace own = {0};
    if (!options || (count > 0 && !items))
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "%s is NULL", options ? "items" : "options");
    if (options->struct_size != sizeof(sgd_options))
        return sgd_options_check(options, error);
    sgd_status status = config_check(&settings, error);
    if (status)
        return status;
    status = step_in(workspace ? workspace : &own, &settings, options, items, count, scaling, workspace ? STEP_AGAIN : STEP_ONCE,
                     error);
    workspace_clear(&own);
    return status;
}
