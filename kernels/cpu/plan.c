/* plan.c - steps prepared once: all runs of all lists in a row, cut where segments end, to be walked by each thread from where its
 * share of the bytes begins.
 *
 * What depends on hyper-parameters is made anew by every run: kernels and scalars of each span, which is the runs of one list
 * and dtype.  Tensors of a plan share no memory, so those of one dtype may go before those of another.
 */
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "work.h"

typedef struct span {
    size_t list, begin, end; /* its runs */
    sgd_path path;
    sgd_dtype dtype;
    step_kernel *kernel;
    step_scalars scalars;
} span;

/* A tensor with blocks for defect_191763_step. */
typedef struct defective {
    size_t list;
    sgd_step_tensor tensor;
} defective;

typedef struct plan {
    sgd_arithmetic arithmetic;
    size_t run_count, span_count, defective_count;
    size_t run_room, start_room, span_room, defective_room;
    size_t bytes; /* of all params */
    step_run *runs;
    size_t *starts; /* byte at which each run begins, were they in a row */
    span *spans;
    defective *defectives;
} plan;

/* ---- making it --------------------------------------------------------------------------------------------------------------- */

/* Makes room for one element more in the array that *array points to. */
#define ROOM(array, count, room) make_room((void *)&(array), sizeof *(array), count, &(room))

static bool make_room(void *array, size_t size, size_t count, size_t *room)
{
    if (count < *room)
        return true;
    size_t wanted = count < 8 ? 16 : 2 * count;
    void *memory;
    memcpy(&memory, array, sizeof memory);
    memory = realloc(memory, wanted * size);
    if (!memory)
        return false;
    memcpy(array, &memory, sizeof memory);
    *room = wanted;
    return true;
}

static bool add_tensor(plan *plan, const sgd_arithmetic *arithmetic, size_t list, const sgd_step_tensor *tensor)
{
    size_t begin = first_of_kernels(arithmetic, tensor), element_size = sgd_dtype_size(tensor->dtype);
    if (begin > 0) {
        if (!ROOM(plan->defectives, plan->defective_count, plan->defective_room))
            return false;
        plan->defectives[plan->defective_count++] = (defective){list, *tensor};
    }
    segmenting segmenting = segmenting_of(arithmetic, tensor->dtype, SGD_INNER_CONTIGUOUS, 0, tensor->numel);
    while (begin < tensor->numel) {
        if (!ROOM(plan->runs, plan->run_count, plan->run_room) || !ROOM(plan->starts, plan->run_count, plan->start_room))
            return false;
        step_run run = cut_run(segmenting, tensor, begin, tensor->numel);
        plan->runs[plan->run_count] = run;
        plan->starts[plan->run_count++] = plan->bytes;
        plan->bytes += run.count * element_size;
        begin += run.count;
    }
    return true;
}

/* The runs of a list's tensors of one dtype. */
static bool add_span(plan *plan, const sgd_arithmetic *arithmetic, const sgd_list *lists, size_t list, sgd_dtype dtype)
{
    size_t begin = plan->run_count;
    for (size_t i = 0; i < lists[list].count; i++)
        if (lists[list].tensors[i].dtype == dtype && !add_tensor(plan, arithmetic, list, &lists[list].tensors[i]))
            return false;
    if (begin == plan->run_count)
        return true;
    if (!ROOM(plan->spans, plan->span_count, plan->span_room))
        return false;
    plan->spans[plan->span_count++] =
        (span){.list = list, .begin = begin, .end = plan->run_count, .path = arithmetic->path, .dtype = dtype};
    return true;
}

static sgd_status add_list(plan *plan, const cpu_kernels *kernels, const sgd_list *lists, size_t list)
{
    sgd_arithmetic arithmetic = plan->arithmetic;
    arithmetic.path = lists[list].path;
    bool present[SGD_DTYPE_COUNT] = {false};
    for (size_t i = 0; i < lists[list].count; i++)
        present[lists[list].tensors[i].dtype] = true;
    for (int dtype = 0; dtype < SGD_DTYPE_COUNT; dtype++) {
        if (present[dtype] && arithmetic.path == SGD_FUSED && !kernels->fused[dtype])
            return SGD_ERROR_UNSUPPORTED;
        if (present[dtype] && !add_span(plan, &arithmetic, lists, list, (sgd_dtype)dtype))
            return SGD_ERROR_MEMORY;
    }
    return SGD_OK;
}

sgd_status plan_prepare(void *context, const sgd_arithmetic *arithmetic, size_t list_count, const sgd_list *lists, void **out)
{
    plan *plan = *out ? *out : calloc(1, sizeof *plan);
    if (!plan)
        return SGD_ERROR_MEMORY;
    *out = plan;
    plan->arithmetic = *arithmetic;
    plan->run_count = plan->span_count = plan->defective_count = plan->bytes = 0;
    sgd_status status = SGD_OK;
    for (size_t list = 0; list < list_count && !status; list++)
        status = add_list(plan, context, lists, list);
    return status;
}

void plan_discard(void *context, void *memory)
{
    plan *plan = memory;
    (void)context;
    if (!plan)
        return;
    free(plan->runs);
    free(plan->starts);
    free(plan->spans);
    free(plan->defectives);
    free(plan);
}

/* ---- running it -------------------------------------------------------------------------------------------------------------- */

/* A place between elements: so many of a run lie before it. */
typedef struct place {
    size_t run, element;
} place;

/* Where a share that ends or begins at a byte of the plan does so within a span. */
static place place_of(const plan *plan, const span *span, size_t byte)
{
    size_t low = span->begin, high = span->end;
    if (byte <= plan->starts[low])
        return (place){low, 0};
    if (byte >= (high < plan->run_count ? plan->starts[high] : plan->bytes))
        return (place){high, 0};
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (plan->starts[middle] <= byte)
            low = middle;
        else
            high = middle;
    }
    size_t count = plan->runs[low].count;
    size_t element = share_of_item(byte - plan->starts[low], sgd_dtype_size(span->dtype), count);
    return element == count ? (place){low + 1, 0} : (place){low, element};
}

static void run_part(const plan *plan, const span *span, size_t index, size_t begin, size_t end)
{
    step_run run = plan->runs[index];
    size_t bytes = begin * sgd_dtype_size(span->dtype);
    run.param = (char *)run.param + bytes;
    run.grad = (char *)run.grad + bytes;
    run.buffer = run.buffer ? (char *)run.buffer + bytes : NULL;
    run.count = end - begin;
    span->kernel(&span->scalars, 1, &run);
}

/* What lies of a span within bytes [from, to) of the plan: part of a run, whole ones, part of another. */
static void run_span(const plan *plan, const span *span, size_t from, size_t to)
{
    place begin = place_of(plan, span, from), end = place_of(plan, span, to);
    if (begin.element > 0) {
        bool all = begin.run < end.run;
        size_t last = all ? plan->runs[begin.run].count : end.element;
        if (begin.element < last)
            run_part(plan, span, begin.run, begin.element, last);
        if (!all)
            return;
        begin.run++;
    }
    if (begin.run < end.run)
        span->kernel(&span->scalars, end.run - begin.run, plan->runs + begin.run);
    if (end.element > 0)
        run_part(plan, span, end.run, 0, end.element);
}

static void run_share(const plan *plan, size_t from, size_t to)
{
    for (size_t i = 0; i < plan->span_count; i++)
        run_span(plan, &plan->spans[i], from, to);
}

sgd_status plan_run(void *context, void *memory, const sgd_hyper *const *hypers)
{
    plan *plan = memory;
    for (size_t i = 0; i < plan->span_count; i++) {
        span *span = &plan->spans[i];
        span->kernel = kernels_of_step(context, span->path, hypers[span->list])[span->dtype];
        span->scalars = scalars_for_step(span->path, hypers[span->list], span->dtype);
    }
    for (size_t i = 0; i < plan->defective_count; i++)
        defect_191763_step(plan->arithmetic.contract, hypers[plan->defectives[i].list], &plan->defectives[i].tensor);
    size_t threads = worthwhile_threads(&plan->arithmetic, plan->bytes);
    if (threads == 1) {
        run_share(plan, 0, plan->bytes);
        return SGD_OK;
    }
#pragma omp parallel num_threads((int)threads)
    {
        size_t share = plan->bytes / (size_t)omp_get_num_threads() + 1, from = share * (size_t)omp_get_thread_num();
        run_share(plan, from, from + share);
    }
    return SGD_OK;
}
