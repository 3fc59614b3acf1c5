/* rounding.c - see rounding.h.  Plain on purpose: this is what the fast kernels are held against. */
#include "rounding.h"

#include <float.h>
#include <math.h>
#include <string.h>

_Static_assert(FLT_EVAL_METHOD == 0, "float and double must round at every operation");

#define F32_QUIET UINT64_C(0x00400000)
#define F64_QUIET UINT64_C(0x0008000000000000)
#define F32_DEFAULT_NAN UINT64_C(0xFFC00000)
#define F64_DEFAULT_NAN UINT64_C(0xFFF8000000000000)

working working_of(sgd_dtype dtype) { return dtype == SGD_F64 || dtype == SGD_C128 ? WORKING_F64 : WORKING_F32; }

static bool is_16_bit(sgd_dtype dtype) { return dtype == SGD_F16 || dtype == SGD_BF16; }

static float float_of(uint64_t bits)
{
    uint32_t narrow = (uint32_t)bits;
    float value;
    memcpy(&value, &narrow, sizeof value);
    return value;
}

static uint64_t bits_of_float(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static double double_of(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint64_t bits_of_double(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static bool is_nan(working format, uint64_t bits)
{
    return format == WORKING_F64 ? (bits & INT64_MAX) > UINT64_C(0x7FF0000000000000)
                                 : (bits & INT32_MAX) > UINT64_C(0x7F800000);
}

static uint64_t quieted(working format, uint64_t bits) { return bits | (format == WORKING_F64 ? F64_QUIET : F32_QUIET); }

static uint64_t made(working format, uint64_t result)
{
    if (is_nan(format, result))
        return format == WORKING_F64 ? F64_DEFAULT_NAN : F32_DEFAULT_NAN;
    return result;
}

uint64_t rounding_from_double(working format, double value)
{
    if (format == WORKING_F64)
        return bits_of_double(value);
    return bits_of_float((float)value);
}

uint64_t rounding_convert(working from, working to, uint64_t bits)
{
    if (from == to)
        return bits;
    if (from == WORKING_F32) {
        uint64_t sign = bits >> 31 << 63;
        return is_nan(from, bits) ? quieted(to, sign | UINT64_C(0x7FF0000000000000) | (bits & 0x007FFFFF) << 29)
                                  : bits_of_double(float_of(bits));
    }
    uint64_t sign = bits >> 63 << 31;
    return is_nan(from, bits) ? quieted(to, sign | 0x7F800000 | (bits >> 29 & 0x007FFFFF))
                              : bits_of_float((float)double_of(bits));
}

uint64_t rounding_mul(working format, uint64_t x, uint64_t y)
{
    if (is_nan(format, x))
        return quieted(format, x);
    if (is_nan(format, y))
        return quieted(format, y);
    return made(format, format == WORKING_F64 ? bits_of_double(double_of(x) * double_of(y))
                                              : bits_of_float(float_of(x) * float_of(y)));
}

uint64_t rounding_add(working format, uint64_t x, uint64_t y)
{
    if (is_nan(format, x))
        return quieted(format, x);
    if (is_nan(format, y))
        return quieted(format, y);
    return made(format, format == WORKING_F64 ? bits_of_double(double_of(x) + double_of(y))
                                              : bits_of_float(float_of(x) + float_of(y)));
}

uint64_t rounding_sub(working format, uint64_t x, uint64_t y)
{
    if (is_nan(format, x))
        return quieted(format, x);
    if (is_nan(format, y))
        return quieted(format, y);
    return made(format, format == WORKING_F64 ? bits_of_double(double_of(x) - double_of(y))
                                              : bits_of_float(float_of(x) - float_of(y)));
}

uint64_t rounding_div(working format, uint64_t x, uint64_t y)
{
    if (is_nan(format, x))
        return quieted(format, x);
    if (is_nan(format, y))
        return quieted(format, y);
    return made(format, format == WORKING_F64 ? bits_of_double(double_of(x) / double_of(y))
                                              : bits_of_float(float_of(x) / float_of(y)));
}

/* Signs are applied behind the choice of the NaN, so that a NaN passes with its own sign. */
static uint64_t fused(working format, uint64_t x, uint64_t y, uint64_t z, bool negate_product, bool negate_addend)
{
    if (is_nan(format, x))
        return quieted(format, x);
    if (is_nan(format, y))
        return quieted(format, y);
    if (is_nan(format, z))
        return quieted(format, z);
    if (format == WORKING_F64)
        return made(format, bits_of_double(fma(negate_product ? -double_of(x) : double_of(x), double_of(y),
                                               negate_addend ? -double_of(z) : double_of(z))));
    return made(format, bits_of_float(fmaf(negate_product ? -float_of(x) : float_of(x), float_of(y),
                                           negate_addend ? -float_of(z) : float_of(z))));
}

uint64_t rounding_fma(working format, uint64_t x, uint64_t y, uint64_t z) { return fused(format, x, y, z, false, false); }
uint64_t rounding_fms(working format, uint64_t x, uint64_t y, uint64_t z) { return fused(format, x, y, z, false, true); }
uint64_t rounding_fnma(working format, uint64_t x, uint64_t y, uint64_t z) { return fused(format, x, y, z, true, false); }

uint64_t rounding_flip(size_t bytes, uint64_t bits) { return bits ^ (UINT64_C(1) << (8 * bytes - 1)); }

/* ---- 16-bit formats: value = mantissa * 2^exponent, by exact products and rint rather than by shifting bits ------------ */

/* 2^exponent, for exponents of normal doubles */
static double power_of_two(int exponent) { return double_of((uint64_t)(exponent + 1023) << 52); }

/* The exponent of the leading bit of a normal double */
static int leading_exponent(double value) { return (int)(bits_of_double(value) >> 52 & 0x7FF) - 1023; }

typedef struct half_format {
    int mantissa_bits, min_exponent, max_exponent; /* exponents of the leading bit of normal numbers */
} half_format;

static half_format half_of(sgd_dtype dtype)
{
    return dtype == SGD_F16 ? (half_format){10, -14, 15} : (half_format){7, -126, 127};
}

uint64_t rounding_widen(sgd_dtype dtype, uint64_t stored)
{
    if (!is_16_bit(dtype))
        return stored;
    half_format half = half_of(dtype);
    uint64_t mantissa = stored & ((UINT64_C(1) << half.mantissa_bits) - 1);
    int biased = (int)((stored & 0x7FFF) >> half.mantissa_bits);
    uint64_t sign = (stored & 0x8000) << 16;
    if (biased == half.max_exponent * 2 + 1) {
        uint64_t payload = mantissa << (23 - half.mantissa_bits);
        uint64_t quiet = dtype == SGD_F16 && mantissa ? F32_QUIET : 0;
        return sign | 0x7F800000 | payload | quiet;
    }
    double units = biased ? (double)(mantissa + (UINT64_C(1) << half.mantissa_bits)) : (double)mantissa;
    double value = units * power_of_two((biased ? biased - half.max_exponent : half.min_exponent) - half.mantissa_bits);
    return sign | bits_of_float((float)value);
}

static uint64_t narrow_nan(sgd_dtype dtype, sgd_narrow becomes, uint64_t bits)
{
    uint64_t sign = (bits >> 16) & 0x8000;
    switch (becomes) {
    case SGD_NARROW_SIGN_7E00:
        return sign | 0x7E00;
    case SGD_NARROW_ALL_ONES:
        return 0xFFFF;
    case SGD_NARROW_X_7FC0:
        return 0x7FC0;
    default:
        return dtype == SGD_F16 ? sign | 0x7E00 | ((bits >> 13) & 0x3FF) : sign | 0x7FC0 | ((bits >> 16) & 0x7F);
    }
}

uint64_t rounding_narrow(sgd_dtype dtype, sgd_narrow nan_becomes, uint64_t bits)
{
    if (!is_16_bit(dtype))
        return bits;
    if (is_nan(WORKING_F32, bits))
        return narrow_nan(dtype, nan_becomes, bits);

    half_format half = half_of(dtype);
    uint64_t sign = (bits >> 16) & 0x8000, infinity = (uint64_t)(half.max_exponent * 2 + 1) << half.mantissa_bits;
    double value = fabs((double)float_of(bits));
    if (isinf(value))
        return sign | infinity;
    if (value == 0)
        return sign;

    int exponent = leading_exponent(value);
    if (exponent < half.min_exponent)
        exponent = half.min_exponent;
    /* The number of units in the last place, rounded to even by rint; a carry runs into the exponent by itself. */
    uint64_t units = (uint64_t)rint(value * power_of_two(half.mantissa_bits - exponent));
    uint64_t leading = UINT64_C(1) << half.mantissa_bits;
    uint64_t rounded = units < leading ? units
                                       : ((uint64_t)(exponent - half.min_exponent) << half.mantissa_bits) + units;
    return sign | (rounded < infinity ? rounded : infinity);
}
