/* machine.cpp - see machine.hpp. */
#include "machine.hpp"

#include <fstream>
#include <sys/utsname.h>
#include <unistd.h>
#if SGD_HAVE_HWLOC
#include <hwloc.h>
#endif

#include "commit.h"
#include "memory.hpp"
#include "text.hpp"

static std::string cpu_model()
{
    std::ifstream file("/proc/cpuinfo");
    for (std::string line; std::getline(file, line);)
        if (size_t at = line.find(": "); line.rfind("model name", 0) == 0 && at != std::string::npos)
            return line.substr(at + 2);
    utsname system;
    return uname(&system) == 0 ? system.machine : "unknown";
}

static std::string governor()
{
    std::ifstream file("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
    std::string name;
    return file >> name ? name : "unknown";
}

static size_t memory_bytes()
{
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    return pages > 0 && page > 0 ? static_cast<size_t>(pages) * static_cast<size_t>(page) : 0;
}

/* ---- hwloc ------------------------------------------------------------------------------------------------------- */

#if SGD_HAVE_HWLOC

static unsigned count_of(hwloc_topology_t topology, hwloc_obj_type_t type)
{
    int count = hwloc_get_nbobjs_by_type(topology, type);
    return count > 0 ? static_cast<unsigned>(count) : 0;
}

static void add_topology(Machine *machine)
{
    hwloc_topology_t topology;
    if (hwloc_topology_init(&topology) != 0)
        return;
    if (hwloc_topology_load(topology) == 0) {
        machine->sockets = count_of(topology, HWLOC_OBJ_PACKAGE);
        machine->cores = count_of(topology, HWLOC_OBJ_CORE);
        machine->threads = count_of(topology, HWLOC_OBJ_PU);
        machine->numa_nodes = count_of(topology, HWLOC_OBJ_NUMANODE);
        for (hwloc_obj_type_t type : {HWLOC_OBJ_L1CACHE, HWLOC_OBJ_L2CACHE, HWLOC_OBJ_L3CACHE, HWLOC_OBJ_L4CACHE})
            if (hwloc_obj_t cache = hwloc_get_obj_by_type(topology, type, 0))
                machine->caches.push_back(
                    {cache->attr->cache.depth, static_cast<size_t>(cache->attr->cache.size), count_of(topology, type)});
    }
    hwloc_topology_destroy(topology);
}

#else

static void add_topology(Machine *) {}

#endif

Machine machine_describe()
{
    Machine machine{cpu_model(), governor(), memory_bytes(), 0, 0, 0, 0, {}};
    add_topology(&machine);
    return machine;
}

Build build_describe() { return {SGD_COMMIT, SGD_COMPILER, SGD_FLAGS}; }

std::vector<std::pair<std::string, std::string>> versions_describe(const char *hosts)
{
    std::vector<std::pair<std::string, std::string>> versions = {{"google_benchmark", SGD_GOOGLE_BENCHMARK_VERSION}};
#if SGD_HAVE_HWLOC
    versions.push_back({"hwloc", SGD_HWLOC_VERSION});
#endif
    for (const std::string &pair : split(hosts ? hosts : "", ',')) {
        size_t begin = pair.find_first_not_of(' '), space = pair.rfind(' ');
        if (begin != std::string::npos && space != std::string::npos && space > begin)
            versions.push_back({pair.substr(begin, space - begin), pair.substr(space + 1)});
    }
    return versions;
}
