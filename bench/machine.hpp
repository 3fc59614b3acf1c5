/* machine.hpp - the name of the processor. */
#pragma once

#include <string>

/* As the system gives it, e.g. "AMD EPYC 7763 64-Core Processor"; where it does not, the architecture. */
std::string cpu_model();
