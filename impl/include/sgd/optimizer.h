/* optimizer.h - torch.optim.SGD.
 *
 * Tensors are DLPack descriptors (dlpack/dlpack.h): data, device, dtype, shape, strides (NULL: contiguous).  Params stay the
 * caller's memory, borrowed until the optimizer is destroyed; gradients are borrowed for one step; momentum buffers are the
 * optimizer's, or lent by the host (state.h).  Supported: float64, float32, float16, bfloat16, complex64, complex128, in any
 * layout, on the backend's device.  Within a step no two tensors may overlap, whether params or gradients: the schedules
 * would differ, and threads race.
 *
 * What PyTorch's class does besides is in groups.h, stepping.h, state.h and hooks.h.
 *
 * The bits are those of the default floating-point environment: rounding to nearest, denormals neither flushed nor taken
 * for zero.
 *
 * Thread-safety: one optimizer is one thread's at a time; different optimizers share nothing.
 */
#ifndef SGD_OPTIMIZER_H
#define SGD_OPTIMIZER_H

#include <dlpack/dlpack.h>

#include "options.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sgd_optimizer sgd_optimizer;

/* SGD(params, **options): one param group of `count` tensors, at least one.  `config` NULL: the defaults.  The descriptors
 * are copied; the tensors' memory is borrowed.
 * Errors: those of sgd_options_check; ERROR_VALUE "optimizer got an empty parameter list", for the same tensor twice (PyTorch
 * warns only, and steps it twice: see groups.h), and where the environment variable SGD_ISA, which caps the default backend, names no
 * instruction set; ERROR_ARGUMENT (NULL, no data, not aligned to the element), ERROR_DTYPE, ERROR_DEVICE, ERROR_SHAPE,
 * ERROR_LAYOUT for a tensor; ERROR_UNSUPPORTED where the backend does not claim the contract; ERROR_ABI; ERROR_MEMORY. */
SGD_API sgd_status sgd_optimizer_create(const sgd_options *options, const sgd_config *config, const DLTensor *params,
                                        size_t count, sgd_optimizer **out, sgd_error *error);

/* Takes NULL.  Lets go of the momentum buffers, frees nothing of the params.  From a hook or closure: see hooks.h. */
SGD_API void sgd_optimizer_destroy(sgd_optimizer *optimizer);

/* add_param_group: further tensors, possibly none, with options of their own (NULL: those of create).  Like PyTorch it does
 * not validate a group's values again.  Errors: those of create for tensors; ERROR_VALUE with PyTorch's text for a tensor
 * that is in the optimizer already. */
SGD_API sgd_status sgd_optimizer_add_group(sgd_optimizer *optimizer, const sgd_options *options, const DLTensor *params,
                                           size_t count, sgd_error *error);

SGD_API size_t sgd_optimizer_group_count(const sgd_optimizer *optimizer);
SGD_API size_t sgd_optimizer_tensor_count(const sgd_optimizer *optimizer); /* over all groups, in order */

/* The options of a group, to read, and to set between steps as a scheduler does (not validated, as in PyTorch). */
SGD_API sgd_status sgd_optimizer_get_options(const sgd_optimizer *optimizer, size_t group, sgd_options *out,
                                             sgd_error *error);
SGD_API sgd_status sgd_optimizer_set_options(sgd_optimizer *optimizer, size_t group, const sgd_options *options,
                                             sgd_error *error);

/* The path that a group's options lead to (torch/optim/optimizer.py, _default_to_fused_or_foreach). */
SGD_API sgd_status sgd_optimizer_path(const sgd_optimizer *optimizer, size_t group, sgd_path *out, sgd_error *error);

/* step(): `grads` holds one pointer per tensor, over all groups in order; NULL where p.grad is None.  A gradient is written
 * only where PyTorch writes p.grad (foreach with nesterov, without weight decay and maximize).
 * Errors found before the work begins leave params, buffers and gradients as they were: count, dtype, shape, device or
 * layout of a gradient; ERROR_RUNTIME "value cannot be converted to type ... without overflow" for a scalar that the dtype
 * cannot hold; ERROR_TYPE for fused with momentum buffers for some tensors only; ERROR_MEMORY.  Where a group has tensors of
 * several dtypes, foreach and fused name the first in PyTorch's order of dtypes, which is a hash map's.
 * ERROR_BACKEND: the backend failed in the middle; groups before the failing one are stepped, its own tensors undefined.  Where
 * the backend takes all groups at once (prepare and run in backend.h) that is true of all of them; or it could not prepare the
 * step, and nothing has changed.
 * A step that is like the one before, but for the numbers in options and for where gradients lie, checks and allocates nothing:
 * it compares the gradients' descriptors with what they were. */
SGD_API sgd_status sgd_optimizer_step(sgd_optimizer *optimizer, DLTensor *const *grads, size_t count, sgd_error *error);

/* state[p]["momentum_buffer"] of a tensor as a view, valid until it is replaced (state.h) or the optimizer destroyed; data is
 * NULL while there is none, or a sparse one.  Strides are those that PyTorch's would have.  The memory may be written between
 * steps. */
SGD_API sgd_status sgd_optimizer_momentum_buffer(const sgd_optimizer *optimizer, size_t tensor, DLTensor *out,
                                                 sgd_error *error);

#ifdef __cplusplus
}
#endif
#endif
