/* vjp.h - the derivative of a step: what torch.optim.SGD(differentiable=True) gives to autograd.
 *
 * A vector-Jacobian product: from the cotangents of what a step wrote (the derivative of some loss by the param and the
 * momentum buffer after the step) to those of what it read.  One call goes back over one step; a run of steps is
 * differentiated by calling it for each of them, last one first:
 *
 *     keep, before each step, copies of the params, the gradients and the momentum buffers: that is all the record there is
 *     set d_param to the loss's derivative by the final params, has_d_buffer to false
 *     for (step = last; step >= 0; step--) {
 *         point the items to the record of `step`, and d_grad to where its gradients' derivative belongs
 *         sgd_step_vjp(&options[step], items, count, &d_options, &error)
 *         if the gradients depend on the params, add what they pass on to d_param
 *     }
 *     d_param, d_buffer: by what the first step read; d_grad: by each step's gradients; d_options: by options of all steps
 *
 * The derivatives by params, gradients and buffers have autograd's bits; those by options are sums, formed in double.
 * As in PyTorch, a first momentum buffer is a detached copy of the gradient: nothing flows through it.
 *
 * Where PyTorch has no answer, this is the derivative as mathematics has it:
 *   - lr that requires grad, momentum without nesterov, more than one step: PyTorch's backward raises ("one of the variables
 *     needed for gradient computation has been modified by an inplace operation")
 *   - by momentum with nesterov, and by dampening: PyTorch takes no tensor that requires grad there
 *   - by weight_decay where it is 0: PyTorch leaves the term out
 *
 * Thread-safety: calls on different items and sums may run at once.
 */
#ifndef SGD_VJP_H
#define SGD_VJP_H

#include "options.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A parameter of a step that is differentiated: float64 or float32, contiguous, in host memory, all tensors of one shape and
 * dtype.  Descriptors are borrowed for the call.  No tensor that is written may overlap another. */
typedef struct sgd_vjp_item {
    /* What the step read, as it was before it. */
    const DLTensor *param;
    const DLTensor *grad;   /* NULL: none; such a step leaves the param alone, and the call the item */
    const DLTensor *buffer; /* NULL: none yet, or momentum is 0 */
    /* In: the cotangents of what it wrote; out: of what it read. */
    const DLTensor *d_param;
    const DLTensor *d_buffer; /* NULL only where momentum is 0 */
    bool has_d_buffer;        /* d_buffer holds a cotangent; in, false: as zeros; out, false: there was no buffer to have one */
    const DLTensor *d_grad;   /* out; zeros where PyTorch's is None; NULL: not wanted */
} sgd_vjp_item;

/* Derivatives by the options. */
typedef struct sgd_vjp_options {
    double lr, momentum, dampening, weight_decay;
} sgd_vjp_options;

/* Goes back over one step of one param group; path and schedule do not matter.  `d_options` is added to; NULL: not wanted.
 * Options that are tensors count with their value.  On an error nothing has changed.
 * Errors: those of sgd_options_check, and what the for-loop refuses of tensors as options; for a tensor ERROR_ARGUMENT,
 * ERROR_DTYPE (also for 16-bit and complex ones), ERROR_DEVICE, ERROR_SHAPE, ERROR_LAYOUT. */
SGD_API sgd_status sgd_step_vjp(const sgd_options *options, sgd_vjp_item *items, size_t count, sgd_vjp_options *d_options,
                                sgd_error *error);

#ifdef __cplusplus
}
#endif
#endif
