/* expectation.c - see expectation.h. */
#include "expectation.h"

#include <stdlib.h>
#include <string.h>

#include "generate.h"

expected_array *expected_at(const expectation *expectation, const case_data *data, size_t step, size_t tensor,
                            case_array which)
{
    return &expectation->arrays[(step * data->tensors + tensor) * CASE_ARRAY_COUNT + which];
}

static bool allocate_arrays(expectation *out, const case_data *data)
{
    out->memory = NULL;
    out->arrays = calloc(data->steps * data->tensors * CASE_ARRAY_COUNT, sizeof *out->arrays);
    return out->arrays != NULL;
}

void expectation_free(expectation *expectation)
{
    free(expectation->arrays);
    free(expectation->memory);
    expectation->arrays = NULL;
    expectation->memory = NULL;
}

/* ---- the oracle's -------------------------------------------------------------------------------------------------- */

/* The state that the oracle steps, and behind it what it has been after each step, in row-major order: planes of params,
 * buffers, gradients, undefined flags.  Strides of buffers after each step follow. */
typedef struct trace {
    const case_data *data;
    sgd_oracle_tensor *tensors;
    sgd_oracle_layout *layouts;
    size_t plane, copy; /* bytes of a plane, and of all planes of one state */
    unsigned char *memory;
    int64_t *strides;
} trace;

enum { PARAMS, BUFFERS, GRADS, UNDEFINED, PLANES };

static void open_tensors(trace *run)
{
    const case_data *data = run->data;
    for (size_t t = 0; t < data->tensors; t++) {
        size_t at = data->offset[t];
        const case_layout *layout = &data->layouts[t];
        run->tensors[t] = (sgd_oracle_tensor){.dtype = case_dtype(data, t),
                                              .numel = case_numel(data, t),
                                              .param = run->memory + at + layout->offset * case_size(data, t),
                                              .buffer = run->memory + BUFFERS * run->plane + at,
                                              .layout = case_is_flat(data, t) ? NULL : &run->layouts[t]};
        layout_scatter(layout, case_size(data, t), data->params[t], run->memory + at);
        if (data->defects[0]) {
            run->tensors[t].undefined = run->memory + UNDEFINED * run->plane + at;
            memset(run->tensors[t].undefined, 0, case_numel(data, t));
        }
    }
}

/* Brings the step's gradients. */
static void begin_step(trace *run, size_t step)
{
    const case_data *data = run->data;
    for (size_t t = 0; t < data->tensors; t++) {
        const void *grad = data->grads[step * data->tensors + t];
        const case_layout *layout = &data->grad_layouts[step * data->tensors + t];
        unsigned char *room = run->memory + GRADS * run->plane + data->offset[t];
        run->tensors[t].grad = grad ? room + layout->offset * case_size(data, t) : NULL;
        if (grad)
            layout_scatter(layout, case_size(data, t), grad, room);
        if (run->tensors[t].layout)
            case_oracle_layout(data, t, step, run->tensors[t].layout);
    }
}

static bool step_groups(trace *run, size_t step, sgd_defects defects)
{
    const case_data *data = run->data;
    size_t first = 0;
    for (size_t g = 0; g < data->groups; g++) {
        sgd_oracle_options options = case_oracle_options(data, g, step, defects);
        size_t count = data->file->group.tensor_count[data->group_begin + g];
        if (!sgd_oracle_step(data->oracle, &options, run->tensors + first, count))
            return false;
        first += count;
    }
    return true;
}

/* Where a tensor's buffer and its flags lie. */
static case_layout buffer_layout(const trace *run, size_t tensor)
{
    case_layout layout = run->data->layouts[tensor];
    layout.offset = 0;
    if (run->tensors[tensor].layout)
        layout.strides = run->tensors[tensor].layout->buffer_strides;
    return layout;
}

/* Copies the state of a tensor in row-major order. */
static void end_step(const trace *run, size_t step, size_t t, const expectation *out)
{
    const case_data *data = run->data;
    const sgd_oracle_tensor *tensor = &run->tensors[t];
    unsigned char *state = run->memory + data->offset[t], *kept = state + (step + 1) * run->copy;
    int64_t *strides = run->strides + (step * data->tensors + t) * SGD_ORACLE_DIMS;
    case_layout buffer = buffer_layout(run, t);
    size_t size = case_size(data, t), plane = run->plane;

    layout_gather(&data->layouts[t], size, state + PARAMS * plane, kept + PARAMS * plane);
    *expected_at(out, data, step, t, CASE_PARAM) = (expected_array){.exists = true, .elements = kept + PARAMS * plane};
    if (tensor->grad)
        layout_gather(&data->grad_layouts[step * data->tensors + t], size, state + GRADS * plane, kept + GRADS * plane);
    *expected_at(out, data, step, t, CASE_GRAD) =
        (expected_array){.exists = tensor->grad != NULL, .elements = kept + GRADS * plane};
    if (!tensor->has_buffer)
        return;
    layout_gather(&buffer, size, state + BUFFERS * plane, kept + BUFFERS * plane);
    if (tensor->undefined)
        layout_gather(&buffer, 1, tensor->undefined, kept + UNDEFINED * plane);
    memcpy(strides, buffer.strides, (size_t)buffer.ndim * sizeof *strides);
    *expected_at(out, data, step, t, CASE_BUFFER) =
        (expected_array){.exists = true,
                         .elements = kept + BUFFERS * plane,
                         .undefined = tensor->undefined ? kept + UNDEFINED * plane : NULL,
                         .strides = strides};
}

static bool run_oracle(trace *run, sgd_defects defects, const expectation *out)
{
    const case_data *data = run->data;
    open_tensors(run);
    for (size_t step = 0; step < data->steps; step++) {
        begin_step(run, step);
        if (!step_groups(run, step, defects))
            return false;
        for (size_t t = 0; t < data->tensors; t++)
            end_step(run, step, t, out);
    }
    return true;
}

bool expectation_by_oracle(expectation *out, const case_data *data, sgd_defects defects)
{
    trace run = {.data = data, .plane = data->offset[data->tensors]};
    run.copy = run.plane * (data->defects[0] ? PLANES : UNDEFINED);
    size_t strides = data->steps * data->tensors * SGD_ORACLE_DIMS * sizeof *run.strides;
    run.tensors = calloc(data->tensors, sizeof *run.tensors);
    run.layouts = calloc(data->tensors, sizeof *run.layouts);
    bool done = allocate_arrays(out, data) && run.tensors && run.layouts;
    out->memory = done ? malloc((data->steps + 1) * run.copy + strides) : NULL;
    run.memory = out->memory;
    if (out->memory) /* planes are multiples of 64 bytes */
        run.strides = (int64_t *)(void *)(out->memory + (data->steps + 1) * run.copy);
    done = out->memory && run_oracle(&run, defects, out);
    free(run.tensors);
    free(run.layouts);
    if (!done)
        expectation_free(out);
    return done;
}

/* ---- torch's ------------------------------------------------------------------------------------------------------- */

static bool expect_row(case_data *data, uint32_t array, expected_array *out)
{
    out->exists = array != VECTORS_NONE;
    if (!out->exists)
        return true;
    if (data->file->array.kind[array] == VECTORS_HASHED) {
        out->hash = data->file->array.where[array];
        return true;
    }
    out->elements = case_elements(data, array);
    return out->elements != NULL;
}

static bool expect_all(expectation *out, case_data *data, const expectation *reproduced)
{
    const vectors *v = data->file;
    size_t row = v->cases.outcome_begin[data->row];
    for (size_t step = 0; step < data->steps; step++)
        for (size_t t = 0; t < data->tensors; t++, row++) {
            if (!expect_row(data, v->outcome.param[row], expected_at(out, data, step, t, CASE_PARAM)) ||
                !expect_row(data, v->outcome.buffer[row], expected_at(out, data, step, t, CASE_BUFFER)) ||
                !expect_row(data, v->outcome.grad[row], expected_at(out, data, step, t, CASE_GRAD)))
                return false;
            expected_array *buffer = expected_at(out, data, step, t, CASE_BUFFER);
            buffer->undefined = expected_at(reproduced, data, step, t, CASE_BUFFER)->undefined;
            buffer->strides = layout_of(v, v->outcome.buffer_layout[row], data->tensor_begin + t).strides;
        }
    return true;
}

bool expectation_by_torch(expectation *out, case_data *data, const expectation *reproduced)
{
    bool done = allocate_arrays(out, data) && expect_all(out, data, reproduced);
    if (!done)
        expectation_free(out);
    return done;
}

void expectation_resolve(expectation *torch, const case_data *data, const expectation *reproduced)
{
    for (size_t i = 0; i < data->steps * data->tensors * CASE_ARRAY_COUNT; i++) {
        expected_array *array = &torch->arrays[i];
        const expected_array *oracle = &reproduced->arrays[i];
        size_t tensor = i / CASE_ARRAY_COUNT % data->tensors;
        if (array->exists && !array->elements && oracle->exists &&
            hash_array(case_dtype(data, tensor), case_numel(data, tensor), oracle->elements) == array->hash)
            array->elements = oracle->elements;
    }
}
