/* strided.c - torch/optim/sgd.py, _single_tensor_sgd and _multi_tensor_sgd, one operation of PyTorch's after the other.
 *
 * What is a body or a tail depends on how an operation walks its operands, so each stage has its own; see iterate.h. */
#include "strided.h"

#include <stdlib.h>
#include <string.h>

#include "block.h"
#include "iterate.h"

/* A tensor as one operation sees it. */
typedef struct view {
    void *memory;
    int64_t strides[SGD_ORACLE_DIMS];
} view;

typedef struct strided {
    const sgd_oracle *oracle;
    const sgd_oracle_options *options;
    sgd_path momentum_path;
    sgd_dtype dtype;
    const sgd_width *width;
    size_t ndim, numel;
    const int64_t *shape;
    view variables[VARIABLE_COUNT];
    void *owned[4]; /* results of operations, freed at the end */
    size_t owned_count;
} strided;

/* What an operation computes, and from which variables in PyTorch's order of operands; a scalar may be a further one. */
typedef struct stage_operands {
    variable target;
    size_t count;
    variable inputs[2];
    bool has_scalar;
} stage_operands;

static const stage_operands operands_of[SGD_STAGE_COUNT] = {
    [SGD_STAGE_NEGATE] = {VARIABLE_G, 1, {VARIABLE_G}, false},
    [SGD_STAGE_DECAY] = {VARIABLE_G, 2, {VARIABLE_G, VARIABLE_P}, false},
    [SGD_STAGE_DECAY_ADDCMUL] = {VARIABLE_G, 2, {VARIABLE_G, VARIABLE_P}, true},
    [SGD_STAGE_FIRST] = {VARIABLE_B, 1, {VARIABLE_G}, false},
    [SGD_STAGE_SCALE] = {VARIABLE_B, 1, {VARIABLE_B}, true},
    [SGD_STAGE_MOMENTUM] = {VARIABLE_B, 2, {VARIABLE_B, VARIABLE_G}, false},
    [SGD_STAGE_NESTEROV] = {VARIABLE_G, 2, {VARIABLE_G, VARIABLE_B}, false},
    [SGD_STAGE_PARAM] = {VARIABLE_P, 2, {VARIABLE_P, VARIABLE_G}, false},
    [SGD_STAGE_PARAM_ADDCMUL] = {VARIABLE_P, 2, {VARIABLE_P, VARIABLE_G}, true},
};

/* Where its result goes. */
typedef enum destination { TO_NEW, TO_TARGET } destination;

/* ---- one row of one operation --------------------------------------------------------------------------------------- */

typedef struct row {
    const strided *state;
    sgd_path path;
    sgd_stage stage;
    const iteration *iteration;
    const view *out;
    size_t first, length; /* places in the iteration's order */
} row;

static block_place place_of(const row *row, const view *view, size_t operand, size_t at)
{
    return (block_place){view->memory, iterate_offset(row->iteration, operand, row->first + at),
                         (size_t)row->iteration->strides[operand][0]};
}

/* Without dimensions, a hyper-parameter of a wider dtype draws the whole operation there; its result is rounded once
 * more (c10::promoteTypes; TensorIterator casts inputs and output). */
static sgd_dtype common_dtype(const strided *state, sgd_stage stage)
{
    const sgd_oracle_options *options = state->options;
    sgd_dtype own = state->dtype, other = own;
    if (stage == SGD_STAGE_PARAM_ADDCMUL)
        other = options->lr_dtype;
    else if (stage == SGD_STAGE_DECAY_ADDCMUL)
        other = options->weight_decay_dtype;
    else if (stage == SGD_STAGE_SCALE && options->momentum_is_tensor)
        other = options->momentum_dtype;
    if (state->ndim > 0 || own == other)
        return own;
    if (own == SGD_C64 || own == SGD_C128)
        return own == SGD_C64 && other == SGD_F64 ? SGD_C128 : own;
    return own == SGD_F64 || other == SGD_F64 ? SGD_F64 : SGD_F32;
}

/* ATen's conversion of a single f16 to float makes every NaN this one, which keeps all its bits on the way back. */
#define F32_OF_F16_NAN UINT64_C(0x7FFFFFFF)

static bool is_f16_nan(uint64_t bits) { return (bits & 0x7FFF) > 0x7C00; }

/* Between working formats of the tensor's own dtype and the common one. */
static void convert(sgd_dtype own, expression_context *context, sgd_dtype from, sgd_dtype to)
{
    if (from == SGD_F32 && to == SGD_F16)
        context->nan_becomes = SGD_NARROW_KEEP_TOP;
    for (int which = 0; which < VARIABLE_COUNT; which++)
        for (size_t part = 0; part < expression_parts(from); part++)
            for (size_t i = 0; i < context->count; i++) {
                uint64_t *bits = &context->variables[which][part].bits[i];
                uint64_t widened = from == own ? rounding_widen(from, *bits) : *bits;
                uint64_t moved = rounding_convert(working_of(from), working_of(to), widened);
                if (from == SGD_F16 && to == SGD_F32 && is_f16_nan(*bits))
                    moved = F32_OF_F16_NAN;
                *bits = to == own ? rounding_narrow(to, context->nan_becomes, moved) : moved;
            }
}

static bool run_promoted(const row *row, expression_context *context, sgd_segment segment, sgd_dtype common)
{
    const strided *state = row->state;
    sgd_narrow nan_becomes = context->nan_becomes;
    convert(state->dtype, context, state->dtype, common);
    block_open(state->oracle, state->options, common, segment, context);
    bool done = block_run(state->oracle, state->options->contract, row->path, segment, row->stage, context);
    context->nan_becomes = nan_becomes;
    convert(state->dtype, context, common, state->dtype);
    context->dtype = state->dtype;
    context->variables[operands_of[row->stage].target][0].stored = true;
    return done;
}

static bool run_segment(const row *row, sgd_segment segment, size_t begin, size_t end)
{
    const strided *state = row->state;
    const stage_operands *operands = &operands_of[row->stage];
    sgd_dtype common = common_dtype(state, row->stage);
    expression_context context = {0};
    if (begin < end)
        block_open(state->oracle, state->options, state->dtype, segment, &context);
    for (size_t at = begin; at < end; at += context.count) {
        context.count = end - at < EXPRESSION_BLOCK ? end - at : EXPRESSION_BLOCK;
        for (size_t k = 0; k < operands->count; k++)
            block_load(&context, operands->inputs[k], place_of(row, &state->variables[operands->inputs[k]], k + 1, at));
        bool done = common == state->dtype ? block_run(state->oracle, state->options->contract, row->path, segment,
                                                       row->stage, &context)
                                           : run_promoted(row, &context, segment, common);
        if (!done || !block_store(&context, operands->target, place_of(row, row->out, 0, at)))
            return false;
    }
    return true;
}

static bool is_vectorised(sgd_inner inner) { return inner <= SGD_INNER_BROADCAST_OTHER; }

static bool run_row(const row *row)
{
    const strided *state = row->state;
    size_t body = is_vectorised(row->iteration->inner) ? segments_body(state->width, SGD_DEFECTS_FIX, row->length) : 0;
    size_t begin = row->length, end = row->length;
    const sgd_tail_group *group = sgd_rulebook_group(state->oracle->book, state->options->contract, state->dtype, row->stage,
                                                     row->iteration->inner);
    if (group && sgd_tail_group_end(group, row->length - body) > group->begin) {
        begin = body + group->begin;
        end = body + sgd_tail_group_end(group, row->length - body);
    }
    return run_segment(row, SGD_SEGMENT_BODY, 0, body) && run_segment(row, SGD_SEGMENT_TAIL, body, begin) &&
           run_segment(row, SGD_SEGMENT_GROUP, begin, end) && run_segment(row, SGD_SEGMENT_TAIL, end, row->length);
}

/* ---- one operation -------------------------------------------------------------------------------------------------- */

/* Memory for a tensor without gaps. */
static bool make_result(strided *state, view *out)
{
    out->memory = malloc(state->numel * sgd_dtype_size(state->dtype) + 1);
    state->owned[state->owned_count++] = out->memory;
    return out->memory != NULL;
}

/* The inner loop is called with whole rows, or with what a thread's chunk has of them (serial_for_each). */
static bool run_rows(const strided *state, sgd_path path, sgd_stage stage, const iteration *iteration, const view *out)
{
    size_t chunk = segments_row(state->width, state->options->torch_threads, state->numel);
    size_t inner = (size_t)iteration->shape[0];
    for (size_t begin = 0, end; begin < state->numel; begin = end) {
        size_t chunk_end = begin - begin % chunk + chunk, row_end = begin - begin % inner + inner;
        end = chunk_end < row_end ? chunk_end : row_end;
        end = end < state->numel ? end : state->numel;
        if (!run_row(&(row){state, path, stage, iteration, out, begin, end - begin}))
            return false;
    }
    return true;
}

/* Runs a stage and lets its variable be the result: a new tensor, or what the variable was before. */
static bool run_operation(strided *state, sgd_path path, sgd_stage stage, destination to)
{
    const stage_operands *operands = &operands_of[stage];
    view out = state->variables[operands->target];
    operation operation = {.ndim = state->ndim,
                           .shape = state->shape,
                           .operands = operands->count + 1,
                           .strides = {to == TO_NEW ? NULL : out.strides},
                           .has_scalar = operands->has_scalar,
                           .in_place = to == TO_TARGET};
    for (size_t k = 0; k < operands->count; k++)
        operation.strides[k + 1] = state->variables[operands->inputs[k]].strides;
    iteration iteration;
    iterate_plan(&operation, out.strides, &iteration);
    if ((to == TO_NEW && !make_result(state, &out)) || !run_rows(state, path, stage, &iteration, &out))
        return false;
    state->variables[operands->target] = out;
    return true;
}

/* ---- the operations of a step ---------------------------------------------------------------------------------------- */

/* p.clone(); it holds the same, but may lie in another order. */
static bool clone_param(strided *state)
{
    view *param = &state->variables[VARIABLE_P], clone;
    iterate_like(state->ndim, state->shape, param->strides, clone.strides);
    if (!make_result(state, &clone))
        return false;
    size_t size = sgd_dtype_size(state->dtype);
    for (size_t i = 0; i < state->numel; i++)
        memcpy((char *)clone.memory + size * iterate_index_offset(state->ndim, state->shape, clone.strides, i),
               (const char *)param->memory + size * iterate_index_offset(state->ndim, state->shape, param->strides, i), size);
    *param = clone;
    return true;
}

static bool decay(strided *state)
{
    const sgd_oracle_options *options = state->options;
    if (!options->weight_decay_addcmul)
        return run_operation(state, options->path, SGD_STAGE_DECAY,
                   options->path == SGD_FOREACH && options->maximize ? TO_TARGET : TO_NEW);
    view param = state->variables[VARIABLE_P];
    bool done = clone_param(state) && run_operation(state, options->path, SGD_STAGE_DECAY_ADDCMUL, TO_TARGET);
    state->variables[VARIABLE_P] = param;
    return done;
}

/* buf.mul_(momentum) in a wider real dtype than the buffer's, and the rest of MOMENTUM with 1 for momentum. */
static bool momentum_promoted(strided *state, sgd_dtype common)
{
    const sgd_oracle_options *options = state->options;
    sgd_oracle_options rest = *options;
    expression_context context = {.count = 1};
    block_place buffer = {state->variables[VARIABLE_B].memory, 0, 1};
    block_open(state->oracle, options, state->dtype, SGD_SEGMENT_TAIL, &context);
    block_load(&context, VARIABLE_B, buffer);
    convert(state->dtype, &context, state->dtype, common);
    uint64_t *bits = &context.variables[VARIABLE_B][0].bits[0];
    *bits = rounding_mul(working_of(common), *bits, rounding_from_double(working_of(common), options->momentum));
    convert(state->dtype, &context, common, state->dtype);
    rest.momentum = 1;
    state->options = &rest;
    bool done = block_store(&context, VARIABLE_B, buffer) &&
                run_operation(state, state->momentum_path, SGD_STAGE_MOMENTUM, TO_TARGET);
    state->options = options;
    return done;
}

/* `buffer` is a clone of the gradient to be made, or the one there is. */
static bool momentum(strided *state, const sgd_oracle_tensor *tensor, const view *buffer)
{
    const sgd_oracle_options *options = state->options;
    sgd_path path = state->momentum_path;
    view *own = &state->variables[VARIABLE_B];
    *own = *buffer;
    if (!tensor->has_buffer) {
        iterate_like(state->ndim, state->shape, state->variables[VARIABLE_G].strides, own->strides);
        if (tensor->layout)
            memcpy(tensor->layout->buffer_strides, own->strides, state->ndim * sizeof own->strides[0]);
        return run_operation(state, options->path, SGD_STAGE_FIRST, TO_TARGET);
    }
    sgd_dtype common = common_dtype(state, SGD_STAGE_SCALE);
    if (common != state->dtype && expression_parts(common) == 1)
        return momentum_promoted(state, common);
    bool scales = sgd_rulebook_rule(state->oracle->book, options->contract, path, state->dtype, SGD_SEGMENT_TAIL,
                                    SGD_STAGE_SCALE);
    return (!scales || run_operation(state, path, SGD_STAGE_SCALE, TO_TARGET)) && run_operation(state, path, SGD_STAGE_MOMENTUM, TO_TARGET);
}

static bool run_operations(strided *state, const sgd_oracle_tensor *tensor, const view *buffer)
{
    const sgd_oracle_options *options = state->options;
    sgd_path path = options->path;
    if (options->maximize && !run_operation(state, path, SGD_STAGE_NEGATE, TO_NEW))
        return false;
    if (options->weight_decay != 0 && !decay(state))
        return false;
    if (options->momentum != 0) {
        if (!momentum(state, tensor, buffer))
            return false;
        if (!options->nesterov)
            state->variables[VARIABLE_G] = state->variables[VARIABLE_B];
        else if (!run_operation(state, path, SGD_STAGE_NESTEROV, path == SGD_FOREACH ? TO_TARGET : TO_NEW))
            return false;
    }
    bool addcmul = path == SGD_FORLOOP && options->lr_addcmul;
    return run_operation(state, path, addcmul ? SGD_STAGE_PARAM_ADDCMUL : SGD_STAGE_PARAM, TO_TARGET);
}

static view view_of(void *memory, const int64_t *strides, size_t ndim)
{
    view out = {.memory = memory};
    if (strides)
        memcpy(out.strides, strides, ndim * sizeof *strides);
    else
        out.strides[0] = 1;
    return out;
}

bool strided_step(const sgd_oracle *oracle, const sgd_oracle_options *options, sgd_path momentum_path,
                  const sgd_oracle_tensor *tensor)
{
    const sgd_oracle_layout *layout = tensor->layout;
    int64_t flat = (int64_t)tensor->numel;
    strided state = {.oracle = oracle,
                     .options = options,
                     .momentum_path = momentum_path,
                     .dtype = tensor->dtype,
                     .width = sgd_rulebook_width(oracle->book, options->path, tensor->dtype),
                     .ndim = layout ? layout->ndim : 1,
                     .numel = tensor->numel,
                     .shape = layout ? layout->shape : &flat};
    state.variables[VARIABLE_P] = view_of(tensor->param, layout ? layout->param_strides : NULL, state.ndim);
    state.variables[VARIABLE_G] = view_of(tensor->grad, layout ? layout->grad_strides : NULL, state.ndim);
    view buffer = view_of(tensor->buffer, layout ? layout->buffer_strides : NULL, state.ndim);
    bool done = run_operations(&state, tensor, &buffer);
    for (size_t i = 0; i < state.owned_count; i++)
        free(state.owned[i]);
    return done;
}
