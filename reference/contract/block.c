/* block.c - see block.h. */
#include "block.h"

/* ---- segments ------------------------------------------------------------------------------------------------------ */

static size_t ceil_divide(size_t x, size_t y) { return x / y + (x % y != 0); }

size_t segments_row(const sgd_width *width, uint32_t torch_threads, size_t numel)
{
    if (!width->chunk || numel < width->chunk || torch_threads < 2)
        return numel;
    size_t rows = ceil_divide(numel, width->chunk);
    if (rows > torch_threads)
        rows = torch_threads;
    return ceil_divide(numel, rows);
}

size_t segments_body(const sgd_width *width, sgd_defects defects, size_t length)
{
    if (width->defect && defects == SGD_DEFECTS_FIX)
        return 0;
    size_t body = length - length % width->lanes;
    if (body && width->shift)
        body += (size_t)(ptrdiff_t)width->shift;
    return body < length ? body : length;
}

/* ---- blocks -------------------------------------------------------------------------------------------------------- */

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

void block_load(expression_context *context, variable which, block_place from)
{
    size_t parts = expression_parts(context->dtype), bytes = sgd_dtype_size(context->dtype) / parts;
    for (size_t part = 0; part < parts; part++) {
        block_value *value = &context->variables[which][part];
        value->stored = true;
        for (size_t i = 0; i < context->count; i++)
            value->bits[i] = load_bits(from.memory, bytes, (from.first + i * from.stride) * parts + part);
    }
}

bool block_store(const expression_context *context, variable which, block_place to)
{
    size_t parts = expression_parts(context->dtype), bytes = sgd_dtype_size(context->dtype) / parts;
    for (size_t part = 0; part < parts; part++) {
        const block_value *value = &context->variables[which][part];
        if (!value->stored && bytes == 2)
            return false;
        for (size_t i = 0; i < context->count; i++)
            store_bits(to.memory, bytes, (to.first + i * to.stride) * parts + part, value->bits[i]);
    }
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

void block_open(const sgd_oracle *oracle, const sgd_oracle_options *options, sgd_dtype dtype, sgd_segment segment,
                expression_context *out)
{
    const sgd_narrowing *line = sgd_rulebook_narrowing(oracle->book, options->contract, dtype, segment);
    out->dtype = dtype;
    out->nan_becomes = line ? line->narrow : SGD_NARROW_KEEP_TOP;
    set_scalar(out, SCALAR_LR, options->lr);
    set_scalar(out, SCALAR_WD, options->weight_decay);
    set_scalar(out, SCALAR_M, options->momentum);
    set_scalar(out, SCALAR_C, 1 - options->dampening);
    set_scalar(out, SCALAR_S, (double)options->grad_scale);
    set_scalar(out, SCALAR_ZERO, 0);
    set_scalar(out, SCALAR_ONE, 1);
    set_scalar(out, SCALAR_C_IN_FLOAT, (double)(1 - (float)options->dampening));
}

bool block_run(const sgd_oracle *oracle, sgd_contract contract, sgd_path path, sgd_segment segment, sgd_stage stage,
               expression_context *context)
{
    const sgd_rule *rule = sgd_rulebook_rule(oracle->book, contract, path, context->dtype, segment, stage);
    if (!rule)
        return false;
    expression_run(&oracle->programs[rule - oracle->book->rules], context);
    return true;
}
