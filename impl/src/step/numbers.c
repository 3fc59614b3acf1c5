/* numbers.c - hyper-parameters on their way into a step: tensors are read, and what PyTorch refuses is refused.
 *
 * torch/optim/sgd.py passes tensors on to add_(alpha=...), mul_ and addcmul_; which of them a tensor survives depends on its
 * dimensions and on requires_grad.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "engine.h"

/* ---- values ------------------------------------------------------------------------------------------------------------ */

static double half_value(uint16_t bits)
{
    int exponent = bits >> 10 & 31, mantissa = bits & 1023;
    if (exponent == 31 && mantissa) {
        uint64_t payload = UINT64_C(0x7FF8000000000000) | (uint64_t)(bits & 0x8000) << 48 | (uint64_t)mantissa << 42;
        double nan;
        memcpy(&nan, &payload, sizeof nan);
        return nan;
    }
    double magnitude = exponent == 31 ? INFINITY
                       : exponent     ? ldexp(1024 + mantissa, exponent - 25)
                                      : ldexp(mantissa, -24);
    return bits >> 15 ? -magnitude : magnitude;
}

static double bfloat_value(uint16_t bits)
{
    uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, sizeof value);
    return value;
}

static bool read_float(const void *data, uint8_t bits, double *out)
{
    uint16_t half;
    float single;
    switch (bits) {
    case 16: memcpy(&half, data, sizeof half); *out = half_value(half); return true;
    case 32: memcpy(&single, data, sizeof single); *out = single; return true;
    case 64: memcpy(out, data, sizeof *out); return true;
    default: return false;
    }
}

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
    uint16_t half;
    bool read = false;
    switch (tensor->dtype.code) {
    case kDLFloat: read = read_float(data, tensor->dtype.bits, out); break;
    case kDLBfloat:
        memcpy(&half, data, sizeof half);
        *out = bfloat_value(half);
        read = tensor->dtype.bits == 16;
        break;
    case kDLInt: read = read_integer(data, true, tensor->dtype.bits, out); break;
    case kDLUInt:
    case DL_BOOL: read = read_integer(data, false, tensor->dtype.bits, out); break;
    default: break;
    }
    return read ? SGD_OK : sgd_error_set(error, SGD_ERROR_DTYPE, "a tensor option of DLPack dtype code %d, %d bits",
                                         tensor->dtype.code, tensor->dtype.bits);
}

/* ---- promotion ---------------------------------------------------------------------------------------------------------- */

/* c10::promoteTypes of a tensor's dtype and an option's, both without dimensions. */
sgd_dtype number_promote(sgd_dtype dtype, DLDataType option)
{
    bool complex = dtype == SGD_C64 || dtype == SGD_C128;
    bool is_float = option.code == kDLFloat || option.code == kDLBfloat;
    if (is_float && option.bits == 64)
        return complex ? SGD_C128 : SGD_F64;
    bool half = dtype == SGD_F16 || dtype == SGD_BF16;
    bool same = (option.code == kDLBfloat) == (dtype == SGD_BF16);
    return half && is_float && (option.bits == 32 || !same) ? SGD_F32 : dtype;
}

/* F16C keeps a NaN's top bits, c10::BFloat16 makes one NaN of all. */
static uint16_t narrow_nan(double value, int mantissa_bits)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return mantissa_bits == 7 ? 0x7FC0 : (uint16_t)(bits >> 48 & 0x8000) | 0x7E00 | (uint16_t)(bits >> 42 & 0x3FF);
}

/* To nearest, ties to even, from a value that a double holds exactly. */
static uint16_t narrow_16(double value, int mantissa_bits, int bias)
{
    uint16_t sign = signbit(value) ? 0x8000 : 0, infinity = (uint16_t)(0x7FFF & ~((1 << mantissa_bits) - 1));
    double magnitude = fabs(value);
    if (isnan(value))
        return narrow_nan(value, mantissa_bits);
    int exponent = magnitude == 0 ? 1 - bias : isfinite(magnitude) ? ilogb(magnitude) : 0;
    if (exponent < 1 - bias)
        exponent = 1 - bias;
    /* The biased exponent and the mantissa are one integer; rounding up may carry from one into the other. */
    double scaled = nearbyint(ldexp(magnitude, mantissa_bits - exponent));
    double joined = scaled + (double)(exponent + bias - 1) * (1 << mantissa_bits);
    return sign | (joined < infinity ? (uint16_t)joined : infinity);
}

/* The parts of an element: one, or two of a complex number. */
static int parts_of(sgd_dtype dtype) { return dtype == SGD_C64 || dtype == SGD_C128 ? 2 : 1; }

static double part_read(sgd_dtype dtype, const void *element, int part)
{
    uint16_t half;
    float single;
    double wide;
    switch (dtype) {
    case SGD_F16:
    case SGD_BF16:
        memcpy(&half, element, sizeof half);
        return dtype == SGD_F16 ? half_value(half) : bfloat_value(half);
    case SGD_F32:
    case SGD_C64: memcpy(&single, (const char *)element + part * (int)sizeof single, sizeof single); return single;
    default: memcpy(&wide, (const char *)element + part * (int)sizeof wide, sizeof wide); return wide;
    }
}

static void part_write(sgd_dtype dtype, void *element, int part, double value)
{
    float single = (float)value; /* a double, too, becomes 16 bits by way of float */
    uint16_t half = dtype == SGD_F16 ? narrow_16(single, 10, 15) : narrow_16(single, 7, 127);
    switch (dtype) {
    case SGD_F16:
    case SGD_BF16: memcpy(element, &half, sizeof half); break;
    case SGD_F32:
    case SGD_C64: memcpy((char *)element + part * (int)sizeof single, &single, sizeof single); break;
    default: memcpy((char *)element + part * (int)sizeof value, &value, sizeof value);
    }
}

void number_convert(sgd_dtype from, const void *in, sgd_dtype to, void *out)
{
    for (int part = 0; part < parts_of(from); part++)
        part_write(to, out, part, part_read(from, in, part));
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
