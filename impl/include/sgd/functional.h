/* functional.h - one step over tensors whose state the caller keeps: torch.optim.sgd.sgd().
 *
 * An optimizer (optimizer.h) is this plus groups, state and hooks.  Use it directly where tensors and momentum buffers belong
 * to somebody else: a framework, a language binding.
 *
 * Thread-safety: calls on different tensors and workspaces may run at once.
 */
#ifndef SGD_FUNCTIONAL_H
#define SGD_FUNCTIONAL_H

#include "options.h"
#include "sparse.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A parameter of a step.  Descriptors are borrowed for the call; strides are honoured, 0-dim and empty tensors allowed. */
typedef struct sgd_item {
    const DLTensor *param;          /* written */
    const DLTensor *grad;           /* written only where PyTorch writes p.grad; NULL: none, or a sparse one */
    const DLTensor *buffer;         /* the momentum buffer, or memory for one that does not exist yet (any layout; PyTorch's
                                       is sgd_buffer_strides); NULL where momentum is 0 or the buffer is sparse */
    bool has_buffer;                /* in: there is a momentum buffer, in `sparse_buffer` if that is not all zeros, else in
                                       `buffer`; out: set where the step made one */
    sgd_sparse *sparse_grad;        /* a COO gradient instead of `grad`; replaced where PyTorch changes p.grad */
    sgd_sparse *sparse_buffer;      /* a sparse momentum buffer, or zeros for one that a sparse gradient may make; replaced by
                                       every step.  What is replaced is freed, what replaces it is the caller's to give to
                                       sgd_sparse_destroy.  NULL: none, where no momentum meets a sparse gradient */
} sgd_item;

/* What a step leaves to the next one.  Passing the same workspace again gives
 *   no allocation, once a step like this one has been taken;
 *   no checks of what has been checked: where config, options and items lead to the step that was taken last, comparing them takes
 *   the place of looking at them (about 25 ns an item), and the backend runs what it has prepared.
 * Descriptors are compared by what they say, shapes and strides too, never by where they lie; tensors may have moved, and the
 * numbers in options changed.  Anything else is looked at again, with the errors of a first step.  So keep one workspace for
 * each list of items that is stepped again and again: one for two lists in turn spares the allocations only.  A workspace is
 * one call's at a time, and holds nothing of the caller's.  It must go before a backend that it was used with. */
typedef struct sgd_workspace sgd_workspace;
SGD_API sgd_status sgd_workspace_create(sgd_workspace **out, sgd_error *error);
SGD_API void sgd_workspace_destroy(sgd_workspace *workspace); /* takes NULL */

/* What a gradient scaler hands to a fused step (torch/amp/grad_scaler.py): one float32 each, in host memory for the CPU. */
typedef struct sgd_scaling {
    const DLTensor *grad_scale; /* NULL: none */
    const DLTensor *found_inf;  /* NULL: none; exactly 1 skips the step */
} sgd_scaling;

/* One step of one param group.  `scaling` and `workspace` may be NULL, `config` NULL is the default one.
 * Items with neither a gradient nor a sparse one are left alone.  All that can fail is looked at before the first write:
 * on any answer but SGD_OK and SGD_ERROR_BACKEND nothing has changed.
 * Errors: ERROR_ARGUMENT, ERROR_DTYPE, ERROR_DEVICE, ERROR_SHAPE, ERROR_LAYOUT for a tensor; ERROR_UNSUPPORTED where the
 * backend does not claim the contract; PyTorch's own for what PyTorch refuses (ERROR_VALUE, ERROR_TYPE, ERROR_RUNTIME,
 * ERROR_NOT_IMPLEMENTED, ERROR_ASSERTION); ERROR_MEMORY.
 * Not checked: overlap between tensors, see optimizer.h. */
SGD_API sgd_status sgd_step(const sgd_config *config, const sgd_options *options, sgd_item *items, size_t count,
                            const sgd_scaling *scaling, sgd_workspace *workspace, sgd_error *error);

/* The path that options lead to for params on a backend's device (torch/optim/optimizer.py _default_to_fused_or_foreach). */
SGD_API sgd_path sgd_options_path(const sgd_options *options, const sgd_backend *backend);

/* The strides, in elements, that PyTorch gives the momentum buffer which a step under these options would make for this
 * parameter and gradient; `strides` has room for grad->ndim. */
SGD_API sgd_status sgd_buffer_strides(const sgd_options *options, const sgd_backend *backend, const DLTensor *param,
                                      const DLTensor *grad, int64_t *strides, sgd_error *error);

#ifdef __cplusplus
}
#endif
#endif
