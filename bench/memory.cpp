/* memory.cpp - the backend that is timed, memory for its tensors, and how much there is. */
#include "memory.hpp"

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <string>

#include "text.hpp"

const sgd_backend *bench_backend()
{
    static const sgd_backend *const backend = sgd_backend_cpu(sgd_isa_best());
    return backend;
}

void Release::operator()(void *memory) const { std::free(memory); }

static constexpr size_t ALIGNMENT = 64;

Memory allocate(size_t bytes)
{
    void *memory = bytes < SIZE_MAX - ALIGNMENT ? std::aligned_alloc(ALIGNMENT, (bytes / ALIGNMENT + 1) * ALIGNMENT) : nullptr;
    if (!memory)
        throw std::runtime_error("no memory for " + with_unit(static_cast<double>(bytes)));
    return Memory(memory);
}

size_t memory_available()
{
    std::ifstream file("/proc/meminfo");
    std::string name, unit;
    for (size_t number; file >> name >> number; std::getline(file, unit))
        if (name == "MemAvailable:")
            return number * 1024;
    return SIZE_MAX;
}
