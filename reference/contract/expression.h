/* expression.h - the little language of rules.def: "g = R(fma(p, wd16, g))" parsed once, evaluated on blocks of elements.
 *
 * A value of a complex dtype is two parts, each a working value; functions act on each part alone, but for the complex
 * products, which PRODUCT lines define.  Two words are for books of mistakes only: apart(x,y,z), an fma that rounds its
 * product, and cf, below. */
#ifndef SGD_ORACLE_EXPRESSION_H
#define SGD_ORACLE_EXPRESSION_H

#include "rounding.h"

#define EXPRESSION_BLOCK 64
#define EXPRESSION_NODES 16
#define EXPRESSION_PRODUCTS 8 /* at most so many PRODUCT lines in a book */

typedef enum variable { VARIABLE_P, VARIABLE_G, VARIABLE_B, VARIABLE_COUNT } variable;

/* A value, or a part of one, per element: as stored (16 bits wide for f16, bf16) or in the working format. */
typedef struct block_value {
    bool stored;
    uint64_t bits[EXPRESSION_BLOCK];
} block_value;

/* The hyper-parameters in double; c is 1 - dampening, s the gradient scale. */
typedef enum scalar {
    SCALAR_LR,
    SCALAR_WD,
    SCALAR_M,
    SCALAR_C,
    SCALAR_S,
    SCALAR_ZERO,
    SCALAR_ONE,
    SCALAR_C_IN_FLOAT, /* "cf": 1 - dampening subtracted in float, for books of mistakes */
    SCALAR_COUNT
} scalar;

/* All an expression sees of one block. */
typedef struct expression_context {
    sgd_dtype dtype;
    sgd_narrow nan_becomes;
    size_t count;                             /* elements in the block, at most EXPRESSION_BLOCK */
    block_value variables[VARIABLE_COUNT][2]; /* real and imaginary part; of real dtypes the first only */
    uint64_t pairs[EXPRESSION_BLOCK];         /* what pair(b) gives: working bits */
    uint64_t scalars[SCALAR_COUNT][2];        /* working bits: plain, and rounded to 16 bits first */
} expression_context;

typedef struct expression_node {
    uint8_t op; /* index into the operator table, a product, or a leaf */
    uint8_t index;
    bool rounded, negative;
    uint8_t operands[3];
} expression_node;

/* A value. */
typedef struct expression_term {
    uint8_t root, node_count;
    expression_node nodes[EXPRESSION_NODES];
} expression_term;

/* The products of a book. */
typedef struct expression_products {
    size_t count;
    const sgd_product *lines;
    expression_term parts[EXPRESSION_PRODUCTS][2]; /* over x.re, x.im, y.re, y.im */
} expression_products;

/* An assignment. */
typedef struct expression {
    variable target;
    expression_term value;
    const expression_products *products;
} expression;

/* The number of parts of a value of a dtype. */
size_t expression_parts(sgd_dtype dtype);

/* False, with *wrong the first line that is not of the language, or `count` where there are too many. */
bool expression_parse_products(const sgd_product *lines, size_t count, expression_products *out, size_t *wrong);

/* False for a text that is not of the language; `products` are borrowed. */
bool expression_parse(const char *text, const expression_products *products, expression *out);

/* Assigns the target variable. */
void expression_run(const expression *expression, expression_context *context);

#endif
