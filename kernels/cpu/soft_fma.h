/* soft_fma.h - fused multiply-add in plain C for machines without the instruction: x*y + z, rounded once, to nearest even.
 *
 * NaN operands are not handled here (the caller picks the NaN); invalid operations give some NaN.
 */
#ifndef SGD_CPU_SOFT_FMA_H
#define SGD_CPU_SOFT_FMA_H

#include <math.h>
#include <stdint.h>
#include <string.h>

/* f32: the product is exact in double.  Rounding the sum to odd there (the last bit is set when anything was lost) leaves
 * enough for the rounding to float to be right: 53 >= 2*24 + 2. (Boldo and Melquiond, Emulation of FMA, 2008.) */
static inline float soft_fma_f32(float x, float y, float z)
{
    double product = (double)x * (double)y, addend = (double)z;
    double sum = product + addend;
    if (isfinite(sum)) {
        /* Knuth's two-sum: sum + lost is exactly product + addend */
        double part = sum - product;
        double lost = (product - (sum - part)) + (addend - part);
        uint64_t bits;
        memcpy(&bits, &sum, sizeof bits);
        if (lost != 0 && !(bits & 1)) {
            bits += (lost > 0) == (sum > 0) ? 1 : UINT64_MAX;
            memcpy(&sum, &bits, sizeof sum);
        }
    }
    return (float)sum;
}

typedef unsigned __int128 soft_fma_wide;

/* |value| = mantissa * 2^exponent with the leading bit of mantissa at 125 */
typedef struct soft_fma_number {
    soft_fma_wide mantissa;
    int exponent;
    int negative;
} soft_fma_number;

static inline int soft_fma_leading(soft_fma_wide x)
{
    uint64_t high = (uint64_t)(x >> 64);
    return high ? 127 - __builtin_clzll(high) : 63 - __builtin_clzll((uint64_t)x);
}

static inline soft_fma_number soft_fma_normal(soft_fma_wide mantissa, int exponent, int negative)
{
    int shift = 125 - soft_fma_leading(mantissa);
    return (soft_fma_number){mantissa << shift, exponent - shift, negative};
}

/* mantissa and exponent of a finite value that is not 0: |value| = mantissa * 2^exponent */
static inline uint64_t soft_fma_split(double value, int *exponent)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint64_t mantissa = bits & ((UINT64_C(1) << 52) - 1);
    int biased = (int)(bits >> 52 & 0x7FF);
    *exponent = (biased ? biased : 1) - 1075;
    return biased ? mantissa | UINT64_C(1) << 52 : mantissa;
}

static inline double soft_fma_round(soft_fma_number number)
{
    int leading = soft_fma_leading(number.mantissa);
    int lowest = number.exponent + leading - 52; /* exponent of the last bit kept */
    if (lowest < -1074)
        lowest = -1074;
    int drop = lowest - number.exponent;
    uint64_t kept = 0; /* from 128 bits on nothing is left, nor half of anything */
    if (drop <= 0) {
        kept = (uint64_t)number.mantissa << -drop;
    } else if (drop < 128) {
        soft_fma_wide rest = number.mantissa << (128 - drop), half = (soft_fma_wide)1 << 127;
        kept = (uint64_t)(number.mantissa >> drop);
        kept += rest > half || (rest == half && (kept & 1));
    }
    /* The leading bit, if there is one, counts one exponent; a carry of the rounding counts another. */
    uint64_t bits = ((uint64_t)(lowest + 1074) << 52) + kept;
    if (bits >> 52 >= 0x7FF || lowest > 971)
        bits = UINT64_C(0x7FF) << 52;
    bits |= (uint64_t)(number.negative != 0) << 63;
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline double soft_fma_f64(double x, double y, double z)
{
    if (!isfinite(x) || !isfinite(y))
        return x * y + z;
    if (!isfinite(z))
        return z;
    if (x == 0 || y == 0)
        return x * y + z;
    if (z == 0)
        return x * y;

    int x_exponent, y_exponent, z_exponent;
    soft_fma_wide product = (soft_fma_wide)soft_fma_split(x, &x_exponent) * soft_fma_split(y, &y_exponent);
    soft_fma_number big = soft_fma_normal(product, x_exponent + y_exponent, signbit(x) != signbit(y));
    uint64_t mantissa = soft_fma_split(z, &z_exponent);
    soft_fma_number small = soft_fma_normal(mantissa, z_exponent, signbit(z) != 0);
    if (small.exponent > big.exponent || (small.exponent == big.exponent && small.mantissa > big.mantissa)) {
        soft_fma_number swap = big;
        big = small;
        small = swap;
    }

    /* Align, keeping what falls off the end as a last bit: at least 20 bits below the rounding position. */
    int distance = big.exponent - small.exponent;
    if (distance > 126)
        small.mantissa = 1;
    else if (distance > 0)
        small.mantissa = small.mantissa >> distance | ((small.mantissa << (128 - distance)) != 0);
    big.mantissa = big.negative == small.negative ? big.mantissa + small.mantissa : big.mantissa - small.mantissa;
    return big.mantissa ? soft_fma_round(big) : 0.0;
}

#endif
