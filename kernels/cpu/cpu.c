/* cpu.c - the CPU as a backend: splits lists of tensors over threads and segments, and hands each run to a kernel. */
#if defined(__x86_64__)
#include <cpuid.h>
#endif
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "segments.h"

/* Below this many bytes of params a second thread costs more than it saves. */
#define PARALLEL_BYTES (128 * 1024)
/* OpenMP ends the process where it cannot make as many threads as it is asked for. */
#define MOST_THREADS 1024
/* Threads share a tensor at multiples of this many elements: where it is aligned, they write no cache line in common. */
#define SPLIT_ELEMENTS 64
#define MEMORY_ALIGNMENT 64

/* A call spread over threads: `count` items of different length. */
typedef struct work {
    const sgd_arithmetic *arithmetic;
    const cpu_kernels *kernels;
    size_t count;
    /* one of the two lists */
    const sgd_step_tensor *tensors;
    const sgd_operand *operands;
    /* per dtype, what the kernels take */
    step_scalars step_scalars[SGD_DTYPE_COUNT];
    double alpha[SGD_DTYPE_COUNT];
    operand_kernel *const *operand_kernels; /* NULL: copy */
} work;

static sgd_dtype item_dtype(const work *work, size_t i)
{
    return work->tensors ? work->tensors[i].dtype : work->operands[i].dtype;
}

static size_t item_numel(const work *work, size_t i)
{
    return work->tensors ? work->tensors[i].numel : work->operands[i].numel;
}

static void *offset(const void *memory, size_t bytes) { return memory ? (char *)memory + bytes : NULL; }

static void run_tensor(const work *work, const sgd_step_tensor *tensor, size_t begin, size_t end, rounding rounding)
{
    size_t bytes = begin * sgd_dtype_size(tensor->dtype);
    step_run run = {.param = offset(tensor->param, bytes),
                    .grad = offset(tensor->grad, bytes),
                    .buffer = offset(tensor->buffer, bytes),
                    .count = end - begin,
                    .first = tensor->first,
                    .write_grad = tensor->write_grad};
    bool fused = work->arithmetic->path == SGD_FUSED;
    step_kernel *kernel = (fused ? work->kernels->fused : work->kernels->eager)[tensor->dtype];
    kernel(rounding, &work->step_scalars[tensor->dtype], &run);
}

static void run_operand(const work *work, const sgd_operand *operand, size_t begin, size_t end, rounding rounding)
{
    size_t size = sgd_dtype_size(operand->dtype), bytes = begin * size;
    operand_run run = {.out = offset(operand->out, bytes),
                       .x = offset(operand->x, bytes),
                       .y = offset(operand->y, bytes),
                       .count = end - begin};
    if (work->operand_kernels)
        work->operand_kernels[operand->dtype](rounding, work->alpha[operand->dtype], &run);
    else
        memcpy(run.out, run.x, run.count * size);
}

/* Elements [begin, end) of item i, segment by segment. */
static void run_range(const work *work, size_t i, size_t begin, size_t end)
{
    sgd_dtype dtype = item_dtype(work, i);
    size_t numel = item_numel(work, i);
    bool base = work->arithmetic->contract == SGD_TORCH_2_13_CPU_BASE;
    segmenting segmenting = segmenting_of(work->arithmetic, dtype, numel);
    bool half = sgd_dtype_size(dtype) == 2;
    bool body_done = work->arithmetic->path == SGD_FUSED && half &&
                     work->arithmetic->defects == SGD_DEFECTS_REPRODUCE; /* by defect_191763_step */
    if (body_done && begin < numel - numel % 16)
        begin = numel - numel % 16;
    for (size_t at = begin, stop; at < end; at = stop) {
        bool tail;
        stop = segment_end(segmenting, numel, at, end, &tail);
        rounding rounding = base ? (tail ? BASE_TAIL : BASE_BODY) : (tail ? FMA_TAIL : FMA_BODY);
        if (work->tensors)
            run_tensor(work, &work->tensors[i], at, stop, rounding);
        else
            run_operand(work, &work->operands[i], at, stop, rounding);
    }
}

/* The share of item i, which lies at `item` bytes of the whole list, that ends at byte `boundary`: in elements. */
static size_t share_end(size_t boundary, size_t item, size_t size, size_t numel)
{
    if (boundary <= item)
        return 0;
    size_t elements = (boundary - item) / size;
    elements += (SPLIT_ELEMENTS - elements % SPLIT_ELEMENTS) % SPLIT_ELEMENTS;
    return elements < numel ? elements : numel;
}

/* Bytes [begin, end) of the concatenated list. */
static void run_share(const work *work, size_t begin, size_t end)
{
    size_t item = 0;
    for (size_t i = 0; i < work->count && item < end; i++) {
        size_t size = sgd_dtype_size(item_dtype(work, i)), numel = item_numel(work, i);
        size_t from = share_end(begin, item, size, numel), to = share_end(end, item, size, numel);
        if (from < to)
            run_range(work, i, from, to);
        item += numel * size;
    }
}

static void run_work(const work *work)
{
    size_t bytes = 0;
    for (size_t i = 0; i < work->count; i++)
        bytes += item_numel(work, i) * sgd_dtype_size(item_dtype(work, i));
    size_t useful = 1 + bytes / (PARALLEL_BYTES / 2); /* no thread gets less than half of what is worth one */
    size_t asked = work->arithmetic->threads ? work->arithmetic->threads : (size_t)omp_get_max_threads();
    size_t threads = asked < useful ? asked : useful;
    if (threads > MOST_THREADS)
        threads = MOST_THREADS;
    if (threads == 1 || bytes < PARALLEL_BYTES) {
        run_share(work, 0, bytes);
        return;
    }
#pragma omp parallel num_threads((int)threads)
    {
        size_t share = bytes / (size_t)omp_get_num_threads() + 1, begin = share * (size_t)omp_get_thread_num();
        run_share(work, begin, begin + share < bytes ? begin + share : bytes);
    }
}

/* ---- the backend's functions ---------------------------------------------------------------------------------------- */

static sgd_status cpu_allocate(void *context, size_t bytes, void **out)
{
    (void)context;
    if (bytes > SIZE_MAX - MEMORY_ALIGNMENT)
        return SGD_ERROR_MEMORY;
    size_t rounded = (bytes + MEMORY_ALIGNMENT) / MEMORY_ALIGNMENT * MEMORY_ALIGNMENT;
    void *memory = aligned_alloc(MEMORY_ALIGNMENT, rounded);
    if (!memory)
        return SGD_ERROR_MEMORY;
    *out = memory;
    return SGD_OK;
}

static void cpu_release(void *context, void *memory)
{
    (void)context;
    free(memory);
}

static sgd_status cpu_synchronize(void *context)
{
    (void)context;
    return SGD_OK;
}

static sgd_status cpu_step(void *context, const sgd_arithmetic *arithmetic, const sgd_hyper *hyper, size_t count,
                           const sgd_step_tensor *tensors)
{
    work work = {.arithmetic = arithmetic, .kernels = context, .count = count, .tensors = tensors};
    for (int dtype = 0; dtype < SGD_DTYPE_COUNT; dtype++)
        work.step_scalars[dtype] = scalars_for_step(arithmetic->path, hyper, (sgd_dtype)dtype);
    if (arithmetic->path == SGD_FUSED && arithmetic->defects == SGD_DEFECTS_REPRODUCE)
        for (size_t i = 0; i < count; i++)
            if (sgd_dtype_size(tensors[i].dtype) == 2)
                defect_191763_step(arithmetic->contract, hyper, &tensors[i]);
    run_work(&work);
    return SGD_OK;
}

static sgd_status cpu_negate(void *context, const sgd_arithmetic *arithmetic, size_t count, const sgd_operand *operands)
{
    const cpu_kernels *kernels = context;
    run_work(&(work){.arithmetic = arithmetic, .count = count, .operands = operands, .operand_kernels = kernels->negate});
    return SGD_OK;
}

static sgd_status cpu_copy(void *context, const sgd_arithmetic *arithmetic, size_t count, const sgd_operand *operands)
{
    (void)context;
    run_work(&(work){.arithmetic = arithmetic, .count = count, .operands = operands});
    return SGD_OK;
}

static sgd_status cpu_axpy(void *context, const sgd_arithmetic *arithmetic, double alpha, size_t count,
                           const sgd_operand *operands)
{
    const cpu_kernels *kernels = context;
    work work = {.arithmetic = arithmetic, .count = count, .operands = operands, .operand_kernels = kernels->axpy};
    for (int dtype = 0; dtype < SGD_DTYPE_COUNT; dtype++)
        work.alpha[dtype] = scalar_for_axpy((sgd_dtype)dtype, alpha);
    run_work(&work);
    return SGD_OK;
}

static sgd_status cpu_scale(void *context, const sgd_arithmetic *arithmetic, double alpha, size_t count,
                            const sgd_operand *operands)
{
    const cpu_kernels *kernels = context;
    work work = {.arithmetic = arithmetic, .count = count, .operands = operands, .operand_kernels = kernels->scale};
    for (int dtype = 0; dtype < SGD_DTYPE_COUNT; dtype++)
        work.alpha[dtype] = scalar_for_scale(arithmetic->path, (sgd_dtype)dtype, alpha);
    run_work(&work);
    return SGD_OK;
}

/* ---- instruction sets ------------------------------------------------------------------------------------------------ */

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

static const sgd_claim cpu_claims[] = {
#define CLAIM(contract, path) \
    {contract, path, SGD_F64}, {contract, path, SGD_F32}, {contract, path, SGD_F16}, {contract, path, SGD_BF16}
#define CLAIMS(contract) CLAIM(contract, SGD_FORLOOP), CLAIM(contract, SGD_FOREACH), CLAIM(contract, SGD_FUSED)
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
     .scale = cpu_scale},
#include "isa.def"
#undef ISA
};

const sgd_backend *sgd_backend_cpu(sgd_isa isa)
{
    return (size_t)isa < SGD_ISA_COUNT && sgd_isa_available(isa) ? &cpu_backends[isa] : NULL;
}
