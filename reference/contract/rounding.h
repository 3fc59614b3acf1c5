/* rounding.h - the oracle's arithmetic: one operation, one rounding, on bit patterns.
 *
 * A working format is binary64 (for f64 and the parts of c128) or binary32 (for all others); a working value is its bits in the low end of a
 * uint64_t.  Every operation gives the first NaN among its operands, quieted, in the order of its arguments; where an
 * invalid operation makes a NaN, it is the x86 default one (sign set).  Finite arithmetic is left to the C compiler's IEEE
 * types and to libm's fma, which is correctly rounded.
 */
#ifndef SGD_ORACLE_ROUNDING_H
#define SGD_ORACLE_ROUNDING_H

#include "contract.h"

typedef enum working { WORKING_F32, WORKING_F64 } working;

working working_of(sgd_dtype dtype);

uint64_t rounding_from_double(working format, double value); /* rounds once */
uint64_t rounding_convert(working from, working to, uint64_t bits); /* rounds once; quiets a NaN */

uint64_t rounding_mul(working format, uint64_t x, uint64_t y);
uint64_t rounding_div(working format, uint64_t x, uint64_t y);
uint64_t rounding_add(working format, uint64_t x, uint64_t y);
uint64_t rounding_sub(working format, uint64_t x, uint64_t y);
uint64_t rounding_fma(working format, uint64_t x, uint64_t y, uint64_t z);  /* x*y + z */
uint64_t rounding_fms(working format, uint64_t x, uint64_t y, uint64_t z);  /* x*y - z */
uint64_t rounding_fnma(working format, uint64_t x, uint64_t y, uint64_t z); /* z - x*y */

/* Flips the sign of a value of `bytes` bytes, NaN or not. */
uint64_t rounding_flip(size_t bytes, uint64_t bits);

/* Storage to working format, exact; f16 NaNs come out quiet. */
uint64_t rounding_widen(sgd_dtype dtype, uint64_t stored);

/* Working format to storage: to nearest, ties to even, overflow to infinity.  Identity for all but f16 and bf16. */
uint64_t rounding_narrow(sgd_dtype dtype, sgd_narrow nan_becomes, uint64_t bits);

#endif
