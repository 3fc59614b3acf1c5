/* avx2.c - the kernels for one instruction set. */
#include "vocabulary_avx2.h"

#define KERNELS cpu_kernels_AVX2
#include "instantiate.h"
