/* oracle.c - torch/optim/sgd.py over the rules: which stage runs on which segment of which tensor; see oracle.h. */
#include "oracle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "expression.h"

struct sgd_oracle {
    const sgd_rulebook *book;
    expression programs[]; /* programs[i] is book->rules[i] */
};

sgd_oracle *sgd_oracle_create(const sgd_rulebook *book, char *message, size_t message_size)
{
    sgd_oracle *oracle = malloc(sizeof *oracle + book->rule_count * sizeof oracle->programs[0]);
    if (!oracle) {
        if (message)
            snprintf(message, message_size, "out of memory");
        return NULL;
    }
    oracle->book = book;
    for (size_t i = 0; i < book->rule_count; i++)
        if (!expression_parse(book->rules[i].text, &oracle->programs[i])) {
            if (message)
                snprintf(message, message_size, "rule %zu does not parse: %s", i, book->rules[i].text);
            free(oracle);
            return NULL;
        }
    return oracle;
}

void sgd_oracle_destroy(sgd_oracle *oracle) { free(oracle); }

/* ---- segments ------------------------------------------------------------------------------------------------------ */

static size_t ceil_divide(size_t x, size_t y) { return x / y + (x % y != 0); }

/* Length of the rows that a tensor falls into: PyTorch's thread chunks. */
static size_t row_length(const sgd_width *width, uint32_t torch_threads, size_t numel)
{
    if (!width->chunk || numel < width->chunk || torch_threads < 2)
        return numel;
    size_t rows = ceil_divide(numel, width->chunk);
    if (rows > torch_threads)
        rows = torch_threads;
    return ceil_divide(numel, rows);
}

static size_t body_length(const sgd_width *width, sgd_defects defects, size_t length)
{
    if (width->defect && defects == SGD_DEFECTS_FIX)
        return 0;
    size_t body = length - length % width->lanes;
    if (body && width->shift)
        body += (size_t)(ptrdiff_t)width->shift;
    return body < length ? body : length;
}

sgd_segment sgd_oracle_segment(const sgd_oracle *oracle, const sgd_oracle_options *options, sgd_dtype dtype, size_t numel,
                               size_t index)
{
    const sgd_width *width = sgd_rulebook_width(oracle->book, options->path, dtype);
    size_t row = row_length(width, options->torch_threads, numel), begin = index - index % row;
    size_t length = row < numel - begin ? row : numel - begin;
    return index - begin < body_length(width, options->defects, length) ? SGD_SEGMENT_BODY : SGD_SEGMENT_TAIL;
}

/* ---- one tensor ---------------------------------------------------------------------------------------------------- */

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

static uint64_t load_bits(const void *memory, size_t bytes, size_t index)
{
    switch (bytes) {
    case 2: return ((const uint16_t *)memory)[index];
    case 4: return ((const uint32_t *)memory)[index];
    default: return ((const uint64_t *)memory)[index];
    }
}

static void store_bits(void *memory, size_t bytes, size_t index, uint64_t bits)
{
    switch (bytes) {
    case 2: ((uint16_t *)memory)[index] = (uint16_t)bits; break;
    case 4: ((uint32_t *)memory)[index] = (uint32_t)bits; break;
    default: ((uint64_t *)memory)[index] = bits;
    }
}

static void load_block(expression_context *context, variable which, const void *memory, size_t begin)
{
    block_value *value = &context->variables[which];
    size_t bytes = sgd_dtype_size(context->dtype);
    value->stored = true;
    for (size_t i = 0; i < context->count; i++)
        value->bits[i] = load_bits(memory, bytes, begin + i);
}

/* False where the rules left a value unrounded that goes to memory. */
static bool store_block(const expression_context *context, variable which, void *memory, size_t begin)
{
    const block_value *value = &context->variables[which];
    size_t bytes = sgd_dtype_size(context->dtype);
    if (!value->stored && bytes == 2)
        return false;
    for (size_t i = 0; i < context->count; i++)
        store_bits(memory, bytes, begin + i, value->bits[i]);
    return true;
}

static void set_scalar(expression_context *context, scalar which, double value)
{
    working format = working_of(context->dtype);
    uint64_t plain = rounding_from_double(format, value);
    context->scalars[which][0] = plain;
    context->scalars[which][1] =
        rounding_widen(context->dtype, rounding_narrow(context->dtype, SGD_NARROW_KEEP_TOP, plain));
}

static void set_scalars(expression_context *context, const sgd_oracle_options *options)
{
    set_scalar(context, SCALAR_LR, options->lr);
    set_scalar(context, SCALAR_MINUS_LR, -options->lr);
    set_scalar(context, SCALAR_WD, options->weight_decay);
    set_scalar(context, SCALAR_M, options->momentum);
    set_scalar(context, SCALAR_C, 1 - options->dampening);
    set_scalar(context, SCALAR_C_IN_FLOAT, (double)(1 - (float)options->dampening));
}

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

static bool run_stage(const tensor_step *step, expression_context *context, sgd_path path, sgd_segment segment,
                      sgd_stage stage)
{
    const sgd_rulebook *book = step->oracle->book;
    const sgd_rule *rule =
        sgd_rulebook_rule(book, step->options->contract, path, context->dtype, segment, stage);
    if (!rule)
        return false;
    expression_run(&step->oracle->programs[rule - book->rules], context);
    return true;
}

/* PyTorch's foreach adds nesterov's momentum into the list of gradients in place; with weight decay or maximize that list is
 * a copy (torch/optim/sgd.py, _multi_tensor_sgd). */
static bool writes_grad(const sgd_oracle_options *options)
{
    return options->path == SGD_FOREACH && options->nesterov && options->momentum != 0 && options->weight_decay == 0 &&
           !options->maximize;
}

/* At most EXPRESSION_BLOCK elements of one segment, through all stages. */
static bool step_block(const tensor_step *step, expression_context *context, sgd_segment segment, size_t begin)
{
    const sgd_oracle_options *options = step->options;
    const sgd_oracle_tensor *tensor = step->tensor;
    sgd_path path = options->path;
    bool momentum = options->momentum != 0;

    context->nan_becomes = SGD_NARROW_KEEP_TOP;
    const sgd_narrowing *line =
        sgd_rulebook_narrowing(step->oracle->book, options->contract, tensor->dtype, segment);
    if (line)
        context->nan_becomes = line->narrow;
    load_block(context, VARIABLE_P, tensor->param, begin);
    load_block(context, VARIABLE_G, tensor->grad, begin);
    if (momentum && tensor->has_buffer)
        load_block(context, VARIABLE_B, tensor->buffer, begin);
    if (step->old_buffer)
        load_pairs(step, context, begin);

    bool decay = options->weight_decay != 0;
    if (!(decay && options->maximize && run_stage(step, context, path, segment, SGD_STAGE_NEGATE_DECAY))) {
        if (options->maximize)
            run_stage(step, context, path, segment, SGD_STAGE_NEGATE);
        if (decay)
            run_stage(step, context, path, segment, SGD_STAGE_DECAY);
    }
    if (momentum) {
        run_stage(step, context, tensor->has_buffer ? step->momentum_path : path, segment,
                  tensor->has_buffer ? SGD_STAGE_MOMENTUM : SGD_STAGE_FIRST);
        if (options->nesterov)
            run_stage(step, context, path, segment, SGD_STAGE_NESTEROV);
        else
            context->variables[VARIABLE_G] = context->variables[VARIABLE_B];
    }
    run_stage(step, context, path, segment, SGD_STAGE_PARAM);
    if (momentum)
        run_stage(step, context, path, segment, SGD_STAGE_STORE);

    return store_block(context, VARIABLE_P, tensor->param, begin) &&
           (!momentum || store_block(context, VARIABLE_B, tensor->buffer, begin)) &&
           (!writes_grad(options) || store_block(context, VARIABLE_G, tensor->grad, begin));
}

static bool step_segment(const tensor_step *step, sgd_segment segment, size_t begin, size_t end)
{
    expression_context context = {.dtype = step->tensor->dtype};
    set_scalars(&context, step->options);
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
    size_t chunk = 2 * lanes * ceil_divide(ceil_divide(numel, 2 * lanes), step->options->torch_threads);
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

static bool step_tensor(tensor_step *step)
{
    sgd_oracle_tensor const *tensor = step->tensor;
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
    size_t row = row_length(step->width, options->torch_threads, tensor->numel);
    for (size_t begin = 0; done && begin < tensor->numel; begin += row) {
        size_t length = row < tensor->numel - begin ? row : tensor->numel - begin;
        size_t body = body_length(step->width, options->defects, length);
        done = step_segment(step, SGD_SEGMENT_BODY, begin, begin + body) &&
               step_segment(step, SGD_SEGMENT_TAIL, begin + body, begin + length);
        if (reads_pairs && tensor->undefined)
            mark_undefined(step, body);
    }
    free(copy);
    return done;
}

/* ---- one param group ------------------------------------------------------------------------------------------------ */

/* Whether some tensors with a gradient have buffers and others do not; of one dtype, or of all with SGD_DTYPE_COUNT. */
static bool buffers_mixed(const sgd_oracle_tensor *tensors, size_t count, sgd_dtype dtype)
{
    bool with = false, without = false;
    for (size_t i = 0; i < count; i++)
        if (tensors[i].grad && (dtype == SGD_DTYPE_COUNT || tensors[i].dtype == dtype)) {
            with |= tensors[i].has_buffer;
            without |= !tensors[i].has_buffer;
        }
    return with && without;
}

bool sgd_oracle_step(const sgd_oracle *oracle, const sgd_oracle_options *options, sgd_oracle_tensor *tensors, size_t count)
{
    bool momentum = options->momentum != 0;
    for (size_t i = 0; i < count; i++)
        if (tensors[i].layout)
            return false;
    if (options->lr_addcmul || options->weight_decay_addcmul || options->momentum_is_tensor || options->has_grad_scale)
        return false;
    if (options->path == SGD_FUSED && momentum && buffers_mixed(tensors, count, SGD_DTYPE_COUNT))
        return false;

    /* With a buffer missing in a dtype's list, _multi_tensor_sgd falls back to a Python loop with the for-loop's mul_. */
    sgd_path momentum_path[SGD_DTYPE_COUNT];
    for (int dtype = 0; dtype < SGD_DTYPE_COUNT; dtype++)
        momentum_path[dtype] = options->path == SGD_FOREACH && buffers_mixed(tensors, count, (sgd_dtype)dtype)
                                   ? SGD_FORLOOP
                                   : options->path;

    for (size_t i = 0; i < count; i++) {
        if (!tensors[i].grad)
            continue;
        sgd_dtype dtype = tensors[i].dtype;
        if (!sgd_rulebook_has(oracle->book, options->contract, options->path, dtype))
            return false;
        tensor_step step = {
            .oracle = oracle,
            .options = options,
            .tensor = &tensors[i],
            .width = sgd_rulebook_width(oracle->book, options->path, dtype),
            .momentum_path = momentum_path[dtype],
            .open_nans = sgd_rulebook_nan(oracle->book, options->contract, options->path, dtype) == SGD_NAN_CLASS};
        if (!step_tensor(&step))
            return false;
    }
    for (size_t i = 0; i < count; i++)
        if (tensors[i].grad && momentum)
            tensors[i].has_buffer = true;
    return true;
}
