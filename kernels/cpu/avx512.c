/* avx512.c - the kernels for one instruction set. */
#include "vocabulary_avx512.h"

#define KERNELS cpu_kernels_AVX512
#include "instantiate.h"
