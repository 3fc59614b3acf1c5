/* vocabulary_scalar.h - one element at a time in plain C, on any machine.  NaNs are chosen explicitly: the compiler may swap
 * the operands of + and *, and other processors have other default NaNs. */
#ifndef SGD_CPU_VOCABULARY_SCALAR_H
#define SGD_CPU_VOCABULARY_SCALAR_H

#include "soft_fma.h"
#include "vocabulary.h"

typedef float w32;
typedef double w64;
enum { LANES_w32 = 1, LANES_w64 = 1 };

static ALWAYS_INLINE uint32_t bits_w32(w32 x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static ALWAYS_INLINE w32 of_bits_w32(uint32_t bits)
{
    w32 x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static ALWAYS_INLINE uint64_t bits_w64(w64 x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static ALWAYS_INLINE w64 of_bits_w64(uint64_t bits)
{
    w64 x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* The first NaN of x, y, z, quieted; else `result`, whose NaN becomes the x86 default one. */
#define SCALAR_WORKING(w, type, QUIET, DEFAULT_NAN, SIGN)                                          \
    static ALWAYS_INLINE w quiet_##w(w x) { return of_bits_##w(bits_##w(x) | (QUIET)); }           \
    static ALWAYS_INLINE w settle_##w(w x, w y, w z, w result)                                     \
    {                                                                                              \
        if (isnan(x))                                                                              \
            return quiet_##w(x);                                                                   \
        if (isnan(y))                                                                              \
            return quiet_##w(y);                                                                   \
        if (isnan(z))                                                                              \
            return quiet_##w(z);                                                                   \
        return isnan(result) ? of_bits_##w(DEFAULT_NAN) : result;                                  \
    }                                                                                              \
    static ALWAYS_INLINE w broadcast_##w(double x) { return (w)x; }                                \
    static ALWAYS_INLINE w mul_##w(w x, w y) { return settle_##w(x, y, 0, x * y); }                \
    static ALWAYS_INLINE w div_##w(w x, w y) { return settle_##w(x, y, 0, x / y); }                \
    static ALWAYS_INLINE w add_##w(w x, w y) { return settle_##w(x, y, 0, x + y); }                \
    static ALWAYS_INLINE w fma_##w(w x, w y, w z) { return settle_##w(x, y, z, soft_fma_##type(x, y, z)); }  \
    static ALWAYS_INLINE w fms_##w(w x, w y, w z) { return settle_##w(x, y, z, soft_fma_##type(x, y, -z)); } \
    static ALWAYS_INLINE w neg_##w(w x) { return of_bits_##w(bits_##w(x) ^ (SIGN)); }

SCALAR_WORKING(w32, f32, 0x00400000u, 0xFFC00000u, 0x80000000u)
SCALAR_WORKING(w64, f64, UINT64_C(0x0008000000000000), UINT64_C(0xFFF8000000000000), UINT64_C(0x8000000000000000))

STORED_IS_WORKING(f32, w32)
STORED_IS_WORKING(f64, w64)

#define SCALAR_MEMORY(dtype)                                                                            \
    static ALWAYS_INLINE stored_##dtype load_##dtype(const void *memory, size_t at, size_t n)           \
    {                                                                                                   \
        (void)n;                                                                                        \
        return ((const stored_##dtype *)memory)[at];                                                    \
    }                                                                                                   \
    static ALWAYS_INLINE void store_##dtype(void *memory, size_t at, size_t n, stored_##dtype x)        \
    {                                                                                                   \
        (void)n;                                                                                        \
        ((stored_##dtype *)memory)[at] = x;                                                             \
    }

typedef uint16_t stored_f16;
typedef uint16_t stored_bf16;
SCALAR_MEMORY(f64)
SCALAR_MEMORY(f32)
SCALAR_MEMORY(f16)
SCALAR_MEMORY(bf16)

/* ---- f16: 1 sign, 5 exponent, 10 mantissa bits ---------------------------------------------------------------------- */

static ALWAYS_INLINE stored_f16 flip_f16(stored_f16 x) { return x ^ 0x8000; }

static ALWAYS_INLINE w32 widen_f16(stored_f16 x)
{
    uint32_t sign = (uint32_t)(x & 0x8000) << 16, magnitude = x & 0x7FFF;
    if (magnitude > 0x7C00)
        return of_bits_w32(sign | 0x7FC00000 | magnitude << 13);
    if (magnitude == 0x7C00)
        return of_bits_w32(sign | 0x7F800000);
    /* The exponent is off by 112; the product is exact and puts subnormals right as well. */
    w32 scaled = of_bits_w32(magnitude << 13) * 0x1p112f;
    return of_bits_w32(sign | bits_w32(scaled));
}

static ALWAYS_INLINE stored_f16 pack_f16(w32 x)
{
    uint32_t bits = bits_w32(x), magnitude = bits & 0x7FFFFFFF, sign = bits >> 16 & 0x8000;
    if (magnitude > 0x7F800000)
        return (stored_f16)(sign | 0x7E00 | (magnitude >> 13 & 0x3FF));
    if (magnitude >= 0x477FF000) /* 65520 and above round to infinity */
        return (stored_f16)(sign | 0x7C00);
    if (magnitude < 0x38800000) /* below 2^-14: adding 0.5 leaves multiples of 2^-24 in the last bits, rounded to even */
        return (stored_f16)(sign | (bits_w32(of_bits_w32(magnitude) + 0.5f) - 0x3F000000));
    uint32_t odd = magnitude >> 13 & 1;
    return (stored_f16)(sign | (magnitude - 0x38000000 + 0xFFF + odd) >> 13);
}

static ALWAYS_INLINE stored_f16 narrow_f16(rounding r, w32 x)
{
    if (!has_fma(r) && isnan(x))
        return (stored_f16)((bits_w32(x) >> 16 & 0x8000) | 0x7E00);
    return pack_f16(x);
}

static ALWAYS_INLINE w32 round_f16(rounding r, w32 x) { return widen_f16(narrow_f16(r, x)); }

/* ---- bf16: the upper half of a float ----------------------------------------------------------------------------------- */

static ALWAYS_INLINE stored_bf16 flip_bf16(stored_bf16 x) { return x ^ 0x8000; }
static ALWAYS_INLINE w32 widen_bf16(stored_bf16 x) { return of_bits_w32((uint32_t)x << 16); }
static ALWAYS_INLINE stored_bf16 pack_bf16(w32 x) { return (stored_bf16)(bits_w32(x) >> 16); }

static ALWAYS_INLINE stored_bf16 narrow_bf16(rounding r, w32 x)
{
    if (isnan(x))
        return r == FMA_BODY ? 0xFFFF : 0x7FC0;
    uint32_t bits = bits_w32(x);
    return (stored_bf16)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

static ALWAYS_INLINE w32 round_bf16(rounding r, w32 x) { return widen_bf16(narrow_bf16(r, x)); }

#endif
