/* scalar.c - the kernels for one instruction set. */
#include "vocabulary_scalar.h"
#include "vocabulary_lanes.h"

#define KERNELS cpu_kernels_SCALAR
#include "instantiate.h"
