/* avx512_bf16.c - the kernels for one instruction set: AVX-512 with its conversion to bf16. */
#include "vocabulary_avx512.h"

#define KERNELS cpu_kernels_AVX512_BF16
#include "instantiate.h"
