/* instantiate.h - step_text.h for every dtype, and the table of the instruction set in KERNELS.  Included once by each
 * <isa>.c, after its vocabulary. */
#define DTYPE f64
#define WORKING w64
#define HALF 0
#include "step_text.h"

#define DTYPE f32
#define WORKING w32
#define HALF 0
#include "step_text.h"

#define DTYPE f16
#define WORKING w32
#define HALF 1
#include "step_text.h"

#define DTYPE bf16
#define WORKING w32
#define HALF 1
#include "step_text.h"

#define BY_DTYPE(kernel) \
    {[SGD_F64] = kernel##_f64, [SGD_F32] = kernel##_f32, [SGD_F16] = kernel##_f16, [SGD_BF16] = kernel##_bf16}

const cpu_kernels KERNELS = {
    .eager = BY_DTYPE(eager),
    .fused = BY_DTYPE(fused),
    .negate = BY_DTYPE(negate),
    .axpy = BY_DTYPE(axpy),
    .scale = BY_DTYPE(scale),
};
