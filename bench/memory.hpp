/* memory.hpp - the backend that is timed, memory for its tensors, and how much there is. */
#pragma once

#include <cstddef>
#include <memory>

#include <sgd/sgd.h>

/* The CPU at its widest instruction set, or at the one that SGD_ISA names. */
const sgd_backend *bench_backend();

struct Release {
    void operator()(void *memory) const;
};
using Memory = std::unique_ptr<void, Release>;

/* From where frameworks have their tensors: the C library.  Throws std::runtime_error where there is none. */
Memory allocate(size_t bytes);

/* What programs can take without swapping; SIZE_MAX where the system does not say. */
size_t memory_available();
