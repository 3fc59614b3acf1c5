/* strided.h - steps over tensors that do not lie in one common order, on backends that take them as they lie. */
#ifndef SGD_STRIDED_H
#define SGD_STRIDED_H

#include "engine.h"

/* Whether the backend takes them; else they are brought into order by copy_strided, whole. */
bool strided_offered(const sgd_backend *backend);

/* Operations on one item's tensors. */
typedef struct strided_program {
    size_t count;
    sgd_strided_op ops[SGD_STRIDED_OPS];
    /* An element's number in each operation's walk: strides by the tensors' own dimensions; and whether it decides a bit. */
    int64_t index[SGD_STRIDED_OPS][LAYOUT_DIMS];
    bool decides[SGD_STRIDED_OPS];
} strided_program;

void strided_append(strided_program *program, sgd_dtype dtype, sgd_strided_op op, int32_t ndim, const int64_t *index);

/* False where the operations have to run one after the other, each over the whole tensor; a single one always can. */
bool strided_possible(const step_item *item, const strided_program *program);

/* What an item's operations run on. */
typedef struct strided_call {
    const sgd_backend *backend;
    const sgd_arithmetic *arithmetic;
    const sgd_hyper *hyper;
    void *scratch; /* of the backend's strided_scratch */
    size_t scratch_size;
    void *result; /* NULL: a changed gradient is not kept */
    const int64_t *result_strides;
} strided_call;

sgd_status strided_operate(const strided_call *call, const step_item *item, const strided_program *program);

/* A whole step, where it is the same in whatever order it goes, but for a fused one's tail. */
sgd_status strided_step(const strided_call *call, const step_item *item);

#endif
