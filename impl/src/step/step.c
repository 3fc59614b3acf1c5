/* step.c - the second half of a step: the work (torch/optim/sgd.py: _single_tensor_sgd, _multi_tensor_sgd, _fused_sgd).
 *
 * Items whose tensors lie in one common order go to the backend as they are, in whole lists.  The others are brought into
 * order first: in one pass where no position decides a bit (fused, most of f32 and f64), else operation by operation.
 */
#include <stdlib.h>
#include <string.h>

#include "sparse.h"

#define ALIGNMENT 64

size_t step_item_bytes(const step_item *item)
{
    size_t bytes = item->param.numel * sgd_dtype_size(item->param.dtype);
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* ---- which way an item goes ---------------------------------------------------------------------------------------------- */

typedef enum way { WAY_DIRECT, WAY_GATHERED, WAY_BY_OP } way;

/* PyTorch's fused kernel takes storage as it lies, whatever the strides say; that is a defect, which can be had. */
static bool walks_storage(const step_group *group)
{
    return group->path == SGD_FUSED && group->config->defects == SGD_DEFECTS_REPRODUCE;
}

static way way_of(const step_group *group, const step_item *item)
{
    /* In f32 and f64 only beside expanded gradients. */
    bool position_decides = (item->param.dtype != SGD_F64 && item->param.dtype != SGD_F32) ||
                            (item->grad.strides && layout_overlaps(item->grad.ndim, item->grad.shape, item->grad.strides));
    if (group->path == SGD_FUSED)
        return item->flat || walks_storage(group) ? WAY_DIRECT : WAY_GATHERED;
    if (group->config->schedule == SGD_SCHEDULE_BY_OP || (!item->flat && position_decides) || item->promotes)
        return WAY_BY_OP;
    return item->flat ? WAY_DIRECT : WAY_GATHERED;
}

/* ---- work space ------------------------------------------------------------------------------------------------------------ */

#define GATHERED_ARRAYS 3

static size_t scratch_of(const step_group *group, const step_item *item)
{
    switch (way_of(group, item)) {
    case WAY_GATHERED: return GATHERED_ARRAYS * step_item_bytes(item);
    case WAY_BY_OP: return by_op_scratch(item);
    default: return 0;
    }
}

/* Foreach takes an operation through the whole list before the next one; all else goes item by item. */
static size_t scratch_size(const step_group *group)
{
    size_t largest = 0, sum = 0;
    for (size_t i = 0; i < group->count; i++) {
        const step_item *item = &group->items[i];
        size_t size = item->active && !item->from->sparse_grad ? scratch_of(group, item) : 0;
        largest = size > largest ? size : largest;
        sum += size;
    }
    return group->path == SGD_FOREACH ? sum : largest;
}

#define GROW(array, count) grow((void *)&(array), (count) * sizeof *(array))

/* What was there is not needed any more, but stays where memory runs out. */
static bool grow(void *array, size_t bytes)
{
    void *memory = malloc(bytes + 1), *old;
    if (!memory)
        return false;
    memcpy(&old, array, sizeof old);
    free(old);
    memcpy(array, &memory, sizeof memory);
    return true;
}

static sgd_status reserve_lists(sgd_workspace *workspace, size_t count, sgd_error *error)
{
    if (workspace->capacity >= count)
        return SGD_OK;
    workspace->capacity = 0;
    if (!GROW(workspace->tensors, count) || !GROW(workspace->walks, count) || !GROW(workspace->operands, count))
        return sgd_error_set(error, SGD_ERROR_MEMORY, "out of memory");
    workspace->capacity = count;
    return SGD_OK;
}

static void release_scratch(sgd_workspace *workspace)
{
    if (workspace->scratch)
        workspace->backend->release(workspace->backend->context, workspace->scratch);
    workspace->scratch = NULL;
    workspace->scratch_size = 0;
}

sgd_status step_reserve(const step_group *group, sgd_workspace *workspace, sgd_error *error)
{
    const sgd_backend *backend = group->config->backend;
    size_t size = scratch_size(group);
    void *scratch;
    sgd_status status = reserve_lists(workspace, group->count, error);
    for (size_t i = 0; i < group->count && !status; i++)
        if (group->items[i].active && group->items[i].from->sparse_grad)
            status = sparse_step_prepare(group, &group->items[i], &workspace->sparse, error);
    if (status || (size <= workspace->scratch_size && (!size || workspace->backend == backend)))
        return status;
    status = backend->allocate(backend->context, size, &scratch);
    if (status)
        return sgd_error_set(error, status, "no memory for %zu bytes of gradients: %s", size, sgd_status_text(status));
    release_scratch(workspace);
    workspace->backend = backend;
    workspace->scratch = scratch;
    workspace->scratch_size = size;
    return SGD_OK;
}

void step_release(sgd_workspace *workspace) { sparse_steps_destroy(&workspace->sparse); }

void workspace_clear(sgd_workspace *workspace)
{
    step_release(workspace);
    release_scratch(workspace);
    free(workspace->items);
    free(workspace->tensors);
    free(workspace->walks);
    free(workspace->operands);
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

static sgd_step_tensor tensor_of(const step_item *item)
{
    return (sgd_step_tensor){.dtype = item->param.dtype,
                             .first = item->first,
                             .write_grad = item->write_grad,
                             .numel = item->param.numel,
                             .param = item->param.data,
                             .grad = item->grad.data,
                             .buffer = item->buffer.data};
}

static sgd_status backend_step(const list *list, size_t count, const sgd_step_tensor *tensors)
{
    const sgd_backend *backend = list->group->config->backend;
    return count ? backend->step(backend->context, &list->arithmetic, &list->group->hyper, count, tensors) : SGD_OK;
}

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

/* Brings one item into order, steps it, and puts it back. */
static sgd_status step_gathered(const list *list, const step_item *item)
{
    char *scratch = list->workspace->scratch;
    size_t bytes = step_item_bytes(item);
    bool momentum = item->buffer.data != NULL;
    sgd_step_tensor tensor = tensor_of(item);
    tensor.param = scratch;
    tensor.grad = scratch + bytes;
    tensor.buffer = momentum ? scratch + 2 * bytes : NULL;
    sgd_status status = copy_view(list, &item->param, tensor.param, false);
    if (!status)
        status = copy_view(list, &item->grad, tensor.grad, false);
    if (!status && momentum && !item->first)
        status = copy_view(list, &item->buffer, tensor.buffer, false);
    if (!status)
        status = backend_step(list, 1, &tensor);
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
    return count ? by_op_step(list->group, &list->arithmetic, count, workspace->walks, workspace->operands,
                              workspace->scratch)
                 : SGD_OK;
}

/* Items of one dtype (SGD_DTYPE_COUNT: of any), each on its way: `whole` lists where PyTorch takes lists. */
static sgd_status run_list(const list *list, sgd_dtype dtype, bool whole)
{
    const step_group *group = list->group;
    size_t direct = 0, by_op = 0;
    sgd_status status = SGD_OK;
    for (size_t i = 0; i < group->count && !status; i++) {
        const step_item *item = &group->items[i];
        if (!item->active || (dtype != SGD_DTYPE_COUNT && item->param.dtype != dtype))
            continue;
        if (item->sparse)
            status = sparse_step_run(item->sparse, list->arithmetic.path);
        if (item->sparse || item->param.numel == 0)
            continue;
        switch (way_of(group, item)) {
        case WAY_DIRECT: list->workspace->tensors[direct++] = tensor_of(item); break;
        case WAY_GATHERED: status = step_gathered(list, item); break;
        case WAY_BY_OP:
            list->workspace->walks[by_op++].item = item;
            if (!whole) {
                status = step_by_op(list, by_op);
                by_op = 0;
            }
        }
    }
    if (!status)
        status = backend_step(list, direct, list->workspace->tensors);
    return status ? status : step_by_op(list, by_op);
}

/* One list per dtype.  Where one of its buffers is missing, _multi_tensor_sgd loops in Python with the for-loop's mul_; a
 * momentum that is a tensor keeps its float value in torch._foreach_mul_, too. */
static sgd_status run_foreach(list *list)
{
    sgd_status status = SGD_OK;
    for (int dtype = 0; dtype < SGD_DTYPE_COUNT && !status; dtype++) {
        bool as_forloop = list->group->momentum_is_tensor || step_buffers_mixed(list->group, (sgd_dtype)dtype);
        list->arithmetic.path = as_forloop ? SGD_FORLOOP : SGD_FOREACH;
        status = run_list(list, (sgd_dtype)dtype, true);
    }
    return status;
}

sgd_status step_run(step_group *group, sgd_workspace *workspace, sgd_error *error)
{
    const sgd_config *config = group->config;
    if (group->skip)
        return SGD_OK;
    group->hyper.grad_scale = group->has_grad_scale ? &group->grad_scale : NULL;
    list list = {.group = group,
                 .workspace = workspace,
                 .arithmetic = {.struct_size = sizeof(sgd_arithmetic),
                                .contract = config->contract,
                                .path = group->path,
                                .defects = config->defects,
                                .torch_threads = config->torch_threads,
                                .threads = config->threads}};
    sgd_status status = group->path == SGD_FOREACH ? run_foreach(&list) : run_list(&list, SGD_DTYPE_COUNT, false);
    if (!status)
        status = config->backend->synchronize(config->backend->context);
    if (status)
        return sgd_error_set(error, SGD_ERROR_BACKEND, "backend %s failed in param group %zu: %s",
                             config->backend->name, group->number, sgd_status_text(status));
    for (size_t i = 0; i < group->count; i++)
        if (group->items[i].active && group->hyper.momentum != 0)
            group->items[i].from->has_buffer = true;
    return SGD_OK;
}

/* ---- sgd_step -------------------------------------------------------------------------------------------------------------- */

static sgd_status step_in(sgd_workspace *workspace, const sgd_config *config, const sgd_options *options, sgd_item *items,
                          size_t count, const sgd_scaling *scaling, sgd_error *error)
{
    step_group group;
    if (workspace->item_capacity < count) {
        workspace->item_capacity = 0;
        if (!GROW(workspace->items, count))
            return sgd_error_set(error, SGD_ERROR_MEMORY, "out of memory");
        workspace->item_capacity = count;
    }
    sgd_status status = step_prepare(config, options, items, count, scaling, workspace->items, &group, error);
    if (!status)
        status = step_reserve(&group, workspace, error);
    if (!status)
        status = step_run(&group, workspace, error);
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
    status = step_in(workspace ? workspace : &own, &settings, options, items, count, scaling, error);
    workspace_clear(&own);
    return status;
}
