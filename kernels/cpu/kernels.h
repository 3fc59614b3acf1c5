/* kernels.h - the inner loops of the CPU backend: one table per instruction set, all with the same bits.
 *
 * A kernel works on runs, each of consecutive elements that all round by the same rule.  Which elements are body and which are
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
    double lr;                  /* the scalar of p.addcmul_(g, lr, value=-1) */
    double grad_scale;
    bool has_decay, has_momentum, nesterov, maximize; /* decided on the doubles, before rounding */
    bool lr_addcmul, weight_decay_addcmul, has_grad_scale;
    bool scalar_first; /* complex: the momentum is the first operand of the product buf * m */
} step_scalars;

/* `count` elements from these pointers on. */
typedef struct step_run {
    void *param, *grad, *buffer;
    size_t count;
    uint8_t axpy, scale, addcmul; /* the rounding of each operation; alike but in complex tails.  Small: a plan keeps many runs */
    bool first, write_grad;
} step_run;

typedef struct operand_scalars {
    double alpha; /* axpy and scale; addcmul's scalar */
    double value; /* addcmul: 1 or -1 */
    bool scalar_first; /* complex scale: alpha is the first operand of the product */
} operand_scalars;

typedef struct operand_run {
    rounding rounding;
    void *out;
    const void *x, *y;
    size_t count;
} operand_run;

/* `count` runs, one after the other, under the same scalars. */
typedef void step_kernel(const step_scalars *scalars, size_t count, const step_run *runs);
typedef void operand_kernel(const operand_scalars *scalars, size_t count, const operand_run *runs);

/* NULL where a dtype has no such kernel. */
typedef struct cpu_kernels {
    step_kernel *eager[SGD_DTYPE_COUNT];         /* for-loop and foreach in a single pass */
    step_kernel *eager_addcmul[SGD_DTYPE_COUNT]; /* ... with tensors that require grad as lr or weight decay */
    step_kernel *fused[SGD_DTYPE_COUNT];
    step_kernel *fused_scaled[SGD_DTYPE_COUNT]; /* ... with grad_scale */
    operand_kernel *negate[SGD_DTYPE_COUNT];    /* takes no scalars */
    operand_kernel *axpy[SGD_DTYPE_COUNT];
    operand_kernel *scale[SGD_DTYPE_COUNT];
    operand_kernel *addcmul[SGD_DTYPE_COUNT];
} cpu_kernels;

#define ISA(id, name) extern const cpu_kernels cpu_kernels_##id;
#include "isa.def"
#undef ISA

/* scalars.c */
step_scalars scalars_for_step(sgd_path path, const sgd_hyper *hyper, sgd_dtype dtype);
double scalar_for_axpy(sgd_dtype dtype, double alpha);
double scalar_for_scale(sgd_path path, sgd_dtype dtype, double alpha);
operand_scalars scalars_for_operation(sgd_path path, sgd_operation operation, sgd_dtype dtype, double alpha, double value);
/* How many binary places below those of 16-bit elements, of which the last stands for 2^-7 of the first, a step's results have
 * at most, rounded or not. */
int fraction_bits_of_step(const step_scalars *scalars);

/* defect_191763.c: the blocks of 16 of fused f16 and bf16 as PyTorch 2.13 computes them; the tail is the kernels'. */
void defect_191763_step(sgd_contract contract, const sgd_hyper *hyper, const sgd_step_tensor *tensor);

/* copy_strided.c: sgd_backend.copy_strided */
sgd_status copy_strided(size_t size, int32_t ndim, const int64_t *shape, void *out, const int64_t *out_strides, const void *in,
                        const int64_t *in_strides);

#endif
