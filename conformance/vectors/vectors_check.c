/* vectors_check.c - whether the columns of a file make sense together; see vectors.h.
 *
 * Every sum is taken in 64 bits over 32-bit operands, so that none wraps round.
 */
#include "vectors.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct checker {
    const vectors *file;
    conform_error *error;
} checker;

static bool wrong(const checker *check, const char *column, uint64_t row, uint64_t value, const char *reason)
{
    return conform_fail(check->error, "%s: %s[%" PRIu64 "]: %" PRIu64 " %s", check->file->file, column, row, value, reason);
}

static bool range_fits(uint64_t begin, uint64_t count, uint64_t limit) { return begin <= limit && count <= limit - begin; }

/* ---- arrays and tensors -------------------------------------------------------------------------------------------- */

static bool check_arrays(const checker *check)
{
    const vectors *v = check->file;
    for (size_t i = 0; i < v->array.count; i++) {
        if (v->array.kind[i] >= VECTORS_KIND_COUNT)
            return wrong(check, "array/kind", i, v->array.kind[i], "is no kind of array");
        if (v->array.dtype[i] >= SGD_DTYPE_COUNT)
            return wrong(check, "array/dtype", i, v->array.dtype[i], "is no dtype");
        if (v->array.numel[i] > VECTORS_MAX_NUMEL)
            return wrong(check, "array/numel", i, v->array.numel[i], "elements are more than an array may have");
        if (v->array.kind[i] != VECTORS_STORED)
            continue;
        size_t width = sgd_dtype_size((sgd_dtype)v->array.dtype[i]);
        uint64_t stored = width == 2 ? v->u16.count : width == 4 ? v->u32.count : v->u64.count;
        if (!range_fits(v->array.where[i], v->array.numel[i], stored))
            return wrong(check, "array/where", i, v->array.where[i], "with the array's length lies beyond the stored bits");
    }
    return true;
}

/* Whether `array`, named by a column's row, is one that tensor `tensor` can have; inputs can't be known by hash only. */
static bool check_reference(const checker *check, const char *column, uint64_t row, uint32_t array, uint64_t tensor,
                            bool input)
{
    const vectors *v = check->file;
    if (array >= v->array.count)
        return wrong(check, column, row, array, "is no row of array");
    if (v->array.dtype[array] != v->tensor.dtype[tensor])
        return wrong(check, column, row, array, "is an array of another dtype than its tensor");
    if (v->array.numel[array] != v->tensor.numel[tensor])
        return wrong(check, column, row, array, "is an array of another size than its tensor");
    if (input && v->array.kind[array] == VECTORS_HASHED)
        return wrong(check, column, row, array, "is known by its hash only, as no input can be");
    return true;
}

static bool check_tensors(const checker *check)
{
    const vectors *v = check->file;
    for (size_t i = 0; i < v->tensor.count; i++) {
        if (v->tensor.dtype[i] >= SGD_DTYPE_COUNT)
            return wrong(check, "tensor/dtype", i, v->tensor.dtype[i], "is no dtype");
        if (v->tensor.numel[i] > VECTORS_MAX_NUMEL)
            return wrong(check, "tensor/numel", i, v->tensor.numel[i], "elements are more than a tensor may have");
        if (!check_reference(check, "tensor/param", i, v->tensor.param[i], i, true))
            return false;
    }
    return true;
}

/* ---- groups and problems ------------------------------------------------------------------------------------------- */

static bool refused(const checker *check, const char *option, size_t group, double value, const char *reason)
{
    return conform_fail(check->error, "%s: group/%s[%zu]: %g %s", check->file->file, option, group, value, reason);
}

/* What PyTorch's constructor raises ValueError for.  It lets NaN pass wherever it asks for less than 0, as this does. */
static bool check_options(const checker *check, size_t group)
{
    const vectors *v = check->file;
    double lr = v->group.lr[group], momentum = v->group.momentum[group], dampening = v->group.dampening[group];
    if (lr < 0)
        return refused(check, "lr", group, lr, "is less than 0");
    if (momentum < 0)
        return refused(check, "momentum", group, momentum, "is less than 0");
    if (v->group.weight_decay[group] < 0)
        return refused(check, "weight_decay", group, v->group.weight_decay[group], "is less than 0");
    if (v->group.nesterov[group] && momentum <= 0)
        return refused(check, "momentum", group, momentum, "is not for nesterov, which needs one above 0");
    if (v->group.nesterov[group] && dampening != 0)
        return refused(check, "dampening", group, dampening, "is not for nesterov, which needs 0");
    return true;
}

static bool check_groups(const checker *check)
{
    const vectors *v = check->file;
    for (size_t i = 0; i < v->group.count; i++) {
        if (!range_fits(v->group.tensor_begin[i], v->group.tensor_count[i], v->tensor.count))
            return wrong(check, "group/tensor_begin", i, v->group.tensor_begin[i],
                         "with the group's tensor_count lies beyond table tensor");
        if (v->group.nesterov[i] > 1)
            return wrong(check, "group/nesterov", i, v->group.nesterov[i], "is neither 0 nor 1");
        if (v->group.maximize[i] > 1)
            return wrong(check, "group/maximize", i, v->group.maximize[i], "is neither 0 nor 1");
        if (!check_options(check, i))
            return false;
    }
    return true;
}

static bool check_gradients(const checker *check, uint64_t tensor, uint64_t steps)
{
    const vectors *v = check->file;
    uint64_t begin = v->tensor.grad_begin[tensor];
    if (!range_fits(begin, steps, v->grad.count))
        return wrong(check, "tensor/grad_begin", tensor, begin, "with the problem's steps lies beyond table grad");
    for (uint64_t row = begin; row < begin + steps; row++)
        if (v->grad.array[row] != VECTORS_NONE &&
            !check_reference(check, "grad/array", row, v->grad.array[row], tensor, true))
            return false;
    return true;
}

static bool check_problem(const checker *check, size_t problem)
{
    const vectors *v = check->file;
    uint64_t begin = v->problem.group_begin[problem], count = v->problem.group_count[problem];
    if (!count)
        return wrong(check, "problem/group_count", problem, count, "groups are too few");
    if (!range_fits(begin, count, v->group.count))
        return wrong(check, "problem/group_begin", problem, begin,
                     "with the problem's group_count lies beyond table group");
    if (!v->problem.steps[problem])
        return wrong(check, "problem/steps", problem, 0, "steps are too few");
    if (v->problem.flags[problem] & ~VECTORS_KNOWN_FLAGS)
        return wrong(check, "problem/flags", problem, v->problem.flags[problem], "has flags that the format does not know");

    if (!v->group.tensor_count[begin])
        return wrong(check, "group/tensor_count", begin, 0, "tensors are too few for a problem's first group");
    uint64_t first = v->group.tensor_begin[begin], next = first, numel = 0;
    for (uint64_t group = begin; group < begin + count; group++) {
        if (v->group.tensor_begin[group] != next)
            return wrong(check, "group/tensor_begin", group, v->group.tensor_begin[group],
                         "does not follow the tensors of the problem's group before");
        next += v->group.tensor_count[group];
    }
    for (uint64_t tensor = first; tensor < next; tensor++) {
        numel += v->tensor.numel[tensor];
        if (numel > VECTORS_MAX_NUMEL)
            return wrong(check, "problem/group_begin", problem, begin,
                         "begins groups with more elements than a problem may have");
        if (!check_gradients(check, tensor, v->problem.steps[problem]))
            return false;
    }
    return true;
}

/* ---- cases --------------------------------------------------------------------------------------------------------- */

static bool check_outcome(const checker *check, uint64_t row, uint64_t tensor, bool has_grad)
{
    const vectors *v = check->file;
    if (!check_reference(check, "outcome/param", row, v->outcome.param[row], tensor, false))
        return false;
    if (v->outcome.buffer[row] != VECTORS_NONE &&
        !check_reference(check, "outcome/buffer", row, v->outcome.buffer[row], tensor, false))
        return false;
    if ((v->outcome.grad[row] != VECTORS_NONE) != has_grad)
        return wrong(check, "outcome/grad", row, v->outcome.grad[row],
                     has_grad ? "is None after a step that had a gradient" : "appeared in a step whose gradient is None");
    return !has_grad || check_reference(check, "outcome/grad", row, v->outcome.grad[row], tensor, false);
}

static bool check_case(const checker *check, size_t row)
{
    const vectors *v = check->file;
    uint32_t problem = v->cases.problem[row];
    if (problem >= v->problem.count)
        return wrong(check, "case/problem", row, problem, "is no row of problem");
    if (v->cases.path[row] >= SGD_PATH_COUNT)
        return wrong(check, "case/path", row, v->cases.path[row], "is no path");
    if (v->cases.capability[row] >= VECTORS_CAPABILITY_COUNT)
        return wrong(check, "case/capability", row, v->cases.capability[row], "belongs to no contract");
    if (!v->cases.threads[row])
        return wrong(check, "case/threads", row, 0, "threads are too few");

    uint64_t tensors = vectors_tensor_count(v, problem), first = vectors_tensor_begin(v, problem);
    uint64_t begin = v->cases.outcome_begin[row], steps = v->problem.steps[problem];
    if (!range_fits(begin, steps * tensors, v->outcome.count))
        return wrong(check, "case/outcome_begin", row, begin,
                     "with the case's steps and tensors lies beyond table outcome");
    for (uint64_t step = 0; step < steps; step++)
        for (uint64_t t = 0; t < tensors; t++) {
            bool has_grad = v->grad.array[v->tensor.grad_begin[first + t] + step] != VECTORS_NONE;
            if (!check_outcome(check, begin + step * tensors + t, first + t, has_grad))
                return false;
        }
    return true;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* What a case's name says beside what follows from the problem. */
static uint64_t name_key(const vectors *v, size_t row)
{
    return (uint64_t)v->cases.problem[row] << 24 | (uint64_t)v->cases.path[row] << 16 |
           (uint64_t)v->cases.capability[row] << 8 | v->cases.threads[row];
}

static bool check_names(const checker *check)
{
    const vectors *v = check->file;
    size_t count = v->cases.count;
    uint64_t *keys = malloc(count ? count * sizeof *keys : 1);
    if (!keys)
        return conform_fail(check->error, "%s: case: out of memory", v->file);
    for (size_t i = 0; i < count; i++)
        keys[i] = name_key(v, i);
    qsort(keys, count, sizeof *keys, by_value);
    uint64_t twice = 0;
    bool unique = true;
    for (size_t i = 1; unique && i < count; i++)
        if (keys[i] == keys[i - 1]) {
            unique = false;
            twice = keys[i] >> 24;
        }
    free(keys);
    return unique || conform_fail(check->error,
                                  "%s: case/problem: problem %" PRIu64 " has two cases of one path, capability and threads",
                                  v->file, twice);
}

bool vectors_check(const vectors *file, conform_error *error)
{
    checker check = {file, error};
    if (!check_arrays(&check) || !check_tensors(&check) || !check_groups(&check))
        return false;
    for (size_t i = 0; i < file->problem.count; i++)
        if (!check_problem(&check, i))
            return false;
    for (size_t i = 0; i < file->cases.count; i++)
        if (!check_case(&check, i))
            return false;
    return check_names(&check);
}
