/* machine.hpp - what a result was measured on and built from. */
#pragma once

#include <string>
#include <utility>
#include <vector>

struct Cache {
    unsigned level;
    size_t bytes, count;
};

struct Machine {
    std::string cpu;      /* as the system calls it, e.g. "AMD EPYC 7763 64-Core Processor" */
    std::string governor; /* of the first processor's frequency; "unknown" where the system does not say, as in a VM */
    size_t memory_bytes;
    /* By hwloc, all 0 and empty where the build does not have it. */
    unsigned sockets, cores, threads, numa_nodes;
    std::vector<Cache> caches; /* data and unified ones, from level 1 on */
};

Machine machine_describe();

struct Build {
    std::string commit, compiler, flags;
};

Build build_describe();

/* Of what the figures depend on: {"google_benchmark", "1.7.1"}, ...; with those that a host names: "torch 2.13, python 3.11". */
std::vector<std::pair<std::string, std::string>> versions_describe(const char *hosts);
