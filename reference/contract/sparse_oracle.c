/* sparse_oracle.c - the order of operations: torch/optim/sgd.py, _single_tensor_sgd and _multi_tensor_sgd. */
#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "iterate.h"
#include "sparse_parts.h"

bool coo_refuse(const coo_step *step, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (step->message)
        vsnprintf(step->message, step->message_size, format, arguments);
    va_end(arguments);
    return false;
}

bool coo_check_alpha(const coo_step *step, double alpha)
{
    static const struct {
        double largest;
        const char *type;
    } formats[SGD_DTYPE_COUNT] = {[SGD_F64] = {DBL_MAX, "double"},
                                  [SGD_F32] = {FLT_MAX, "float"},
                                  [SGD_F16] = {65504, "c10::Half"},
                                  [SGD_BF16] = {0x1.FEp127, "c10::BFloat16"},
                                  [SGD_C64] = {FLT_MAX, "c10::complex<float>"},
                                  [SGD_C128] = {DBL_MAX, "c10::complex<double>"}};
    if (!isfinite(alpha) || fabs(alpha) <= formats[step->dtype].largest)
        return true;
    return coo_refuse(step, "RuntimeError: value cannot be converted to type %s without overflow", formats[step->dtype].type);
}

#define SPARSE_DENSE "RuntimeError: add(sparse, dense) is not supported. Use add(dense, sparse) instead."
#define NOT_SPARSE "NotImplementedError: Could not run 'aten::addcmul_' with arguments from the 'SparseCPU' backend."

/* All that a step makes; dense tensors are changed in copies until the end. */
typedef struct results {
    sgd_oracle_sparse negated, scaled, buffer, sum;
    char *param, *dense_buffer;
    const sgd_oracle_sparse *grad;
    const sgd_oracle_sparse *direction; /* NULL: the dense buffer */
} results;

static bool copy_dense(const coo_step *step, const void *memory, const int64_t *strides, char **copy)
{
    size_t bytes = step->numel ? iterate_span(step->ndim, step->shape, strides) * step->size : 0;
    *copy = malloc(bytes + 1);
    if (*copy && bytes)
        memcpy(*copy, memory, bytes);
    return *copy || coo_refuse(step, "out of memory");
}

/* Only the elements: what lies between them may be somebody else's. */
static void bring_back(const coo_step *step, void *memory, const int64_t *strides, const char *copy)
{
    for (size_t i = 0; i < step->numel; i++) {
        size_t at = step->size * iterate_index_offset(step->ndim, step->shape, strides, i);
        memcpy((char *)memory + at, copy + at, step->size);
    }
}

static bool step_buffer(const coo_step *step, bool mixed, const sgd_oracle_sparse_tensor *tensor, results *out)
{
    const sgd_oracle_options *options = step->options;
    bool as_forloop = options->path == SGD_FORLOOP || mixed || options->momentum_is_tensor;
    out->direction = &out->buffer;
    switch (tensor->buffer_kind) {
    case SGD_ORACLE_NO_BUFFER:
        return coo_clone(step, out->grad, &out->buffer);
    case SGD_ORACLE_SPARSE_BUFFER:
        return coo_scale_buffer(step, &tensor->buffer, &out->scaled) &&
               coo_sum(step, &out->scaled, out->grad, 1 - options->dampening, &out->buffer);
    default:
        out->direction = NULL;
        return copy_dense(step, tensor->dense_buffer, tensor->buffer_strides, &out->dense_buffer) &&
               coo_scale_dense(step, as_forloop ? SUM : BUFFER, options->momentum, out->dense_buffer, tensor->buffer_strides) &&
               coo_add_to_dense(step, out->dense_buffer, tensor->buffer_strides, out->grad, 1 - options->dampening);
    }
}

/* p.add_ or p.addcmul_ of a dense direction: the last stage of a dense step. */
static bool descend_dense(const coo_step *step, const sgd_oracle_sparse_tensor *tensor, results *out)
{
    sgd_oracle_layout layout = {.ndim = tensor->ndim};
    memcpy(layout.shape, tensor->shape, sizeof layout.shape);
    memcpy(layout.param_strides, tensor->param_strides, sizeof layout.param_strides);
    memcpy(layout.grad_strides, tensor->buffer_strides, sizeof layout.grad_strides);
    sgd_oracle_options options = *step->options;
    options.path = options.lr_addcmul ? SGD_FORLOOP : options.path;
    options.momentum = options.weight_decay = 0;
    options.maximize = options.nesterov = false;
    sgd_oracle_tensor dense = {.dtype = step->dtype, .numel = step->numel, .param = out->param, .grad = out->dense_buffer,
                               .layout = &layout};
    if (!options.lr_addcmul && !coo_check_alpha(step, -options.lr))
        return false;
    return sgd_oracle_step(step->oracle, &options, &dense, 1) || coo_refuse(step, "a dense step is not taken");
}

static bool run(const coo_step *step, bool mixed, const sgd_oracle_sparse_tensor *tensor, results *out)
{
    const sgd_oracle_options *options = step->options;
    out->grad = &tensor->grad;
    if (options->path == SGD_FUSED)
        return coo_refuse(step, "RuntimeError: `_fused_sgd` does not support sparse gradients");
    if (options->maximize) {
        if (!coo_negate(step, out->grad, &out->negated))
            return false;
        out->grad = &out->negated;
    }
    if (options->weight_decay != 0)
        return coo_refuse(step, options->weight_decay_addcmul ? NOT_SPARSE : SPARSE_DENSE);
    out->direction = out->grad;
    if (options->momentum != 0 && !step_buffer(step, mixed, tensor, out))
        return false;
    if (options->momentum != 0 && options->nesterov) {
        if (!out->direction)
            return coo_refuse(step, SPARSE_DENSE);
        if (!coo_sum(step, out->grad, &out->buffer, options->momentum, &out->sum))
            return false;
        out->direction = &out->sum;
    }
    if (!copy_dense(step, tensor->param, tensor->param_strides, &out->param))
        return false;
    if (!out->direction)
        return descend_dense(step, tensor, out);
    if (options->lr_addcmul)
        return coo_refuse(step, NOT_SPARSE);
    return coo_add_to_dense(step, out->param, tensor->param_strides, out->direction, -options->lr);
}

static sgd_oracle_sparse take(sgd_oracle_sparse *sparse)
{
    sgd_oracle_sparse taken = *sparse;
    *sparse = (sgd_oracle_sparse){0};
    return taken;
}

static void keep(const coo_step *step, sgd_oracle_sparse_tensor *tensor, results *out)
{
    const sgd_oracle_options *options = step->options;
    bring_back(step, tensor->param, tensor->param_strides, out->param);
    if (out->dense_buffer)
        bring_back(step, tensor->dense_buffer, tensor->buffer_strides, out->dense_buffer);
    tensor->new_buffer = take(&out->buffer);
    /* torch._foreach_add_ adds nesterov's momentum into the gradients. */
    tensor->grad_changed = options->path == SGD_FOREACH && options->momentum != 0 && options->nesterov && !options->maximize;
    if (tensor->grad_changed)
        tensor->new_grad = take(&out->sum);
}

bool sgd_oracle_sparse_step(const sgd_oracle *oracle, const sgd_oracle_options *options, bool mixed,
                            sgd_oracle_sparse_tensor *tensor, char *message, size_t message_size)
{
    coo_step step = {.oracle = oracle,
                     .options = options,
                     .dtype = tensor->dtype,
                     .size = sgd_dtype_size(tensor->dtype),
                     .ndim = tensor->ndim,
                     .numel = iterate_numel(tensor->ndim, tensor->shape),
                     .shape = tensor->shape,
                     .message = message,
                     .message_size = message_size};
    results out = {0};
    bool done = run(&step, mixed, tensor, &out);
    tensor->new_buffer = tensor->new_grad = (sgd_oracle_sparse){0};
    tensor->grad_changed = false;
    if (done)
        keep(&step, tensor, &out);
    sgd_oracle_sparse_free(&out.negated);
    sgd_oracle_sparse_free(&out.scaled);
    sgd_oracle_sparse_free(&out.buffer);
    sgd_oracle_sparse_free(&out.sum);
    free(out.param);
    free(out.dense_buffer);
    return done;
}
