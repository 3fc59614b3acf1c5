/* scalar.h - a number as one element of a real dtype: hyper-parameters that are tensors. */
#ifndef CONFORM_SCALAR_H
#define CONFORM_SCALAR_H

#include "contract.h"

/* Writes the element that is exactly `value` (for a NaN, a quiet one of its sign); false, with nothing written, where the dtype
 * has no such number. */
bool scalar_encode(sgd_dtype dtype, double value, void *out);

#endif
