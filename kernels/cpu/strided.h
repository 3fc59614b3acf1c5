/* strided.h - operations on tensors that are not contiguous: what strided_plan.c decides and strided.c does. */
#ifndef SGD_CPU_STRIDED_H
#define SGD_CPU_STRIDED_H

#include "work.h"

#define STRIDED_DIMS 64
#define STRIDED_BOX_BYTES ((int64_t)128 * 1024) /* of one tensor */
#define STRIDED_RUN_BYTES ((size_t)4096)
/* A thread's scratch: an operation's tensors, a value repeated and a result that nobody keeps. */
#define STRIDED_THREAD_BYTES ((size_t)(3 * STRIDED_BOX_BYTES) + 2 * STRIDED_RUN_BYTES)

/* How a box of a tensor is walked. */
typedef enum strided_way {
    ABSENT,
    IN_PLACE,
    GATHERED,
    REPEATED, /* one value along a row */
    LOCAL     /* a result that lives for a run */
} strided_way;

typedef struct strided_operand {
    strided_way way;
    bool read, written;
    size_t area; /* where in a thread's scratch */
} strided_operand;

/* An operation with its scalars rounded. */
typedef struct strided_op {
    const sgd_strided_op *of;
    operand_kernel *kernel; /* none for a copy */
    operand_scalars scalars;
    segmenting segmenting;
} strided_op;

/* What all threads share. */
typedef struct strided_plan {
    const sgd_strided *strided;
    int64_t size; /* of an element */
    strided_operand operands[SGD_ROLE_COUNT];
    strided_op ops[SGD_STRIDED_OPS];
    step_kernel *step;
    step_scalars step_scalars;
    int64_t box[STRIDED_DIMS], pitch[STRIDED_DIMS]; /* a box's extents and its strides in scratch */
    int64_t boxes;
    size_t run; /* the most elements that go through all operations at once */
} strided_plan;

void strided_plan_make(const cpu_kernels *kernels, const sgd_arithmetic *arithmetic, const sgd_hyper *hyper,
                       const sgd_strided *strided, strided_plan *out);

#endif
