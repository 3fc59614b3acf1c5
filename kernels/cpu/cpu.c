/* cpu.c - the CPU as a backend: the struct, and what its functions ask of work.c. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "work.h"

#define MEMORY_ALIGNMENT 64
/* Arrays that malloc maps apart begin at one and the same place of a page.  A momentum buffer that did so as well would ask the
 * memory channel that param and gradient ask at that moment; over there, a step of large tensors takes 4 % less (Zen 4, one
 * thread; 1 to 1.4 KiB did best among offsets up to 4 KiB). */
#define LARGE_BYTES (256 * 1024)
#define LARGE_OFFSET 1152

/* What malloc gave stands in front of the memory. */
static sgd_status cpu_allocate(void *context, size_t bytes, void **out)
{
    (void)context;
    size_t offset = bytes < LARGE_BYTES ? 0 : LARGE_OFFSET, room = sizeof(void *) + MEMORY_ALIGNMENT + offset;
    if (bytes > SIZE_MAX - room)
        return SGD_ERROR_MEMORY;
    char *block = malloc(bytes + room);
    if (!block)
        return SGD_ERROR_MEMORY;
    char *memory = block + sizeof block;
    memory += (MEMORY_ALIGNMENT - (uintptr_t)memory % MEMORY_ALIGNMENT) % MEMORY_ALIGNMENT + offset;
    memcpy(memory - sizeof block, &block, sizeof block);
    *out = memory;
    return SGD_OK;
}

static void cpu_release(void *context, void *memory)
{
    (void)context;
    if (!memory)
        return;
    char *block;
    memcpy(&block, (char *)memory - sizeof block, sizeof block);
    free(block);
}

static sgd_status cpu_synchronize(void *context)
{
    (void)context;
    return SGD_OK;
}

step_kernel *const *kernels_of_step(const cpu_kernels *kernels, sgd_path path, const sgd_hyper *hyper)
{
    if (path == SGD_FUSED)
        return hyper->grad_scale ? kernels->fused_scaled : kernels->fused;
    return hyper->lr_addcmul || hyper->weight_decay_addcmul ? kernels->eager_addcmul : kernels->eager;
}

static sgd_status cpu_step(void *context, const sgd_arithmetic *arithmetic, const sgd_hyper *hyper, size_t count,
                           const sgd_step_tensor *tensors)
{
    work work = {.arithmetic = arithmetic,
                 .count = count,
                 .tensors = tensors,
                 .operation = SGD_OP_STEP,
                 .step_kernels = kernels_of_step(context, arithmetic->path, hyper)};
    for (size_t i = 0; i < count; i++)
        if (!work.step_kernels[tensors[i].dtype])
            return SGD_ERROR_UNSUPPORTED;
    for (int dtype = 0; dtype < SGD_DTYPE_COUNT; dtype++)
        work.step_scalars[dtype] = scalars_for_step(arithmetic->path, hyper, (sgd_dtype)dtype);
    if (arithmetic->path == SGD_FUSED && arithmetic->defects == SGD_DEFECTS_REPRODUCE)
        for (size_t i = 0; i < count; i++)
            if (sgd_dtype_size(tensors[i].dtype) == 2)
                defect_191763_step(arithmetic->contract, hyper, &tensors[i]);
    run_work(&work);
    return SGD_OK;
}

operand_kernel *const *kernels_of_operation(const cpu_kernels *kernels, sgd_operation operation)
{
    switch (operation) {
    case SGD_OP_NEGATE: return kernels->negate;
    case SGD_OP_AXPY: return kernels->axpy;
    case SGD_OP_SCALE: return kernels->scale;
    case SGD_OP_ADDCMUL: return kernels->addcmul;
    default: return NULL;
    }
}

static sgd_status operate(const cpu_kernels *kernels, const sgd_arithmetic *arithmetic, sgd_operation operation, double alpha,
                          double value, size_t count, const sgd_operand *operands)
{
    work work = {.arithmetic = arithmetic,
                 .count = count,
                 .operands = operands,
                 .operation = operation,
                 .operand_kernels = kernels_of_operation(kernels, operation)};
    for (int dtype = 0; dtype < SGD_DTYPE_COUNT; dtype++)
        work.operand_scalars[dtype] = scalars_for_operation(arithmetic->path, operation, (sgd_dtype)dtype, alpha, value);
    run_work(&work);
    return SGD_OK;
}

static sgd_status cpu_negate(void *context, const sgd_arithmetic *arithmetic, size_t count, const sgd_operand *operands)
{
    return operate(context, arithmetic, SGD_OP_NEGATE, 0, 0, count, operands);
}

static sgd_status cpu_copy(void *context, const sgd_arithmetic *arithmetic, size_t count, const sgd_operand *operands)
{
    return operate(context, arithmetic, SGD_OP_COPY, 0, 0, count, operands);
}

static sgd_status cpu_axpy(void *context, const sgd_arithmetic *arithmetic, double alpha, size_t count,
                           const sgd_operand *operands)
{
    return operate(context, arithmetic, SGD_OP_AXPY, alpha, 0, count, operands);
}

static sgd_status cpu_scale(void *context, const sgd_arithmetic *arithmetic, double alpha, size_t count,
                            const sgd_operand *operands)
{
    return operate(context, arithmetic, SGD_OP_SCALE, alpha, 0, count, operands);
}

static sgd_status cpu_addcmul(void *context, const sgd_arithmetic *arithmetic, double value, double scalar, size_t count,
                              const sgd_operand *operands)
{
    return operate(context, arithmetic, SGD_OP_ADDCMUL, scalar, value, count, operands);
}

static sgd_status cpu_copy_strided(void *context, size_t size, int32_t ndim, const int64_t *shape, void *out,
                                   const int64_t *out_strides, const void *in, const int64_t *in_strides)
{
    (void)context;
    return copy_strided(size, ndim, shape, out, out_strides, in, in_strides);
}

/* ---- the struct ------------------------------------------------------------------------------------------------------ */

static const sgd_claim cpu_claims[] = {
#define REAL(contract, path) \
    {contract, path, SGD_F64}, {contract, path, SGD_F32}, {contract, path, SGD_F16}, {contract, path, SGD_BF16}
#define COMPLEX(contract, path) {contract, path, SGD_C64}, {contract, path, SGD_C128}
#define CLAIMS(contract)                                                                     \
    REAL(contract, SGD_FORLOOP), REAL(contract, SGD_FOREACH), REAL(contract, SGD_FUSED),     \
        COMPLEX(contract, SGD_FORLOOP), COMPLEX(contract, SGD_FOREACH)
    CLAIMS(SGD_TORCH_2_13_CPU_FMA), CLAIMS(SGD_TORCH_2_13_CPU_BASE)};

#define CPU_DEVICE 1 /* DLPack's kDLCPU */

static const sgd_backend cpu_backends[] = {
#define ISA(id, isa_name)                                      \
    {.struct_size = sizeof(sgd_backend),                       \
     .abi_version = SGD_BACKEND_ABI_VERSION,                   \
     .name = "cpu-" isa_name,                                  \
     .context = (void *)&cpu_kernels_##id,                     \
     .dl_device = CPU_DEVICE,                                  \
     .claims = cpu_claims,                                     \
     .claim_count = sizeof cpu_claims / sizeof cpu_claims[0],  \
     .allocate = cpu_allocate,                                 \
     .release = cpu_release,                                   \
     .synchronize = cpu_synchronize,                           \
     .step = cpu_step,                                         \
     .negate = cpu_negate,                                     \
     .copy = cpu_copy,                                         \
     .axpy = cpu_axpy,                                         \
     .scale = cpu_scale,                                       \
     .addcmul = cpu_addcmul,                                   \
     .copy_strided = cpu_copy_strided,                         \
     .prepare = plan_prepare,                                  \
     .run = plan_run,                                          \
     .discard = plan_discard,                                 \
     .run_strided = run_strided,                               \
     .strided_scratch = strided_scratch},
#include "isa.def"
#undef ISA
};

const sgd_backend *sgd_backend_cpu(sgd_isa isa)
{
    return (size_t)isa < SGD_ISA_COUNT && sgd_isa_available(isa) ? &cpu_backends[isa] : NULL;
}
