/* vocabulary.h - what all instruction sets' vocabularies share: for f64 and f32 the stored and the working value are one. */
#ifndef SGD_CPU_VOCABULARY_H
#define SGD_CPU_VOCABULARY_H

#include <string.h>

#include "kernels.h"

#define ALWAYS_INLINE inline __attribute__((always_inline))

/* A loop whose turns do not depend on each other.  Clang makes an error of one that it does not vectorise. */
#if defined(__clang__)
#define SIMD
#else
#define SIMD _Pragma("omp simd")
#endif

static ALWAYS_INLINE bool has_fma(rounding r) { return r == FMA_BODY || r == FMA_TAIL; }

static ALWAYS_INLINE step_run usual_step_run(step_run run)
{
    run.first = run.write_grad = false;
    return run;
}

#define STORED_IS_WORKING(dtype, working)                                                                 \
    typedef working stored_##dtype;                                                                       \
    static ALWAYS_INLINE working widen_##dtype(working x) { return x; }                                   \
    static ALWAYS_INLINE working pack_##dtype(working x) { return x; }                                    \
    static ALWAYS_INLINE working round_##dtype(rounding r, working x) { return (void)r, x; }              \
    static ALWAYS_INLINE working narrow_##dtype(rounding r, working x) { return (void)r, x; }             \
    static ALWAYS_INLINE working flip_##dtype(working x) { return neg_##working(x); }

/* For a quick form that is only wrong about NaNs. */
#define EVERY_BLOCK_IS_PLAIN(dtype)                                                                       \
    typedef char floor_##dtype;                                                                           \
    static ALWAYS_INLINE floor_##dtype floor_of_##dtype(const step_scalars *s) { return (void)s, 0; }     \
    static ALWAYS_INLINE bool plain_##dtype(floor_##dtype floor, stored_##dtype param, stored_##dtype grad, \
                                            stored_##dtype buffer)                                        \
    {                                                                                                     \
        return (void)floor, (void)param, (void)grad, (void)buffer, true;                                  \
    }

#endif
