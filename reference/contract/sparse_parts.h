/* sparse_parts.h - the pieces of the sparse oracle.  Functions answer false with a message where PyTorch raises, or memory ran
 * out; what they then leave in *out may be given to sgd_oracle_sparse_free. */
#ifndef SGD_ORACLE_SPARSE_PARTS_H
#define SGD_ORACLE_SPARSE_PARTS_H

#include "block.h"
#include "sparse_oracle.h"

/* What all operations of one step share. */
typedef struct coo_step {
    const sgd_oracle *oracle;
    const sgd_oracle_options *options;
    sgd_dtype dtype;
    size_t size; /* bytes of an element */
    size_t ndim, numel;
    const int64_t *shape; /* of the parameter */
    char *message;
    size_t message_size;
} coo_step;

/* Always false. */
bool coo_refuse(const coo_step *step, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* alpha of an addition has to fit the dtype. */
bool coo_check_alpha(const coo_step *step, double alpha);

/* ---- sparse_values.c: arithmetic ------------------------------------------------------------------------------------- */

/* out += alpha * x over `count` elements of one entry; `contract` BASE where PyTorch computes without FMA. */
bool coo_add_entry(const coo_step *step, sgd_contract contract, double alpha, void *out, const void *x, size_t count);

/* SCALE lines: BUFFER is what foreach's mul_ is, too, SUM the for-loop's. */
typedef enum coo_scale { BUFFER, SUM } coo_scale;
bool coo_scale_values(const coo_step *step, coo_scale what, double alpha, void *values, size_t count);
/* mul_ of a tensor of the parameter's shape. */
bool coo_scale_dense(const coo_step *step, coo_scale what, double alpha, void *memory, const int64_t *strides);
bool coo_negate_values(const coo_step *step, void *values, size_t count);

/* ---- sparse_order.c ---------------------------------------------------------------------------------------------------- */

/* order[i] is the place that the i-th smallest key had; equal keys as torch.sort leaves them.  False
 * where memory ran out. */
bool coo_order(const int64_t *keys, size_t count, size_t *order);

/* ---- sparse_sum.c: operations on tensors ----------------------------------------------------------------------------- */

size_t coo_block(const coo_step *step, const sgd_oracle_sparse *sparse); /* elements of an entry */
void *coo_entry(const coo_step *step, const sgd_oracle_sparse *sparse, size_t entry);

bool coo_clone(const coo_step *step, const sgd_oracle_sparse *from, sgd_oracle_sparse *out);
bool coo_negate(const coo_step *step, const sgd_oracle_sparse *from, sgd_oracle_sparse *out);
bool coo_scale_buffer(const coo_step *step, const sgd_oracle_sparse *from, sgd_oracle_sparse *out);
bool coo_coalesce(const coo_step *step, const sgd_oracle_sparse *from, sgd_oracle_sparse *out);
bool coo_sum(const coo_step *step, const sgd_oracle_sparse *t, const sgd_oracle_sparse *g, double alpha,
             sgd_oracle_sparse *out);

/* memory += alpha * sparse, for a dense tensor of the parameter's shape. */
bool coo_add_to_dense(const coo_step *step, void *memory, const int64_t *strides, const sgd_oracle_sparse *sparse,
                      double alpha);

#endif
