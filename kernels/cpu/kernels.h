/* kernels.h - the inner loops of the CPU backend: one table per instruction set, all with the same bits.
 *
 * A kernel works on one run of consecutive elements that all round by the same rule.  Which elements are body and which are
 * tail is segments.h's business; how the hyper-parameters round is scalars.c's.
 */
#ifndef SGD_CPU_KERNELS_H
#define SGD_CPU_KERNELS_H

#include "backend.h"

/* The rounding rules of reference/contract/rules.def by contract and segment. */
typedef enum rounding { FMA_BODY, FMA_TAIL, BASE_BODY, BASE_TAIL } rounding;

/* Hyper-parameters rounded as the operations take them; a float fits a double exactly. */
typedef struct step_scalars {
    double minus_lr;
    double weight_decay;
    double scale;               /* momentum in buf.mul_(m) */
    double momentum;            /* momentum as nesterov's alpha */
    double one_minus_dampening;
    bool has_decay, has_momentum, nesterov, maximize; /* decided on the doubles, before rounding */
} step_scalars;

/* `count` elements from these pointers on. */
typedef struct step_run {
    void *param, *grad, *buffer;
    size_t count;
    bool first, write_grad;
} step_run;

typedef struct operand_run {
    void *out;
    const void *x, *y;
    size_t count;
} operand_run;

typedef void step_kernel(rounding rounding, const step_scalars *scalars, const step_run *run);
typedef void operand_kernel(rounding rounding, double alpha, const operand_run *run);

typedef struct cpu_kernels {
    step_kernel *eager[SGD_DTYPE_COUNT]; /* for-loop and foreach in a single pass */
    step_kernel *fused[SGD_DTYPE_COUNT];
    operand_kernel *negate[SGD_DTYPE_COUNT]; /* alpha ignored */
    operand_kernel *axpy[SGD_DTYPE_COUNT];
    operand_kernel *scale[SGD_DTYPE_COUNT];
} cpu_kernels;

#define ISA(id, name) extern const cpu_kernels cpu_kernels_##id;
#include "isa.def"
#undef ISA

/* scalars.c */
step_scalars scalars_for_step(sgd_path path, const sgd_hyper *hyper, sgd_dtype dtype);
double scalar_for_axpy(sgd_dtype dtype, double alpha);
double scalar_for_scale(sgd_path path, sgd_dtype dtype, double alpha);

/* defect_191763.c: the blocks of 16 of fused f16 and bf16 as PyTorch 2.13 computes them; the tail is the kernels'. */
void defect_191763_step(sgd_contract contract, const sgd_hyper *hyper, const sgd_step_tensor *tensor);

#endif
