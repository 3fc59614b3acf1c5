/* vocabulary_lanes.h - the quick forms in plain C: a vector of 16 bytes at a time, of the kind that GCC and Clang know on any
 * machine.  There are no branches in it.  Of a NaN it keeps that it is one, and an infinity may become one in a fused
 * multiply-add: a block with a NaN in its new params goes the careful way of vocabulary_scalar.h.
 */
#ifndef SGD_CPU_VOCABULARY_LANES_H
#define SGD_CPU_VOCABULARY_LANES_H

#include "vocabulary.h"

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

#endif
