/* machine.cpp - the name of the processor. */
#include "machine.hpp"

#include <fstream>
#include <sys/utsname.h>

std::string cpu_model()
{
    std::ifstream file("/proc/cpuinfo");
    for (std::string line; std::getline(file, line);)
        if (size_t at = line.find(": "); line.rfind("model name", 0) == 0 && at != std::string::npos)
            return line.substr(at + 2);
    utsname system;
    return uname(&system) == 0 ? system.machine : "unknown";
}
