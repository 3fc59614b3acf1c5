/* vocabulary_lanes.h - the quick forms in plain C: a vector of 16 bytes at a time, of the kind that GCC and Clang know on any
 * machine.  There are no branches in it.  Of a NaN it keeps that it is one, and a new infinity may become one: a block with a
 * NaN among its new params goes the careful way of vocabulary_scalar.h.
 */
#ifndef SGD_CPU_VOCABULARY_LANES_H
#define SGD_CPU_VOCABULARY_LANES_H

#include "vocabulary.h"

#define QUICK_F64 lanes64
#define QUICK_F32 lanes32
#define QUICK_F16 lanes32
#define QUICK_BF16 lanes32

#define VECTOR(type, lanes) __attribute__((vector_size(sizeof(type) * (lanes)))) type

typedef VECTOR(float, 4) lanes32;
typedef VECTOR(uint32_t, 4) words32;
typedef VECTOR(uint16_t, 4) words16;
typedef VECTOR(double, 2) lanes64;
typedef VECTOR(uint64_t, 2) words64;
enum { LANES_lanes32 = 4, LANES_lanes64 = 2 };

static ALWAYS_INLINE lanes32 broadcast_lanes32(double x) { return (lanes32){(float)x, (float)x, (float)x, (float)x}; }
static ALWAYS_INLINE lanes64 broadcast_lanes64(double x) { return (lanes64){x, x}; }

static ALWAYS_INLINE bool any_bit(words64 x) { return (x[0] | x[1]) != 0; }

#define LANES_WORKING(w)                                                        \
    static ALWAYS_INLINE w mul_##w(w x, w y) { return x * y; }                  \
    static ALWAYS_INLINE w div_##w(w x, w y) { return x / y; }                  \
    static ALWAYS_INLINE w add_##w(w x, w y) { return x + y; }                  \
    static ALWAYS_INLINE w neg_##w(w x) { return -x; }                          \
    static ALWAYS_INLINE w fms_##w(w x, w y, w z) { return fma_##w(x, y, -z); } \
    static ALWAYS_INLINE bool any_nan_##w(w x) { return any_bit((words64)(x != x)); }

#define LANES_MEMORY(dtype)                                                                                  \
    static ALWAYS_INLINE stored_quick_##dtype load_quick_##dtype(const void *memory, size_t at, size_t n)    \
    {                                                                                                        \
        stored_quick_##dtype x;                                                                              \
        memcpy(&x, (const char *)memory + at * (sizeof x / n), sizeof x);                                    \
        return x;                                                                                            \
    }                                                                                                        \
    static ALWAYS_INLINE void store_quick_##dtype(void *memory, size_t at, size_t n, stored_quick_##dtype x) \
    {                                                                                                        \
        memcpy((char *)memory + at * (sizeof x / n), &x, sizeof x);                                          \
    }

/* The bits of `sum`, of which `lost` is the rounding error, rounded to odd instead: the last bit is set when anything was lost,
 * after a step towards zero if the rounding went away from it.  A sum that is NaN remains one; one that is infinite (`lost` is
 * NaN) becomes the largest number with a set last bit, or NaN. */
#define ROUND_TO_ODD(words, sum, lost) \
    (((words)(sum) - ((((words)(lost) ^ (words)(sum)) >> 63) & IS_NOT_ZERO(words, lost))) | IS_NOT_ZERO(words, lost))
#define IS_NOT_ZERO(words, x) ((((words)(x) << 1) | -((words)(x) << 1)) >> 63)

/* ---- f32: as soft_fma_f32, in double: the product is exact there, and the sum is rounded to odd ----------------------- */

static ALWAYS_INLINE lanes32 fma_lanes32(lanes32 x, lanes32 y, lanes32 z)
{
    typedef VECTOR(double, 4) wide;
    typedef VECTOR(uint64_t, 4) words;
    wide product = __builtin_convertvector(x, wide) * __builtin_convertvector(y, wide);
    wide addend = __builtin_convertvector(z, wide), sum = product + addend;
    wide part = sum - product, lost = (product - (sum - part)) + (addend - part);
    return __builtin_convertvector((wide)ROUND_TO_ODD(words, sum, lost), lanes32);
}

LANES_WORKING(lanes32)

STORED_IS_WORKING(quick_f32, lanes32)
LANES_MEMORY(f32)
EVERY_BLOCK_IS_PLAIN(quick_f32)

/* ---- f64 ----------------------------------------------------------------------------------------------------------------
 * The product and its error (Dekker), the sum of it and the addend and its error (Knuth), both errors together rounded to odd,
 * and these added to the sum.  In a plain block all are multiples of a double's least bit and far from overflow, so that only
 * the two last sums round.  That of the errors keeps 53 bits; if it is inexact at all, the sum before it was, so that the
 * errors are below 4 units of that sum's last place.  Rounded to odd, they are on the same side of all that the last sum rounds
 * at. */

typedef struct halves64 {
    lanes64 upper, lower;
} halves64;

static ALWAYS_INLINE halves64 halve(lanes64 x)
{
    lanes64 scaled = x * 0x1.0000002p27, upper = scaled - (scaled - x);
    return (halves64){upper, x - upper};
}

static ALWAYS_INLINE lanes64 error_of_sum(lanes64 x, lanes64 y, lanes64 sum)
{
    lanes64 part = sum - x;
    return (x - (sum - part)) + (y - part);
}

static ALWAYS_INLINE lanes64 fma_lanes64(lanes64 x, lanes64 y, lanes64 z)
{
    lanes64 product = x * y, sum = product + z;
    halves64 a = halve(x), b = halve(y);
    lanes64 x_error = ((a.upper * b.upper - product) + a.upper * b.lower + a.lower * b.upper) + a.lower * b.lower;
    lanes64 s_error = error_of_sum(product, z, sum);
    lanes64 errors = x_error + s_error;
    errors = (lanes64)ROUND_TO_ODD(words64, errors, error_of_sum(x_error, s_error, errors));
    /* A sum of -0 has no errors but zeros, which would make it +0. */
    return (lanes64)((words64)(sum + errors) | ((words64)sum & (words64)(sum == 0)));
}

LANES_WORKING(lanes64)

STORED_IS_WORKING(quick_f64, lanes64)
LANES_MEMORY(f64)

/* Elements that are zero or from 2^-200 up to 2^200, and hyper-parameters that are zero or from 2^-100 up to 2^100: a step
 * divides once and multiplies by at most four hyper-parameters one after the other, each of which takes the least bit down by
 * 152 places: from -352 to -960, where 2^-1074 is the last; and the numbers up to 2^700.  What is divided by 0 ends as NaN. */
typedef words64 floor_quick_f64;

/* Sign bits: whether |x| is not 0 and not in [2^-limit, 2^limit). */
static ALWAYS_INLINE words64 extreme(words64 x, uint64_t limit)
{
    words64 magnitude = x & ~(UINT64_C(1) << 63);
    return ((magnitude - ((1023 - limit) << 52)) & ~(magnitude - 1)) | (((1023 + limit) << 52) - 1 - magnitude);
}

static ALWAYS_INLINE floor_quick_f64 floor_of_quick_f64(const step_scalars *s)
{
    const double scalars[] = {s->minus_lr, s->weight_decay, s->scale,      s->momentum, s->one_minus_dampening,
                              s->lr,       s->grad_scale};
    words64 found = {0, 0};
    for (size_t i = 0; i < sizeof scalars / sizeof scalars[0]; i++)
        found |= extreme((words64)broadcast_lanes64(scalars[i]), 100);
    return found;
}

static ALWAYS_INLINE bool plain_quick_f64(floor_quick_f64 floor, lanes64 param, lanes64 grad, lanes64 buffer)
{
    words64 found = floor | extreme((words64)param, 200) | extreme((words64)grad, 200) | extreme((words64)buffer, 200);
    return !any_bit(found >> 63);
}

/* ---- 16 bits ------------------------------------------------------------------------------------------------------------ */

typedef words16 stored_quick_f16;
typedef words16 stored_quick_bf16;
LANES_MEMORY(f16)
LANES_MEMORY(bf16)
EVERY_BLOCK_IS_PLAIN(quick_f16)
EVERY_BLOCK_IS_PLAIN(quick_bf16)

static ALWAYS_INLINE words32 choose(words32 mask, words32 yes, words32 no) { return (yes & mask) | (no & ~mask); }
static ALWAYS_INLINE words32 extended(words16 x) { return __builtin_convertvector(x, words32); }
static ALWAYS_INLINE words16 shortened(words32 x) { return __builtin_convertvector(x, words16); }

/* Whether a magnitude, which has no sign bit, is at least so much: signed comparisons are those that all machines have. */
static ALWAYS_INLINE words32 at_least(words32 magnitude, int32_t least)
{
    return (words32)((VECTOR(int32_t, 4))magnitude > least - 1);
}

static ALWAYS_INLINE words16 flip_quick_f16(words16 x) { return x ^ 0x8000; }

static ALWAYS_INLINE lanes32 widen_quick_f16(words16 x)
{
    words32 bits = extended(x), magnitude = bits & 0x7FFF;
    words32 scaled = (words32)((lanes32)(magnitude << 13) * 0x1p112f); /* as in widen_f16 */
    return (lanes32)((bits & 0x8000) << 16 | scaled | (at_least(magnitude, 0x7C00) & 0x7F800000));
}

/* As pack_f16, in the lower 16 bits. */
static ALWAYS_INLINE words32 packed_f16(lanes32 x)
{
    words32 bits = (words32)x, magnitude = bits & 0x7FFFFFFF;
    words32 normal = (magnitude - (0x38000000 - 0xFFF) + (magnitude >> 13 & 1)) >> 13;
    words32 small = (words32)((lanes32)magnitude + 0.5f) - 0x3F000000;
    words32 large = 0x7C00 | (at_least(magnitude, 0x7F800001) & 0x0200);
    words32 finite = choose(at_least(magnitude, 0x38800000), normal, small);
    return choose(at_least(magnitude, 0x477FF000), large, finite) | (bits >> 16 & 0x8000);
}

static ALWAYS_INLINE words16 pack_quick_f16(lanes32 x) { return shortened(packed_f16(x)); }
static ALWAYS_INLINE words16 narrow_quick_f16(rounding r, lanes32 x) { return (void)r, pack_quick_f16(x); }
/* Without packing: what would round to infinity becomes NaN or infinity. */
static ALWAYS_INLINE lanes32 round_quick_f16(rounding r, lanes32 x)
{
    (void)r;
    words32 bits = (words32)x, magnitude = bits & 0x7FFFFFFF;
    words32 normal = (magnitude + 0xFFF + (magnitude >> 13 & 1)) & ~0x1FFFu;
    words32 small = (words32)(((lanes32)magnitude + 0.5f) - 0.5f);
    words32 finite = choose(at_least(magnitude, 0x38800000), normal, small);
    words32 rounded = choose(at_least(magnitude, 0x477FF000), magnitude | 0x7F800000, finite);
    return (lanes32)(rounded | (bits & 0x80000000));
}

static ALWAYS_INLINE words16 flip_quick_bf16(words16 x) { return x ^ 0x8000; }
static ALWAYS_INLINE lanes32 widen_quick_bf16(words16 x) { return (lanes32)(extended(x) << 16); }
static ALWAYS_INLINE words16 pack_quick_bf16(lanes32 x) { return shortened((words32)x >> 16); }

static ALWAYS_INLINE lanes32 round_quick_bf16(rounding r, lanes32 x)
{
    (void)r;
    words32 bits = (words32)x, rounded = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000;
    return (lanes32)(rounded | (words32)(x != x)); /* a NaN stays one */
}

static ALWAYS_INLINE words16 narrow_quick_bf16(rounding r, lanes32 x) { return pack_quick_bf16(round_quick_bf16(r, x)); }

#endif
