/* by_op_one.c - one eager operation: over a list, and over a tensor that is not flat.
 *
 * A backend that takes strided tensors walks them itself; for others the operands are copied into the order in which PyTorch's
 * TensorIterator walks them, where they lie otherwise.
 */
#include "by_op.h"

static bool takes_two(sgd_operation operation) { return operation == SGD_OP_AXPY || operation == SGD_OP_ADDCMUL; }

/* The order of an operation: PyTorch's operands are output, self (y), other (x). */
static void iterate(const step_item *item, sgd_operation operation, const by_op_operands *tensor, iteration *out)
{
    layout layout = {.ndim = item->param.ndim, .shape = item->param.shape};
    layout.strides[0] = tensor->in_place ? tensor->out.strides : NULL;
    layout.strides[1] = takes_two(operation) ? tensor->y.strides : tensor->x.strides;
    layout.strides[2] = takes_two(operation) ? tensor->x.strides : NULL;
    iteration_make(&layout, tensor->in_place, out);
    if (operation == SGD_OP_ADDCMUL)
        out->inner = layout_inner_beside_scalar(out->inner);
}

static sgd_status copy_in_order(const by_op_walk *walk, const step_item *item, const iteration *it, int operand, void *memory,
                                void *tensor, bool back)
{
    size_t size = sgd_dtype_size(item->param.dtype);
    return back ? walk->backend->copy_strided(walk->backend->context, size, it->ndim, it->shape, tensor, it->strides[operand],
                                              memory, it->in_order)
                : walk->backend->copy_strided(walk->backend->context, size, it->ndim, it->shape, memory, it->in_order, tensor,
                                              it->strides[operand]);
}

/* An operand in the order of the iteration: itself, or a copy in the scratch. */
static sgd_status bring_in_order(const by_op_walk *walk, const by_op_tensor *tensor, const iteration *it, int operand, void **data)
{
    if (iteration_is_in_order(it, operand))
        return SGD_OK;
    void *copy = tensor->scratch + (size_t)(operand + 1) * step_item_bytes(tensor->item);
    sgd_status status = copy_in_order(walk, tensor->item, it, operand, copy, *data, false);
    *data = copy;
    return status;
}

sgd_status by_op_call(const by_op_walk *walk, sgd_operation operation, double scalar, double value, size_t count,
                      const sgd_operand *operands)
{
    const sgd_backend *backend = walk->backend;
    switch (operation) {
    case SGD_OP_NEGATE: return backend->negate(backend->context, walk->arithmetic, count, operands);
    case SGD_OP_COPY: return backend->copy(backend->context, walk->arithmetic, count, operands);
    case SGD_OP_AXPY: return backend->axpy(backend->context, walk->arithmetic, scalar, count, operands);
    case SGD_OP_SCALE: return backend->scale(backend->context, walk->arithmetic, scalar, count, operands);
    default: return backend->addcmul(backend->context, walk->arithmetic, value, scalar, count, operands);
    }
}

/* An operation whose operands the backend brings into order. */
static sgd_status run_in_order(const by_op_walk *walk, const step_item *item, sgd_operation operation, double scalar,
                               double value, const by_op_operands *of, const iteration *iteration)
{
    sgd_strided_op op = {.operation = operation,
                         .alpha = scalar,
                         .value = value,
                         .out = of->out.role,
                         .x = of->x.role,
                         .y = takes_two(operation) ? of->y.role : SGD_ROLE_COUNT,
                         .inner = iteration->inner,
                         .row = iteration->row};
    strided_program alone = {.count = 0}, *program = walk->program ? walk->program : &alone;
    strided_append(program, item->param.dtype, op, item->param.ndim, iteration->index);
    if (walk->program)
        return SGD_OK;
    strided_call call = *walk->strided;
    const by_op_place *places[] = {&of->out, &of->x, &of->y};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
        if (places[i]->role == SGD_ROLE_RESULT) { /* which keeps its layout from one operation to the next */
            call.result = places[i]->data;
            call.result_strides = places[i]->strides;
        }
    return strided_operate(&call, item, program);
}

sgd_status by_op_strided(const by_op_walk *walk, const by_op_tensor *tensor, sgd_operation operation, double scalar, double value,
                         const by_op_operands *of)
{
    const step_item *item = tensor->item;
    iteration it;
    iterate(item, operation, of, &it);
    if (walk->strided)
        return run_in_order(walk, item, operation, scalar, value, of, &it);
    void *x = of->x.data, *y = of->y.data, *out = of->out.data;
    sgd_status status = bring_in_order(walk, tensor, &it, y ? 2 : 1, &x);
    if (!status && y)
        status = bring_in_order(walk, tensor, &it, 1, &y);
    bool direct = iteration_is_in_order(&it, 0);
    if (!direct)
        out = tensor->scratch + step_item_bytes(item);
    sgd_operand operand = {.dtype = item->param.dtype, .inner = it.inner, .numel = item->param.numel, .row = it.row, .out = out,
                           .x = x, .y = y};
    if (!status)
        status = by_op_call(walk, operation, scalar, value, 1, &operand);
    return status || direct ? status : copy_in_order(walk, item, &it, 0, out, of->out.data, true);
}

sgd_dtype by_op_promoted_dtype(const by_op_walk *walk, const step_item *item, sgd_operation operation, double value)
{
    const step_group *group = walk->group;
    sgd_dtype dtype = item->param.dtype;
    if (operation == SGD_OP_SCALE)
        return group->momentum_is_tensor ? number_promote(dtype, group->momentum_type) : dtype;
    if (operation == SGD_OP_ADDCMUL)
        return number_promote(dtype, value < 0 ? group->lr_type : group->weight_decay_type);
    return dtype;
}

/* What takes a tensor as its option: addcmul_ and mul_. */
sgd_status by_op_promoted(const by_op_walk *walk, const step_item *item, sgd_dtype wide, sgd_operation operation, double scalar,
                          double value, const by_op_operands *of)
{
    sgd_dtype dtype = item->param.dtype;
    _Alignas(16) unsigned char out[16], x[16], y[16];
    number_promote_element(dtype, of->x.data, wide, x);
    if (of->y.data)
        number_promote_element(dtype, of->y.data, wide, y);
    sgd_operand operand = {.dtype = wide, .numel = 1, .out = out, .x = x, .y = of->y.data ? y : NULL};
    sgd_status status = by_op_call(walk, operation, scalar, value, 1, &operand);
    if (!status)
        number_demote_element(walk->arithmetic->contract, wide, out, dtype, of->out.data);
    return status;
}
