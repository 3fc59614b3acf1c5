/* sparse_oracle.h - the oracle where gradients are sparse: torch/optim/sgd.py over torch.sparse_coo_tensor, plainly and slowly.
 *
 * Like the rest of the oracle it shares no code with kernels/ and impl/.  Every operation of PyTorch's is a function that makes
 * a new tensor (sparse_sum.c); roundings are lines of sparse_rules.def and rules.def (sparse_values.c).
 */
#ifndef SGD_SPARSE_ORACLE_H
#define SGD_SPARSE_ORACLE_H

#include "oracle.h"

/* A COO tensor; what it stands for has the shape of the parameter. */
typedef struct sgd_oracle_sparse {
    size_t sparse_dim, nnz;
    int64_t *indices; /* index d of entry k at [d * nnz + k] */
    void *values;     /* entries, each with the dense dimensions that follow the sparse ones */
    int64_t strides[SGD_ORACLE_DIMS + 1]; /* of the values, entries first */
    bool coalesced;   /* the flag */
} sgd_oracle_sparse;

/* Frees the arrays of a tensor that the oracle made, and clears it. */
void sgd_oracle_sparse_free(sgd_oracle_sparse *sparse);

/* One parameter with a sparse gradient; all but what the step makes is borrowed. */
typedef struct sgd_oracle_sparse_tensor {
    sgd_dtype dtype;
    uint32_t ndim;
    int64_t shape[SGD_ORACLE_DIMS], param_strides[SGD_ORACLE_DIMS];
    void *param;
    sgd_oracle_sparse grad;
    enum { SGD_ORACLE_NO_BUFFER, SGD_ORACLE_SPARSE_BUFFER, SGD_ORACLE_DENSE_BUFFER } buffer_kind;
    sgd_oracle_sparse buffer;
    void *dense_buffer; /* written */
    int64_t buffer_strides[SGD_ORACLE_DIMS];
    /* What the step makes, for the caller to free; zeros where it makes none. */
    sgd_oracle_sparse new_buffer; /* the momentum buffer after it, unless that is dense */
    sgd_oracle_sparse new_grad;   /* p.grad after it, where PyTorch changes that */
    bool grad_changed;
} sgd_oracle_sparse_tensor;

/* One step.  False where PyTorch raises, with its exception's type and text, "RuntimeError: ...", in `message`, or where memory
 * ran out; nothing is changed then.  `mixed`: foreach falls back to Python's loop, since a buffer of the dtype is missing. */
bool sgd_oracle_sparse_step(const sgd_oracle *oracle, const sgd_oracle_options *options, bool mixed,
                            sgd_oracle_sparse_tensor *tensor, char *message, size_t message_size);

#endif
