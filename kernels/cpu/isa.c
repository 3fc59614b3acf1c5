/* isa.c - which instruction sets there are, and which of them run here. */
#if defined(__x86_64__)
#include <cpuid.h>
#endif
#include <stdlib.h>
#include <string.h>

#include "backend.h"

static const char *const isa_names[] = {
#define ISA(id, name) name,
#include "isa.def"
#undef ISA
};

const char *sgd_isa_name(sgd_isa isa) { return (size_t)isa < SGD_ISA_COUNT ? isa_names[isa] : NULL; }

bool sgd_isa_parse(const char *name, sgd_isa *out)
{
    for (int isa = 0; name && isa < SGD_ISA_COUNT; isa++)
        if (!strcmp(isa_names[isa], name)) {
            *out = (sgd_isa)isa;
            return true;
        }
    return false;
}

#if defined(__x86_64__)
/* Clang's __builtin_cpu_supports does not know F16C: leaf 1, ECX bit 29. */
static bool has_f16c(void)
{
    unsigned eax, ebx, ecx, edx;
    return __get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & bit_F16C);
}
#endif

/* __builtin_cpu_supports asks CPUID and, through XGETBV, whether the operating system saves the registers. */
bool sgd_isa_available(sgd_isa isa)
{
    switch (isa) {
    case SGD_ISA_SCALAR:
        return true;
#if defined(__x86_64__)
    case SGD_ISA_AVX2:
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
    case SGD_ISA_AVX512:
        return sgd_isa_available(SGD_ISA_AVX2) && __builtin_cpu_supports("avx512f") &&
               __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
               __builtin_cpu_supports("avx512dq");
    case SGD_ISA_AVX512_BF16:
        return sgd_isa_available(SGD_ISA_AVX512) && __builtin_cpu_supports("avx512bf16");
#endif
    default:
        return false;
    }
}

sgd_isa sgd_isa_best(void)
{
    sgd_isa cap = (sgd_isa)(SGD_ISA_COUNT - 1);
    sgd_isa_parse(getenv("SGD_ISA"), &cap);
    while (!sgd_isa_available(cap))
        cap = (sgd_isa)(cap - 1);
    return cap;
}
