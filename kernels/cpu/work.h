/* work.h - a call of the backend, spread over threads. */
#ifndef SGD_CPU_WORK_H
#define SGD_CPU_WORK_H

#include "segments.h"

/* `count` items of different length: of one of the two lists, the other is NULL. */
typedef struct work {
    const sgd_arithmetic *arithmetic;
    size_t count;

    const sgd_step_tensor *tensors;
    step_kernel *const *step_kernels;
    step_scalars step_scalars[SGD_DTYPE_COUNT];

    const sgd_operand *operands;
    operation operation;
    operand_kernel *const *operand_kernels; /* none for OP_COPY */
    operand_scalars operand_scalars[SGD_DTYPE_COUNT];
} work;

void run_work(const work *work);

#endif
