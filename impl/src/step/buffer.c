/* buffer.c - how PyTorch lays out a new momentum buffer: clone() of the gradient as weight decay and maximize left it
 * (torch/optim/sgd.py), empty_like() of the gradient for fused. */
#include <string.h>

#include "engine.h"

static bool decays(const sgd_options *options)
{
    double weight_decay = options->weight_decay;
    if (options->weight_decay_tensor.tensor && number_read(&options->weight_decay_tensor, &weight_decay, NULL))
        return false;
    return weight_decay != 0;
}

/* The gradient after negation and weight decay, which are new tensors but for g.addcmul_ and torch._foreach_add_. */
static void changed_gradient(const sgd_options *options, const tensor_view *param, const tensor_view *grad, sgd_path path,
                             int64_t *strides)
{
    int64_t param_room[LAYOUT_DIMS], room[LAYOUT_DIMS];
    const int64_t *own = tensor_view_strides(grad, room);
    if (grad->ndim)
        memcpy(strides, own, (size_t)grad->ndim * sizeof *strides);
    layout of_grad = {.ndim = grad->ndim, .shape = grad->shape, .strides = {strides}};
    int64_t result[LAYOUT_DIMS];
    if (options->maximize) {
        layout_result(&of_grad, result);
        memcpy(strides, result, (size_t)grad->ndim * sizeof *strides);
    }
    bool in_place = options->weight_decay_tensor.requires_grad || (path == SGD_FOREACH && options->maximize);
    if (decays(options) && !in_place) {
        of_grad.strides[1] = tensor_view_strides(param, param_room);
        layout_result(&of_grad, result);
        memcpy(strides, result, (size_t)grad->ndim * sizeof *strides);
    }
}

sgd_status sgd_buffer_strides(const sgd_options *options, const sgd_backend *backend, const DLTensor *param,
                              const DLTensor *grad, int64_t *strides, sgd_error *error)
{
    tensor_view param_view, grad_view;
    if (!options || !backend || !strides)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "%s is NULL",
                             !options ? "options" : !backend ? "backend" : "strides");
    sgd_status status = tensor_view_check(param, backend, "parameter", 0, &param_view, error);
    if (!status)
        status = tensor_view_check(grad, backend, "gradient", 0, &grad_view, error);
    if (status)
        return status;
    if (!tensor_view_same_shape(&param_view, &grad_view))
        return sgd_error_set(error, SGD_ERROR_SHAPE, "the gradient and its parameter differ in shape");
    int64_t changed[LAYOUT_DIMS], room[LAYOUT_DIMS];
    sgd_path path = sgd_options_path(options, backend);
    const int64_t *from = tensor_view_strides(&grad_view, room);
    if (path != SGD_FUSED) {
        changed_gradient(options, &param_view, &grad_view, path, changed);
        from = changed;
    }
    layout_like(grad_view.ndim, grad_view.shape, from, strides);
    return SGD_OK;
}
