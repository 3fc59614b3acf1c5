/* block.h - a block of elements on its way through the stages: from memory, through a rule, to memory. */
#ifndef SGD_ORACLE_BLOCK_H
#define SGD_ORACLE_BLOCK_H

#include "expression.h"
#include "oracle.h"

struct sgd_oracle {
    const sgd_rulebook *book;
    expression_products products;
    expression programs[]; /* programs[i] is book->rules[i] */
};

/* Elements in memory: the first, and how far apart they are. */
typedef struct block_place {
    void *memory;
    size_t first, stride;
} block_place;

/* The length of the rows that a tensor of `numel` elements falls into: PyTorch's thread chunks. */
size_t segments_row(const sgd_width *width, uint32_t torch_threads, size_t numel);

/* How many elements of a row of `length` are its body. */
size_t segments_body(const sgd_width *width, sgd_defects defects, size_t length);

/* Readies a context for a segment of a tensor: dtype, scalars, what becomes of NaNs. */
void block_open(const sgd_oracle *oracle, const sgd_oracle_options *options, sgd_dtype dtype, sgd_segment segment,
                expression_context *out);

void block_load(expression_context *context, variable which, block_place from);

/* False where the rules left a value unrounded that goes to memory. */
bool block_store(const expression_context *context, variable which, block_place to);

/* Runs a stage's rule; false where the cell does not have it, or has it not in this segment. */
bool block_run(const sgd_oracle *oracle, sgd_contract contract, sgd_path path, sgd_segment segment, sgd_stage stage,
               expression_context *context);

#endif
