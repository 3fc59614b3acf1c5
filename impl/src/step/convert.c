/* convert.c - single elements from one dtype to another: options that are tensors, and parameters without dimensions that
 * compute in the wider dtype of an option (c10/core/ScalarType.h promoteTypes, c10/util/Half.h, BFloat16.h). */
#include <math.h>
#include <string.h>

#include "engine.h"

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

/* ---- promotion ---------------------------------------------------------------------------------------------------------- */

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

static bool is_f16_nan(const void *element)
{
    uint16_t bits;
    memcpy(&bits, element, sizeof bits);
    return (bits & 0x7FFF) > 0x7C00;
}

void number_promote_element(sgd_dtype from, const void *in, sgd_dtype to, void *out)
{
    static const uint32_t nan = 0x7FFFFFFF;
    number_convert(from, in, to, out);
    if (from == SGD_F16 && to == SGD_F32 && is_f16_nan(in))
        memcpy(out, &nan, sizeof nan);
}

void number_demote_element(sgd_contract contract, sgd_dtype from, const void *in, sgd_dtype to, void *out)
{
    number_convert(from, in, to, out);
    if (contract == SGD_TORCH_2_13_CPU_BASE && from == SGD_F64 && to == SGD_F16 && is_f16_nan(out)) {
        uint16_t bits;
        memcpy(&bits, out, sizeof bits);
        bits &= 0xFE00;
        memcpy(out, &bits, sizeof bits);
    }
}
