/* expression.h - the little language of rules.def: "g = R(fma(p, wd16, g))" parsed once, evaluated on blocks of elements.
 *
 * Two words are for books of mistakes only: apart(x,y,z), an fma that rounds its product, and cf, below. */
#ifndef SGD_ORACLE_EXPRESSION_H
#define SGD_ORACLE_EXPRESSION_H

#include "rounding.h"

#define EXPRESSION_BLOCK 64
#define EXPRESSION_NODES 16

typedef enum variable { VARIABLE_P, VARIABLE_G, VARIABLE_B, VARIABLE_COUNT } variable;

/* A value per element, either as stored (16 bits wide for f16, bf16) or in the working format. */
typedef struct block_value {
    bool stored;
    uint64_t bits[EXPRESSION_BLOCK];
} block_value;

/* The hyper-parameters in double; c is 1 - dampening. */
typedef enum scalar {
    SCALAR_LR,
    SCALAR_MINUS_LR,
    SCALAR_WD,
    SCALAR_M,
    SCALAR_C,
    SCALAR_C_IN_FLOAT, /* "cf": 1 - dampening subtracted in float, for books of mistakes */
    SCALAR_COUNT
} scalar;

/* All an expression sees of one block. */
typedef struct expression_context {
    sgd_dtype dtype;
    sgd_narrow nan_becomes;
    size_t count;                       /* elements in the block, at most EXPRESSION_BLOCK */
    block_value variables[VARIABLE_COUNT];
    uint64_t pairs[EXPRESSION_BLOCK];   /* what pair(b) gives: working bits */
    uint64_t scalars[SCALAR_COUNT][2];  /* working bits: plain, and rounded to 16 bits first */
} expression_context;

typedef struct expression_node {
    uint8_t op; /* index into the operator table, or a leaf */
    uint8_t index;
    bool rounded;
    uint8_t operands[3];
} expression_node;

typedef struct expression {
    variable target;
    uint8_t root, node_count;
    expression_node nodes[EXPRESSION_NODES];
} expression;

/* False for a text that is not of the language. */
bool expression_parse(const char *text, expression *out);

/* Assigns the target variable. */
void expression_run(const expression *expression, expression_context *context);

#endif
