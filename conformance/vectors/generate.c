/* generate.c - see generate.h. */
#include "generate.h"

#include <xxhash.h>

/* Exponent bias and mantissa bits, as IEEE 754 (and bfloat16) have them, and how many such numbers an element is. */
typedef struct layout {
    unsigned bias, mantissa, width, parts;
} layout;

static const layout layout_of[SGD_DTYPE_COUNT] = {[SGD_F64] = {1023, 52, 64, 1}, [SGD_F32] = {127, 23, 32, 1},
                                                  [SGD_F16] = {15, 10, 16, 1},   [SGD_BF16] = {127, 7, 16, 1},
                                                  [SGD_C64] = {127, 23, 32, 2},  [SGD_C128] = {1023, 52, 64, 2}};

static uint64_t splitmix64(uint64_t z)
{
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

static uint64_t element_bits(layout format, uint64_t seed, uint64_t index)
{
    uint64_t z = splitmix64(seed + (index + 1) * 0x9E3779B97F4A7C15u);
    uint64_t sign = z >> 63, exponent = format.bias - 12 + (z >> 52) % 16;
    uint64_t mantissa = z & (((uint64_t)1 << format.mantissa) - 1);
    return sign << (format.width - 1) | exponent << format.mantissa | mantissa;
}

void generate_array(sgd_dtype dtype, uint64_t seed, size_t numel, void *out)
{
    layout format = layout_of[dtype];
    for (size_t i = 0; i < format.parts * numel; i++) {
        uint64_t bits = element_bits(format, seed, i);
        switch (format.width) {
        case 16: ((uint16_t *)out)[i] = (uint16_t)bits; break;
        case 32: ((uint32_t *)out)[i] = (uint32_t)bits; break;
        default: ((uint64_t *)out)[i] = bits; break;
        }
    }
}

uint64_t hash_array(sgd_dtype dtype, size_t numel, const void *elements)
{
    return XXH3_64bits(elements, numel * sgd_dtype_size(dtype));
}
