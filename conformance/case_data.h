/* case_data.h - one case opened for running: where its inputs lie, and how its NaNs and segments are to be judged. */
#ifndef CONFORM_CASE_DATA_H
#define CONFORM_CASE_DATA_H

#include "ledger.h"
#include "oracle.h"
#include "vectors.h"

/* The three arrays that a tensor has after a step. */
typedef enum case_array { CASE_PARAM, CASE_BUFFER, CASE_GRAD, CASE_ARRAY_COUNT } case_array;

/* An array that the file describes by a seed, made once. */
typedef struct generated_array {
    size_t row;
    void *elements;
} generated_array;

typedef struct case_data {
    const vectors *file;
    const sgd_oracle *oracle;
    size_t row; /* of table case */
    size_t steps, tensor_begin, tensors, group_begin, groups;
    sgd_contract contract;
    sgd_path path;
    uint32_t torch_threads;
    const ledger_defect *defect; /* that torch has in this case, or NULL */
    sgd_nan *nan;                /* [tensors]                          */
    size_t *offset;              /* [tensors + 1] places of the tensors in a plane, see below */
    const void **params;         /* [tensors] before the first step    */
    const void **grads;          /* [steps * tensors], NULL: None      */
    generated_array *generated;
    size_t generated_count, generated_room;
} case_data;

/* Why nobody can judge a case yet; NULL where somebody can. */
const char *case_unjudged(const vectors *file, size_t row);

/* False where memory ran out; close it in either case. */
bool case_open(case_data *data, const vectors *file, size_t row, const sgd_oracle *oracle, const ledger *ledger);
void case_close(case_data *data);

sgd_dtype case_dtype(const case_data *data, size_t tensor);
size_t case_numel(const case_data *data, size_t tensor);
size_t case_bytes(const case_data *data, size_t tensor);

/* The options of a group as the oracle takes them. */
sgd_oracle_options case_options(const case_data *data, size_t group, sgd_defects defects);

/* The elements of a stored or generated array; NULL where memory ran out. */
const void *case_elements(case_data *data, size_t array_row);

/* A plane is one block of memory with room for every tensor of the case, each followed by a margin of at least 64 bytes
 * that nobody may write.  NULL where memory ran out; free() frees it. */
unsigned char *case_plane(const case_data *data);

/* Whether all margins are as case_plane made them; else *tensor is the one that was overrun. */
bool case_plane_intact(const case_data *data, const unsigned char *plane, size_t *tensor);

#endif
