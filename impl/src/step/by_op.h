/* by_op.h - the eager paths operation by operation: what by_op.c decides and by_op_one.c does. */
#ifndef SGD_BY_OP_H
#define SGD_BY_OP_H

#include "strided.h"

#define BY_OP_AREAS 5 /* in the scratch: a changed gradient, one copy in order per operand, a cloned parameter */

/* A list in the making. */
typedef struct by_op_walk {
    const step_group *group;
    const sgd_backend *backend;
    const sgd_arithmetic *arithmetic;
    size_t count;
    by_op_tensor *tensors;
    sgd_operand *operands;
    strided_program *program; /* not NULL: operations are only written down */
    const strided_call *strided; /* NULL: the backend does not take strided tensors */
} by_op_walk;

/* Memory and how it lies; strides NULL where the item is flat. */
typedef struct by_op_place {
    sgd_role role;
    void *data;
    const int64_t *strides;
} by_op_place;

/* What an operation does to one tensor: out = f(x, y). */
typedef struct by_op_operands {
    by_op_place out, x, y; /* y: where the operation takes two */
    bool in_place;   /* out is y, or x where there is no y */
} by_op_operands;

/* One operation over a list of flat tensors. */
sgd_status by_op_call(const by_op_walk *walk, sgd_operation operation, double scalar, double value, size_t count,
                      const sgd_operand *operands);

/* One operation on a tensor that is not flat. */
sgd_status by_op_strided(const by_op_walk *walk, const by_op_tensor *tensor, sgd_operation operation, double scalar, double value,
                         const by_op_operands *of);

/* The dtype that an operation on a parameter without dimensions takes from its option, and the operation in that. */
sgd_dtype by_op_promoted_dtype(const by_op_walk *walk, const step_item *item, sgd_operation operation, double value);
sgd_status by_op_promoted(const by_op_walk *walk, const step_item *item, sgd_dtype wide, sgd_operation operation, double scalar,
                          double value, const by_op_operands *of);

#endif
