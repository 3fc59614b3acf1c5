/* generate.h - arrays that a vector file describes by a seed, or knows by a hash (reference/vectors/README.md). */
#ifndef CONFORM_GENERATE_H
#define CONFORM_GENERATE_H

#include <stddef.h>
#include <stdint.h>

#include "contract.h"

/* Writes `numel` elements: normal numbers of both signs between 2^-12 and 2^4, two for a complex one. */
void generate_array(sgd_dtype dtype, uint64_t seed, size_t numel, void *out);

/* XXH3, 64 bits, seed 0, over the elements' little-endian bytes. */
uint64_t hash_array(sgd_dtype dtype, size_t numel, const void *elements);

#endif
