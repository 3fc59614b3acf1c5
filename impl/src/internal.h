/* internal.h - an optimizer as its own files see it. */
#ifndef SGD_INTERNAL_H
#define SGD_INTERNAL_H

#include <sgd/sgd.h>

/* Fills `error` where the caller gave one, and returns `status`. */
sgd_status sgd_error_set(sgd_error *error, sgd_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- tensors --------------------------------------------------------------------------------------------------------- */

/* A DLPack descriptor, checked. */
typedef struct tensor_view {
    sgd_dtype dtype;
    size_t numel;
    void *data; /* byte_offset added */
} tensor_view;

/* Checks a descriptor for the backend's device; `what` and `index` name the tensor in the message ("parameter 3"). */
sgd_status tensor_view_check(const DLTensor *tensor, const sgd_backend *backend, const char *what, size_t index,
                             tensor_view *out, sgd_error *error);

/* ---- optimizer ------------------------------------------------------------------------------------------------------- */

typedef struct parameter {
    tensor_view view;
    DLTensor descriptor; /* shape is owned, strides NULL */
    void *buffer;        /* numel elements on the backend's device, owned; NULL until first needed */
    bool has_buffer;     /* the state has a momentum buffer; until then `buffer` is just memory */
} parameter;

typedef struct param_group {
    sgd_options options;
    sgd_path path;
    size_t first, count; /* its parameters: params[first .. first + count) */
} param_group;

struct sgd_optimizer {
    sgd_config config;
    sgd_options defaults;
    param_group *groups;
    size_t group_count;
    parameter *params;
    size_t param_count;
    /* Work space of a step, one entry per parameter; made when parameters are added, so that a step allocates none. */
    tensor_view *grads;
    bool *has_grad;
    sgd_step_tensor *steps; /* those of one group that have a gradient */
    sgd_operand *operands;
    /* Changed gradients of the schedule by_op, on the device. */
    void *scratch;
    size_t scratch_size;
};

/* The two halves of sgd_options_check: SGD.__init__ looks at the params between them. */
sgd_status options_check_values(const sgd_options *options, sgd_error *error);
sgd_status options_check_path(const sgd_options *options, sgd_error *error);

sgd_path path_choose(const sgd_options *options, const sgd_backend *backend);

/* by_op.c: one eager step over a list, operation by operation.  `scratch` holds a gradient for each of the tensors. */
sgd_status by_op_step(const sgd_backend *backend, const sgd_arithmetic *arithmetic, const sgd_hyper *hyper, size_t count,
                      const sgd_step_tensor *tensors, sgd_operand *operands, void *scratch);
/* Bytes of scratch that `tensor` takes there. */
size_t by_op_scratch_size(const sgd_step_tensor *tensor);

#endif
