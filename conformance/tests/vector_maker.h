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
void made_vectors_free(vectors *made);

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
