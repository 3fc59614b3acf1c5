/* vector_maker.h - small golden vectors for tests: inputs by seed, outcomes by the oracle, written through HDF5's C API. */
#ifndef CONFORM_VECTOR_MAKER_H
#define CONFORM_VECTOR_MAKER_H

#include "vectors.h"

/* Problem 0: two groups (f32 of 9 elements, bf16 of 40), 2 steps, a None among the gradients; case 0 for-loop avx2, case 1
 * foreach default with 2 threads.  Problem 1: f16 of 36 elements, 3 steps; case 2 fused avx2, in the cells of
 * pytorch#191763: from step 1 on, buffer elements 30 and 31 are undefined.  Problem 2: f32 of 5000 generated elements with hashed outcomes; case 3 foreach avx2.  Problem 3: f64
 * with a NaN in element 3; case 4 fused default, where only its class counts, case 5 fused avx2, where its payload does.
 * Problem 4: lr is NaN; case 6 for-loop avx2. */
vectors *made_vectors(void);

/* A problem and a case for each feature, all of one tensor and 3 steps unless said otherwise:
 *   0  layout     f32 3 x 5, transposed, with gaps; gradients of one column for all; case 0 for-loop avx2
 *   1  layout     f32 2 x 17, contiguous, gradients transposed: fused-ignores-strides; case 1 fused avx2
 *   2  layout     f16 2 x 17, transposed, gradients too: pytorch#191763 alone; case 2 fused avx2
 *   3  amp        f32 of 11: a step with grad_scale, one that found_inf skips, one with neither; case 3 fused default
 *   4  tensor-lr  f64 of 5: lr, f32, requires grad; momentum a tensor; both change; case 4 for-loop avx2
 *   5  complex    c64 of 13; case 5 foreach default
 *   6  mixed      f32 of 7, and f32 of 5 without a gradient in step 0; case 6 foreach avx2
 *   7  plain      f32 of 3 on a GPU: case 7, which nobody can judge */
vectors *made_feature_vectors(void);
void made_vectors_free(vectors *made);

/* ---- the parts that they are made of: each adds to the latest problem, group, tensor ------------------------------- */

vectors *maker_begin(void);
void maker_add_problem(vectors *made, size_t groups, size_t steps, uint32_t flags);
void maker_add_group(vectors *made, double momentum, double weight_decay, bool nesterov);
void maker_add_tensor(vectors *made, sgd_dtype dtype, size_t numel, size_t steps, bool none_in_step_0);
uint32_t maker_add_layout(vectors *made, size_t ndim, const uint64_t *sizes, const uint64_t *strides);

/* Outcomes by the oracle with torch's defects. */
void maker_add_case(vectors *made, sgd_path path, vectors_capability capability, uint8_t threads);

/* ---- writing ------------------------------------------------------------------------------------------------------- */

/* What to leave out of a written file, or to do wrong in it. */
typedef struct writing {
    const char *schema; /* NULL: the right one */
    int version;        /* 0: the latest       */
    const char *leave_out;    /* a column's name in the file, or NULL */
    const char *torch_version, *cpu_model; /* NULL: those of the tables */
    bool no_checksums, wrong_type, two_dimensional;
} writing;

/* Aborts the test where HDF5 fails. */
void write_vectors(const vectors *made, const char *path, writing how);

#endif
