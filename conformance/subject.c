/* subject.c - see subject.h. */
#include "subject.h"

#include <stdlib.h>
#include <string.h>

static DLDataType type_of(sgd_dtype dtype)
{
    return (DLDataType){.code = dtype == SGD_BF16 ? kDLBfloat : kDLFloat,
                        .bits = (uint8_t)(8 * sgd_dtype_size(dtype)),
                        .lanes = 1};
}

static DLTensor view_of(const subject_run *run, const sgd_backend *backend, unsigned char *plane, size_t tensor)
{
    return (DLTensor){.data = plane + run->data->offset[tensor],
                      .device = {(DLDeviceType)backend->dl_device, 0},
                      .ndim = 1,
                      .dtype = type_of(case_dtype(run->data, tensor)),
                      .shape = (int64_t *)(uintptr_t)&run->data->file->tensor.numel[run->data->tensor_begin + tensor]};
}

static sgd_options options_of(const case_data *data, size_t group)
{
    sgd_oracle_options from = case_options(data, group, SGD_DEFECTS_FIX);
    sgd_options options = sgd_options_default();
    options.lr = from.lr;
    options.momentum = from.momentum;
    options.dampening = from.dampening;
    options.weight_decay = from.weight_decay;
    options.nesterov = from.nesterov;
    options.maximize = from.maximize;
    options.foreach = data->path == SGD_FOREACH ? SGD_TRUE : SGD_FALSE;
    options.fused = data->path == SGD_FUSED ? SGD_TRUE : SGD_FALSE;
    return options;
}

static sgd_config config_of(const case_data *data, const conform_subject *subject)
{
    sgd_config config = sgd_config_default();
    config.contract = data->contract;
    config.defects = subject->defects;
    config.schedule = subject->schedule;
    config.torch_threads = data->torch_threads;
    config.threads = subject->threads;
    config.backend = subject->backend;
    return config;
}

static sgd_status create(subject_run *run, const conform_subject *subject, sgd_error *error)
{
    const case_data *data = run->data;
    sgd_config config = config_of(data, subject);
    size_t first = 0;
    for (size_t g = 0; g < data->groups; g++) {
        sgd_options options = options_of(data, g);
        size_t count = data->file->group.tensor_count[data->group_begin + g];
        sgd_status status =
            g ? sgd_optimizer_add_group(run->optimizer, &options, run->views + first, count, error)
              : sgd_optimizer_create(&options, &config, run->views, count, &run->optimizer, error);
        if (status)
            return status;
        first += count;
    }
    return SGD_OK;
}

sgd_status subject_open(subject_run *run, const case_data *data, const conform_subject *subject, sgd_error *error)
{
    *run = (subject_run){.data = data, .params = case_plane(data), .grads = case_plane(data)};
    run->views = calloc(2 * data->tensors, sizeof *run->views);
    run->grad_list = calloc(data->tensors, sizeof *run->grad_list);
    if (!run->params || !run->grads || !run->views || !run->grad_list) {
        *error = (sgd_error){SGD_ERROR_MEMORY, "out of memory"};
        return SGD_ERROR_MEMORY;
    }
    for (size_t t = 0; t < data->tensors; t++) {
        run->views[t] = view_of(run, subject->backend, run->params, t);
        run->views[data->tensors + t] = view_of(run, subject->backend, run->grads, t);
        memcpy(run->views[t].data, data->params[t], case_bytes(data, t));
    }
    return create(run, subject, error);
}

void subject_close(subject_run *run)
{
    sgd_optimizer_destroy(run->optimizer);
    free(run->params);
    free(run->grads);
    free(run->views);
    free(run->grad_list);
}

sgd_status subject_step(subject_run *run, size_t step, sgd_error *error)
{
    const case_data *data = run->data;
    for (size_t t = 0; t < data->tensors; t++) {
        const void *grad = data->grads[step * data->tensors + t];
        DLTensor *view = &run->views[data->tensors + t];
        run->grad_list[t] = grad ? view : NULL;
        if (grad)
            memcpy(view->data, grad, case_bytes(data, t));
    }
    return sgd_optimizer_step(run->optimizer, run->grad_list, data->tensors, error);
}

const void *subject_array(const subject_run *run, size_t tensor, case_array which)
{
    DLTensor buffer = {.data = NULL};
    switch (which) {
    case CASE_PARAM: return run->views[tensor].data;
    case CASE_GRAD: return run->grad_list[tensor] ? run->grad_list[tensor]->data : NULL;
    default:
        if (sgd_optimizer_momentum_buffer(run->optimizer, tensor, &buffer, NULL))
            return NULL;
        return buffer.data;
    }
}
