/* vocabulary_avx2.h - 8 floats or 4 doubles a register; AVX2, FMA, F16C.
 *
 * The processor's own choice of NaN is the contract's: multiplication and addition give their first NaN operand, FMA a factor
 * before the addend.  Compilers may swap the operands of an addition, so it is written in assembler; a product has
 * at most one NaN among its operands, since hyper-parameters are not NaN where the contract says which one wins.
 */
#ifndef SGD_CPU_VOCABULARY_AVX2_H
#define SGD_CPU_VOCABULARY_AVX2_H

#include <immintrin.h>

#include "vocabulary.h"

typedef __m256 w32;
typedef __m256d w64;
enum { LANES_w32 = 8, LANES_w64 = 4 };

static ALWAYS_INLINE w32 broadcast_w32(double x) { return _mm256_set1_ps((float)x); }
static ALWAYS_INLINE w32 mul_w32(w32 x, w32 y) { return _mm256_mul_ps(x, y); }
static ALWAYS_INLINE w32 div_w32(w32 x, w32 y) { return _mm256_div_ps(x, y); }
static ALWAYS_INLINE w32 fma_w32(w32 x, w32 y, w32 z) { return _mm256_fmadd_ps(x, y, z); }
static ALWAYS_INLINE w32 fms_w32(w32 x, w32 y, w32 z) { return _mm256_fmsub_ps(x, y, z); }
static ALWAYS_INLINE w32 neg_w32(w32 x)
{
    x = _mm256_xor_ps(x, _mm256_set1_ps(-0.0f));
    __asm__("" : "+x"(x)); /* Clang would fold it into an fnmadd, which leaves a NaN its sign */
    return x;
}
static ALWAYS_INLINE w32 add_w32(w32 x, w32 y)
{
    w32 sum;
    __asm__("vaddps %2, %1, %0" : "=x"(sum) : "x"(x), "x"(y));
    return sum;
}

static ALWAYS_INLINE w64 broadcast_w64(double x) { return _mm256_set1_pd(x); }
static ALWAYS_INLINE w64 mul_w64(w64 x, w64 y) { return _mm256_mul_pd(x, y); }
static ALWAYS_INLINE w64 div_w64(w64 x, w64 y) { return _mm256_div_pd(x, y); }
static ALWAYS_INLINE w64 fma_w64(w64 x, w64 y, w64 z) { return _mm256_fmadd_pd(x, y, z); }
static ALWAYS_INLINE w64 fms_w64(w64 x, w64 y, w64 z) { return _mm256_fmsub_pd(x, y, z); }
static ALWAYS_INLINE w64 neg_w64(w64 x)
{
    x = _mm256_xor_pd(x, _mm256_set1_pd(-0.0));
    __asm__("" : "+x"(x));
    return x;
}
static ALWAYS_INLINE w64 add_w64(w64 x, w64 y)
{
    w64 sum;
    __asm__("vaddpd %2, %1, %0" : "=x"(sum) : "x"(x), "x"(y));
    return sum;
}

STORED_IS_WORKING(f32, w32)
STORED_IS_WORKING(f64, w64)

/* ---- memory: n elements, the rest of the register zero ---------------------------------------------------------------- */

static ALWAYS_INLINE __m256i first_lanes_w32(size_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

static ALWAYS_INLINE __m256i first_lanes_w64(size_t n)
{
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x((long long)n), _mm256_setr_epi64x(0, 1, 2, 3));
}

static ALWAYS_INLINE w32 load_f32(const void *memory, size_t at, size_t n)
{
    const float *from = (const float *)memory + at;
    return n == LANES_w32 ? _mm256_loadu_ps(from) : _mm256_maskload_ps(from, first_lanes_w32(n));
}

static ALWAYS_INLINE void store_f32(void *memory, size_t at, size_t n, w32 x)
{
    float *to = (float *)memory + at;
    if (n == LANES_w32)
        _mm256_storeu_ps(to, x);
    else
        _mm256_maskstore_ps(to, first_lanes_w32(n), x);
}

static ALWAYS_INLINE w64 load_f64(const void *memory, size_t at, size_t n)
{
    const double *from = (const double *)memory + at;
    return n == LANES_w64 ? _mm256_loadu_pd(from) : _mm256_maskload_pd(from, first_lanes_w64(n));
}

static ALWAYS_INLINE void store_f64(void *memory, size_t at, size_t n, w64 x)
{
    double *to = (double *)memory + at;
    if (n == LANES_w64)
        _mm256_storeu_pd(to, x);
    else
        _mm256_maskstore_pd(to, first_lanes_w64(n), x);
}

static ALWAYS_INLINE __m128i load_16(const void *memory, size_t at, size_t n)
{
    const uint16_t *from = (const uint16_t *)memory + at;
    if (n == LANES_w32)
        return _mm_loadu_si128((const __m128i *)from);
    uint16_t part[LANES_w32] = {0};
    memcpy(part, from, n * sizeof part[0]);
    return _mm_loadu_si128((const __m128i *)part);
}

static ALWAYS_INLINE void store_16(void *memory, size_t at, size_t n, __m128i x)
{
    uint16_t *to = (uint16_t *)memory + at;
    if (n == LANES_w32) {
        _mm_storeu_si128((__m128i *)to, x);
        return;
    }
    uint16_t part[LANES_w32];
    _mm_storeu_si128((__m128i *)part, x);
    memcpy(to, part, n * sizeof part[0]);
}

typedef __m128i stored_f16;
typedef __m128i stored_bf16;
static ALWAYS_INLINE stored_f16 load_f16(const void *memory, size_t at, size_t n) { return load_16(memory, at, n); }
static ALWAYS_INLINE stored_bf16 load_bf16(const void *memory, size_t at, size_t n) { return load_16(memory, at, n); }
static ALWAYS_INLINE void store_f16(void *memory, size_t at, size_t n, stored_f16 x) { store_16(memory, at, n, x); }
static ALWAYS_INLINE void store_bf16(void *memory, size_t at, size_t n, stored_bf16 x) { store_16(memory, at, n, x); }
static ALWAYS_INLINE stored_f16 flip_f16(stored_f16 x) { return _mm_xor_si128(x, _mm_set1_epi16(INT16_MIN)); }
static ALWAYS_INLINE stored_bf16 flip_bf16(stored_bf16 x) { return flip_f16(x); }

/* ---- complex: pairs of lanes -------------------------------------------------------------------------------------------- */

static ALWAYS_INLINE w32 swap_parts_w32(w32 x) { return _mm256_permute_ps(x, 0xB1); }
static ALWAYS_INLINE w32 zeros_of_swapped_w32(void)
{
    return _mm256_unpacklo_ps(_mm256_set1_ps(-0.0f), _mm256_set1_ps(0.0f));
}

static ALWAYS_INLINE w64 swap_parts_w64(w64 x) { return _mm256_permute_pd(x, 0x5); }
static ALWAYS_INLINE w64 zeros_of_swapped_w64(void)
{
    return _mm256_unpacklo_pd(_mm256_set1_pd(-0.0), _mm256_set1_pd(0.0));
}

#define COMPLEX_REGISTERS

/* ---- f16 and bf16 ------------------------------------------------------------------------------------------------------ */

static ALWAYS_INLINE w32 nan_lanes(w32 x) { return _mm256_cmp_ps(x, x, _CMP_UNORD_Q); }
static ALWAYS_INLINE w32 of_bits_w32(__m256i x) { return _mm256_castsi256_ps(x); }

static ALWAYS_INLINE w32 widen_f16(stored_f16 x) { return _mm256_cvtph_ps(x); }
static ALWAYS_INLINE stored_f16 pack_f16(w32 x) { return _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT); }

static ALWAYS_INLINE w32 round_f16(rounding r, w32 x)
{
    w32 rounded = widen_f16(pack_f16(x));
    if (has_fma(r))
        return rounded;
    w32 sign = _mm256_and_ps(x, _mm256_set1_ps(-0.0f));
    w32 plain = _mm256_or_ps(sign, of_bits_w32(_mm256_set1_epi32(0x7FC00000))); /* 0x7E00 widened */
    return _mm256_blendv_ps(rounded, plain, nan_lanes(x));
}

static ALWAYS_INLINE stored_f16 narrow_f16(rounding r, w32 x)
{
    return pack_f16(has_fma(r) ? x : round_f16(r, x));
}

static ALWAYS_INLINE w32 widen_bf16(stored_bf16 x)
{
    return of_bits_w32(_mm256_slli_epi32(_mm256_cvtepu16_epi32(x), 16));
}

static ALWAYS_INLINE stored_bf16 pack_bf16(w32 x)
{
    __m256i upper = _mm256_srli_epi32(_mm256_castps_si256(x), 16);
    return _mm_packus_epi32(_mm256_castsi256_si128(upper), _mm256_extracti128_si256(upper, 1));
}

static ALWAYS_INLINE w32 round_bf16(rounding r, w32 x)
{
    __m256i bits = _mm256_castps_si256(x);
    __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    __m256i carried = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF)));
    __m256i rounded = _mm256_and_si256(carried, _mm256_set1_epi32((int)0xFFFF0000));
    __m256i nan = _mm256_set1_epi32(r == FMA_BODY ? (int)0xFFFF0000 : 0x7FC00000);
    return _mm256_blendv_ps(of_bits_w32(rounded), of_bits_w32(nan), nan_lanes(x));
}

static ALWAYS_INLINE stored_bf16 narrow_bf16(rounding r, w32 x) { return pack_bf16(round_bf16(r, x)); }

/* ---- bf16, quick: of 16 elements those at even places in one register, those at odd places in the other ------------------ */

static ALWAYS_INLINE bool any_nan_w32(w32 x, w32 y) { return _mm256_movemask_ps(_mm256_cmp_ps(x, y, _CMP_UNORD_Q)) != 0; }

#include "vocabulary_pair.h"

typedef __m256i stored_quick_bf16;

static ALWAYS_INLINE stored_quick_bf16 load_quick_bf16(const void *memory, size_t at, size_t n)
{
    (void)n;
    return _mm256_loadu_si256((const __m256i *)((const uint16_t *)memory + at));
}

static ALWAYS_INLINE void store_quick_bf16(void *memory, size_t at, size_t n, stored_quick_bf16 x)
{
    (void)n;
    _mm256_storeu_si256((__m256i *)((uint16_t *)memory + at), x);
}

static ALWAYS_INLINE stored_quick_bf16 flip_quick_bf16(stored_quick_bf16 x)
{
    return _mm256_xor_si256(x, _mm256_set1_epi16(INT16_MIN));
}

static ALWAYS_INLINE w32 upper_halves(__m256i x) { return of_bits_w32(_mm256_and_si256(x, _mm256_set1_epi32((int)0xFFFF0000))); }

static ALWAYS_INLINE w32x2 widen_quick_bf16(stored_quick_bf16 x)
{
    return (w32x2){of_bits_w32(_mm256_slli_epi32(x, 16)), upper_halves(x)};
}

/* The rounded value in the upper half; the lower one is not cleared. */
static ALWAYS_INLINE __m256i carried(w32 x)
{
    __m256i bits = _mm256_castps_si256(x);
    __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    return _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF)));
}

static ALWAYS_INLINE w32x2 round_quick_bf16(rounding r, w32x2 x)
{
    return (void)r, (w32x2){upper_halves(carried(x.a)), upper_halves(carried(x.b))};
}

static ALWAYS_INLINE stored_quick_bf16 join_upper_halves(__m256i even, __m256i odd)
{
    return _mm256_blend_epi16(_mm256_srli_epi32(even, 16), odd, 0xAA);
}

static ALWAYS_INLINE stored_quick_bf16 pack_quick_bf16(w32x2 x)
{
    return join_upper_halves(_mm256_castps_si256(x.a), _mm256_castps_si256(x.b));
}

static ALWAYS_INLINE stored_quick_bf16 narrow_quick_bf16(rounding r, w32x2 x)
{
    return (void)r, join_upper_halves(carried(x.a), carried(x.b));
}

EVERY_BLOCK_IS_PLAIN(quick_bf16)

#endif
