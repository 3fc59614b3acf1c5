/* scalars.c - how the hyper-parameters round on their way into a kernel.
 *
 * PyTorch's add takes alpha in the tensor's dtype (double -> float -> 16 bits, rounded twice); the for-loop's mul_ and the
 * fused kernel take 16-bit tensors' scalars as float (opmath); torch._foreach_mul_ casts its scalar to the dtype.
 */
#include "vocabulary_scalar.h"

/* As operand of mul_ in the for-loop and of the fused kernel: f64 and c128 as it is, all others float. */
static double in_working_format(sgd_dtype dtype, double value)
{
    return dtype == SGD_F64 || dtype == SGD_C128 ? value : (double)(float)value;
}

/* As alpha of add and as the scalar tensor of addcmul: in the tensor's own dtype. */
double scalar_for_axpy(sgd_dtype dtype, double alpha)
{
    switch (dtype) {
    case SGD_F16:
        return (double)round_f16(FMA_BODY, (float)alpha);
    case SGD_BF16:
        return (double)round_bf16(FMA_BODY, (float)alpha);
    default:
        return in_working_format(dtype, alpha);
    }
}

double scalar_for_scale(sgd_path path, sgd_dtype dtype, double alpha)
{
    return path == SGD_FOREACH ? scalar_for_axpy(dtype, alpha) : in_working_format(dtype, alpha);
}

operand_scalars scalars_for_operation(sgd_path path, sgd_operation operation, sgd_dtype dtype, double alpha, double value)
{
    bool scale = operation == SGD_OP_SCALE;
    return (operand_scalars){.alpha = scale ? scalar_for_scale(path, dtype, alpha) : scalar_for_axpy(dtype, alpha),
                             .value = value,
                             .scalar_first = scale && path == SGD_FOREACH};
}

step_scalars scalars_for_step(sgd_path path, const sgd_hyper *hyper, sgd_dtype dtype)
{
    double (*alpha)(sgd_dtype, double) = path == SGD_FUSED ? in_working_format : scalar_for_axpy;
    return (step_scalars){.minus_lr = alpha(dtype, -hyper->lr),
                          .weight_decay = alpha(dtype, hyper->weight_decay),
                          .scale = scalar_for_scale(path, dtype, hyper->momentum),
                          .momentum = alpha(dtype, hyper->momentum),
                          .one_minus_dampening = alpha(dtype, 1 - hyper->dampening),
                          .lr = alpha(dtype, hyper->lr),
                          .grad_scale = hyper->grad_scale ? (double)*hyper->grad_scale : 1,
                          .has_decay = hyper->weight_decay != 0,
                          .has_momentum = hyper->momentum != 0,
                          .nesterov = hyper->nesterov,
                          .maximize = hyper->maximize,
                          .lr_addcmul = hyper->lr_addcmul,
                          .weight_decay_addcmul = hyper->weight_decay_addcmul,
                          .has_grad_scale = hyper->grad_scale != NULL,
                          .scalar_first = path == SGD_FOREACH};
}

static int larger(int x, int y) { return x > y ? x : y; }

/* The places behind the binary point of a float; none of 0, infinities and NaNs. */
static int fraction_bits(double scalar)
{
    uint32_t bits = bits_w32((float)scalar) & 0x7FFFFFFF, mantissa = bits & 0x7FFFFF;
    int exponent = (int)(bits >> 23);
    if (bits == 0 || exponent == 0xFF)
        return 0;
    if (exponent)
        mantissa |= 0x800000;
    else
        exponent = 1;
    return larger(0, 150 - exponent - __builtin_ctz(mantissa));
}

/* A product has the places of both factors, a sum those of the finer operand; rounding takes places away.  A quotient has 24
 * significant bits, the first of them at most one place lower than the difference of the exponents. */
int fraction_bits_of_step(const step_scalars *s)
{
    bool divided = s->has_grad_scale && s->grad_scale != 0 && isfinite(s->grad_scale);
    int grad = divided ? larger(0, ilogb(s->grad_scale) + 17) : 0;
    if (s->has_decay)
        grad = larger(grad, fraction_bits(s->weight_decay));
    if (s->has_momentum) {
        int buffer = larger(fraction_bits(s->scale), grad + fraction_bits(s->one_minus_dampening));
        grad = s->nesterov ? larger(grad, buffer + fraction_bits(s->momentum)) : buffer;
    }
    return grad + fraction_bits(s->lr);
}
