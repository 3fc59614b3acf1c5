/* scalar.c - see scalar.h. */
#include "scalar.h"

#include <math.h>
#include <string.h>

/* A finite magnitude in 16 bits; false where they have no such number. */
static bool encode_finite(int mantissa_bits, int bias, double magnitude, uint16_t *out)
{
    int exponent;
    frexp(magnitude, &exponent);
    exponent = magnitude == 0 || exponent - 1 < 1 - bias ? 1 - bias : exponent - 1;
    double integer = ldexp(magnitude, mantissa_bits - exponent);
    if (exponent > bias || integer != floor(integer))
        return false;
    uint32_t bits = (uint32_t)integer, implicit = 1u << mantissa_bits;
    *out = (uint16_t)(bits < implicit ? bits : (uint32_t)(exponent + bias) << mantissa_bits | (bits - implicit));
    return true;
}

static bool encode_16(int mantissa_bits, int bias, double value, uint16_t *out)
{
    uint16_t bits, infinity = (uint16_t)((2u * (unsigned)bias + 1) << mantissa_bits);
    if (isnan(value))
        bits = infinity | (uint16_t)(1u << (mantissa_bits - 1));
    else if (isinf(value))
        bits = infinity;
    else if (!encode_finite(mantissa_bits, bias, fabs(value), &bits))
        return false;
    *out = signbit(value) ? bits | 0x8000 : bits;
    return true;
}

bool scalar_encode(sgd_dtype dtype, double value, void *out)
{
    float narrow = (float)value;
    uint16_t half;
    switch (dtype) {
    case SGD_F64: memcpy(out, &value, sizeof value); return true;
    case SGD_F32:
        if (!isnan(value) && (double)narrow != value)
            return false;
        memcpy(out, &narrow, sizeof narrow);
        return true;
    case SGD_F16:
    case SGD_BF16:
        if (!encode_16(dtype == SGD_F16 ? 10 : 7, dtype == SGD_F16 ? 15 : 127, value, &half))
            return false;
        memcpy(out, &half, sizeof half);
        return true;
    default: return false;
    }
}
