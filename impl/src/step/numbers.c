/* numbers.c - hyper-parameters on their way into a step: tensors are read, and what PyTorch refuses is refused.
 *
 * torch/optim/sgd.py passes tensors on to add_(alpha=...), mul_ and addcmul_; which of them a tensor survives depends on its
 * dimensions and on requires_grad.
 */
#include <math.h>
#include <string.h>

#include "engine.h"

/* ---- values ------------------------------------------------------------------------------------------------------------ */

static bool read_integer(const void *data, bool is_signed, uint8_t bits, double *out)
{
    int64_t value = 0;
    if (bits != 8 && bits != 16 && bits != 32 && bits != 64)
        return false;
    memcpy(&value, data, bits / 8); /* little-endian */
    if (is_signed && bits < 64 && value >> (bits - 1))
        value -= (int64_t)1 << bits;
    *out = is_signed || bits < 64 ? (double)value : (double)(uint64_t)value;
    return true;
}

sgd_status number_read(const sgd_tensor_option *option, double *out, sgd_error *error)
{
    const DLTensor *tensor = option->tensor;
    const char *data = tensor->data ? (const char *)tensor->data + tensor->byte_offset : NULL;
    if (tensor->device.device_type != kDLCPU || !data || tensor->dtype.lanes != 1)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "a tensor option must be one element in host memory");
    sgd_dtype dtype;
    bool read = false;
    switch (tensor->dtype.code) {
    case kDLFloat:
    case kDLBfloat:
        read = tensor_dtype(tensor->dtype, &dtype);
        if (read)
            number_convert(dtype, data, SGD_F64, out);
        break;
    case kDLInt: read = read_integer(data, true, tensor->dtype.bits, out); break;
    case kDLUInt:
    case DL_BOOL: read = read_integer(data, false, tensor->dtype.bits, out); break;
    default: break;
    }
    return read ? SGD_OK : sgd_error_set(error, SGD_ERROR_DTYPE, "a tensor option of DLPack dtype code %d, %d bits",
                                         tensor->dtype.code, tensor->dtype.bits);
}

/* ---- what each path makes of a tensor ------------------------------------------------------------------------------------ */

#define NOT_A_NUMBER "%s(): argument 'alpha' must be Number, not Tensor"
#define INVALID_COMBINATION "%s() received an invalid combination of arguments"

/* A tensor where a Python number is wanted: one without dimensions and gradient is taken as one. */
static sgd_status as_number(const sgd_tensor_option *option, sgd_path path, const char *operation, bool grad_too,
                            sgd_error *error)
{
    if (!option->tensor || (option->tensor->ndim == 0 && (grad_too || !option->requires_grad)))
        return SGD_OK;
    switch (path) {
    case SGD_FUSED: return sgd_error_set(error, SGD_ERROR_TYPE, INVALID_COMBINATION, "_fused_sgd_");
    case SGD_FOREACH: return sgd_error_set(error, SGD_ERROR_TYPE, INVALID_COMBINATION, operation);
    default: return sgd_error_set(error, SGD_ERROR_TYPE, NOT_A_NUMBER, operation);
    }
}

static bool is_bool(const sgd_tensor_option *option) { return option->tensor && option->tensor->dtype.code == DL_BOOL; }

static sgd_status read_lr(const sgd_options *options, sgd_path path, sgd_hyper *out, sgd_error *error)
{
    const sgd_tensor_option *option = &options->lr_tensor;
    if (!option->tensor)
        return SGD_OK;
    if (path != SGD_FUSED && is_bool(option))
        return sgd_error_set(error, SGD_ERROR_RUNTIME,
                             "Negation, the `-` operator, on a bool tensor is not supported. If you are trying to invert a "
                             "mask, use the `~` or `logical_not()` operator instead.");
    sgd_status status = number_read(option, &out->lr, error);
    /* -lr is computed in lr's own dtype: unsigned integers wrap, and so does the lowest signed one. */
    DLDataType type = option->tensor->dtype;
    if (path != SGD_FUSED && type.bits < 64 && out->lr != 0 &&
        (type.code == kDLUInt || (type.code == kDLInt && out->lr == -ldexp(1, type.bits - 1))))
        out->lr -= ldexp(1, type.bits);
    out->lr_addcmul = path == SGD_FORLOOP && option->requires_grad;
    return status;
}

static sgd_status read_weight_decay(const sgd_options *options, sgd_path path, sgd_hyper *out, sgd_error *error)
{
    const sgd_tensor_option *option = &options->weight_decay_tensor;
    if (!option->tensor)
        return SGD_OK;
    sgd_status status = number_read(option, &out->weight_decay, error);
    if (status || out->weight_decay == 0)
        return status;
    out->weight_decay_addcmul = path == SGD_FORLOOP && option->requires_grad;
    if (out->weight_decay_addcmul)
        return SGD_OK;
    if (path != SGD_FUSED && is_bool(option))
        return sgd_error_set(error, SGD_ERROR_RUNTIME, "Boolean alpha only supported for Boolean results.");
    return as_number(option, path, path == SGD_FOREACH ? "_foreach_add" : "add", false, error);
}

/* mul_ takes a tensor of any shape, torch._foreach_mul_ one without dimensions. */
static sgd_status read_momentum(const sgd_options *options, sgd_path path, sgd_hyper *out, sgd_error *error)
{
    const sgd_tensor_option *option = &options->momentum_tensor;
    if (!option->tensor)
        return SGD_OK;
    sgd_status status = number_read(option, &out->momentum, error);
    if (status || out->momentum == 0)
        return status;
    if (options->nesterov || path == SGD_FUSED)
        status = as_number(option, path, path == SGD_FOREACH ? "_foreach_add_" : "add", false, error);
    if (!status && option->tensor->ndim > 0)
        status = path == SGD_FOREACH
                     ? sgd_error_set(error, SGD_ERROR_RUNTIME,
                                     "scalar tensor expected to be 0 dim but it has %d dimensions and 1 elements.",
                                     (int)option->tensor->ndim)
                     : sgd_error_set(error, SGD_ERROR_UNSUPPORTED,
                                     "momentum as a tensor with dimensions, which changes the dtype of mul_, is not offered");
    return status;
}

/* 1 - dampening in the tensor's own dtype; for fused in double. */
static double one_minus(DLDataType type, double dampening, sgd_path path)
{
    if (path == SGD_FUSED || type.code != kDLFloat || type.bits != 32)
        return 1 - dampening;
    return (double)(1.0f - (float)dampening);
}

static sgd_status read_dampening(const sgd_options *options, sgd_path path, sgd_hyper *out, sgd_error *error)
{
    const sgd_tensor_option *option = &options->dampening_tensor;
    if (!option->tensor || out->momentum == 0)
        return SGD_OK;
    sgd_status status = number_read(option, &out->dampening, error);
    if (status)
        return status;
    DLDataType type = option->tensor->dtype;
    if (path != SGD_FUSED && type.bits == 16 && (type.code == kDLFloat || type.code == kDLBfloat))
        return sgd_error_set(error, SGD_ERROR_UNSUPPORTED,
                             "dampening as a 16-bit tensor, which rounds 1 - dampening to 16 bits, is not offered");
    out->dampening = 1 - one_minus(type, out->dampening, path); /* exact: 1 - x has few enough bits */
    return as_number(option, path, path == SGD_FOREACH ? "_foreach_add_" : "add_", path != SGD_FUSED, error);
}

sgd_status options_resolve(const sgd_options *options, sgd_path path, sgd_hyper *out, sgd_error *error)
{
    sgd_hyper hyper = {.struct_size = sizeof hyper,
                       .lr = options->lr,
                       .momentum = options->momentum,
                       .dampening = options->dampening,
                       .weight_decay = options->weight_decay,
                       .nesterov = options->nesterov,
                       .maximize = options->maximize};
    sgd_status status = read_lr(options, path, &hyper, error);
    if (!status)
        status = read_weight_decay(options, path, &hyper, error);
    if (!status)
        status = read_momentum(options, path, &hyper, error);
    if (!status)
        status = read_dampening(options, path, &hyper, error);
    if (!status)
        *out = hyper;
    return status;
}
