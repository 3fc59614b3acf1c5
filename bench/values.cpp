/* values.cpp - bits from a counter.
 *
 * Zeros, subnormals and infinities run at another speed on some processors, so none may appear.  Params begin in +-[1, 2),
 * gradients stay there with the opposite sign.  A step then drives every param away from zero, towards |g| / weight_decay <=
 * 20,000 where there is decay; without, by 0.02 a step at most, until the sum no longer changes in its precision.  The buffer
 * stays below |g| / (1 - momentum) <= 20, twice that with Nesterov's look ahead.  All of that is within range even for f16
 * (65,504) for millions of steps.  The products with lr 1e-3 and weight decay 1e-4 begin above f16's smallest normal number,
 * 6.1e-5.  Real and imaginary part are values like all others.
 */
#include "values.hpp"

#include <cstring>

struct Format {
    uint64_t one, mantissa, sign;
    size_t size;
};

static Format format_of(sgd_dtype dtype)
{
    switch (dtype) {
    case SGD_F64:
    case SGD_C128:
        return {UINT64_C(0x3FF0000000000000), UINT64_C(0x000FFFFFFFFFFFFF), UINT64_C(0x8000000000000000), 8};
    case SGD_F16:
        return {0x3C00, 0x03FF, 0x8000, 2};
    case SGD_BF16:
        return {0x3F80, 0x007F, 0x8000, 2};
    default: /* f32 and c64 */
        return {0x3F800000, 0x007FFFFF, 0x80000000, 4};
    }
}

/* splitmix64: a good hash of a counter, so that threads fill side by side and every run has the same values. */
static uint64_t scramble(uint64_t x)
{
    x += UINT64_C(0x9E3779B97F4A7C15);
    x = (x ^ x >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ x >> 27) * UINT64_C(0x94D049BB133111EB);
    return x ^ x >> 31;
}

/* Param and gradient of the same number take opposite signs: the sign hangs on the number alone. */
void values_fill(void *data, size_t elements, sgd_dtype dtype, uint64_t first, Role role)
{
    const Format format = format_of(dtype);
    const size_t parts = sgd_dtype_size(dtype) / format.size, count = elements * parts;
    const bool gradient = role == Role::GRADIENT;
    char *bytes = static_cast<char *>(data);
#pragma omp parallel for if (count > 65536)
    for (size_t i = 0; i < count; i++) {
        uint64_t random = scramble(first * parts + i), digits = gradient ? scramble(random) : random;
        bool negative = (random >> 63 != 0) != gradient;
        uint64_t bits = format.one | (digits & format.mantissa) | (negative ? format.sign : 0);
        std::memcpy(bytes + i * format.size, &bits, format.size); /* the low bytes: little endian */
    }
}
