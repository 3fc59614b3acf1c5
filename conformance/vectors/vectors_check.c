/* vectors_check.c - whether the columns of a file make sense together; see vectors.h.
 *
 * Every sum is taken in 64 bits over 32-bit operands, so that none wraps round.
 */
#include "vectors_checker.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "scalar.h"

bool check_wrong(const checker *check, const char *column, uint64_t row, uint64_t value, const char *reason)
{
    return conform_fail(check->error, "%s: %s[%" PRIu64 "]: %" PRIu64 " %s", check->file->file, column, row, value, reason);
}

/* ---- tensors ------------------------------------------------------------------------------------------------------- */

/* Whether `array`, named by a column's row, is one that tensor `tensor` can have; inputs can't be known by hash only. */
static bool check_reference(const checker *check, const char *column, uint64_t row, uint32_t array, uint64_t tensor,
                            bool input)
{
    const vectors *v = check->file;
    if (array >= v->array.count)
        return check_wrong(check, column, row, array, "is no row of array");
    if (v->array.dtype[array] != v->tensor.dtype[tensor])
        return check_wrong(check, column, row, array, "is an array of another dtype than its tensor");
    if (v->array.numel[array] != v->tensor.numel[tensor])
        return check_wrong(check, column, row, array, "is an array of another size than its tensor");
    if (input && v->array.kind[array] == VECTORS_HASHED)
        return check_wrong(check, column, row, array, "is known by its hash only, as no input can be");
    return true;
}

/* Whether two shapes of `numel` elements are equal; VECTORS_NONE is the one with one dimension. */
static bool same_shape(const vectors *v, uint32_t a, uint32_t b)
{
    if (a == VECTORS_NONE || b == VECTORS_NONE)
        return a == b || v->layout.ndim[a == VECTORS_NONE ? b : a] == 1;
    bool same = v->layout.ndim[a] == v->layout.ndim[b];
    for (size_t d = 0; same && d < v->layout.ndim[a]; d++)
        same = v->dim.size[v->layout.dim_begin[a] + d] == v->dim.size[v->layout.dim_begin[b] + d];
    return same;
}

/* A tensor that a step writes has a place for every element: no expanded one. */
static bool check_writable(const checker *check, const char *column, uint64_t row, uint32_t layout)
{
    const vectors *v = check->file;
    for (size_t d = 0; layout != VECTORS_NONE && d < v->layout.ndim[layout]; d++) {
        size_t dim = v->layout.dim_begin[layout] + d;
        if (v->dim.size[dim] > 1 && !v->dim.stride[dim])
            return check_wrong(check, column, row, layout, "holds an element twice, as no written tensor can");
    }
    return true;
}

/* Whether `layout`, named by a column's row, is one of tensor `tensor`'s shape. */
static bool check_layout_reference(const checker *check, const char *column, uint64_t row, uint32_t layout, uint64_t tensor)
{
    const vectors *v = check->file;
    if (layout == VECTORS_NONE)
        return same_shape(v, layout, v->tensor.layout[tensor]) ||
               check_wrong(check, column, row, layout, "is the layout of one dimension, which its tensor does not have");
    if (layout >= v->layout.count)
        return check_wrong(check, column, row, layout, "is no row of layout");
    if (vectors_layout_numel(v, layout) != v->tensor.numel[tensor] || !same_shape(v, layout, v->tensor.layout[tensor]))
        return check_wrong(check, column, row, layout, "is a layout of another shape than its tensor's");
    return true;
}

/* The same for a sparse tensor. */
static bool check_sparse_reference(const checker *check, const char *column, uint64_t row, uint32_t sparse, uint64_t tensor)
{
    const vectors *v = check->file;
    if (sparse >= v->sparse.count)
        return check_wrong(check, column, row, sparse, "is no row of sparse");
    if (v->array.dtype[v->sparse.values[sparse]] != v->tensor.dtype[tensor])
        return check_wrong(check, column, row, sparse, "has values of another dtype than its tensor");
    if (vectors_layout_numel(v, v->sparse.layout[sparse]) != v->tensor.numel[tensor] ||
        !same_shape(v, v->sparse.layout[sparse], v->tensor.layout[tensor]))
        return check_wrong(check, column, row, sparse, "is a sparse tensor of another shape than its tensor");
    return true;
}

static bool check_tensors(const checker *check)
{
    const vectors *v = check->file;
    for (size_t i = 0; i < v->tensor.count; i++) {
        if (v->tensor.dtype[i] >= SGD_DTYPE_COUNT)
            return check_wrong(check, "tensor/dtype", i, v->tensor.dtype[i], "is no dtype");
        if (v->tensor.numel[i] > VECTORS_MAX_NUMEL)
            return check_wrong(check, "tensor/numel", i, v->tensor.numel[i], "elements are more than a tensor may have");
        uint32_t layout = v->tensor.layout[i];
        if (layout != VECTORS_NONE && layout >= v->layout.count)
            return check_wrong(check, "tensor/layout", i, layout, "is no row of layout");
        if (layout != VECTORS_NONE && vectors_layout_numel(v, layout) != v->tensor.numel[i])
            return check_wrong(check, "tensor/layout", i, layout, "is a layout of another number of elements");
        if (!check_writable(check, "tensor/layout", i, layout) ||
            !check_reference(check, "tensor/param", i, v->tensor.param[i], i, true))
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

/* A hyper-parameter that is a tensor: its values are ones that the tensor's dtype has. */
static bool check_scalar(const checker *check, const char *column, size_t group, uint32_t scalar, const double *values,
                         size_t count)
{
    const vectors *v = check->file;
    uint64_t element;
    if (scalar == VECTORS_NONE)
        return true;
    if (scalar >= v->scalar.count)
        return check_wrong(check, column, group, scalar, "is no row of scalar");
    for (size_t i = 0; i < count; i++)
        if (!scalar_encode((sgd_dtype)v->scalar.dtype[scalar], values[i], &element))
            return conform_fail(check->error, "%s: %s[%zu]: %" PRIu32 " is a tensor of a dtype that has no %g", v->file,
                                column, group, scalar, values[i]);
    return true;
}

/* Over all steps, where the options change. */
static bool check_scalars(const checker *check, size_t group, size_t steps)
{
    const vectors *v = check->file;
    uint32_t option = v->group.option_begin[group];
    bool changes = option != VECTORS_NONE;
    size_t count = changes ? steps : 1;
#define VALUES(name) (changes ? &v->option.name[option] : &v->group.name[group])
    return check_scalar(check, "group/lr_scalar", group, v->group.lr_scalar[group], VALUES(lr), count) &&
           check_scalar(check, "group/momentum_scalar", group, v->group.momentum_scalar[group], VALUES(momentum), count) &&
           check_scalar(check, "group/dampening_scalar", group, v->group.dampening_scalar[group], VALUES(dampening), count) &&
           check_scalar(check, "group/weight_decay_scalar", group, v->group.weight_decay_scalar[group], VALUES(weight_decay),
                        count);
#undef VALUES
}

static bool check_groups(const checker *check)
{
    const vectors *v = check->file;
    for (size_t i = 0; i < v->group.count; i++) {
        if (!range_fits(v->group.tensor_begin[i], v->group.tensor_count[i], v->tensor.count))
            return check_wrong(check, "group/tensor_begin", i, v->group.tensor_begin[i],
                         "with the group's tensor_count lies beyond table tensor");
        if (v->group.nesterov[i] > 1)
            return check_wrong(check, "group/nesterov", i, v->group.nesterov[i], "is neither 0 nor 1");
        if (v->group.maximize[i] > 1)
            return check_wrong(check, "group/maximize", i, v->group.maximize[i], "is neither 0 nor 1");
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
        return check_wrong(check, "tensor/grad_begin", tensor, begin, "with the problem's steps lies beyond table grad");
    for (uint64_t row = begin; row < begin + steps; row++) {
        uint32_t array = v->grad.array[row], sparse = v->grad.sparse[row];
        if (array != VECTORS_NONE && sparse != VECTORS_NONE)
            return check_wrong(check, "grad/sparse", row, sparse, "stands beside a dense gradient");
        if (array != VECTORS_NONE && (!check_reference(check, "grad/array", row, array, tensor, true) ||
                                      !check_layout_reference(check, "grad/layout", row, v->grad.layout[row], tensor)))
            return false;
        if (sparse != VECTORS_NONE && !check_sparse_reference(check, "grad/sparse", row, sparse, tensor))
            return false;
    }
    return true;
}

/* Options and scaling of every step. */
static bool check_steps(const checker *check, size_t problem)
{
    const vectors *v = check->file;
    uint64_t steps = v->problem.steps[problem], scaling = v->problem.scaling_begin[problem];
    if (scaling != VECTORS_NONE && !range_fits(scaling, steps, v->scaling.count))
        return check_wrong(check, "problem/scaling_begin", problem, scaling,
                           "with the problem's steps lies beyond table scaling");
    for (size_t g = 0; g < v->problem.group_count[problem]; g++) {
        size_t group = v->problem.group_begin[problem] + g;
        uint64_t option = v->group.option_begin[group];
        if (option != VECTORS_NONE && !range_fits(option, steps, v->option.count))
            return check_wrong(check, "group/option_begin", group, option,
                               "with the problem's steps lies beyond table option");
        if (!check_scalars(check, group, steps))
            return false;
    }
    return true;
}

static bool check_problem(const checker *check, size_t problem)
{
    const vectors *v = check->file;
    uint64_t begin = v->problem.group_begin[problem], count = v->problem.group_count[problem];
    if (!count)
        return check_wrong(check, "problem/group_count", problem, count, "groups are too few");
    if (!range_fits(begin, count, v->group.count))
        return check_wrong(check, "problem/group_begin", problem, begin,
                     "with the problem's group_count lies beyond table group");
    if (!v->problem.steps[problem])
        return check_wrong(check, "problem/steps", problem, 0, "steps are too few");
    if (v->problem.flags[problem] & ~VECTORS_KNOWN_FLAGS)
        return check_wrong(check, "problem/flags", problem, v->problem.flags[problem], "has flags that the format does not know");
    if (v->problem.feature[problem] >= VECTORS_FEATURE_COUNT)
        return check_wrong(check, "problem/feature", problem, v->problem.feature[problem], "is no feature");
    if (!check_steps(check, problem))
        return false;

    if (!v->group.tensor_count[begin])
        return check_wrong(check, "group/tensor_count", begin, 0, "tensors are too few for a problem's first group");
    uint64_t first = v->group.tensor_begin[begin], next = first, numel = 0;
    for (uint64_t group = begin; group < begin + count; group++) {
        if (v->group.tensor_begin[group] != next)
            return check_wrong(check, "group/tensor_begin", group, v->group.tensor_begin[group],
                         "does not follow the tensors of the problem's group before");
        next += v->group.tensor_count[group];
    }
    for (uint64_t tensor = first; tensor < next; tensor++) {
        numel += v->tensor.numel[tensor];
        if (numel > VECTORS_MAX_NUMEL)
            return check_wrong(check, "problem/group_begin", problem, begin,
                         "begins groups with more elements than a problem may have");
        if (!check_gradients(check, tensor, v->problem.steps[problem]))
            return false;
    }
    return true;
}

/* ---- cases --------------------------------------------------------------------------------------------------------- */

/* An array with its sparse alternative: at most one of both. */
static bool check_outcome_array(const checker *check, const char *column, const char *sparse_column, uint64_t row,
                                uint32_t array, uint32_t sparse, uint64_t tensor)
{
    if (array != VECTORS_NONE && sparse != VECTORS_NONE)
        return check_wrong(check, sparse_column, row, sparse, "stands beside a dense array");
    if (array != VECTORS_NONE)
        return check_reference(check, column, row, array, tensor, false);
    return sparse == VECTORS_NONE || check_sparse_reference(check, sparse_column, row, sparse, tensor);
}

static bool check_outcome(const checker *check, uint64_t row, uint64_t tensor, bool has_grad)
{
    const vectors *v = check->file;
    uint32_t buffer = v->outcome.buffer[row], grad = v->outcome.grad[row], grad_sparse = v->outcome.grad_sparse[row];
    if (!check_reference(check, "outcome/param", row, v->outcome.param[row], tensor, false) ||
        !check_outcome_array(check, "outcome/buffer", "outcome/buffer_sparse", row, buffer, v->outcome.buffer_sparse[row],
                             tensor))
        return false;
    if (buffer != VECTORS_NONE &&
        (!check_layout_reference(check, "outcome/buffer_layout", row, v->outcome.buffer_layout[row], tensor) ||
         !check_writable(check, "outcome/buffer_layout", row, v->outcome.buffer_layout[row])))
        return false;
    if ((grad != VECTORS_NONE || grad_sparse != VECTORS_NONE) != has_grad)
        return check_wrong(check, "outcome/grad", row, grad,
                           has_grad ? "is None after a step that had a gradient" : "appeared in a step whose gradient is None");
    return check_outcome_array(check, "outcome/grad", "outcome/grad_sparse", row, grad, grad_sparse, tensor);
}

static bool has_gaps(const vectors *v, uint32_t layout)
{
    return layout != VECTORS_NONE && vectors_layout_extent(v, layout) != vectors_layout_numel(v, layout);
}

/* Fused kernels walk memory: with gaps, what they read and write there is nobody's. */
static bool check_fused(const checker *check, size_t row)
{
    const vectors *v = check->file;
    uint32_t problem = v->cases.problem[row];
    size_t begin = vectors_tensor_begin(v, problem), end = begin + vectors_tensor_count(v, problem);
    bool gaps = false;
    for (size_t t = begin; t < end; t++) {
        gaps |= has_gaps(v, v->tensor.layout[t]);
        for (size_t grad = v->tensor.grad_begin[t]; grad < v->tensor.grad_begin[t] + v->problem.steps[problem]; grad++)
            gaps |= v->grad.array[grad] != VECTORS_NONE && has_gaps(v, v->grad.layout[grad]);
    }
    return !gaps || check_wrong(check, "case/path", row, SGD_FUSED, "is not for tensors with gaps in memory");
}

static bool check_case(const checker *check, size_t row)
{
    const vectors *v = check->file;
    uint32_t problem = v->cases.problem[row];
    if (problem >= v->problem.count)
        return check_wrong(check, "case/problem", row, problem, "is no row of problem");
    if (v->cases.path[row] >= SGD_PATH_COUNT)
        return check_wrong(check, "case/path", row, v->cases.path[row], "is no path");
    if (!vectors_capability_known(v->cases.capability[row]))
        return check_wrong(check, "case/capability", row, v->cases.capability[row], "is no capability");
    if (!v->cases.threads[row])
        return check_wrong(check, "case/threads", row, 0, "threads are too few");

    if (v->problem.scaling_begin[problem] != VECTORS_NONE && v->cases.path[row] != SGD_FUSED)
        return check_wrong(check, "case/path", row, v->cases.path[row], "does not take grad_scale and found_inf");

    if (v->cases.path[row] == SGD_FUSED && !check_fused(check, row))
        return false;

    uint64_t tensors = vectors_tensor_count(v, problem), first = vectors_tensor_begin(v, problem);
    uint64_t begin = v->cases.outcome_begin[row], steps = v->problem.steps[problem];
    if (!range_fits(begin, steps * tensors, v->outcome.count))
        return check_wrong(check, "case/outcome_begin", row, begin,
                     "with the case's steps and tensors lies beyond table outcome");
    for (uint64_t step = 0; step < steps; step++)
        for (uint64_t t = 0; t < tensors; t++) {
            uint64_t grad = v->tensor.grad_begin[first + t] + step;
            bool has_grad = v->grad.array[grad] != VECTORS_NONE || v->grad.sparse[grad] != VECTORS_NONE;
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
    if (!check_referred_tables(&check) || !check_tensors(&check) || !check_groups(&check))
        return false;
    for (size_t i = 0; i < file->problem.count; i++)
        if (!check_problem(&check, i))
            return false;
    for (size_t i = 0; i < file->cases.count; i++)
        if (!check_case(&check, i))
            return false;
    return check_names(&check);
}
