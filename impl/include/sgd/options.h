/* options.h - what torch.optim.SGD's constructor takes. */
#ifndef SGD_OPTIONS_H
#define SGD_OPTIONS_H

#include <dlpack/dlpack.h>

#include "backend.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Python's None, False, True. */
typedef enum sgd_tristate { SGD_NONE = -1, SGD_FALSE = 0, SGD_TRUE = 1 } sgd_tristate;

/* A hyper-parameter given as a tensor: one element in host memory, of a float or integer dtype, 0-dim or of any shape where
 * PyTorch allows that.  Borrowed; read at every step, so it may be changed in place.  With `tensor` NULL the number beside it
 * in sgd_options holds; else that number is ignored.  `requires_grad` picks PyTorch's addcmul route where it has one: lr and
 * weight_decay in the for-loop. */
typedef struct sgd_tensor_option {
    const DLTensor *tensor;
    bool requires_grad;
} sgd_tensor_option;

/* The options of a param group; start from sgd_options_default() and change what you need. */
typedef struct sgd_options {
    size_t struct_size;
    double lr;           /* 1e-3 */
    double momentum;     /* 0 */
    double dampening;    /* 0 */
    double weight_decay; /* 0 */
    bool nesterov;
    bool maximize;
    bool differentiable;  /* accepted, checked against fused as PyTorch does; the forward bits are the for-loop's */
    sgd_tristate foreach; /* None: PyTorch's default, the for-loop on a CPU */
    sgd_tristate fused;
    sgd_tensor_option lr_tensor, momentum_tensor, dampening_tensor, weight_decay_tensor;
} sgd_options;

SGD_API sgd_options sgd_options_default(void);

/* The checks of SGD.__init__ in PyTorch's order and words (torch/optim/sgd.py). */
SGD_API sgd_status sgd_options_check(const sgd_options *options, sgd_error *error);

/* by_op walks memory once per operation, as PyTorch does; single_pass keeps each value in registers and rounds at the same
 * places.  Same bits.  Tensors that are not contiguous go through all operations piece by piece, in either. */
typedef enum sgd_schedule { SGD_SCHEDULE_SINGLE_PASS, SGD_SCHEDULE_BY_OP } sgd_schedule;

SGD_API const char *sgd_schedule_name(sgd_schedule schedule);
SGD_API bool sgd_schedule_parse(const char *name, sgd_schedule *out);

/* Which bits an optimizer computes, and on what; start from sgd_config_default(). */
typedef struct sgd_config {
    size_t struct_size;
    sgd_contract contract;      /* torch-2.13/cpu-fma, whatever this machine is */
    sgd_defects defects;        /* SGD_DEFECTS_FIX */
    sgd_schedule schedule;      /* SGD_SCHEDULE_SINGLE_PASS; the fused path is always one pass */
    uint32_t torch_threads;     /* 1: the torch.get_num_threads() whose 16-bit segments are reproduced */
    uint32_t threads;           /* at most; 0: the OpenMP default; small steps take one; never changes a bit.  They are pinned
                                   where OMP_PROC_BIND and OMP_PLACES say so, by OpenMP, and nowhere else */
    const sgd_backend *backend; /* NULL: the CPU at sgd_isa_best(); borrowed, outlives the optimizer */
} sgd_config;

SGD_API sgd_config sgd_config_default(void);

#ifdef __cplusplus
}
#endif
#endif
