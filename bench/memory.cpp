/* memory.cpp - memory on the backend that is timed, and how much there is. */
#include "memory.hpp"

#include <cstdint>
#include <fstream>
#include <stdexcept>
#include <string>

#include "text.hpp"

const sgd_backend *bench_backend()
{
    static const sgd_backend *const backend = sgd_backend_cpu(sgd_isa_best());
    return backend;
}

void Release::operator()(void *memory) const { bench_backend()->release(bench_backend()->context, memory); }

Memory allocate(size_t bytes)
{
    void *memory;
    if (bench_backend()->allocate(bench_backend()->context, bytes, &memory))
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
