/* stepping.h - step() in full, with a closure, sparse gradients, a gradient scaler and memory of the host's; zero_grad().
 *
 * In order: global step pre-hooks, the optimizer's own, the closure, `collect`, the step, its own step post-hooks, global
 * ones (hooks.h).
 *
 * Thread-safety: as in optimizer.h.
 */
#ifndef SGD_STEPPING_H
#define SGD_STEPPING_H

#include "functional.h"
#include "groups.h"

#ifdef __cplusplus
extern "C" {
#endif

/* p.grad of a tensor: dense, or COO, or neither (None).  Slots belong to the host; the library empties them or zeroes what
 * they point to in zero_grad, and writes through `dense` where PyTorch writes p.grad. */
typedef struct sgd_gradient {
    DLTensor *dense;
    sgd_sparse *sparse;
} sgd_gradient;

typedef struct sgd_step_arguments {
    size_t struct_size;
    /* One slot per tensor, over all groups in order.  Read after closure and `collect`, which may fill or replace them. */
    sgd_gradient *grads;
    size_t count;
    const sgd_scaling *scaling; /* NULL: none */
    /* Memory for momentum buffers that the step makes, one TENSOR value per tensor, NONE: the library's own memory.  NULL:
     * all of it the library's.  What is used becomes state[p]["momentum_buffer"], object and all. */
    const sgd_value *memory;
    /* Recomputes the loss and the gradients; its value is the step's.  It hands over a reference of its own where that is an
     * object.  NULL: none. */
    sgd_status (*closure)(void *context, sgd_value *loss, sgd_error *error);
    void *closure_context;
    /* The last thing before the library looks at anything: where a host brings groups, state, params and these arguments up to
     * date.  NULL: they are. */
    sgd_status (*collect)(sgd_optimizer *optimizer, struct sgd_step_arguments *arguments, void *context, sgd_error *error);
    void *collect_context;
    void *host; /* the host's arguments, for its own hooks; never looked at */
} sgd_step_arguments;

/* step(closure): `loss` gets the closure's value (NONE without one), an object with a reference that the caller owns; it may
 * be NULL.  `arguments` are copied; hooks, closure and collect see and change the copy.
 * Errors: those of sgd_optimizer_step; ERROR_KEY and ERROR_TYPE for options in a group's dict; whatever a hook, the closure or
 * collect answers, with its message (ERROR_CALLBACK where it leaves none).  Until the step itself nothing has changed; a
 * failing post-hook comes after it, as in PyTorch: the step stands. */
SGD_API sgd_status sgd_optimizer_step_with(sgd_optimizer *optimizer, const sgd_step_arguments *arguments, sgd_value *loss,
                                           sgd_error *error);

/* zero_grad(set_to_none): empties the slots, or writes zeros through them, whatever the dtype and strides; a sparse gradient
 * is left without elements (nnz 0).  In host memory only: ERROR_DEVICE.  May be called from hooks and the closure. */
SGD_API sgd_status sgd_optimizer_zero_grad(sgd_optimizer *optimizer, sgd_gradient *slots, size_t count, bool set_to_none,
                                           sgd_error *error);

#ifdef __cplusplus
}
#endif
#endif
