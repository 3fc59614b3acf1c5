/* case_data.c - see case_data.h. */
#include "case_data.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "generate.h"
#include "sparse_case.h"

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
    return case_numel(data, tensor) * case_size(data, tensor);
}

size_t case_size(const case_data *data, size_t tensor) { return sgd_dtype_size(case_dtype(data, tensor)); }

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
        data->layouts[t] = layout_of(v, v->tensor.layout[tensor], tensor);
        if (!data->params[t])
            return false;
        for (size_t s = 0; s < data->steps; s++) {
            size_t row = v->tensor.grad_begin[tensor] + s, place = s * data->tensors + t;
            bool none = v->grad.array[row] == VECTORS_NONE;
            data->grad_layouts[place] = none ? data->layouts[t] : layout_of(v, v->grad.layout[row], tensor);
            data->grads[place] = none ? NULL : case_elements(data, v->grad.array[row]);
            if (!none && !data->grads[place])
                return false;
        }
    }
    return true;
}

/* Room for every tensor in all of its layouts, and a margin. */
static void measure_planes(case_data *data)
{
    for (size_t t = 0; t < data->tensors; t++) {
        size_t room = case_numel(data, t), needed = layout_room(&data->layouts[t]);
        for (size_t s = 0;; s++) {
            room = needed > room ? needed : room;
            if (s == data->steps)
                break;
            needed = layout_room(&data->grad_layouts[s * data->tensors + t]);
        }
        data->offset[t + 1] = (data->offset[t] + room * case_size(data, t) + 2 * ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    }
}

bool case_is_flat(const case_data *data, size_t tensor)
{
    const vectors *v = data->file;
    size_t row = data->tensor_begin + tensor;
    bool flat = v->tensor.layout[row] == VECTORS_NONE;
    for (size_t s = 0; s < data->steps; s++)
        flat = flat && v->grad.layout[v->tensor.grad_begin[row] + s] == VECTORS_NONE;
    return flat;
}

void case_oracle_layout(const case_data *data, size_t tensor, size_t step, sgd_oracle_layout *out)
{
    const case_layout *param = &data->layouts[tensor], *grad = &data->grad_layouts[step * data->tensors + tensor];
    size_t bytes = (size_t)param->ndim * sizeof *param->strides;
    out->ndim = (uint32_t)param->ndim;
    memcpy(out->shape, param->shape, bytes);
    memcpy(out->param_strides, param->strides, bytes);
    memcpy(out->grad_strides, grad->strides, bytes);
}

/* ---- how to judge -------------------------------------------------------------------------------------------------- */

static bool any_nan(const case_data *data, size_t group)
{
    bool nan = false;
    for (size_t step = 0; step < data->steps; step++) {
        case_options options = case_options_of(data, group, step);
        const float *scale = case_grad_scale(data, step);
        nan |= isnan(options.lr) || isnan(options.momentum) || isnan(options.dampening) || isnan(options.weight_decay) ||
               (scale && isnan(*scale));
    }
    return nan;
}

static void add_defect(case_data *data, const ledger_defect *defect)
{
    size_t i = 0;
    while (i < CASE_DEFECTS && data->defects[i] && data->defects[i] != defect)
        i++;
    if (defect && i < CASE_DEFECTS)
        data->defects[i] = defect;
}

/* The tensor as the oracle sees it in a step, its buffer lying like the first gradient: fused makes it so. */
static void add_storage_defect(case_data *data, const ledger *ledger, size_t tensor, size_t step)
{
    size_t place = step * data->tensors + tensor;
    sgd_oracle_layout layout;
    if (data->path != SGD_FUSED || case_is_flat(data, tensor) || !data->grads[place])
        return;
    case_oracle_layout(data, tensor, step, &layout);
    for (size_t s = 0; s <= step; s++)
        if (data->grads[s * data->tensors + tensor]) {
            const case_layout *first = &data->grad_layouts[s * data->tensors + tensor];
            memcpy(layout.buffer_strides, first->strides, (size_t)first->ndim * sizeof *first->strides);
            break;
        }
    sgd_oracle_tensor seen = {.dtype = case_dtype(data, tensor), .numel = case_numel(data, tensor), .has_buffer = true,
                              .grad = (void *)(uintptr_t)data->grads[place], .layout = &layout};
    sgd_oracle_options options = case_oracle_options(data, 0, step, SGD_DEFECTS_REPRODUCE);
    const char *id = sgd_oracle_storage_defect(data->oracle, &options, &seen);
    if (id)
        add_defect(data, ledger_find_id(ledger, id));
}

static void open_rules(case_data *data, const ledger *ledger)
{
    size_t t = 0;
    for (size_t g = 0; g < data->groups; g++) {
        bool nan_option = any_nan(data, g);
        for (size_t end = t + data->file->group.tensor_count[data->group_begin + g]; t < end; t++) {
            sgd_dtype dtype = case_dtype(data, t);
            data->nan[t] = nan_option ? SGD_NAN_CLASS
                                      : sgd_rulebook_nan(sgd_rulebook_torch(), data->contract, data->path, dtype);
            add_defect(data, ledger_find(ledger, data->contract, data->path, dtype));
            for (size_t step = 0; step < data->steps; step++)
                add_storage_defect(data, ledger, t, step);
        }
    }
}

const char *case_unjudged(const vectors *file, size_t row)
{
    if (vectors_contract(file, row) == SGD_CONTRACT_COUNT)
        return "no contract is written down";
    size_t problem = file->cases.problem[row], begin = vectors_tensor_begin(file, problem);
    for (size_t t = 0; t < vectors_tensor_count(file, problem); t++) {
        uint32_t layout = file->tensor.layout[begin + t];
        if (layout != VECTORS_NONE && file->layout.ndim[layout] > SGD_ORACLE_DIMS)
            return "the oracle does not take so many dimensions";
    }
    return sparse_case_is(file, problem) ? sparse_case_unjudged(file, row) : NULL;
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
    data->layouts = calloc(data->tensors, sizeof *data->layouts);
    data->grad_layouts = calloc(data->steps * data->tensors, sizeof *data->grad_layouts);
    if (!data->nan || !data->offset || !data->params || !data->grads || !data->layouts || !data->grad_layouts ||
        !open_inputs(data))
        return false;
    open_rules(data, ledger);
    measure_planes(data);
    return true;
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
    free(data->layouts);
    free(data->grad_layouts);
}

/* ---- planes -------------------------------------------------------------------------------------------------------- */

unsigned char *case_plane(const case_data *data)
{
    unsigned char *plane = aligned_alloc(ALIGNMENT, data->offset[data->tensors]);
    if (plane)
        memset(plane, MARGIN, data->offset[data->tensors]);
    return plane;
}

void case_place(const case_data *data, size_t tensor, const case_layout *layout, const void *elements, unsigned char *plane)
{
    unsigned char *room = plane + data->offset[tensor];
    memset(room, MARGIN, data->offset[tensor + 1] - data->offset[tensor]);
    layout_scatter(layout, case_size(data, tensor), elements, room);
}

bool case_room_intact(const case_data *data, const unsigned char *plane, const case_layout *layout, size_t tensor)
{
    const unsigned char *room = plane + data->offset[tensor];
    size_t bytes = data->offset[tensor + 1] - data->offset[tensor], i = 0;
    unsigned char *copy = NULL;
    if (layout_is_plain(layout)) {
        i = case_bytes(data, tensor);
    } else {
        copy = malloc(bytes);
        if (!copy)
            return false;
        memcpy(copy, room, bytes);
        layout_blank(layout, case_size(data, tensor), MARGIN, copy);
        room = copy;
    }
    while (i < bytes && room[i] == MARGIN)
        i++;
    free(copy);
    return i == bytes;
}
