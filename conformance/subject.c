/* subject.c - see subject.h. */
#include "subject.h"

#include <stdlib.h>
#include <string.h>

#include "subject_options.h"

/* ---- tensors ------------------------------------------------------------------------------------------------------- */

/* A tensor in its room of a plane; strides are left out where they are those that none means. */
static DLTensor view_of(const subject_run *run, unsigned char *plane, const case_layout *layout, size_t tensor)
{
    return (DLTensor){.data = plane + run->data->offset[tensor],
                      .device = {(DLDeviceType)run->subject->backend->dl_device, 0},
                      .ndim = layout->ndim,
                      .dtype = subject_type(case_dtype(run->data, tensor)),
                      .shape = (int64_t *)(uintptr_t)layout->shape,
                      .strides = case_is_flat(run->data, tensor) ? NULL : (int64_t *)(uintptr_t)layout->strides,
                      .byte_offset = layout->offset * case_size(run->data, tensor)};
}

static void open_tensor(subject_run *run, size_t t)
{
    const case_data *data = run->data;
    subject_tensor *tensor = &run->tensors[t];
    tensor->param = view_of(run, run->params, &data->layouts[t], t);
    tensor->buffer_layout = data->layouts[t];
    tensor->buffer_layout.offset = 0;
    tensor->buffer_layout.strides = tensor->buffer_strides;
    tensor->buffer = view_of(run, run->buffers, &tensor->buffer_layout, t);
    run->items[t] = (sgd_item){.param = &tensor->param};
    case_place(data, t, &data->layouts[t], data->params[t], run->params);
}

/* The gradients of a step. */
static void bring_gradients(subject_run *run, size_t step)
{
    const case_data *data = run->data;
    run->grad_layouts = data->grad_layouts + step * data->tensors;
    for (size_t t = 0; t < data->tensors; t++) {
        const void *grad = data->grads[step * data->tensors + t];
        run->tensors[t].grad = view_of(run, run->grads, &run->grad_layouts[t], t);
        run->grad_list[t] = grad ? &run->tensors[t].grad : NULL;
        if (grad)
            case_place(data, t, &run->grad_layouts[t], grad, run->grads);
    }
}

/* ---- opening ------------------------------------------------------------------------------------------------------- */

sgd_config subject_config(const case_data *data, const conform_subject *subject)
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

static sgd_status create_optimizer(subject_run *run, const DLTensor *params, sgd_error *error)
{
    const case_data *data = run->data;
    subject_scalar unused[SUBJECT_SCALARS];
    size_t first = 0;
    for (size_t g = 0; g < data->groups; g++) {
        sgd_options options = subject_options(data, g, 0, unused);
        size_t count = data->file->group.tensor_count[data->group_begin + g];
        sgd_status status = g ? sgd_optimizer_add_group(run->optimizer, &options, params + first, count, error)
                              : sgd_optimizer_create(&options, &run->config, params, count, &run->optimizer, error);
        if (status)
            return status;
        first += count;
    }
    return SGD_OK;
}

static sgd_status out_of_memory(sgd_error *error)
{
    *error = (sgd_error){SGD_ERROR_MEMORY, "out of memory"};
    return SGD_ERROR_MEMORY;
}

static sgd_status open_door(subject_run *run, sgd_error *error)
{
    const case_data *data = run->data;
    if (!case_is_plain(data))
        return sgd_workspace_create(&run->workspace, error);
    DLTensor *params = calloc(data->tensors, sizeof *params);
    if (!params)
        return out_of_memory(error);
    for (size_t t = 0; t < data->tensors; t++)
        params[t] = run->tensors[t].param;
    sgd_status status = create_optimizer(run, params, error);
    free(params);
    return status;
}

sgd_status subject_open(subject_run *run, const case_data *data, const conform_subject *subject, sgd_error *error)
{
    *run = (subject_run){.data = data,
                         .subject = subject,
                         .config = subject_config(data, subject),
                         .params = case_plane(data),
                         .grads = case_plane(data),
                         .buffers = case_plane(data),
                         .scratch = case_plane(data),
                         .grad_layouts = data->grad_layouts};
    run->tensors = calloc(data->tensors, sizeof *run->tensors);
    run->grad_list = calloc(data->tensors, sizeof *run->grad_list);
    run->items = calloc(data->tensors, sizeof *run->items);
    if (!run->params || !run->grads || !run->buffers || !run->scratch || !run->tensors || !run->grad_list || !run->items)
        return out_of_memory(error);
    for (size_t t = 0; t < data->tensors; t++)
        open_tensor(run, t);
    return open_door(run, error);
}

void subject_close(subject_run *run)
{
    sgd_optimizer_destroy(run->optimizer);
    sgd_workspace_destroy(run->workspace);
    free(run->params);
    free(run->grads);
    free(run->buffers);
    free(run->scratch);
    free(run->tensors);
    free(run->grad_list);
    free(run->items);
}

/* ---- a step -------------------------------------------------------------------------------------------------------- */

/* Memory for a buffer that the step may make, lying as the library says. */
static sgd_status bring_buffer(subject_run *run, const sgd_options *options, size_t t, sgd_error *error)
{
    subject_tensor *tensor = &run->tensors[t];
    run->items[t].buffer = &tensor->buffer;
    if (run->items[t].has_buffer || !run->grad_list[t])
        return SGD_OK;
    sgd_status status = sgd_buffer_strides(options, run->subject->backend, &tensor->param, run->grad_list[t],
                                           tensor->buffer_strides, error);
    if (status || layout_room(&tensor->buffer_layout) <= case_numel(run->data, t))
        return status;
    *error = (sgd_error){SGD_ERROR_LAYOUT, "sgd_buffer_strides left gaps"};
    return SGD_ERROR_LAYOUT;
}

static sgd_status step_group(subject_run *run, size_t group, size_t step, size_t first, sgd_error *error)
{
    const case_data *data = run->data;
    subject_scalar scalars[SUBJECT_SCALARS], scales[2];
    sgd_options options = subject_options(data, group, step, scalars);
    sgd_scaling scaling = {subject_scale(case_grad_scale(data, step), &scales[0]),
                           subject_scale(case_found_inf(data, step), &scales[1])};
    size_t count = data->file->group.tensor_count[data->group_begin + group];
    sgd_status status = SGD_OK;
    for (size_t t = first; t < first + count && !status; t++) {
        run->items[t].grad = run->grad_list[t];
        run->items[t].buffer = NULL;
        if (case_options_of(data, group, step).momentum != 0)
            status = bring_buffer(run, &options, t, error);
    }
    return status ? status
                  : sgd_step(&run->config, &options, run->items + first, count,
                             scaling.grad_scale || scaling.found_inf ? &scaling : NULL, run->workspace, error);
}

sgd_status subject_step(subject_run *run, size_t step, sgd_error *error)
{
    const case_data *data = run->data;
    bring_gradients(run, step);
    if (run->optimizer)
        return sgd_optimizer_step(run->optimizer, run->grad_list, data->tensors, error);
    sgd_status status = SGD_OK;
    size_t first = 0;
    for (size_t g = 0; g < data->groups && !status; g++) {
        status = step_group(run, g, step, first, error);
        first += data->file->group.tensor_count[data->group_begin + g];
    }
    return status;
}

/* ---- what it left -------------------------------------------------------------------------------------------------- */

/* A plane's room for a tensor in row-major order. */
static const void *in_order(const subject_run *run, const unsigned char *plane, const case_layout *layout, size_t tensor)
{
    unsigned char *scratch = run->scratch + run->data->offset[tensor];
    if (layout_is_plain(layout))
        return plane + run->data->offset[tensor];
    layout_gather(layout, case_size(run->data, tensor), plane + run->data->offset[tensor], scratch);
    return scratch;
}

static const void *buffer_of(const subject_run *run, size_t t, const int64_t **strides)
{
    DLTensor buffer = {.data = NULL};
    if (run->optimizer) {
        sgd_status status = sgd_optimizer_momentum_buffer(run->optimizer, t, &buffer, NULL);
        return status ? NULL : buffer.data;
    }
    if (!run->items[t].has_buffer)
        return NULL;
    *strides = run->tensors[t].buffer_strides;
    return in_order(run, run->buffers, &run->tensors[t].buffer_layout, t);
}

const void *subject_array(const subject_run *run, size_t tensor, case_array which, const int64_t **strides)
{
    *strides = NULL;
    switch (which) {
    case CASE_PARAM: return in_order(run, run->params, &run->data->layouts[tensor], tensor);
    case CASE_GRAD:
        return run->grad_list[tensor] ? in_order(run, run->grads, &run->grad_layouts[tensor], tensor) : NULL;
    default: return buffer_of(run, tensor, strides);
    }
}

bool subject_memory_intact(const subject_run *run, size_t *tensor, case_array *which)
{
    static const int64_t one = 1;
    const case_data *data = run->data;
    for (size_t t = 0; t < data->tensors; t++) {
        int64_t numel = (int64_t)case_numel(data, t);
        case_layout dense = {.ndim = 1, .shape = &numel, .strides = &one};
        *tensor = t;
        *which = CASE_PARAM;
        if (!case_room_intact(data, run->params, &data->layouts[t], t))
            return false;
        *which = CASE_GRAD;
        if (run->grad_list[t] && !case_room_intact(data, run->grads, &run->grad_layouts[t], t))
            return false;
        *which = CASE_BUFFER;
        if (!case_room_intact(data, run->buffers, &dense, t))
            return false;
    }
    return true;
}
