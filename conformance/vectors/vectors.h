/* vectors.h - a file of golden vectors in memory: PyTorch's runs as tables of columns (reference/vectors/README.md).
 *
 * What vectors_load returns has been checked through and through: every index is in range, every array has the dtype and
 * size of its tensor, every code is known.  Its users index without looking.  A loaded file is constant; any number of
 * threads may read it.
 */
#ifndef CONFORM_VECTORS_H
#define CONFORM_VECTORS_H

#include <stddef.h>
#include <stdint.h>

#include "contract.h"
#include "message.h"

#define VECTORS_NONE 0xFFFFFFFFu

/* Largest tensor, and all tensors of a problem together, that a file may ask for. */
#define VECTORS_MAX_NUMEL ((uint64_t)1 << 28)

typedef enum vectors_kind { VECTORS_STORED, VECTORS_GENERATED, VECTORS_HASHED, VECTORS_KIND_COUNT } vectors_kind;

/* What computed a run: a CPU under ATEN_CPU_CAPABILITY, or a kind of GPU. */
typedef enum vectors_capability {
#define CAPABILITY(id, code, name, contract) VECTORS_##id = code,
#include "codes.def"
} vectors_capability;

/* What a problem is there to show. */
typedef enum vectors_feature {
#define FEATURE(id, name) VECTORS_##id,
#include "codes.def"
    VECTORS_FEATURE_COUNT
} vectors_feature;

/* The dtype code of the indices of sparse tensors, which no tensor has. */
#define VECTORS_I64 16

#define VECTORS_KNOWN_FLAGS 0x1FFu

/* PyTorch's most dimensions. */
#define VECTORS_MAX_DIMS 64

/* The most dimensions of a hyper-parameter that is a tensor. */
#define VECTORS_MAX_SCALAR_DIMS 8

typedef struct vectors {
    char *file; /* as the caller named it */
    int64_t seed;
#define ATTRIBUTE(name) char *name;
#define TABLE(member, file_name) struct { size_t count;
#define COLUMN(table, name, type) type *name; /* those of version 2 too */
#define END_TABLE(member) } member;
#define BITS(name, type) struct { size_t count; type *elements; } name;
#include "columns.def"
} vectors;

/* Reads and checks a file.  NULL with one line "FILE: OBJECT: reason". */
vectors *vectors_load(const char *file, conform_error *error);
void vectors_free(vectors *vectors); /* takes NULL */

/* The checks behind vectors_load, over columns that have the right types and lengths. */
bool vectors_check(const vectors *vectors, conform_error *error);

/* ---- one case ------------------------------------------------------------------------------------------------------ */

#define VECTORS_NAME_SIZE 112

/* The contract that a case has to follow; SGD_CONTRACT_COUNT where none is written down, so that nobody can judge it. */
sgd_contract vectors_contract(const vectors *vectors, size_t case_row);

/* "torch-2.13/cpu-fma"; where there is no contract, what it would be called: "torch-2.13/cuda-sm90". */
#define VECTORS_CONTRACT_SIZE 48
void vectors_contract_name(const vectors *vectors, size_t case_row, char *name);

vectors_feature vectors_feature_of(const vectors *vectors, size_t case_row);
const char *vectors_feature_name(vectors_feature feature);

/* Whether a capability's code is one of codes.def. */
bool vectors_capability_known(uint8_t code);

/* The dtype of all tensors of the case; SGD_DTYPE_COUNT where they have several. */
sgd_dtype vectors_dtype(const vectors *vectors, size_t case_row);

/* "torch-2.13/cpu-fma/foreach/bf16/00042-t1-avx2", and "-layout" behind it where the problem shows a feature; `name` has
 * VECTORS_NAME_SIZE characters. */
void vectors_case_name(const vectors *vectors, size_t case_row, char *name);

/* The first row of table `tensor` of a problem, and how many tensors it has over all groups. */
size_t vectors_tensor_begin(const vectors *vectors, size_t problem_row);
size_t vectors_tensor_count(const vectors *vectors, size_t problem_row);

/* Elements of table layout's row, and from its first one to behind its last one in memory, both at most VECTORS_MAX_NUMEL in
 * a checked file. */
uint64_t vectors_layout_numel(const vectors *vectors, uint32_t layout);
uint64_t vectors_layout_extent(const vectors *vectors, uint32_t layout);

/* The elements of a stored array. */
const void *vectors_stored(const vectors *vectors, size_t array_row);

/* Bytes of the words that an array of this dtype code is stored in: a complex element is two of them. */
size_t vectors_word_size(uint8_t dtype);

/* A dtype's name, "mixed" for SGD_DTYPE_COUNT. */
const char *vectors_dtype_name(sgd_dtype dtype);

#endif
