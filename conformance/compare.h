/* compare.h - two arrays of one dtype, element by element, by their bits. */
#ifndef CONFORM_COMPARE_H
#define CONFORM_COMPARE_H

#include <stddef.h>
#include <stdint.h>

#include "contract.h"

typedef struct comparison {
    size_t different;       /* elements whose bits are wrong                                               */
    size_t nan_payload;     /* elements that are both NaN, with other bits, where only the class counts    */
    size_t masked_chance;   /* elements left out, since torch leaves them to chance (whatever else holds)   */
    size_t masked_open_nan; /* elements left out only since they come from a NaN's bits that are left open */
    size_t first;           /* index of the first different element, ...                                   */
    size_t part;            /* ... and which of its numbers differs first: 1 is an imaginary part          */
} comparison;

/* Complex elements compare number by number.  `undefined`: for each element a set of sgd_oracle_undefined, to be left out where it is not empty; or NULL. */
comparison compare_arrays(sgd_dtype dtype, size_t numel, const void *expected, const void *actual,
                          const uint8_t *undefined, sgd_nan nan);

/* A complex element is two numbers of the dtype that dtype_part gives, real part first; any other is one of its own. */
size_t dtype_parts(sgd_dtype dtype);
sgd_dtype dtype_part(sgd_dtype dtype);

/* The bits of a number; below, `dtype` is a real one. */
uint64_t element_bits(sgd_dtype dtype, const void *elements, size_t index);
bool bits_are_nan(sgd_dtype dtype, uint64_t bits);

/* The value in decimal, exact enough to tell it from its neighbours; a NaN with its sign and kind. */
#define ELEMENT_TEXT_SIZE 40
void element_text(sgd_dtype dtype, uint64_t bits, char *text);

#endif
