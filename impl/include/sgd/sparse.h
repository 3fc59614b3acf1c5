/* sparse.h - COO tensors (torch.sparse_coo_tensor): gradients of embeddings, and the momentum buffers that follow from them.
 *
 * A sparse tensor has `sparse_dim` leading dimensions that are indexed and, where it is hybrid, further dense ones: entry k
 * holds the values at (indices[0][k], ..., indices[sparse_dim - 1][k]).  An index may occur more than once, the entries then
 * stand for their sum, until the tensor is coalesced: sorted, every index once.
 *
 * A gradient is made by filling the struct: its memory stays the caller's, `owned` is NULL.  Momentum buffers, and gradients
 * where PyTorch changes p.grad, are made by the library and freed by sgd_sparse_destroy; the struct may be moved, its memory
 * has no pointer back.  All of it is host memory.
 *
 *     int64_t shape[] = {1000, 64}, rows[] = {7, 3}, at[] = {1, 2}, block[] = {2, 64};
 *     sgd_sparse grad = {.indices = {.data = rows, .ndim = 2, .dtype = {kDLInt, 64, 1}, .shape = at, ...},
 *                        .values = {.data = values, .ndim = 2, .dtype = {kDLFloat, 32, 1}, .shape = block, ...},
 *                        .ndim = 2, .shape = shape};
 */
#ifndef SGD_SPARSE_H
#define SGD_SPARSE_H

#include <dlpack/dlpack.h>

#include "backend.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sgd_sparse {
    DLTensor indices; /* int64, shape (sparse_dim, nnz), any strides */
    DLTensor values;  /* shape (nnz, dense dims...), any strides; PyTorch's arithmetic depends on whether it is contiguous */
    int32_t ndim;     /* of the tensor it stands for: sparse_dim + dense dims */
    int64_t *shape;
    bool coalesced;   /* the flag, not a check: torch.Tensor.is_coalesced().  It is believed, as PyTorch believes it */
    void *owned;      /* the library's memory behind it; NULL: borrowed, all of it the caller's */
} sgd_sparse;

/* torch.Tensor.clone(): the flag is kept, values keep the order in which they fill their memory.  `sparse` must be as a step
 * would take it; what it holds is looked at first.
 * Errors: ERROR_ARGUMENT, ERROR_DTYPE, ERROR_DEVICE, ERROR_SHAPE, ERROR_LAYOUT; ERROR_RUNTIME with PyTorch's text for an index
 * that is negative or beyond the shape; ERROR_MEMORY. */
SGD_API sgd_status sgd_sparse_clone(const sgd_sparse *sparse, sgd_sparse *out, sgd_error *error);

/* Frees what the library allocated and clears the struct; takes NULL and structs of zeros. */
SGD_API void sgd_sparse_destroy(sgd_sparse *sparse);

#ifdef __cplusplus
}
#endif
#endif
