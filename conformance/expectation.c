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
}

/* ---- the oracle's -------------------------------------------------------------------------------------------------- */

/* The oracle's state, one copy for each step, all in one block: planes of params, buffers, gradients, undefined flags. */
typedef struct trace {
    const case_data *data;
    sgd_oracle_tensor *tensors;
    size_t plane, copy; /* bytes of a plane, and of the planes of one step */
    unsigned char *memory;
} trace;

enum { PARAMS, BUFFERS, GRADS, UNDEFINED, PLANES };

/* Moves the state into the copy of `step`, with that step's gradients. */
static void begin_step(trace *run, size_t step)
{
    const case_data *data = run->data;
    unsigned char *now = run->memory + step * run->copy;
    for (size_t t = 0; t < data->tensors; t++) {
        sgd_oracle_tensor *tensor = &run->tensors[t];
        size_t bytes = case_bytes(data, t), at = data->offset[t];
        const void *grad = data->grads[step * data->tensors + t];
        memcpy(now + PARAMS * run->plane + at, tensor->param, bytes);
        if (tensor->has_buffer)
            memcpy(now + BUFFERS * run->plane + at, tensor->buffer, bytes);
        if (grad)
            memcpy(now + GRADS * run->plane + at, grad, bytes);
        if (data->defect && step)
            memcpy(now + UNDEFINED * run->plane + at, tensor->undefined, tensor->numel);
        tensor->param = now + PARAMS * run->plane + at;
        tensor->buffer = now + BUFFERS * run->plane + at;
        tensor->grad = grad ? now + GRADS * run->plane + at : NULL;
        tensor->undefined = data->defect ? now + UNDEFINED * run->plane + at : NULL;
        if (data->defect && !step)
            memset(tensor->undefined, 0, tensor->numel);
    }
}

static bool step_groups(trace *run, sgd_defects defects)
{
    const case_data *data = run->data;
    size_t first = 0;
    for (size_t g = 0; g < data->groups; g++) {
        sgd_oracle_options options = case_options(data, g, defects);
        size_t count = data->file->group.tensor_count[data->group_begin + g];
        if (!sgd_oracle_step(data->oracle, &options, run->tensors + first, count))
            return false;
        first += count;
    }
    return true;
}

static void end_step(const trace *run, size_t step, const expectation *out)
{
    for (size_t t = 0; t < run->data->tensors; t++) {
        const sgd_oracle_tensor *tensor = &run->tensors[t];
        *expected_at(out, run->data, step, t, CASE_PARAM) =
            (expected_array){.exists = true, .elements = tensor->param};
        *expected_at(out, run->data, step, t, CASE_BUFFER) =
            (expected_array){.exists = tensor->has_buffer, .elements = tensor->buffer, .undefined = tensor->undefined};
        *expected_at(out, run->data, step, t, CASE_GRAD) =
            (expected_array){.exists = tensor->grad != NULL, .elements = tensor->grad};
    }
}

static bool run_oracle(trace *run, sgd_defects defects, const expectation *out)
{
    const case_data *data = run->data;
    for (size_t t = 0; t < data->tensors; t++)
        run->tensors[t] = (sgd_oracle_tensor){
            .dtype = case_dtype(data, t), .numel = case_numel(data, t), .param = (void *)(uintptr_t)data->params[t]};
    for (size_t step = 0; step < data->steps; step++) {
        begin_step(run, step);
        if (!step_groups(run, defects))
            return false;
        end_step(run, step, out);
    }
    return true;
}

bool expectation_by_oracle(expectation *out, const case_data *data, sgd_defects defects)
{
    trace run = {.data = data, .plane = data->offset[data->tensors]};
    run.copy = run.plane * (data->defect ? PLANES : UNDEFINED);
    run.tensors = calloc(data->tensors, sizeof *run.tensors);
    bool done = allocate_arrays(out, data) && run.tensors && (out->memory = aligned_alloc(64, data->steps * run.copy));
    run.memory = out->memory;
    done = done && run_oracle(&run, defects, out);
    free(run.tensors);
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
            expected_at(out, data, step, t, CASE_BUFFER)->undefined =
                expected_at(reproduced, data, step, t, CASE_BUFFER)->undefined;
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
