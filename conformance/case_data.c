/* case_data.c - see case_data.h. */
#include "case_data.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "generate.h"

#define ALIGNMENT 64
#define MARGIN 0xA5

sgd_dtype case_dtype(const case_data *data, size_t tensor)
{
    return (sgd_dtype)data->file->tensor.dtype[data->tensor_begin + tensor];
}

size_t case_numel(const case_data *data, size_t tensor)
{
    return (size_t)data->file->tensor.numel[data->tensor_begin + tensor];
}

size_t case_bytes(const case_data *data, size_t tensor)
{
    return case_numel(data, tensor) * sgd_dtype_size(case_dtype(data, tensor));
}

sgd_oracle_options case_options(const case_data *data, size_t group, sgd_defects defects)
{
    const vectors *v = data->file;
    size_t row = data->group_begin + group;
    return (sgd_oracle_options){.contract = data->contract,
                                .path = data->path,
                                .defects = defects,
                                .torch_threads = data->torch_threads,
                                .lr = v->group.lr[row],
                                .momentum = v->group.momentum[row],
                                .dampening = v->group.dampening[row],
                                .weight_decay = v->group.weight_decay[row],
                                .nesterov = v->group.nesterov[row],
                                .maximize = v->group.maximize[row]};
}

/* ---- inputs -------------------------------------------------------------------------------------------------------- */

static void *generate(const vectors *v, size_t row)
{
    sgd_dtype dtype = (sgd_dtype)v->array.dtype[row];
    size_t numel = (size_t)v->array.numel[row];
    void *elements = malloc(numel * sgd_dtype_size(dtype) + 1);
    if (elements)
        generate_array(dtype, v->array.where[row], numel, elements);
    return elements;
}

const void *case_elements(case_data *data, size_t row)
{
    if (data->file->array.kind[row] == VECTORS_STORED)
        return vectors_stored(data->file, row);
    for (size_t i = 0; i < data->generated_count; i++)
        if (data->generated[i].row == row)
            return data->generated[i].elements;
    if (data->generated_count == data->generated_room) {
        size_t room = 2 * data->generated_room + 8;
        generated_array *grown = realloc(data->generated, room * sizeof *grown);
        if (!grown)
            return NULL;
        data->generated = grown;
        data->generated_room = room;
    }
    void *elements = generate(data->file, row);
    if (elements)
        data->generated[data->generated_count++] = (generated_array){row, elements};
    return elements;
}

static bool open_inputs(case_data *data)
{
    const vectors *v = data->file;
    for (size_t t = 0; t < data->tensors; t++) {
        size_t tensor = data->tensor_begin + t;
        data->params[t] = case_elements(data, v->tensor.param[tensor]);
        if (!data->params[t])
            return false;
        for (size_t s = 0; s < data->steps; s++) {
            uint32_t array = v->grad.array[v->tensor.grad_begin[tensor] + s];
            if (array == VECTORS_NONE)
                continue;
            data->grads[s * data->tensors + t] = case_elements(data, array);
            if (!data->grads[s * data->tensors + t])
                return false;
        }
    }
    return true;
}

/* ---- how to judge -------------------------------------------------------------------------------------------------- */

static bool any_nan(const vectors *v, size_t group)
{
    return isnan(v->group.lr[group]) || isnan(v->group.momentum[group]) || isnan(v->group.dampening[group]) ||
           isnan(v->group.weight_decay[group]);
}

static void open_rules(case_data *data, const ledger *ledger)
{
    size_t t = 0;
    for (size_t g = data->group_begin; g < data->group_begin + data->groups; g++) {
        bool nan_option = any_nan(data->file, g);
        for (size_t end = t + data->file->group.tensor_count[g]; t < end; t++) {
            sgd_dtype dtype = case_dtype(data, t);
            data->nan[t] = nan_option ? SGD_NAN_CLASS
                                      : sgd_rulebook_nan(sgd_rulebook_torch(), data->contract, data->path, dtype);
            if (!data->defect)
                data->defect = ledger_find(ledger, data->contract, data->path, dtype);
        }
    }
}

static bool has_sparse(const vectors *v, size_t problem)
{
    size_t begin = vectors_tensor_begin(v, problem), count = vectors_tensor_count(v, problem);
    for (size_t t = begin; t < begin + count; t++)
        for (size_t s = 0; s < v->problem.steps[problem]; s++)
            if (v->grad.sparse[v->tensor.grad_begin[t] + s] != VECTORS_NONE)
                return true;
    return false;
}

const char *case_unjudged(const vectors *file, size_t row)
{
    if (vectors_contract(file, row) == SGD_CONTRACT_COUNT)
        return "no contract is written down";
    return has_sparse(file, file->cases.problem[row]) ? "the oracle has no sparse gradients" : NULL;
}

bool case_open(case_data *data, const vectors *file, size_t row, const sgd_oracle *oracle, const ledger *ledger)
{
    size_t problem = file->cases.problem[row];
    *data = (case_data){.file = file,
                        .oracle = oracle,
                        .row = row,
                        .steps = file->problem.steps[problem],
                        .tensor_begin = vectors_tensor_begin(file, problem),
                        .tensors = vectors_tensor_count(file, problem),
                        .group_begin = file->problem.group_begin[problem],
                        .groups = file->problem.group_count[problem],
                        .contract = vectors_contract(file, row),
                        .path = (sgd_path)file->cases.path[row],
                        .torch_threads = file->cases.threads[row]};
    data->nan = calloc(data->tensors, sizeof *data->nan);
    data->offset = calloc(data->tensors + 1, sizeof *data->offset);
    data->params = calloc(data->tensors, sizeof *data->params);
    data->grads = calloc(data->steps * data->tensors, sizeof *data->grads);
    if (!data->nan || !data->offset || !data->params || !data->grads)
        return false;
    open_rules(data, ledger);
    for (size_t t = 0; t < data->tensors; t++)
        data->offset[t + 1] = (data->offset[t] + case_bytes(data, t) + 2 * ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return open_inputs(data);
}

void case_close(case_data *data)
{
    for (size_t i = 0; i < data->generated_count; i++)
        free(data->generated[i].elements);
    free(data->generated);
    free(data->nan);
    free(data->offset);
    free(data->params);
    free(data->grads);
}

/* ---- planes -------------------------------------------------------------------------------------------------------- */

unsigned char *case_plane(const case_data *data)
{
    unsigned char *plane = aligned_alloc(ALIGNMENT, data->offset[data->tensors]);
    for (size_t t = 0; plane && t < data->tensors; t++) {
        size_t end = data->offset[t] + case_bytes(data, t);
        memset(plane + end, MARGIN, data->offset[t + 1] - end);
    }
    return plane;
}

bool case_plane_intact(const case_data *data, const unsigned char *plane, size_t *tensor)
{
    for (size_t t = 0; t < data->tensors; t++)
        for (size_t i = data->offset[t] + case_bytes(data, t); i < data->offset[t + 1]; i++)
            if (plane[i] != MARGIN) {
                *tensor = t;
                return false;
            }
    return true;
}
