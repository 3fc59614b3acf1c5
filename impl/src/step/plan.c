/* plan.c - the tensors of a step that the backend takes as they are, in lists: one of a group, foreach one of each dtype; and the
 * step over them, all at once where the backend has prepared it.
 */
#include "engine.h"

static sgd_status out_of_memory(sgd_error *error) { return sgd_error_set(error, SGD_ERROR_MEMORY, "out of memory"); }

sgd_step_tensor step_tensor_of(const step_item *item)
{
    return (sgd_step_tensor){.dtype = item->param.dtype,
                             .first = item->first,
                             .write_grad = item->write_grad,
                             .numel = item->param.numel,
                             .param = item->param.data,
                             .grad = item->grad.data,
                             .buffer = item->buffer.data};
}

/* One list per dtype.  Where one of its buffers is missing, _multi_tensor_sgd loops in Python with the for-loop's mul_; a
 * momentum that is a tensor keeps its float value in torch._foreach_mul_, too. */
sgd_path step_list_path(const step_group *group, sgd_dtype dtype)
{
    bool as_forloop = group->path == SGD_FOREACH && (group->momentum_is_tensor || step_buffers_mixed(group, dtype));
    return as_forloop ? SGD_FORLOOP : group->path;
}

sgd_arithmetic step_arithmetic(const step_group *group)
{
    const sgd_config *config = group->config;
    return (sgd_arithmetic){.struct_size = sizeof(sgd_arithmetic),
                            .contract = config->contract,
                            .path = group->path,
                            .defects = config->defects,
                            .torch_threads = config->torch_threads,
                            .threads = config->threads};
}

/* ---- lists --------------------------------------------------------------------------------------------------------------- */

static sgd_status reserve_lists(const step_group *groups, size_t count, sgd_workspace *workspace, sgd_error *error)
{
    size_t tensors = 0, lists = 0, room = workspace->list_room;
    for (size_t g = 0; g < count; g++) {
        tensors += groups[g].direct;
        lists += groups[g].path == SGD_FOREACH ? SGD_DTYPE_COUNT : 1;
    }
    return MAKE_ROOM(workspace->tensors, tensors, workspace->tensor_room) && MAKE_ROOM(workspace->lists, lists, room) &&
                   MAKE_ROOM(workspace->hypers, lists, workspace->list_room)
               ? SGD_OK
               : out_of_memory(error);
}

/* A list of a group's items of one dtype (SGD_DTYPE_COUNT: of any), unless it were empty; takes tensors from `tensors` on. */
static size_t add_list(step_group *group, sgd_dtype dtype, sgd_workspace *workspace, sgd_step_tensor *tensors)
{
    size_t count = 0;
    for (size_t i = 0; i < group->count; i++) {
        const step_item *item = &group->items[i];
        if (item->way == WAY_DIRECT && (dtype == SGD_DTYPE_COUNT || item->param.dtype == dtype))
            tensors[count++] = step_tensor_of(item);
    }
    if (count > 0) {
        workspace->lists[workspace->list_count] = (sgd_list){step_list_path(group, dtype), count, tensors};
        workspace->hypers[workspace->list_count++] = &group->hyper;
        group->list_count++;
    }
    return count;
}

static void make_lists(step_group *groups, size_t count, sgd_workspace *workspace)
{
    sgd_step_tensor *next = workspace->tensors;
    workspace->list_count = 0;
    for (size_t g = 0; g < count; g++) {
        step_group *group = &groups[g];
        group->first_list = workspace->list_count;
        group->list_count = 0;
        if (group->direct > 0 && group->path != SGD_FOREACH)
            next += add_list(group, SGD_DTYPE_COUNT, workspace, next);
        for (int dtype = 0; dtype < SGD_DTYPE_COUNT && group->direct > 0 && group->path == SGD_FOREACH; dtype++)
            if (group->dtypes >> dtype & 1)
                next += add_list(group, (sgd_dtype)dtype, workspace, next);
    }
}

/* ---- the plan ------------------------------------------------------------------------------------------------------------ */

static sgd_status prepare_plan(const step_group *group, sgd_workspace *workspace, sgd_error *error)
{
    const sgd_backend *backend = group->config->backend;
    sgd_arithmetic arithmetic = step_arithmetic(group);
    if (workspace->plan && workspace->plan_backend != backend) {
        workspace->plan_backend->discard(workspace->plan_backend->context, workspace->plan);
        workspace->plan = NULL;
    }
    workspace->plan_backend = backend;
    sgd_status status =
        backend->prepare(backend->context, &arithmetic, workspace->list_count, workspace->lists, &workspace->plan);
    workspace->planned = !status;
    return !status ? SGD_OK
                   : sgd_error_set(error, status == SGD_ERROR_MEMORY ? status : SGD_ERROR_BACKEND,
                                   "backend %s cannot prepare the step: %s", backend->name, sgd_status_text(status));
}

static sgd_status make_plan(step_group *groups, size_t count, sgd_workspace *workspace, sgd_error *error)
{
    make_lists(groups, count, workspace);
    return workspace->list_count > 0 && groups[0].config->backend->prepare ? prepare_plan(&groups[0], workspace, error) : SGD_OK;
}

sgd_status steps_plan(step_group *groups, size_t count, step_kind kind, sgd_workspace *workspace, sgd_error *error)
{
    workspace->planned = workspace->holds = false;
    sgd_status status = reserve_lists(groups, count, workspace, error);
    if (!status && kind != STEP_ONCE)
        status = keep_reserve(groups, count, kind, workspace, error);
    if (!status && kind != STEP_ONCE)
        status = make_plan(groups, count, workspace, error);
    else if (!status)
        make_lists(groups, count, workspace);
    if (!status && kind != STEP_ONCE)
        keep_step(groups, count, kind, workspace);
    return status;
}

sgd_status steps_plan_moved(step_group *groups, size_t count, sgd_workspace *workspace, sgd_error *error)
{
    workspace->planned = false;
    sgd_status status = make_plan(groups, count, workspace, error);
    workspace->holds = !status;
    return status;
}

/* ---- the step ------------------------------------------------------------------------------------------------------------ */

static sgd_status failed(const step_group *group, sgd_status status, sgd_workspace *workspace, sgd_error *error)
{
    workspace->holds = false;
    return sgd_error_set(error, SGD_ERROR_BACKEND, "backend %s failed in param group %zu: %s", group->config->backend->name,
                         group->number, sgd_status_text(status));
}

static sgd_status run_lists(const step_group *group, const sgd_workspace *workspace)
{
    const sgd_backend *backend = group->config->backend;
    sgd_arithmetic arithmetic = step_arithmetic(group);
    sgd_status status = SGD_OK;
    for (size_t i = group->first_list; i < group->first_list + group->list_count && !status; i++) {
        const sgd_list *list = &workspace->lists[i];
        arithmetic.path = list->path;
        status = backend->step(backend->context, &arithmetic, &group->hyper, list->count, list->tensors);
    }
    return status;
}

static sgd_status run_group(const step_group *group, sgd_workspace *workspace)
{
    const sgd_backend *backend = group->config->backend;
    sgd_status status = workspace->planned ? SGD_OK : run_lists(group, workspace);
    if (!status && group->others > 0)
        status = step_run_others(group, workspace);
    return status || workspace->planned ? status : backend->synchronize(backend->context);
}

sgd_status steps_run(step_group *groups, size_t count, sgd_workspace *workspace, size_t *done, sgd_error *error)
{
    sgd_status status = SGD_OK;
    size_t stepped = 0;
    if (done)
        *done = 0;
    if (count == 0 || groups[0].skip)
        return SGD_OK;
    const sgd_backend *backend = groups[0].config->backend;
    for (size_t g = 0; g < count; g++)
        groups[g].hyper.grad_scale = groups[g].has_grad_scale ? &groups[g].grad_scale : NULL;
    if (workspace->planned)
        status = backend->run(backend->context, workspace->plan, workspace->hypers);
    while (!status && stepped < count) {
        status = run_group(&groups[stepped], workspace);
        stepped += !status;
    }
    if (!status && workspace->planned)
        status = backend->synchronize(backend->context);
    if (done && (!status || !workspace->planned))
        *done = stepped;
    return status ? failed(&groups[stepped < count ? stepped : 0], status, workspace, error) : SGD_OK;
}
