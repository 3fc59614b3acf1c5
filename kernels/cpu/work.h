/* work.h - a call of the backend, or a plan of calls, spread over threads. */
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
    sgd_operation operation;
    operand_kernel *const *operand_kernels; /* none for SGD_OP_COPY */
    operand_scalars operand_scalars[SGD_DTYPE_COUNT];
} work;

void run_work(const work *work);

/* How many threads a call asks for, or OpenMP has where it leaves that open. */
size_t threads_asked(const sgd_arithmetic *arithmetic);

/* How many threads pay for so many bytes of params, or of one operand; at most those that the call asks for. */
size_t worthwhile_threads(const sgd_arithmetic *arithmetic, size_t bytes);

/* Elements of an item that ends a thread's share `bytes` into it. */
size_t share_of_item(size_t bytes, size_t element_size, size_t numel);

/* The first element that is the kernels' own: those before it are defect_191763_step's. */
size_t first_of_kernels(const sgd_arithmetic *arithmetic, const sgd_step_tensor *tensor);

/* From element `begin` up to `end` or the nearest end of a segment of any of the step's operations. */
step_run cut_run(segmenting segmenting, const sgd_step_tensor *tensor, size_t begin, size_t end);

/* plan.c: sgd_backend.prepare, .run and .discard */
sgd_status plan_prepare(void *context, const sgd_arithmetic *arithmetic, size_t list_count, const sgd_list *lists, void **plan);
sgd_status plan_run(void *context, void *plan, const sgd_hyper *const *hypers);
void plan_discard(void *context, void *plan);

/* cpu.c; of operations, NULL for those that need none: SGD_OP_COPY and SGD_OP_STEP */
step_kernel *const *kernels_of_step(const cpu_kernels *kernels, sgd_path path, const sgd_hyper *hyper);
operand_kernel *const *kernels_of_operation(const cpu_kernels *kernels, sgd_operation operation);

/* strided.c: sgd_backend.run_strided and .strided_scratch */
sgd_status run_strided(void *context, const sgd_arithmetic *arithmetic, const sgd_hyper *hyper, const sgd_strided *strided);
size_t strided_scratch(void *context, const sgd_arithmetic *arithmetic);

#endif
