/* case_data.h - one case opened for running: where its inputs lie, and how its NaNs and segments are to be judged. */
#ifndef CONFORM_CASE_DATA_H
#define CONFORM_CASE_DATA_H

#include "layout.h"
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

/* Known defects that torch may have in one case: one of its kernel's rules, one of its ways through memory. */
#define CASE_DEFECTS 2

typedef struct case_data {
    const vectors *file;
    const sgd_oracle *oracle;
    size_t row; /* of table case */
    size_t steps, tensor_begin, tensors, group_begin, groups;
    sgd_contract contract;
    sgd_path path;
    uint32_t torch_threads;
    const ledger_defect *defects[CASE_DEFECTS]; /* that torch has in this case; NULL behind them */
    sgd_nan *nan;                               /* [tensors]                                      */
    size_t *offset;            /* [tensors + 1] places of the tensors in a plane, see below       */
    const void **params;       /* [tensors] before the first step                                 */
    const void **grads;        /* [steps * tensors], NULL: None                                   */
    case_layout *layouts;      /* [tensors] of the parameters                                     */
    case_layout *grad_layouts; /* [steps * tensors]                                               */
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

/* Bytes of an element. */
size_t case_size(const case_data *data, size_t tensor);

/* The options of a group in a step as the file has them; its numbers may be those of tensors, see case_scalar. */
typedef struct case_options {
    double lr, momentum, dampening, weight_decay;
    bool nesterov, maximize;
} case_options;
case_options case_options_of(const case_data *data, size_t group, size_t step);

/* The options of a group in a step as the oracle takes them. */
sgd_oracle_options case_oracle_options(const case_data *data, size_t group, size_t step, sgd_defects defects);

/* What a gradient scaler hands to a step; NULL: nothing. */
const float *case_grad_scale(const case_data *data, size_t step);
const float *case_found_inf(const case_data *data, size_t step);

/* Whether tensor memory, options or scaling are more than version 1 of the format could say. */
bool case_is_plain(const case_data *data);

/* Whether a tensor and its gradients are one-dimensional and contiguous. */
bool case_is_flat(const case_data *data, size_t tensor);

/* Shape and strides of a parameter and its gradient in a step, as the oracle takes them; the buffer's stay as they are. */
void case_oracle_layout(const case_data *data, size_t tensor, size_t step, sgd_oracle_layout *out);

/* The elements of a stored or generated array; NULL where memory ran out. */
const void *case_elements(case_data *data, size_t array_row);

/* A plane is one block of memory with room for every tensor of the case, in any of its layouts, each followed by a margin of at
 * least 64 bytes.  Nobody may write the margin, nor the gaps of a layout.  NULL where memory ran out; free() frees it. */
unsigned char *case_plane(const case_data *data);

/* Puts elements, in row-major order, to their places in a plane's room for a tensor. */
void case_place(const case_data *data, size_t tensor, const case_layout *layout, const void *elements, unsigned char *plane);

/* Whether all of a plane's room for a tensor but the places of a layout is as case_plane made it. */
bool case_room_intact(const case_data *data, const unsigned char *plane, const case_layout *layout, size_t tensor);

#endif
