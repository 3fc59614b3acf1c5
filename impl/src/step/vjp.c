/* vjp.c - the vector-Jacobian product of a step: torch.optim.SGD(differentiable=True) and autograd (torch/optim/sgd.py). */
#include <math.h>

#include <sgd/vjp.h>

#include "engine.h"

/* An item, checked: `numel` elements each. */
typedef struct vjp_tensors {
    size_t numel;
    const void *param, *grad, *buffer; /* buffer NULL: none */
    void *d_param, *d_buffer, *d_grad; /* NULL: none, not wanted */
    bool has_d_buffer;
} vjp_tensors;

static inline double f64_fma(double x, double y, double z) { return fma(x, y, z); }
static inline float f32_fma(float x, float y, float z) { return fmaf(x, y, z); }

#define REAL double
#define NAME(name) f64_##name
#include "vjp_pass.h"

#define REAL float
#define NAME(name) f32_##name
#include "vjp_pass.h"

/* ---- checks ------------------------------------------------------------------------------------------------------------ */

static sgd_status check_param(const DLTensor *tensor, size_t index, tensor_view *out, sgd_error *error)
{
    sgd_status status = tensor_view_check(tensor, sgd_backend_cpu(SGD_ISA_SCALAR), "parameter", index, out, error);
    if (!status && out->dtype != SGD_F64 && out->dtype != SGD_F32)
        return sgd_error_set(error, SGD_ERROR_DTYPE, "parameter %zu is %s; a step is differentiated in f64 and f32", index,
                             sgd_dtype_name(out->dtype));
    if (!status && !out->contiguous)
        return sgd_error_set(error, SGD_ERROR_LAYOUT, "parameter %zu is not contiguous", index);
    return status;
}

/* Another tensor of an item: like the param. */
static sgd_status check_like(const DLTensor *tensor, const tensor_view *param, const char *what, size_t index, void **out,
                             sgd_error *error)
{
    tensor_view view;
    sgd_status status = tensor_view_check(tensor, sgd_backend_cpu(SGD_ISA_SCALAR), what, index, &view, error);
    if (status)
        return status;
    if (view.dtype != param->dtype)
        return sgd_error_set(error, SGD_ERROR_DTYPE, "%s %zu is %s, its parameter %s", what, index,
                             sgd_dtype_name(view.dtype), sgd_dtype_name(param->dtype));
    if (!tensor_view_same_shape(&view, param))
        return sgd_error_set(error, SGD_ERROR_SHAPE, "%s %zu does not have its parameter's shape", what, index);
    if (!view.contiguous)
        return sgd_error_set(error, SGD_ERROR_LAYOUT, "%s %zu is not contiguous", what, index);
    *out = view.data;
    return SGD_OK;
}

static sgd_status check_item(const sgd_hyper *hyper, const sgd_vjp_item *item, size_t index, sgd_dtype *dtype,
                             vjp_tensors *out, sgd_error *error)
{
    bool momentum = hyper->momentum != 0;
    tensor_view param;
    vjp_tensors t = {.has_d_buffer = item->has_d_buffer};
    void *grad = NULL, *buffer = NULL;
    sgd_status status = check_param(item->param, index, &param, error);
    if (!status)
        status = check_like(item->grad, &param, "gradient", index, &grad, error);
    if (!status && momentum && item->buffer)
        status = check_like(item->buffer, &param, "momentum buffer", index, &buffer, error);
    if (!status)
        status = check_like(item->d_param, &param, "derivative by parameter", index, &t.d_param, error);
    if (!status && momentum)
        status = check_like(item->d_buffer, &param, "derivative by momentum buffer", index, &t.d_buffer, error);
    if (!status && item->d_grad)
        status = check_like(item->d_grad, &param, "derivative by gradient", index, &t.d_grad, error);
    if (status)
        return status;
    t.numel = param.numel;
    t.param = param.data;
    t.grad = grad;
    t.buffer = buffer;
    *dtype = param.dtype;
    *out = t;
    return SGD_OK;
}

/* ---- the step backwards -------------------------------------------------------------------------------------------------- */

sgd_status sgd_step_vjp(const sgd_options *options, sgd_vjp_item *items, size_t count, sgd_vjp_options *d_options,
                        sgd_error *error)
{
    sgd_hyper hyper;
    sgd_dtype dtype;
    vjp_tensors tensors;
    sgd_status status = sgd_options_check(options, error);
    if (!status)
        status = options_resolve(options, SGD_FORLOOP, &hyper, error);
    if (!status && count > 0 && !items)
        status = sgd_error_set(error, SGD_ERROR_ARGUMENT, "items is NULL");
    for (size_t i = 0; !status && i < count; i++)
        if (items[i].grad)
            status = check_item(&hyper, &items[i], i, &dtype, &tensors, error);
    if (status)
        return status;
    sgd_vjp_options sums = d_options ? *d_options : (sgd_vjp_options){0};
    for (size_t i = 0; i < count; i++) {
        if (!items[i].grad)
            continue;
        check_item(&hyper, &items[i], i, &dtype, &tensors, NULL);
        (dtype == SGD_F64 ? f64_pass : f32_pass)(&hyper, &tensors, &sums);
        if (hyper.momentum != 0)
            items[i].has_d_buffer = items[i].buffer != NULL;
    }
    if (d_options)
        *d_options = sums;
    return SGD_OK;
}
