/* vocabulary_avx512.h - 16 floats or 8 doubles a register; AVX-512 F, BW, VL, DQ.  NaNs as in vocabulary_avx2.h. */
#ifndef SGD_CPU_VOCABULARY_AVX512_H
#define SGD_CPU_VOCABULARY_AVX512_H

#include <immintrin.h>

#include "vocabulary.h"

typedef __m512 w32;
typedef __m512d w64;
enum { LANES_w32 = 16, LANES_w64 = 8 };

static ALWAYS_INLINE w32 broadcast_w32(double x) { return _mm512_set1_ps((float)x); }
static ALWAYS_INLINE w32 mul_w32(w32 x, w32 y) { return _mm512_mul_ps(x, y); }
static ALWAYS_INLINE w32 div_w32(w32 x, w32 y) { return _mm512_div_ps(x, y); }
static ALWAYS_INLINE w32 fma_w32(w32 x, w32 y, w32 z) { return _mm512_fmadd_ps(x, y, z); }
static ALWAYS_INLINE w32 fms_w32(w32 x, w32 y, w32 z) { return _mm512_fmsub_ps(x, y, z); }
static ALWAYS_INLINE w32 neg_w32(w32 x)
{
    x = _mm512_xor_ps(x, _mm512_set1_ps(-0.0f));
    __asm__("" : "+v"(x)); /* as in vocabulary_avx2.h */
    return x;
}
static ALWAYS_INLINE w32 add_w32(w32 x, w32 y)
{
    w32 sum;
    __asm__("vaddps %2, %1, %0" : "=v"(sum) : "v"(x), "v"(y));
    return sum;
}

static ALWAYS_INLINE w64 broadcast_w64(double x) { return _mm512_set1_pd(x); }
static ALWAYS_INLINE w64 mul_w64(w64 x, w64 y) { return _mm512_mul_pd(x, y); }
static ALWAYS_INLINE w64 div_w64(w64 x, w64 y) { return _mm512_div_pd(x, y); }
static ALWAYS_INLINE w64 fma_w64(w64 x, w64 y, w64 z) { return _mm512_fmadd_pd(x, y, z); }
static ALWAYS_INLINE w64 fms_w64(w64 x, w64 y, w64 z) { return _mm512_fmsub_pd(x, y, z); }
static ALWAYS_INLINE w64 neg_w64(w64 x)
{
    x = _mm512_xor_pd(x, _mm512_set1_pd(-0.0));
    __asm__("" : "+v"(x));
    return x;
}
static ALWAYS_INLINE w64 add_w64(w64 x, w64 y)
{
    w64 sum;
    __asm__("vaddpd %2, %1, %0" : "=v"(sum) : "v"(x), "v"(y));
    return sum;
}

STORED_IS_WORKING(f32, w32)
STORED_IS_WORKING(f64, w64)

/* ---- memory: n elements, the rest of the register zero ---------------------------------------------------------------- */

static ALWAYS_INLINE __mmask16 first_lanes(size_t n) { return (__mmask16)((1u << n) - 1); }

#define AVX512_MEMORY(dtype, element, lanes, load_all, load_some, store_all, store_some)                        \
    static ALWAYS_INLINE stored_##dtype load_##dtype(const void *memory, size_t at, size_t n)                   \
    {                                                                                                           \
        const element *from = (const element *)memory + at;                                                     \
        return n == (lanes) ? load_all(from) : load_some(first_lanes(n), from);                                 \
    }                                                                                                           \
    static ALWAYS_INLINE void store_##dtype(void *memory, size_t at, size_t n, stored_##dtype x)                \
    {                                                                                                           \
        element *to = (element *)memory + at;                                                                   \
        if (n == (lanes))                                                                                       \
            store_all(to, x);                                                                                   \
        else                                                                                                    \
            store_some(to, first_lanes(n), x);                                                                  \
    }

typedef __m256i stored_f16;
typedef __m256i stored_bf16;
AVX512_MEMORY(f32, float, 16, _mm512_loadu_ps, _mm512_maskz_loadu_ps, _mm512_storeu_ps, _mm512_mask_storeu_ps)
AVX512_MEMORY(f64, double, 8, _mm512_loadu_pd, _mm512_maskz_loadu_pd, _mm512_storeu_pd, _mm512_mask_storeu_pd)
AVX512_MEMORY(f16, uint16_t, 16, _mm256_loadu_epi16, _mm256_maskz_loadu_epi16, _mm256_storeu_epi16,
              _mm256_mask_storeu_epi16)
AVX512_MEMORY(bf16, uint16_t, 16, _mm256_loadu_epi16, _mm256_maskz_loadu_epi16, _mm256_storeu_epi16,
              _mm256_mask_storeu_epi16)

static ALWAYS_INLINE stored_f16 flip_f16(stored_f16 x) { return _mm256_xor_si256(x, _mm256_set1_epi16(INT16_MIN)); }
static ALWAYS_INLINE stored_bf16 flip_bf16(stored_bf16 x) { return flip_f16(x); }

/* ---- complex: pairs of lanes -------------------------------------------------------------------------------------------- */

static ALWAYS_INLINE w32 swap_parts_w32(w32 x) { return _mm512_permute_ps(x, 0xB1); }
static ALWAYS_INLINE w32 zeros_of_swapped_w32(void)
{
    return _mm512_unpacklo_ps(_mm512_set1_ps(-0.0f), _mm512_set1_ps(0.0f));
}

static ALWAYS_INLINE w64 swap_parts_w64(w64 x) { return _mm512_permute_pd(x, 0x55); }
static ALWAYS_INLINE w64 zeros_of_swapped_w64(void)
{
    return _mm512_unpacklo_pd(_mm512_set1_pd(-0.0), _mm512_set1_pd(0.0));
}

#define COMPLEX_REGISTERS

/* ---- f16 and bf16 ------------------------------------------------------------------------------------------------------ */

static ALWAYS_INLINE __mmask16 nan_lanes(w32 x) { return _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q); }
static ALWAYS_INLINE w32 of_bits_w32(__m512i x) { return _mm512_castsi512_ps(x); }

static ALWAYS_INLINE w32 widen_f16(stored_f16 x) { return _mm512_cvtph_ps(x); }
static ALWAYS_INLINE stored_f16 pack_f16(w32 x) { return _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT); }

static ALWAYS_INLINE w32 round_f16(rounding r, w32 x)
{
    w32 rounded = widen_f16(pack_f16(x));
    if (has_fma(r))
        return rounded;
    w32 sign = _mm512_and_ps(x, _mm512_set1_ps(-0.0f));
    w32 plain = _mm512_or_ps(sign, of_bits_w32(_mm512_set1_epi32(0x7FC00000))); /* 0x7E00 widened */
    return _mm512_mask_blend_ps(nan_lanes(x), rounded, plain);
}

static ALWAYS_INLINE stored_f16 narrow_f16(rounding r, w32 x)
{
    return pack_f16(has_fma(r) ? x : round_f16(r, x));
}

static ALWAYS_INLINE w32 widen_bf16(stored_bf16 x)
{
    return of_bits_w32(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16));
}

static ALWAYS_INLINE stored_bf16 pack_bf16(w32 x)
{
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_castps_si512(x), 16));
}

static ALWAYS_INLINE w32 round_bf16(rounding r, w32 x)
{
    __m512i bits = _mm512_castps_si512(x);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    __m512i carried = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF)));
    __m512i rounded = _mm512_and_si512(carried, _mm512_set1_epi32((int)0xFFFF0000));
    __m512i nan = _mm512_set1_epi32(r == FMA_BODY ? (int)0xFFFF0000 : 0x7FC00000);
    return of_bits_w32(_mm512_mask_blend_epi32(nan_lanes(x), rounded, nan));
}

static ALWAYS_INLINE stored_bf16 narrow_bf16(rounding r, w32 x) { return pack_bf16(round_bf16(r, x)); }

/* ---- bf16, quick: 32 elements --------------------------------------------------------------------------------------------- */

static ALWAYS_INLINE bool any_nan_w32(w32 x, w32 y) { return _mm512_cmp_ps_mask(x, y, _CMP_UNORD_Q) != 0; }

#include "vocabulary_pair.h"

typedef __m512i stored_quick_bf16;

static ALWAYS_INLINE stored_quick_bf16 load_quick_bf16(const void *memory, size_t at, size_t n)
{
    (void)n;
    return _mm512_loadu_si512((const uint16_t *)memory + at);
}

static ALWAYS_INLINE void store_quick_bf16(void *memory, size_t at, size_t n, stored_quick_bf16 x)
{
    (void)n;
    _mm512_storeu_si512((uint16_t *)memory + at, x);
}

static ALWAYS_INLINE stored_quick_bf16 flip_quick_bf16(stored_quick_bf16 x)
{
    return _mm512_xor_si512(x, _mm512_set1_epi16(INT16_MIN));
}

#ifdef __AVX512BF16__

/* The first 16 elements in one register, the last 16 in the other.  The instruction rounds right but for subnormal values, which
 * it makes zeros.  Elements that are zero or at least 2^lowest are multiples of 2^(lowest - 7), and all that a step makes of them
 * are multiples of that over 2^fraction: none is subnormal where that is the smallest normal number, 2^-126, or more. */

static ALWAYS_INLINE w32 spread(__m512i x, int first)
{
    __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __m512i from = _mm512_slli_epi32(_mm512_add_epi32(lane, _mm512_set1_epi32(first)), 16); /* to upper halves */
    return of_bits_w32(_mm512_maskz_permutexvar_epi16(0xAAAAAAAA, from, x));
}

static ALWAYS_INLINE w32x2 widen_quick_bf16(stored_quick_bf16 x) { return (w32x2){spread(x, 0), spread(x, 16)}; }
static ALWAYS_INLINE stored_quick_bf16 pack_quick_bf16(w32x2 x) { return (__m512i)_mm512_cvtne2ps_pbh(x.b, x.a); }
static ALWAYS_INLINE stored_quick_bf16 narrow_quick_bf16(rounding r, w32x2 x) { return (void)r, pack_quick_bf16(x); }
static ALWAYS_INLINE w32x2 round_quick_bf16(rounding r, w32x2 x)
{
    return (void)r, widen_quick_bf16(pack_quick_bf16(x));
}

typedef __m512i floor_quick_bf16;

/* Twice the bits of 2^lowest, which shifts the sign out, less one. */
static ALWAYS_INLINE floor_quick_bf16 floor_of_quick_bf16(const step_scalars *s)
{
    int lowest = -126 + 7 + fraction_bits_of_step(s);
    int exponent = lowest + 127 < 255 ? lowest + 127 : 255;
    return _mm512_set1_epi16((short)((exponent << 8) - 1));
}

/* Subtracting one makes zeros the largest of all. */
static ALWAYS_INLINE __m512i magnitude(__m512i x)
{
    return _mm512_sub_epi16(_mm512_add_epi16(x, x), _mm512_set1_epi16(1));
}

static ALWAYS_INLINE bool plain_quick_bf16(floor_quick_bf16 floor, stored_quick_bf16 param, stored_quick_bf16 grad,
                                           stored_quick_bf16 buffer)
{
    __m512i least = _mm512_min_epu16(_mm512_min_epu16(magnitude(param), magnitude(grad)), magnitude(buffer));
    return _mm512_cmplt_epu16_mask(least, floor) == 0;
}

#else

/* Elements at even places in one register, those at odd places in the other. */

static ALWAYS_INLINE w32 upper_halves(__m512i x)
{
    return of_bits_w32(_mm512_and_si512(x, _mm512_set1_epi32((int)0xFFFF0000)));
}

static ALWAYS_INLINE w32x2 widen_quick_bf16(stored_quick_bf16 x)
{
    return (w32x2){of_bits_w32(_mm512_slli_epi32(x, 16)), upper_halves(x)};
}

/* The rounded value in the upper half; the lower one is not cleared. */
static ALWAYS_INLINE __m512i carried(w32 x)
{
    __m512i bits = _mm512_castps_si512(x);
    __mmask16 odd = _mm512_test_epi32_mask(bits, _mm512_set1_epi32(0x10000));
    return _mm512_mask_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7FFF)), odd, bits, _mm512_set1_epi32(0x8000));
}

static ALWAYS_INLINE w32x2 round_quick_bf16(rounding r, w32x2 x)
{
    return (void)r, (w32x2){upper_halves(carried(x.a)), upper_halves(carried(x.b))};
}

static ALWAYS_INLINE stored_quick_bf16 join_upper_halves(__m512i even, __m512i odd)
{
    return _mm512_mask_blend_epi16(0xAAAAAAAA, _mm512_srli_epi32(even, 16), odd);
}

static ALWAYS_INLINE stored_quick_bf16 pack_quick_bf16(w32x2 x)
{
    return join_upper_halves(_mm512_castps_si512(x.a), _mm512_castps_si512(x.b));
}

static ALWAYS_INLINE stored_quick_bf16 narrow_quick_bf16(rounding r, w32x2 x)
{
    return (void)r, join_upper_halves(carried(x.a), carried(x.b));
}

EVERY_BLOCK_IS_PLAIN(quick_bf16)

#endif

#endif
