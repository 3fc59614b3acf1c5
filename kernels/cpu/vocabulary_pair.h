/* vocabulary_pair.h - two registers of floats as one, w32x2, for as many 16-bit elements as fill a register.
 *
 * Of a NaN it keeps that it is one, also where rounding to bf16 treats it like a number: that carries a NaN into infinity or zero
 * only if its lower half is not zero, but operands widened from 16 bits have none, nor do the NaNs that the processor makes, and
 * a hyper-parameter's is taken away here.
 *
 * Before inclusion: w32 and its operations.
 */
#ifndef SGD_CPU_VOCABULARY_PAIR_H
#define SGD_CPU_VOCABULARY_PAIR_H

#include <math.h>

#define QUICK_BF16 w32x2

typedef struct w32x2 {
    w32 a, b;
} w32x2;
enum { LANES_w32x2 = 2 * LANES_w32 };

static ALWAYS_INLINE w32x2 broadcast_w32x2(double x)
{
    w32 all = broadcast_w32(isnan(x) ? (double)NAN : x);
    return (w32x2){all, all};
}

static ALWAYS_INLINE w32x2 mul_w32x2(w32x2 x, w32x2 y) { return (w32x2){mul_w32(x.a, y.a), mul_w32(x.b, y.b)}; }
static ALWAYS_INLINE w32x2 div_w32x2(w32x2 x, w32x2 y) { return (w32x2){div_w32(x.a, y.a), div_w32(x.b, y.b)}; }
static ALWAYS_INLINE w32x2 add_w32x2(w32x2 x, w32x2 y) { return (w32x2){add_w32(x.a, y.a), add_w32(x.b, y.b)}; }
static ALWAYS_INLINE w32x2 fma_w32x2(w32x2 x, w32x2 y, w32x2 z)
{
    return (w32x2){fma_w32(x.a, y.a, z.a), fma_w32(x.b, y.b, z.b)};
}
static ALWAYS_INLINE w32x2 fms_w32x2(w32x2 x, w32x2 y, w32x2 z)
{
    return (w32x2){fms_w32(x.a, y.a, z.a), fms_w32(x.b, y.b, z.b)};
}
static ALWAYS_INLINE w32x2 neg_w32x2(w32x2 x) { return (w32x2){neg_w32(x.a), neg_w32(x.b)}; }
static ALWAYS_INLINE bool any_nan_w32x2(w32x2 x) { return any_nan_w32(x.a, x.b); }

#endif
