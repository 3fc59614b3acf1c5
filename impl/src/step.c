/* step.c - step(): everything that can go wrong is looked at first, then each group goes its path.
 *
 * torch/optim/sgd.py: SGD.step, sgd(), _multi_tensor_sgd's grouping by dtype, _fused_sgd's first step.
 */
#include <float.h>
#include <math.h>

#include "internal.h"

static bool same_shape(const DLTensor *x, const DLTensor *y)
{
    for (int i = 0; x->ndim == y->ndim && i < x->ndim; i++)
        if (x->shape[i] != y->shape[i])
            return false;
    return x->ndim == y->ndim;
}

static sgd_status read_grads(sgd_optimizer *optimizer, DLTensor *const *grads, size_t count, sgd_error *error)
{
    if (count != optimizer->param_count)
        return sgd_error_set(error, SGD_ERROR_SHAPE, "%zu gradients for %zu parameters", count, optimizer->param_count);
    if (count > 0 && !grads)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "grads is NULL");
    for (size_t i = 0; i < count; i++) {
        const tensor_view *param = &optimizer->params[i].view;
        tensor_view *grad = &optimizer->grads[i];
        optimizer->has_grad[i] = grads[i] != NULL;
        if (!grads[i])
            continue;
        sgd_status status = tensor_view_check(grads[i], optimizer->config.backend, "gradient", i, grad, error);
        if (status)
            return status;
        if (grad->dtype != param->dtype)
            return sgd_error_set(error, SGD_ERROR_DTYPE, "gradient %zu is %s, its parameter is %s", i,
                                 sgd_dtype_name(grad->dtype), sgd_dtype_name(param->dtype));
        const DLTensor *descriptor = &optimizer->params[i].descriptor;
        if (grads[i]->device.device_id != descriptor->device.device_id)
            return sgd_error_set(error, SGD_ERROR_DEVICE, "gradient %zu is on device %d, its parameter on device %d", i,
                                 grads[i]->device.device_id, descriptor->device.device_id);
        if (!same_shape(grads[i], descriptor))
            return sgd_error_set(error, SGD_ERROR_SHAPE, "gradient %zu and its parameter differ in shape", i);
    }
    return SGD_OK;
}

/* ---- what PyTorch raises --------------------------------------------------------------------------------------------- */

/* c10/util/TypeCast.h checked_convert: alpha of add must fit the dtype, infinities and NaN pass. */
static bool alpha_overflows(sgd_dtype dtype, double alpha)
{
    static const double largest[SGD_DTYPE_COUNT] = {
        [SGD_F64] = DBL_MAX, [SGD_F32] = FLT_MAX, [SGD_F16] = 65504.0, [SGD_BF16] = 0x1.FEp127};
    return isfinite(alpha) && fabs(alpha) > largest[dtype];
}

static const char *const scalar_type_names[SGD_DTYPE_COUNT] = {
    [SGD_F64] = "double", [SGD_F32] = "float", [SGD_F16] = "c10::Half", [SGD_BF16] = "c10::BFloat16"};

/* The alphas that an eager step of this parameter would pass to add. */
static sgd_status check_alphas(const sgd_options *options, const parameter *param, sgd_error *error)
{
    sgd_dtype dtype = param->view.dtype;
    bool momentum = options->momentum != 0;
    if (alpha_overflows(dtype, options->lr) ||
        alpha_overflows(dtype, options->weight_decay) ||
        (momentum && param->has_buffer && alpha_overflows(dtype, 1 - options->dampening)) ||
        (momentum && options->nesterov && alpha_overflows(dtype, options->momentum)))
        return sgd_error_set(error, SGD_ERROR_RUNTIME, "value cannot be converted to type %s without overflow",
                             scalar_type_names[dtype]);
    return SGD_OK;
}

/* Whether, among the group's tensors of a dtype (SGD_DTYPE_COUNT: of any) with a gradient, some have a buffer and some not. */
static bool buffers_mixed(const sgd_optimizer *optimizer, const param_group *group, sgd_dtype dtype)
{
    bool with = false, without = false;
    for (size_t i = group->first; i < group->first + group->count; i++)
        if (optimizer->has_grad[i] && (dtype == SGD_DTYPE_COUNT || optimizer->params[i].view.dtype == dtype)) {
            with |= optimizer->params[i].has_buffer;
            without |= !optimizer->params[i].has_buffer;
        }
    return with && without;
}

/* torch._fused_sgd_ wants a buffer for every tensor or for none: the first None's place in its dtype's list is named. */
static sgd_status check_fused_buffers(const sgd_optimizer *optimizer, const param_group *group, sgd_error *error)
{
    if (group->options.momentum == 0 || !buffers_mixed(optimizer, group, SGD_DTYPE_COUNT))
        return SGD_OK;
    size_t place[SGD_DTYPE_COUNT] = {0};
    size_t i = group->first;
    while (!optimizer->has_grad[i] || optimizer->params[i].has_buffer) {
        if (optimizer->has_grad[i])
            place[optimizer->params[i].view.dtype]++;
        i++;
    }
    return sgd_error_set(error, SGD_ERROR_TYPE, "expected Tensor as element %zu in argument 2, but got NoneType",
                         place[optimizer->params[i].view.dtype]);
}

static sgd_status check_group(const sgd_optimizer *optimizer, const param_group *group, sgd_error *error)
{
    if (group->path == SGD_FUSED)
        return check_fused_buffers(optimizer, group, error);
    for (size_t i = group->first; i < group->first + group->count; i++) {
        sgd_status status = SGD_OK;
        if (optimizer->has_grad[i])
            status = check_alphas(&group->options, &optimizer->params[i], error);
        if (status)
            return status;
    }
    return SGD_OK;
}

/* ---- memory ---------------------------------------------------------------------------------------------------------- */

static sgd_status allocate_buffers(sgd_optimizer *optimizer, const param_group *group, sgd_error *error)
{
    const sgd_backend *backend = optimizer->config.backend;
    if (group->options.momentum == 0)
        return SGD_OK;
    for (size_t i = group->first; i < group->first + group->count; i++) {
        parameter *param = &optimizer->params[i];
        if (!optimizer->has_grad[i] || param->buffer)
            continue;
        sgd_status status =
            backend->allocate(backend->context, param->view.numel * sgd_dtype_size(param->view.dtype), &param->buffer);
        if (status)
            return sgd_error_set(error, status, "no memory for the momentum buffer of parameter %zu: %s", i,
                                 sgd_status_text(status));
    }
    return SGD_OK;
}

/* What the group's gradients take when the for-loop (the largest one) or foreach (all of them) changes them by_op. */
static size_t scratch_size(const sgd_optimizer *optimizer, const param_group *group)
{
    size_t largest = 0, sum = 0;
    for (size_t i = group->first; i < group->first + group->count; i++) {
        const tensor_view *view = &optimizer->params[i].view;
        size_t size = by_op_scratch_size(&(sgd_step_tensor){.dtype = view->dtype, .numel = view->numel});
        largest = size > largest ? size : largest;
        sum += size;
    }
    return group->path == SGD_FOREACH ? sum : largest;
}

static sgd_status allocate_scratch(sgd_optimizer *optimizer, const param_group *group, sgd_error *error)
{
    const sgd_backend *backend = optimizer->config.backend;
    size_t size = scratch_size(optimizer, group);
    if (optimizer->config.schedule != SGD_SCHEDULE_BY_OP || group->path == SGD_FUSED || size <= optimizer->scratch_size)
        return SGD_OK;
    void *scratch;
    sgd_status status = backend->allocate(backend->context, size, &scratch);
    if (status)
        return sgd_error_set(error, status, "no memory for %zu bytes of gradients: %s", size, sgd_status_text(status));
    backend->release(backend->context, optimizer->scratch);
    optimizer->scratch = scratch;
    optimizer->scratch_size = size;
    return SGD_OK;
}

/* ---- the paths ------------------------------------------------------------------------------------------------------- */

/* _multi_tensor_sgd adds nesterov's momentum into the list of gradients itself, unless maximize or weight decay copied it. */
static bool writes_grad(const param_group *group)
{
    const sgd_options *options = &group->options;
    return group->path == SGD_FOREACH && options->nesterov && options->momentum != 0 && options->weight_decay == 0 &&
           !options->maximize;
}

/* Lists the group's tensors of one dtype (SGD_DTYPE_COUNT: of any) that have a gradient. */
static size_t list_tensors(sgd_optimizer *optimizer, const param_group *group, sgd_dtype dtype)
{
    size_t count = 0;
    bool momentum = group->options.momentum != 0, write_grad = writes_grad(group);
    for (size_t i = group->first; i < group->first + group->count; i++) {
        const parameter *param = &optimizer->params[i];
        if (optimizer->has_grad[i] && (dtype == SGD_DTYPE_COUNT || param->view.dtype == dtype))
            optimizer->steps[count++] = (sgd_step_tensor){.dtype = param->view.dtype,
                                                          .first = !param->has_buffer,
                                                          .write_grad = write_grad,
                                                          .numel = param->view.numel,
                                                          .param = param->view.data,
                                                          .grad = optimizer->grads[i].data,
                                                          .buffer = momentum ? param->buffer : NULL};
    }
    return count;
}

static sgd_status run_list(sgd_optimizer *optimizer, const sgd_arithmetic *arithmetic, const sgd_hyper *hyper,
                           const sgd_step_tensor *tensors, size_t count)
{
    const sgd_backend *backend = optimizer->config.backend;
    if (count == 0)
        return SGD_OK;
    if (optimizer->config.schedule == SGD_SCHEDULE_BY_OP && arithmetic->path != SGD_FUSED)
        return by_op_step(backend, arithmetic, hyper, count, tensors, optimizer->operands, optimizer->scratch);
    return backend->step(backend->context, arithmetic, hyper, count, tensors);
}

/* One list per dtype.  Where one of its buffers is missing, _multi_tensor_sgd loops in Python with the for-loop's mul_. */
static sgd_status run_foreach(sgd_optimizer *optimizer, const param_group *group, sgd_arithmetic arithmetic,
                              const sgd_hyper *hyper)
{
    sgd_status status = SGD_OK;
    for (int dtype = 0; dtype < SGD_DTYPE_COUNT && !status; dtype++) {
        size_t count = list_tensors(optimizer, group, (sgd_dtype)dtype);
        arithmetic.path = buffers_mixed(optimizer, group, (sgd_dtype)dtype) ? SGD_FORLOOP : SGD_FOREACH;
        status = run_list(optimizer, &arithmetic, hyper, optimizer->steps, count);
    }
    return status;
}

static sgd_status run_forloop(sgd_optimizer *optimizer, const param_group *group, const sgd_arithmetic *arithmetic,
                              const sgd_hyper *hyper)
{
    size_t count = list_tensors(optimizer, group, SGD_DTYPE_COUNT);
    if (optimizer->config.schedule == SGD_SCHEDULE_SINGLE_PASS)
        return run_list(optimizer, arithmetic, hyper, optimizer->steps, count);
    sgd_status status = SGD_OK;
    for (size_t i = 0; i < count && !status; i++)
        status = run_list(optimizer, arithmetic, hyper, &optimizer->steps[i], 1);
    return status;
}

static sgd_status run_group(sgd_optimizer *optimizer, const param_group *group)
{
    const sgd_config *config = &optimizer->config;
    const sgd_options *options = &group->options;
    sgd_arithmetic arithmetic = {.struct_size = sizeof arithmetic,
                                 .contract = config->contract,
                                 .path = group->path,
                                 .defects = config->defects,
                                 .torch_threads = config->torch_threads,
                                 .threads = config->threads};
    sgd_hyper hyper = {.struct_size = sizeof hyper,
                       .lr = options->lr,
                       .momentum = options->momentum,
                       .dampening = options->dampening,
                       .weight_decay = options->weight_decay,
                       .nesterov = options->nesterov,
                       .maximize = options->maximize};
    switch (group->path) {
    case SGD_FOREACH:
        return run_foreach(optimizer, group, arithmetic, &hyper);
    case SGD_FORLOOP:
        return run_forloop(optimizer, group, &arithmetic, &hyper);
    default:
        return run_list(optimizer, &arithmetic, &hyper, optimizer->steps,
                        list_tensors(optimizer, group, SGD_DTYPE_COUNT));
    }
}

sgd_status sgd_optimizer_step(sgd_optimizer *optimizer, DLTensor *const *grads, size_t count, sgd_error *error)
{
    if (!optimizer)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "optimizer is NULL");
    const sgd_backend *backend = optimizer->config.backend;
    sgd_status status = read_grads(optimizer, grads, count, error);
    for (size_t g = 0; g < optimizer->group_count && !status; g++)
        status = check_group(optimizer, &optimizer->groups[g], error);
    for (size_t g = 0; g < optimizer->group_count && !status; g++) {
        status = allocate_buffers(optimizer, &optimizer->groups[g], error);
        if (!status)
            status = allocate_scratch(optimizer, &optimizer->groups[g], error);
    }
    if (status)
        return status;

    for (size_t g = 0; g < optimizer->group_count; g++) {
        const param_group *group = &optimizer->groups[g];
        status = run_group(optimizer, group);
        if (!status)
            status = backend->synchronize(backend->context);
        if (status)
            return sgd_error_set(error, SGD_ERROR_BACKEND, "backend %s failed in param group %zu: %s", backend->name, g,
                                 sgd_status_text(status));
        for (size_t i = group->first; i < group->first + group->count; i++)
            optimizer->params[i].has_buffer |= optimizer->has_grad[i] && group->options.momentum != 0;
    }
    return SGD_OK;
}
