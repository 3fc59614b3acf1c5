/* optimizer_step.c - step(): all groups are looked at first, then each is stepped (torch/optim/sgd.py SGD.step). */
#include "internal.h"

/* Memory for the momentum buffers that this step makes; until it does, they are not state. */
static sgd_status allocate_buffers(sgd_optimizer *optimizer, const param_group *group, DLTensor *const *grads,
                                   sgd_error *error)
{
    const sgd_backend *backend = optimizer->config.backend;
    for (size_t i = group->first; i < group->first + group->count; i++) {
        parameter *param = &optimizer->params[i];
        if (!grads[i] || param->buffer)
            continue;
        sgd_status status =
            backend->allocate(backend->context, param->view.numel * sgd_dtype_size(param->view.dtype), &param->buffer);
        if (status)
            return sgd_error_set(error, status, "no memory for the momentum buffer of parameter %zu: %s", i,
                                 sgd_status_text(status));
    }
    return SGD_OK;
}

static void make_items(sgd_optimizer *optimizer, DLTensor *const *grads)
{
    for (size_t i = 0; i < optimizer->param_count; i++) {
        parameter *param = &optimizer->params[i];
        optimizer->buffers[i] = param->descriptor;
        optimizer->buffers[i].strides = NULL;
        optimizer->buffers[i].data = param->buffer;
        optimizer->buffers[i].byte_offset = 0;
        optimizer->items[i] = (sgd_item){.param = &param->descriptor,
                                         .grad = grads[i],
                                         .buffer = param->buffer ? &optimizer->buffers[i] : NULL,
                                         .has_buffer = param->has_buffer};
    }
}

static sgd_status prepare_group(sgd_optimizer *optimizer, size_t g, sgd_error *error)
{
    const param_group *group = &optimizer->groups[g];
    sgd_status status =
        step_prepare(&optimizer->config, &group->options, optimizer->items + group->first, group->count, NULL,
                     optimizer->prepared + group->first, &optimizer->steps[g], error);
    optimizer->steps[g].number = g;
    return status ? status : step_reserve(&optimizer->steps[g], &optimizer->workspace, error);
}

sgd_status sgd_optimizer_step(sgd_optimizer *optimizer, DLTensor *const *grads, size_t count, sgd_error *error)
{
    if (!optimizer)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "optimizer is NULL");
    if (count != optimizer->param_count)
        return sgd_error_set(error, SGD_ERROR_SHAPE, "%zu gradients for %zu parameters", count, optimizer->param_count);
    if (count > 0 && !grads)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "grads is NULL");
    sgd_status status = SGD_OK;
    for (size_t g = 0; g < optimizer->group_count && !status; g++)
        if (optimizer->groups[g].options.momentum != 0)
            status = allocate_buffers(optimizer, &optimizer->groups[g], grads, error);
    if (status)
        return status;
    make_items(optimizer, grads);
    for (size_t g = 0; g < optimizer->group_count && !status; g++)
        status = prepare_group(optimizer, g, error);
    for (size_t g = 0; g < optimizer->group_count && !status; g++) {
        const param_group *group = &optimizer->groups[g];
        status = step_run(&optimizer->steps[g], &optimizer->workspace, error);
        for (size_t i = group->first; i < group->first + group->count && !status; i++)
            optimizer->params[i].has_buffer = optimizer->items[i].has_buffer;
    }
    step_release(&optimizer->workspace);
    return status;
}
