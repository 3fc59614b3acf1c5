/* instantiate.h - step_text.h and complex_text.h for every dtype, and the table of the instruction set in KERNELS.  Included
 * once by each <isa>.c, after its vocabulary, which names the working types of its quick forms in QUICK_<dtype>. */
#include "soft_fma.h"

#ifdef QUICK_F64
#define TRIAL
#define DTYPE quick_f64
#define WORKING QUICK_F64
#define HALF 0
#include "step_text.h"
#undef TRIAL
#define QUICK quick_f64
#endif

#define DTYPE f64
#define WORKING w64
#define HALF 0
#include "step_text.h"
#undef QUICK

#ifdef QUICK_F32
#define TRIAL
#define DTYPE quick_f32
#define WORKING QUICK_F32
#define HALF 0
#include "step_text.h"
#undef TRIAL
#define QUICK quick_f32
#endif

#define DTYPE f32
#define WORKING w32
#define HALF 0
#include "step_text.h"
#undef QUICK

#ifdef QUICK_F16
#define TRIAL
#define DTYPE quick_f16
#define WORKING QUICK_F16
#define HALF 1
#include "step_text.h"
#undef TRIAL
#define QUICK quick_f16
#endif

#define DTYPE f16
#define WORKING w32
#define HALF 1
#include "step_text.h"
#undef QUICK

#ifdef QUICK_BF16
#define TRIAL
#define DTYPE quick_bf16
#define WORKING QUICK_BF16
#define HALF 1
#include "step_text.h"
#undef TRIAL
#define QUICK quick_bf16
#endif

#define DTYPE bf16
#define WORKING w32
#define HALF 1
#include "step_text.h"
#undef QUICK

#ifdef __FMA__
#define FMA_FLOAT __builtin_fmaf
#define FMA_DOUBLE __builtin_fma
#else
#define FMA_FLOAT soft_fma_f32
#define FMA_DOUBLE soft_fma_f64
#endif

#define DTYPE c64
#define PART float
#define FUSED FMA_FLOAT
#define STORED f32
#define WORKING w32
#include "complex_text.h"

#define DTYPE c128
#define PART double
#define FUSED FMA_DOUBLE
#define STORED f64
#define WORKING w64
#include "complex_text.h"

#define REAL(kernel) \
    [SGD_F64] = kernel##_f64, [SGD_F32] = kernel##_f32, [SGD_F16] = kernel##_f16, [SGD_BF16] = kernel##_bf16
#define COMPLEX(kernel) [SGD_C64] = kernel##_c64, [SGD_C128] = kernel##_c128

const cpu_kernels KERNELS = {
    .eager = {REAL(eager), COMPLEX(eager)},
    .eager_addcmul = {REAL(eager_addcmul), COMPLEX(eager)},
    .fused = {REAL(fused)},
    .fused_scaled = {REAL(fused_scaled)},
    .negate = {REAL(negate), COMPLEX(negate)},
    .axpy = {REAL(axpy), COMPLEX(axpy)},
    .scale = {REAL(scale), COMPLEX(scale)},
    .addcmul = {REAL(addcmul), COMPLEX(addcmul)},
};
