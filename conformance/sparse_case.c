/* sparse_case.c - see sparse_case.h. */
#include "sparse_case.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "generate.h"
#include "sparse_oracle.h"
#include "subject_options.h"

/* A sparse tensor, whoever made it; values and indices contiguous. */
typedef struct entries {
    bool exists, coalesced;
    size_t sparse_dim, nnz;
    const int64_t *indices;
    const void *values;
} entries;

/* ---- which cases ------------------------------------------------------------------------------------------------------- */

static uint32_t grad_sparse(const vectors *v, size_t tensor, size_t step)
{
    return v->grad.sparse[v->tensor.grad_begin[tensor] + step];
}

bool sparse_case_is(const vectors *v, size_t problem)
{
    size_t begin = vectors_tensor_begin(v, problem), count = vectors_tensor_count(v, problem);
    for (size_t t = begin; t < begin + count; t++)
        for (size_t s = 0; s < v->problem.steps[problem]; s++)
            if (grad_sparse(v, t, s) != VECTORS_NONE)
                return true;
    return false;
}

const char *sparse_case_unjudged(const vectors *v, size_t row)
{
    size_t problem = v->cases.problem[row], begin = vectors_tensor_begin(v, problem);
    for (size_t t = begin; t < begin + vectors_tensor_count(v, problem); t++)
        for (size_t s = 0; s < v->problem.steps[problem]; s++)
            if (v->grad.array[v->tensor.grad_begin[t] + s] != VECTORS_NONE)
                return "it has both dense and sparse gradients";
    return v->cases.path[row] == SGD_FUSED ? "torch does not take sparse gradients there" : NULL;
}

/* ---- what the file says ------------------------------------------------------------------------------------------------ */

static entries entries_of_row(case_data *data, uint32_t row)
{
    const vectors *v = data->file;
    if (row == VECTORS_NONE)
        return (entries){0};
    return (entries){.exists = true,
                     .coalesced = v->sparse.coalesced[row],
                     .sparse_dim = v->sparse.sparse_dim[row],
                     .nnz = (size_t)v->sparse.nnz[row],
                     .indices = vectors_stored(v, v->sparse.indices[row]),
                     .values = case_elements(data, v->sparse.values[row])};
}

static entries grad_of(case_data *data, size_t tensor, size_t step)
{
    return entries_of_row(data, grad_sparse(data->file, data->tensor_begin + tensor, step));
}

/* Elements of one entry, from the shape of the tensor. */
static size_t block_of(const case_data *data, size_t tensor, size_t sparse_dim)
{
    const case_layout *layout = &data->layouts[tensor];
    size_t block = 1;
    for (int32_t d = (int32_t)sparse_dim; d < layout->ndim; d++)
        block *= (size_t)layout->shape[d];
    return block;
}

/* ---- judging ----------------------------------------------------------------------------------------------------------- */

static void judge_bits(judgement *into, const case_data *data, difference at, const void *wanted, const void *actual)
{
    comparison result = compare_arrays(at.dtype, at.numel, wanted, actual, NULL, data->nan[at.tensor]);
    if (!result.different) {
        if (result.nan_payload)
            into->verdict = CONFORM_NAN_PAYLOAD;
        return;
    }
    size_t number = result.first * dtype_parts(at.dtype) + result.part;
    at.kind = DIFFERENCE_BITS;
    at.count = result.different;
    at.index = result.first;
    at.part = result.part;
    at.segment = SGD_SEGMENT_ANY;
    at.expected = element_bits(dtype_part(at.dtype), wanted, number);
    at.actual = element_bits(dtype_part(at.dtype), actual, number);
    into->verdict = CONFORM_DIFFERENT;
    into->first = at;
}

static void judge_entries(judgement *into, const case_data *data, difference at, entries wanted, entries actual)
{
    if (into->verdict == CONFORM_DIFFERENT)
        return;
    at.kind = DIFFERENCE_ENTRIES;
    at.message[0] = 0;
    if (wanted.exists != actual.exists)
        at.kind = wanted.exists ? DIFFERENCE_MISSING : DIFFERENCE_UNEXPECTED;
    else if (!wanted.exists)
        return;
    else if (wanted.nnz != actual.nnz || wanted.sparse_dim != actual.sparse_dim || wanted.coalesced != actual.coalesced)
        snprintf(at.message, sizeof at.message, "expected %zu%s, actual %zu%s", wanted.nnz,
                 wanted.coalesced ? " coalesced" : "", actual.nnz, actual.coalesced ? " coalesced" : "");
    else if (memcmp(wanted.indices, actual.indices, wanted.nnz * wanted.sparse_dim * sizeof *wanted.indices))
        snprintf(at.message, sizeof at.message, "other indices, or another order");
    else {
        at.numel = wanted.nnz * block_of(data, at.tensor, wanted.sparse_dim);
        judge_bits(into, data, at, wanted.values, actual.values);
        return;
    }
    into->verdict = CONFORM_DIFFERENT;
    into->first = at;
}

static void judge_param(judgement *into, case_data *data, difference at, const void *actual)
{
    const vectors *v = data->file;
    uint32_t row = v->outcome.param[v->cases.outcome_begin[data->row] + at.step * data->tensors + at.tensor];
    if (into->verdict == CONFORM_DIFFERENT)
        return;
    if (v->array.kind[row] != VECTORS_HASHED) {
        judge_bits(into, data, at, case_elements(data, row), actual);
        return;
    }
    at.kind = DIFFERENCE_HASH;
    at.expected = v->array.where[row];
    at.actual = hash_array(at.dtype, at.numel, actual);
    if (at.expected == at.actual)
        return;
    into->verdict = CONFORM_DIFFERENT;
    into->first = at;
}

/* One tensor after a step. */
static void judge_tensor(judgement *into, case_data *data, size_t step, size_t tensor, const void *param, entries buffer,
                         entries grad)
{
    const vectors *v = data->file;
    size_t row = v->cases.outcome_begin[data->row] + step * data->tensors + tensor;
    difference at = {.step = step, .tensor = tensor, .dtype = case_dtype(data, tensor), .numel = case_numel(data, tensor),
                     .array = CASE_PARAM};
    judge_param(into, data, at, param);
    at.array = CASE_BUFFER;
    judge_entries(into, data, at, entries_of_row(data, v->outcome.buffer_sparse[row]), buffer);
    at.array = CASE_GRAD;
    judge_entries(into, data, at, entries_of_row(data, v->outcome.grad_sparse[row]), grad);
}

/* A parameter in row-major order, in `scratch` or where it lies. */
static const void *in_order(const case_data *data, size_t tensor, const unsigned char *plane, unsigned char *scratch)
{
    const unsigned char *room = plane + data->offset[tensor];
    if (layout_is_plain(&data->layouts[tensor]))
        return room;
    layout_gather(&data->layouts[tensor], case_size(data, tensor), room, scratch + data->offset[tensor]);
    return scratch + data->offset[tensor];
}

static bool place_params(const case_data *data, unsigned char *params, const unsigned char *scratch)
{
    for (size_t t = 0; params && scratch && t < data->tensors; t++)
        case_place(data, t, &data->layouts[t], data->params[t], params);
    return params && scratch;
}

/* ---- the oracle -------------------------------------------------------------------------------------------------------- */

static sgd_oracle_sparse oracle_sparse(const case_data *data, size_t tensor, const entries *from)
{
    sgd_oracle_sparse sparse = {.sparse_dim = from->sparse_dim, .nnz = from->nnz, .indices = (int64_t *)(uintptr_t)from->indices,
                                .values = (void *)(uintptr_t)from->values, .coalesced = from->coalesced};
    const case_layout *layout = &data->layouts[tensor];
    int64_t next = 1;
    for (size_t d = (size_t)layout->ndim - from->sparse_dim; d > 0; d--) {
        sparse.strides[d] = next;
        next *= layout->shape[from->sparse_dim + d - 1];
    }
    sparse.strides[0] = next;
    return sparse;
}

static entries entries_of_oracle(const sgd_oracle_sparse *sparse)
{
    return (entries){.exists = sparse->values != NULL, .coalesced = sparse->coalesced, .sparse_dim = sparse->sparse_dim,
                     .nnz = sparse->nnz, .indices = sparse->indices, .values = sparse->values};
}

/* Whether foreach finds a list of the tensor's dtype in which some buffers are missing. */
static bool mixed(case_data *data, size_t step, size_t first, size_t count, size_t tensor, const sgd_oracle_sparse *buffers)
{
    bool with = false, without = false;
    for (size_t t = first; t < first + count; t++)
        if (grad_of(data, t, step).exists && case_dtype(data, t) == case_dtype(data, tensor)) {
            with |= buffers[t].values != NULL;
            without |= buffers[t].values == NULL;
        }
    return with && without;
}

static bool step_oracle(case_data *data, size_t step, const sgd_oracle_options *options, bool mixed, size_t t,
                        unsigned char *params, sgd_oracle_sparse *buffer, judgement *out, unsigned char *scratch)
{
    const case_layout *layout = &data->layouts[t];
    size_t bytes = (size_t)layout->ndim * sizeof *layout->shape;
    entries grad = grad_of(data, t, step);
    sgd_oracle_sparse_tensor tensor = {.dtype = case_dtype(data, t), .ndim = (uint32_t)layout->ndim,
                                       .param = params + data->offset[t] + layout->offset * case_size(data, t), .buffer = *buffer,
                                       .buffer_kind = buffer->values ? SGD_ORACLE_SPARSE_BUFFER : SGD_ORACLE_NO_BUFFER};
    memcpy(tensor.shape, layout->shape, bytes);
    memcpy(tensor.param_strides, layout->strides, bytes);
    if (grad.exists) {
        tensor.grad = oracle_sparse(data, t, &grad);
        if (!sgd_oracle_sparse_step(data->oracle, options, mixed, &tensor, NULL, 0))
            return false;
    }
    if (tensor.new_buffer.values) {
        sgd_oracle_sparse_free(buffer);
        *buffer = tensor.new_buffer;
    }
    judge_tensor(out, data, step, t, in_order(data, t, params, scratch), entries_of_oracle(buffer),
                 tensor.grad_changed ? entries_of_oracle(&tensor.new_grad) : grad);
    sgd_oracle_sparse_free(&tensor.new_grad);
    return true;
}

static bool run_oracle(case_data *data, unsigned char *params, sgd_oracle_sparse *buffers, bool *mixes, judgement *out,
                       unsigned char *scratch)
{
    for (size_t step = 0; step < data->steps; step++)
        for (size_t g = 0, first = 0, count; g < data->groups; g++, first += count) {
            sgd_oracle_options options = case_oracle_options(data, g, step, SGD_DEFECTS_REPRODUCE);
            count = data->file->group.tensor_count[data->group_begin + g];
            for (size_t t = first; t < first + count; t++)
                mixes[t] = mixed(data, step, first, count, t, buffers);
            for (size_t t = first; t < first + count; t++)
                if (!step_oracle(data, step, &options, mixes[t], t, params, &buffers[t], out, scratch))
                    return false;
        }
    return true;
}

bool sparse_case_judge_oracle(case_data *data, judgement *out)
{
    unsigned char *params = case_plane(data), *scratch = case_plane(data);
    sgd_oracle_sparse *buffers = calloc(data->tensors, sizeof *buffers);
    bool *mixes = calloc(data->tensors, sizeof *mixes);
    *out = (judgement){.verdict = CONFORM_EQUAL};
    bool done = buffers && mixes && place_params(data, params, scratch) &&
                run_oracle(data, params, buffers, mixes, out, scratch);
    for (size_t t = 0; buffers && t < data->tensors; t++)
        sgd_oracle_sparse_free(&buffers[t]);
    free(buffers);
    free(mixes);
    free(params);
    free(scratch);
    return done;
}

/* ---- the library ------------------------------------------------------------------------------------------------------- */

/* A tensor as sgd_step sees it. */
typedef struct sparse_tensor {
    DLTensor param;
    sgd_sparse grad, buffer;
    int64_t index_shape[2], value_shape[VECTORS_MAX_DIMS + 1];
} sparse_tensor;

typedef struct sparse_run {
    case_data *data;
    sgd_config config;
    unsigned char *params, *scratch;
    sparse_tensor *tensors;
    sgd_item *items;
} sparse_run;

static DLTensor host_tensor(const void *memory, int32_t ndim, DLDataType type, const int64_t *shape)
{
    return (DLTensor){.data = (void *)(uintptr_t)memory, .device = {kDLCPU, 0}, .ndim = ndim, .dtype = type,
                      .shape = (int64_t *)(uintptr_t)shape};
}

static void bring_grad(sparse_run *run, size_t step, size_t t)
{
    const case_layout *layout = &run->data->layouts[t];
    sparse_tensor *tensor = &run->tensors[t];
    entries grad = grad_of(run->data, t, step);
    size_t dense = (size_t)layout->ndim - grad.sparse_dim;
    sgd_sparse_destroy(&tensor->grad);
    run->items[t].sparse_grad = grad.exists ? &tensor->grad : NULL;
    run->items[t].sparse_buffer = &tensor->buffer;
    if (!grad.exists)
        return;
    tensor->index_shape[0] = (int64_t)grad.sparse_dim;
    tensor->index_shape[1] = tensor->value_shape[0] = (int64_t)grad.nnz;
    memcpy(tensor->value_shape + 1, layout->shape + grad.sparse_dim, dense * sizeof *layout->shape);
    tensor->grad = (sgd_sparse){.indices = host_tensor(grad.indices, 2, (DLDataType){kDLInt, 64, 1}, tensor->index_shape),
                                .values = host_tensor(grad.values, (int32_t)dense + 1, subject_type(case_dtype(run->data, t)),
                                                      tensor->value_shape),
                                .ndim = layout->ndim,
                                .shape = (int64_t *)(uintptr_t)layout->shape,
                                .coalesced = grad.coalesced};
}

static entries entries_of_library(const sgd_sparse *sparse)
{
    if (!sparse->values.shape)
        return (entries){0};
    return (entries){.exists = true, .coalesced = sparse->coalesced, .sparse_dim = (size_t)sparse->indices.shape[0],
                     .nnz = (size_t)sparse->values.shape[0], .indices = sparse->indices.data, .values = sparse->values.data};
}

static sgd_status step_groups(sparse_run *run, size_t step, sgd_error *error)
{
    const case_data *data = run->data;
    sgd_status status = SGD_OK;
    for (size_t t = 0; t < data->tensors; t++)
        bring_grad(run, step, t);
    for (size_t g = 0, first = 0, count; g < data->groups && !status; g++, first += count) {
        subject_scalar scalars[SUBJECT_SCALARS];
        sgd_options options = subject_options(data, g, step, scalars);
        count = data->file->group.tensor_count[data->group_begin + g];
        status = sgd_step(&run->config, &options, run->items + first, count, NULL, NULL, error);
    }
    return status;
}

static sgd_status run_library(sparse_run *run, judgement *out, sgd_error *error)
{
    case_data *data = run->data;
    sgd_status status = SGD_OK;
    for (size_t step = 0; step < data->steps && !status; step++) {
        status = step_groups(run, step, error);
        for (size_t t = 0; t < data->tensors && !status; t++) {
            judge_tensor(out, data, step, t, in_order(data, t, run->params, run->scratch),
                         entries_of_library(&run->tensors[t].buffer), entries_of_library(&run->tensors[t].grad));
            if (!case_room_intact(data, run->params, &data->layouts[t], t))
                judge_failure(out, DIFFERENCE_OVERRUN, step, t, CASE_PARAM, "");
        }
        if (status) {
            char message[sizeof out->first.message];
            snprintf(message, sizeof message, "%s: %.120s", sgd_status_name(status), error->message);
            judge_failure(out, DIFFERENCE_STATUS, step, 0, CASE_PARAM, message);
        }
    }
    return status;
}

static void open_tensors(sparse_run *run)
{
    const case_data *data = run->data;
    for (size_t t = 0; t < data->tensors; t++) {
        const case_layout *layout = &data->layouts[t];
        DLTensor *param = &run->tensors[t].param;
        *param = host_tensor(run->params + data->offset[t], layout->ndim, subject_type(case_dtype(data, t)), layout->shape);
        param->strides = (int64_t *)(uintptr_t)layout->strides;
        param->byte_offset = layout->offset * case_size(data, t);
        run->items[t].param = param;
    }
}

judgement sparse_case_judge_subject(case_data *data, const conform_subject *subject)
{
    judgement result = {.verdict = CONFORM_EQUAL};
    sgd_error error = {SGD_OK, ""};
    sparse_run run = {.data = data, .config = subject_config(data, subject), .params = case_plane(data),
                      .scratch = case_plane(data)};
    run.tensors = calloc(data->tensors, sizeof *run.tensors);
    run.items = calloc(data->tensors, sizeof *run.items);
    if (run.tensors && run.items && place_params(data, run.params, run.scratch)) {
        open_tensors(&run);
        run_library(&run, &result, &error);
    } else {
        judge_failure(&result, DIFFERENCE_STATUS, 0, 0, CASE_PARAM, "out of memory");
    }
    for (size_t t = 0; run.tensors && t < data->tensors; t++) {
        sgd_sparse_destroy(&run.tensors[t].grad);
        sgd_sparse_destroy(&run.tensors[t].buffer);
    }
    free(run.tensors);
    free(run.items);
    free(run.params);
    free(run.scratch);
    return result;
}
