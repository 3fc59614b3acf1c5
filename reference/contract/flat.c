/* flat.c - real dtypes whose elements lie one behind the other: all stages block by block; see flat.h. */
#include "flat.h"

#include <stdlib.h>
#include <string.h>

#include "block.h"

/* What is the same for all elements of a tensor in one step. */
typedef struct tensor_step {
    const sgd_oracle *oracle;
    const sgd_oracle_options *options;
    const sgd_oracle_tensor *tensor;
    const sgd_width *width;
    sgd_path momentum_path;    /* the path whose MOMENTUM rule holds */
    const uint16_t *old_buffer; /* the buffer before the step, where a rule reads its neighbours */
    bool open_nans;             /* PyTorch leaves the bits of NaNs open in this cell */
} tensor_step;

/* The element whose two 16-bit neighbours make element `index`'s momentum in a defective body (pytorch#191763). */
static size_t pair_source(size_t lanes, size_t index)
{
    size_t lane = index % lanes, block = index - lane, half = lanes / 2;
    return block + 2 * lane - (lane < half ? 0 : half);
}

static void load_pairs(const tensor_step *step, expression_context *context, size_t begin)
{
    size_t numel = step->tensor->numel;
    for (size_t i = 0; i < context->count; i++) {
        size_t source = pair_source(step->width->lanes, begin + i);
        uint64_t low = source < numel ? step->old_buffer[source] : 0;
        uint64_t high = source + 1 < numel ? step->old_buffer[source + 1] : 0;
        context->pairs[i] = low | high << 16;
    }
}

static bool run_stage(const tensor_step *step, expression_context *context, sgd_segment segment, sgd_stage stage)
{
    bool momentum = stage == SGD_STAGE_MOMENTUM;
    return block_run(step->oracle, step->options->contract, momentum ? step->momentum_path : step->options->path, segment,
                     stage, context);
}

bool flat_writes_grad(const sgd_oracle_options *options)
{
    switch (options->path) {
    case SGD_FOREACH:
        return options->nesterov && options->momentum != 0 && options->weight_decay == 0 && !options->maximize;
    case SGD_FORLOOP: return options->weight_decay_addcmul && options->weight_decay != 0 && !options->maximize;
    default: return options->has_grad_scale;
    }
}

/* g = g / grad_scale; p.grad gets it rounded, the step goes on with what it was before. */
static bool unscale(const tensor_step *step, expression_context *context, sgd_segment segment, size_t begin)
{
    run_stage(step, context, segment, SGD_STAGE_UNSCALE);
    block_value kept = context->variables[VARIABLE_G][0];
    run_stage(step, context, segment, SGD_STAGE_STORE_GRAD);
    bool done = block_store(context, VARIABLE_G, (block_place){step->tensor->grad, begin, 1});
    context->variables[VARIABLE_G][0] = kept;
    return done;
}

/* Maximize and weight decay. */
static void run_gradient(const tensor_step *step, expression_context *context, sgd_segment segment)
{
    const sgd_oracle_options *options = step->options;
    bool decay = options->weight_decay != 0, addcmul = options->path == SGD_FORLOOP && options->weight_decay_addcmul;
    if (decay && options->maximize && !options->has_grad_scale && run_stage(step, context, segment, SGD_STAGE_NEGATE_DECAY))
        return;
    if (options->maximize)
        run_stage(step, context, segment, SGD_STAGE_NEGATE);
    if (decay)
        run_stage(step, context, segment, addcmul ? SGD_STAGE_DECAY_ADDCMUL : SGD_STAGE_DECAY);
}

/* At most EXPRESSION_BLOCK elements of one segment, through all stages. */
static bool step_block(const tensor_step *step, expression_context *context, sgd_segment segment, size_t begin)
{
    const sgd_oracle_options *options = step->options;
    const sgd_oracle_tensor *tensor = step->tensor;
    bool momentum = options->momentum != 0, writes = flat_writes_grad(options);
    block_place param = {tensor->param, begin, 1}, grad = {tensor->grad, begin, 1}, buffer = {tensor->buffer, begin, 1};

    block_load(context, VARIABLE_P, param);
    block_load(context, VARIABLE_G, grad);
    if (momentum && tensor->has_buffer)
        block_load(context, VARIABLE_B, buffer);
    if (step->old_buffer)
        load_pairs(step, context, begin);

    if (options->has_grad_scale && !unscale(step, context, segment, begin))
        return false;
    run_gradient(step, context, segment);
    if (writes && options->path == SGD_FORLOOP && !block_store(context, VARIABLE_G, grad))
        return false;
    if (momentum) {
        run_stage(step, context, segment, tensor->has_buffer ? SGD_STAGE_MOMENTUM : SGD_STAGE_FIRST);
        if (options->nesterov)
            run_stage(step, context, segment, SGD_STAGE_NESTEROV);
        else
            context->variables[VARIABLE_G][0] = context->variables[VARIABLE_B][0];
    }
    bool addcmul = options->path == SGD_FORLOOP && options->lr_addcmul;
    run_stage(step, context, segment, addcmul ? SGD_STAGE_PARAM_ADDCMUL : SGD_STAGE_PARAM);
    if (momentum)
        run_stage(step, context, segment, SGD_STAGE_STORE);

    return block_store(context, VARIABLE_P, param) && (!momentum || block_store(context, VARIABLE_B, buffer)) &&
           (!writes || options->path != SGD_FOREACH || block_store(context, VARIABLE_G, grad));
}

static bool step_segment(const tensor_step *step, sgd_segment segment, size_t begin, size_t end)
{
    expression_context context = {0};
    block_open(step->oracle, step->options, step->tensor->dtype, segment, &context);
    for (size_t at = begin; at < end; at += context.count) {
        context.count = end - at < EXPRESSION_BLOCK ? end - at : EXPRESSION_BLOCK;
        if (!step_block(step, &context, segment, at))
            return false;
    }
    return true;
}

/* Whether an element of the old buffer is a NaN whose bits PyTorch leaves open: read as half a float it is anything. */
static bool is_open_nan(const tensor_step *step, size_t index)
{
    uint16_t infinity = step->tensor->dtype == SGD_F16 ? 0x7C00 : 0x7F80;
    return step->open_nans && (step->old_buffer[index] & 0x7FFF) > infinity;
}

/* Flags the buffer elements that the defective body leaves undefined: those that read beyond the buffer, race with the next
 * thread's chunk, or read an element that is undefined already or an open NaN. */
static void mark_undefined(const tensor_step *step, size_t body)
{
    uint8_t *undefined = step->tensor->undefined;
    size_t lanes = step->width->lanes, numel = step->tensor->numel;
    size_t pairs = (numel + 2 * lanes - 1) / (2 * lanes), threads = step->options->torch_threads;
    size_t chunk = 2 * lanes * ((pairs + threads - 1) / threads);
    for (size_t i = 0; i < body; i++) {
        size_t low = pair_source(lanes, i), chunk_end = i - i % chunk + chunk;
        bool raced = chunk_end < numel && i + 4 >= chunk_end;
        if (raced || low + 1 >= numel) {
            undefined[i] = SGD_UNDEFINED_CHANCE;
            continue;
        }
        /* Elements at or behind i only are read, so the flags of this step overwrite none that is still needed. */
        undefined[i] = undefined[low] | undefined[low + 1];
        if (is_open_nan(step, low) || is_open_nan(step, low + 1))
            undefined[i] |= SGD_UNDEFINED_OPEN_NAN;
    }
}

static bool run_tensor(tensor_step *step)
{
    const sgd_oracle_tensor *tensor = step->tensor;
    const sgd_oracle_options *options = step->options;
    bool defective = step->width->defect && options->defects == SGD_DEFECTS_REPRODUCE;
    bool reads_pairs = defective && options->momentum != 0 && tensor->has_buffer && tensor->numel;
    uint16_t *copy = NULL;
    if (reads_pairs) {
        copy = malloc(tensor->numel * sizeof *copy);
        if (!copy)
            return false;
        memcpy(copy, tensor->buffer, tensor->numel * sizeof *copy);
    }
    step->old_buffer = copy;

    bool done = true;
    size_t row = segments_row(step->width, options->torch_threads, tensor->numel);
    for (size_t begin = 0; done && begin < tensor->numel; begin += row) {
        size_t length = row < tensor->numel - begin ? row : tensor->numel - begin;
        size_t body = segments_body(step->width, options->defects, length);
        done = step_segment(step, SGD_SEGMENT_BODY, begin, begin + body) &&
               step_segment(step, SGD_SEGMENT_TAIL, begin + body, begin + length);
        if (reads_pairs && tensor->undefined)
            mark_undefined(step, body);
    }
    free(copy);
    return done;
}

bool flat_step(const sgd_oracle *oracle, const sgd_oracle_options *options, sgd_path momentum_path,
               const sgd_oracle_tensor *tensor)
{
    sgd_nan nan = sgd_rulebook_nan(oracle->book, options->contract, options->path, tensor->dtype);
    tensor_step step = {.oracle = oracle,
                        .options = options,
                        .tensor = tensor,
                        .width = sgd_rulebook_width(oracle->book, options->path, tensor->dtype),
                        .momentum_path = momentum_path,
                        .open_nans = nan == SGD_NAN_CLASS};
    return run_tensor(&step);
}
