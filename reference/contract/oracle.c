/* oracle.c - torch/optim/sgd.py over the rules: which stage runs on which segment of which tensor; see oracle.h. */
#include "oracle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block.h"
#include "flat.h"
#include "iterate.h"
#include "strided.h"

sgd_oracle *sgd_oracle_create(const sgd_rulebook *book, char *message, size_t message_size)
{
    char unwanted[1];
    if (!message)
        message = unwanted, message_size = sizeof unwanted;
    sgd_oracle *oracle = malloc(sizeof *oracle + book->rule_count * sizeof oracle->programs[0]);
    if (!oracle) {
        snprintf(message, message_size, "out of memory");
        return NULL;
    }
    oracle->book = book;
    size_t wrong;
    if (!expression_parse_products(book->products, book->product_count, &oracle->products, &wrong)) {
        const sgd_product *line = wrong < book->product_count ? &book->products[wrong] : NULL;
        snprintf(message, message_size, "product %s does not parse: %s; %s", line ? line->name : "of too many",
                 line ? line->parts[0] : "", line ? line->parts[1] : "");
        free(oracle);
        return NULL;
    }
    for (size_t i = 0; i < book->rule_count; i++)
        if (!expression_parse(book->rules[i].text, &oracle->products, &oracle->programs[i])) {
            snprintf(message, message_size, "rule %zu does not parse: %s", i, book->rules[i].text);
            free(oracle);
            return NULL;
        }
    return oracle;
}

void sgd_oracle_destroy(sgd_oracle *oracle) { free(oracle); }

sgd_segment sgd_oracle_segment(const sgd_oracle *oracle, const sgd_oracle_options *options, sgd_dtype dtype, size_t numel,
                               size_t index)
{
    const sgd_width *width = sgd_rulebook_width(oracle->book, options->path, dtype);
    size_t row = segments_row(width, options->torch_threads, numel), begin = index - index % row;
    size_t length = row < numel - begin ? row : numel - begin;
    return index - begin < segments_body(width, options->defects, length) ? SGD_SEGMENT_BODY : SGD_SEGMENT_TAIL;
}

size_t sgd_oracle_row(const sgd_oracle *oracle, const sgd_oracle_options *options, sgd_dtype dtype, size_t numel)
{
    return segments_row(sgd_rulebook_width(oracle->book, options->path, dtype), options->torch_threads, numel);
}

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

/* ---- what PyTorch refuses ------------------------------------------------------------------------------------------- */

/* Fused walks a tensor's memory from its first element on, strides or no strides. */
const char *sgd_oracle_storage_defect(const sgd_oracle *oracle, const sgd_oracle_options *options,
                                      const sgd_oracle_tensor *tensor)
{
    const sgd_oracle_layout *layout = tensor->layout;
    const sgd_width *width = sgd_rulebook_width(oracle->book, options->path, tensor->dtype);
    if (!layout || !width || !tensor->grad)
        return NULL;
    bool buffer = tensor->has_buffer && options->momentum != 0;
    bool flat = iterate_same_order(layout->ndim, layout->shape, layout->param_strides, layout->grad_strides) &&
                (!buffer || iterate_same_order(layout->ndim, layout->shape, layout->param_strides, layout->buffer_strides));
    return flat ? NULL : width->storage;
}

/* Whether a walk over numel elements from the first stays in the tensor. */
static bool holds_its_elements(const sgd_oracle_layout *layout, const int64_t *strides)
{
    return iterate_span(layout->ndim, layout->shape, strides) >= iterate_numel(layout->ndim, layout->shape);
}

static bool takes(const sgd_oracle *oracle, const sgd_oracle_options *options, const sgd_oracle_tensor *tensor)
{
    const sgd_oracle_layout *layout = tensor->layout;
    bool buffer = tensor->has_buffer && options->momentum != 0;
    if (!sgd_rulebook_has(oracle->book, options->contract, options->path, tensor->dtype))
        return false;
    if (!layout)
        return true;
    if (layout->ndim > SGD_ORACLE_DIMS || iterate_numel(layout->ndim, layout->shape) != tensor->numel)
        return false;
    if (options->path == SGD_FUSED && options->defects == SGD_DEFECTS_REPRODUCE)
        return holds_its_elements(layout, layout->param_strides) && holds_its_elements(layout, layout->grad_strides) &&
               (!buffer || holds_its_elements(layout, layout->buffer_strides));
    return !iterate_overlaps(layout->ndim, layout->shape, layout->param_strides) &&
           (!flat_writes_grad(options) || !iterate_overlaps(layout->ndim, layout->shape, layout->grad_strides)) &&
           (!buffer || !iterate_overlaps(layout->ndim, layout->shape, layout->buffer_strides));
}

static bool takes_all(const sgd_oracle *oracle, const sgd_oracle_options *options, const sgd_oracle_tensor *tensors,
                      size_t count)
{
    bool fused = options->path == SGD_FUSED;
    if (!fused && (options->has_grad_scale || options->found_inf))
        return false;
    if (options->path != SGD_FORLOOP && options->weight_decay_addcmul && options->weight_decay != 0)
        return false;
    if (fused && options->momentum != 0 && buffers_mixed(tensors, count, SGD_DTYPE_COUNT))
        return false;
    for (size_t i = 0; i < count; i++)
        if (tensors[i].grad && !takes(oracle, options, &tensors[i]))
            return false;
    return true;
}

/* ---- one tensor ------------------------------------------------------------------------------------------------------- */

/* Between a tensor's elements in their layout and the same in row-major order. */
static void copy_elements(const sgd_oracle_tensor *tensor, const int64_t *strides, void *strided, void *flat, bool back)
{
    const sgd_oracle_layout *layout = tensor->layout;
    size_t size = sgd_dtype_size(tensor->dtype);
    for (size_t i = 0; i < tensor->numel; i++) {
        char *own = (char *)strided + size * iterate_index_offset(layout->ndim, layout->shape, strides, i);
        char *other = (char *)flat + size * i;
        memcpy(back ? own : other, back ? other : own, size);
    }
}

/* Fused as it should be over layouts: element by element, in row-major order. */
static bool step_gathered(const sgd_oracle *oracle, const sgd_oracle_options *options, const sgd_oracle_tensor *tensor)
{
    const sgd_oracle_layout *layout = tensor->layout;
    size_t bytes = (tensor->numel + 1) * sgd_dtype_size(tensor->dtype);
    char *memory = malloc(3 * bytes);
    if (!memory)
        return false;
    sgd_oracle_tensor flat = *tensor;
    flat.param = memory;
    flat.grad = memory + bytes;
    flat.buffer = memory + 2 * bytes;
    copy_elements(tensor, layout->param_strides, tensor->param, flat.param, false);
    copy_elements(tensor, layout->grad_strides, tensor->grad, flat.grad, false);
    if (options->momentum != 0 && tensor->has_buffer)
        copy_elements(tensor, layout->buffer_strides, tensor->buffer, flat.buffer, false);
    bool done = flat_step(oracle, options, options->path, &flat);
    copy_elements(tensor, layout->param_strides, tensor->param, flat.param, true);
    if (flat_writes_grad(options))
        copy_elements(tensor, layout->grad_strides, tensor->grad, flat.grad, true);
    if (options->momentum != 0)
        copy_elements(tensor, layout->buffer_strides, tensor->buffer, flat.buffer, true);
    free(memory);
    return done;
}

static bool step_fused(const sgd_oracle *oracle, const sgd_oracle_options *options, const sgd_oracle_tensor *tensor)
{
    sgd_oracle_layout *layout = tensor->layout;
    bool gathered = options->defects == SGD_DEFECTS_FIX && sgd_oracle_storage_defect(oracle, options, tensor);
    if (layout && !tensor->has_buffer)
        iterate_like(layout->ndim, layout->shape, layout->grad_strides, layout->buffer_strides); /* empty_like(g) */
    return gathered ? step_gathered(oracle, options, tensor) : flat_step(oracle, options, options->path, tensor);
}

static bool is_complex(sgd_dtype dtype) { return dtype == SGD_C64 || dtype == SGD_C128; }

static bool step_tensor(const sgd_oracle *oracle, const sgd_oracle_options *options, sgd_path momentum_path,
                           const sgd_oracle_tensor *tensor)
{
    if (options->path == SGD_FUSED)
        return step_fused(oracle, options, tensor);
    if (tensor->layout || is_complex(tensor->dtype))
        return strided_step(oracle, options, momentum_path, tensor);
    return flat_step(oracle, options, momentum_path, tensor);
}

/* ---- one param group ------------------------------------------------------------------------------------------------ */

/* The path whose SCALE and MOMENTUM rules hold: with a buffer missing in a dtype's list, _multi_tensor_sgd falls back to a
 * Python loop with the for-loop's mul_; a tensor as momentum is read alike by both. */
static sgd_path momentum_path_of(const sgd_oracle_options *options, bool mixed)
{
    return options->path == SGD_FOREACH && (mixed || options->momentum_is_tensor) ? SGD_FORLOOP : options->path;
}

bool sgd_oracle_step(const sgd_oracle *oracle, const sgd_oracle_options *options, sgd_oracle_tensor *tensors, size_t count)
{
    if (!takes_all(oracle, options, tensors, count))
        return false;
    if (options->found_inf)
        return true;
    sgd_path momentum_path[SGD_DTYPE_COUNT];
    for (int dtype = 0; dtype < SGD_DTYPE_COUNT; dtype++)
        momentum_path[dtype] = momentum_path_of(options, buffers_mixed(tensors, count, (sgd_dtype)dtype));
    for (size_t i = 0; i < count; i++)
        if (tensors[i].grad && !step_tensor(oracle, options, momentum_path[tensors[i].dtype], &tensors[i]))
            return false;
    for (size_t i = 0; i < count; i++)
        if (tensors[i].grad && options->momentum != 0)
            tensors[i].has_buffer = true;
    return true;
}
