/* sparse.h - COO tensors (torch.sparse_coo_tensor): gradients of embeddings, and the momentum buffers that follow from them.
 *
 * A sparse tensor has `sparse_dim` leading dimensions that are indexed and, where it is hybrid, further dense ones.
 * Ownership: sgd_sparse_create copies or borrows as said; sgd_sparse_destroy frees what the library allocated.
 */
#ifndef SGD_SPARSE_H
#define SGD_SPARSE_H

#include <dlpack/dlpack.h>

#include "backend.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sgd_sparse {
    DLTensor indices; /* int64, shape (sparse_dim, nnz) */
    DLTensor values;  /* shape (nnz, dense dims...) */
    int32_t ndim;     /* of the tensor it stands for */
    int64_t *shape;
    bool coalesced;   /* the flag, not a check: torch.Tensor.is_coalesced() */
    void *owned;      /* the library's memory behind it; NULL: borrowed, all of it the caller's */
} sgd_sparse;

/* Frees what the library allocated and clears the struct; takes NULL and structs of zeros. */
SGD_API void sgd_sparse_destroy(sgd_sparse *sparse);

#ifdef __cplusplus
}
#endif
#endif
