/* by_op.c - the eager paths as PyTorch runs them: one walk over memory per operation.
 *
 * torch/optim/sgd.py: _single_tensor_sgd is this over lists of one, _multi_tensor_sgd over whole lists.
 */
#include "internal.h"

#define SCRATCH_ALIGNMENT 64

size_t by_op_scratch_size(const sgd_step_tensor *tensor)
{
    size_t bytes = tensor->numel * sgd_dtype_size(tensor->dtype);
    return (bytes + SCRATCH_ALIGNMENT - 1) / SCRATCH_ALIGNMENT * SCRATCH_ALIGNMENT;
}

/* A list in the making: where each tensor's gradient is at the moment (its own memory, the scratch, its buffer). */
typedef struct walk {
    const sgd_backend *backend;
    const sgd_arithmetic *arithmetic;
    size_t count;
    const sgd_step_tensor *tensors;
    sgd_operand *operands; /* x is the current gradient between operations */
    char *scratch;
} walk;

static void start(walk *walk)
{
    for (size_t i = 0; i < walk->count; i++)
        walk->operands[i] = (sgd_operand){.dtype = walk->tensors[i].dtype,
                                          .numel = walk->tensors[i].numel,
                                          .x = walk->tensors[i].grad};
}

/* Sends the outputs of the next operation to the scratch. */
static void into_scratch(walk *walk)
{
    size_t at = 0;
    for (size_t i = 0; i < walk->count; i++) {
        walk->operands[i].out = walk->scratch ? walk->scratch + at : NULL; /* empty tensors need none */
        at += by_op_scratch_size(&walk->tensors[i]);
    }
}

static sgd_status negate(walk *walk)
{
    into_scratch(walk);
    sgd_status status = walk->backend->negate(walk->backend->context, walk->arithmetic, walk->count, walk->operands);
    for (size_t i = 0; i < walk->count; i++)
        walk->operands[i].x = walk->operands[i].out;
    return status;
}

/* g + weight_decay * p */
static sgd_status decay(walk *walk, double weight_decay)
{
    into_scratch(walk);
    for (size_t i = 0; i < walk->count; i++) {
        walk->operands[i].y = walk->operands[i].x;
        walk->operands[i].x = walk->tensors[i].param;
    }
    sgd_status status =
        walk->backend->axpy(walk->backend->context, walk->arithmetic, weight_decay, walk->count, walk->operands);
    for (size_t i = 0; i < walk->count; i++)
        walk->operands[i].x = walk->operands[i].out;
    return status;
}

/* The buffers: cloned where there is none, else buf * momentum + (1 - dampening) * g. */
static sgd_status accumulate(const walk *walk, const sgd_hyper *hyper)
{
    const sgd_backend *backend = walk->backend;
    for (size_t begin = 0, end; begin < walk->count; begin = end) {
        bool first = walk->tensors[begin].first;
        for (end = begin; end < walk->count && walk->tensors[end].first == first; end++) {
            sgd_operand *operand = &walk->operands[end];
            operand->out = walk->tensors[end].buffer;
            operand->y = operand->x; /* the gradient waits here while x is the buffer */
            if (!first)
                operand->x = operand->out;
        }
        size_t count = end - begin;
        sgd_operand *operands = &walk->operands[begin];
        sgd_status status = first ? backend->copy(backend->context, walk->arithmetic, count, operands)
                                  : backend->scale(backend->context, walk->arithmetic, hyper->momentum, count, operands);
        if (!status && !first) {
            for (size_t i = 0; i < count; i++) {
                operands[i].x = operands[i].y;
                operands[i].y = operands[i].out;
            }
            status = backend->axpy(backend->context, walk->arithmetic, 1 - hyper->dampening, count, operands);
        }
        if (status)
            return status;
    }
    return SGD_OK;
}

/* g + momentum * buf, or buf itself; x is g before and the direction after. */
static sgd_status direction(walk *walk, const sgd_hyper *hyper)
{
    if (!hyper->nesterov) {
        for (size_t i = 0; i < walk->count; i++)
            walk->operands[i].x = walk->tensors[i].buffer;
        return SGD_OK;
    }
    into_scratch(walk);
    for (size_t i = 0; i < walk->count; i++) {
        sgd_operand *operand = &walk->operands[i];
        operand->y = operand->x;
        operand->x = walk->tensors[i].buffer;
        if (walk->tensors[i].write_grad)
            operand->out = walk->tensors[i].grad;
    }
    sgd_status status =
        walk->backend->axpy(walk->backend->context, walk->arithmetic, hyper->momentum, walk->count, walk->operands);
    for (size_t i = 0; i < walk->count; i++)
        walk->operands[i].x = walk->operands[i].out;
    return status;
}

/* p - lr * direction */
static sgd_status descend(const walk *walk, double lr)
{
    for (size_t i = 0; i < walk->count; i++) {
        walk->operands[i].out = walk->tensors[i].param;
        walk->operands[i].y = walk->tensors[i].param;
    }
    return walk->backend->axpy(walk->backend->context, walk->arithmetic, -lr, walk->count, walk->operands);
}

sgd_status by_op_step(const sgd_backend *backend, const sgd_arithmetic *arithmetic, const sgd_hyper *hyper, size_t count,
                      const sgd_step_tensor *tensors, sgd_operand *operands, void *scratch)
{
    walk walk = {backend, arithmetic, count, tensors, operands, scratch};
    sgd_status status = SGD_OK;
    start(&walk);
    if (hyper->maximize)
        status = negate(&walk);
    if (!status && hyper->weight_decay != 0)
        status = decay(&walk, hyper->weight_decay);
    if (!status && hyper->momentum != 0) {
        status = accumulate(&walk, hyper);
        if (!status)
            status = direction(&walk, hyper);
    }
    return status ? status : descend(&walk, hyper->lr);
}
