/* values.hpp - start values of tensors: ordinary for as long as anyone cares to measure, and no two neighbours alike. */
#pragma once

#include <cstddef>
#include <cstdint>

#include <sgd/sgd.h>

enum class Role { PARAM, GRADIENT };

/* Values of elements `first`, `first` + 1, ... of a tensor list in which elements are counted from tensor to tensor. */
void values_fill(void *data, size_t elements, sgd_dtype dtype, uint64_t first, Role role);
