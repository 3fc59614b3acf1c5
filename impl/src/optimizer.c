/* optimizer.c - param groups and their parameters: create, add_param_group, options, state (torch/optim/optimizer.py). */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

/* ---- parameters ------------------------------------------------------------------------------------------------------ */

static void parameter_clear(const sgd_backend *backend, parameter *param)
{
    free(param->descriptor.shape);
    if (param->buffer)
        backend->release(backend->context, param->buffer);
}

static sgd_status parameter_init(const sgd_optimizer *optimizer, sgd_path path, const DLTensor *tensor, size_t index,
                                 parameter *out, sgd_error *error)
{
    const sgd_config *config = &optimizer->config;
    parameter param = {0};
    sgd_status status = tensor_view_check(tensor, config->backend, "parameter", index, &param.view, error);
    if (status)
        return status;
    status = step_check_claim(config, path, param.view.dtype, error);
    if (status)
        return status;
    size_t ndim = (size_t)tensor->ndim, bytes = ndim * sizeof tensor->shape[0];
    param.descriptor = *tensor;
    param.descriptor.shape = malloc(2 * bytes + 1); /* and the strides */
    if (!param.descriptor.shape)
        return sgd_error_set(error, SGD_ERROR_MEMORY, "out of memory");
    param.descriptor.strides = param.view.strides ? param.descriptor.shape + ndim : NULL;
    if (bytes)
        memcpy(param.descriptor.shape, tensor->shape, bytes);
    if (param.view.strides)
        memcpy(param.descriptor.strides, param.view.strides, bytes);
    param.view.shape = param.descriptor.shape;
    param.view.strides = param.descriptor.strides;
    *out = param;
    return SGD_OK;
}

/* A tensor's memory and its place in the optimizer; empty tensors have none. */
typedef struct place {
    uintptr_t memory;
    size_t numel, index;
} place;

static int by_memory(const void *x, const void *y)
{
    const place *one = x, *other = y;
    if (one->memory != other->memory)
        return one->memory < other->memory ? -1 : 1;
    if (one->numel != other->numel)
        return one->numel < other->numel ? -1 : 1;
    return one->index < other->index ? -1 : one->index > other->index;
}

/* Parameters [0, total) that are the same memory, all of it; PyTorch asks for the same object.  Views that only share memory
 * pass, as they do there. */
static sgd_status check_duplicates(const sgd_optimizer *optimizer, size_t total, sgd_error *error)
{
    place *places = malloc(total * sizeof *places + 1);
    if (!places)
        return sgd_error_set(error, SGD_ERROR_MEMORY, "out of memory");
    size_t count = 0;
    for (size_t i = 0; i < total; i++)
        if (optimizer->params[i].view.numel > 0)
            places[count++] = (place){(uintptr_t)optimizer->params[i].view.data, optimizer->params[i].view.numel, i};
    qsort(places, count, sizeof *places, by_memory);

    sgd_status status = SGD_OK;
    for (size_t i = 1; i < count && !status; i++) {
        size_t first = places[i - 1].index, second = places[i].index;
        if (places[i - 1].memory != places[i].memory || places[i - 1].numel != places[i].numel)
            continue;
        status = first < optimizer->param_count
                     ? sgd_error_set(error, SGD_ERROR_VALUE, "some parameters appear in more than one parameter group")
                     : sgd_error_set(error, SGD_ERROR_VALUE, "parameters %zu and %zu of one group are the same", first,
                                     second);
    }
    free(places);
    return status;
}

/* Gives the array that *array points to room for `count` elements; where memory runs out it stays as it was. */
#define RESERVE(array, count) reserve((void *)&(array), (count) * sizeof *(array))

static bool reserve(void *array, size_t bytes)
{
    void *memory;
    memcpy(&memory, array, sizeof memory);
    memory = realloc(memory, bytes + 1);
    if (memory)
        memcpy(array, &memory, sizeof memory);
    return memory != NULL;
}

static bool reserve_for(sgd_optimizer *optimizer, size_t params)
{
    return RESERVE(optimizer->groups, optimizer->group_count + 1) && RESERVE(optimizer->params, params) &&
           RESERVE(optimizer->items, params) && RESERVE(optimizer->prepared, params) &&
           RESERVE(optimizer->buffers, params) && RESERVE(optimizer->steps, optimizer->group_count + 1);
}

static sgd_status add_group(sgd_optimizer *optimizer, const sgd_options *options, const DLTensor *params, size_t count,
                            sgd_error *error)
{
    sgd_path path = sgd_options_path(options, optimizer->config.backend);
    size_t total = optimizer->param_count + count, made = 0;
    if (!reserve_for(optimizer, total))
        return sgd_error_set(error, SGD_ERROR_MEMORY, "out of memory");
    parameter *added = optimizer->params + optimizer->param_count;
    sgd_status status = SGD_OK;
    while (made < count && !status) {
        status = parameter_init(optimizer, path, &params[made], optimizer->param_count + made, &added[made], error);
        made += !status;
    }
    if (!status)
        status = check_duplicates(optimizer, total, error);
    if (status) {
        for (size_t i = 0; i < made; i++)
            parameter_clear(optimizer->config.backend, &added[i]);
        return status;
    }
    optimizer->groups[optimizer->group_count++] = (param_group){*options, path, optimizer->param_count, count};
    optimizer->param_count = total;
    return SGD_OK;
}

/* ---- life ------------------------------------------------------------------------------------------------------------ */

sgd_status sgd_optimizer_create(const sgd_options *options, const sgd_config *config, const DLTensor *params, size_t count,
                                sgd_optimizer **out, sgd_error *error)
{
    sgd_config settings = config ? *config : sgd_config_default();
    if (!out)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "out is NULL");
    sgd_status status = options_check_values(options, error);
    if (!status)
        status = config_check(&settings, error);
    if (status)
        return status;
    if (count == 0)
        return sgd_error_set(error, SGD_ERROR_VALUE, "optimizer got an empty parameter list");
    if (!params)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "params is NULL");
    status = options_check_path(options, error);
    if (status)
        return status;

    sgd_optimizer *optimizer = calloc(1, sizeof *optimizer);
    if (!optimizer)
        return sgd_error_set(error, SGD_ERROR_MEMORY, "out of memory");
    optimizer->config = settings;
    optimizer->defaults = *options;
    status = add_group(optimizer, options, params, count, error);
    if (status) {
        sgd_optimizer_destroy(optimizer);
        return status;
    }
    *out = optimizer;
    return SGD_OK;
}

void sgd_optimizer_destroy(sgd_optimizer *optimizer)
{
    if (!optimizer)
        return;
    const sgd_backend *backend = optimizer->config.backend;
    for (size_t i = 0; i < optimizer->param_count; i++)
        parameter_clear(backend, &optimizer->params[i]);
    workspace_clear(&optimizer->workspace);
    free(optimizer->steps);
    free(optimizer->buffers);
    free(optimizer->prepared);
    free(optimizer->items);
    free(optimizer->params);
    free(optimizer->groups);
    free(optimizer);
}

sgd_status sgd_optimizer_add_group(sgd_optimizer *optimizer, const sgd_options *options, const DLTensor *params,
                                   size_t count, sgd_error *error)
{
    if (!optimizer || (count > 0 && !params))
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "%s is NULL", optimizer ? "params" : "optimizer");
    if (options && options->struct_size != sizeof(sgd_options))
        return sgd_options_check(options, error);
    return add_group(optimizer, options ? options : &optimizer->defaults, params, count, error);
}

/* ---- access ---------------------------------------------------------------------------------------------------------- */

size_t sgd_optimizer_group_count(const sgd_optimizer *optimizer) { return optimizer ? optimizer->group_count : 0; }
size_t sgd_optimizer_tensor_count(const sgd_optimizer *optimizer) { return optimizer ? optimizer->param_count : 0; }

static sgd_status check_group(const sgd_optimizer *optimizer, size_t group, const void *argument, sgd_error *error)
{
    if (!optimizer || !argument)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "%s is NULL", optimizer ? "argument" : "optimizer");
    if (group >= optimizer->group_count)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "group %zu of %zu", group, optimizer->group_count);
    return SGD_OK;
}

sgd_status sgd_optimizer_get_options(const sgd_optimizer *optimizer, size_t group, sgd_options *out, sgd_error *error)
{
    sgd_status status = check_group(optimizer, group, out, error);
    if (!status)
        *out = optimizer->groups[group].options;
    return status;
}

sgd_status sgd_optimizer_set_options(sgd_optimizer *optimizer, size_t group, const sgd_options *options,
                                     sgd_error *error)
{
    sgd_status status = check_group(optimizer, group, options, error);
    if (status)
        return status;
    if (options->struct_size != sizeof(sgd_options))
        return sgd_options_check(options, error);
    sgd_options *current = &optimizer->groups[group].options;
    if (options->foreach != current->foreach || options->fused != current->fused ||
        options->differentiable != current->differentiable)
        return sgd_error_set(error, SGD_ERROR_VALUE, "foreach, fused and differentiable are fixed when a group is added");
    *current = *options;
    return SGD_OK;
}

sgd_status sgd_optimizer_path(const sgd_optimizer *optimizer, size_t group, sgd_path *out, sgd_error *error)
{
    sgd_status status = check_group(optimizer, group, out, error);
    if (!status)
        *out = optimizer->groups[group].path;
    return status;
}

sgd_status sgd_optimizer_momentum_buffer(const sgd_optimizer *optimizer, size_t tensor, DLTensor *out, sgd_error *error)
{
    if (!optimizer || !out)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "%s is NULL", optimizer ? "out" : "optimizer");
    if (tensor >= optimizer->param_count)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "tensor %zu of %zu", tensor, optimizer->param_count);
    const parameter *param = &optimizer->params[tensor];
    *out = param->descriptor;
    out->strides = NULL;
    out->data = param->has_buffer ? param->buffer : NULL;
    out->byte_offset = 0;
    return SGD_OK;
}
