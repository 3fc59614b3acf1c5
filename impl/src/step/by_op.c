/* by_op.c - the eager paths as PyTorch runs them: one walk over memory per operation.
 *
 * torch/optim/sgd.py: _single_tensor_sgd is this over lists of one, _multi_tensor_sgd over whole lists.  Each operation walks
 * its operands in TensorIterator's order.  A backend that takes strided tensors does so itself, piece by piece through all
 * operations, in either schedule; for others what lies otherwise is copied into that order first.
 */
#include <string.h>

#include "by_op.h"

/* A changed gradient; for backends that do not take strided tensors, copies in order beside it. */
static size_t scratch_of(const step_group *group, const step_item *item)
{
    return (item->flat || strided_offered(group->config->backend) ? 1 : BY_OP_AREAS) * step_item_bytes(item);
}

/* ---- where a gradient goes ---------------------------------------------------------------------------------------------------- */

static by_op_place param_of(const by_op_tensor *tensor, int64_t room[LAYOUT_DIMS])
{
    const step_item *item = tensor->item;
    return (by_op_place){SGD_ROLE_PARAM, item->param.data, item->flat ? NULL : tensor_view_strides(&item->param, room)};
}

/* p.clone(), which lies as clone() leaves it; only copies in order need it. */
static by_op_place clone_of(const by_op_walk *walk, const by_op_tensor *tensor, int64_t room[LAYOUT_DIMS])
{
    const step_item *item = tensor->item;
    if (item->flat)
        return (by_op_place){SGD_ROLE_PARAM, item->param.data, NULL};
    int64_t own[LAYOUT_DIMS];
    layout_like(item->param.ndim, item->param.shape, tensor_view_strides(&item->param, own), room);
    if (walk->strided)
        return (by_op_place){SGD_ROLE_PARAM, item->param.data, room};
    return (by_op_place){SGD_ROLE_PARAM, tensor->scratch + (BY_OP_AREAS - 1) * step_item_bytes(item), room};
}

static by_op_place buffer_of(const by_op_tensor *tensor, int64_t room[LAYOUT_DIMS])
{
    const step_item *item = tensor->item;
    return (by_op_place){SGD_ROLE_BUFFER, item->buffer.data, item->flat ? NULL : tensor_view_strides(&item->buffer, room)};
}

static by_op_place grad_of(by_op_tensor *tensor)
{
    return (by_op_place){tensor->grad_role, tensor->grad, tensor->item->flat ? NULL : tensor->grad_strides};
}

static void grad_becomes(by_op_tensor *tensor, by_op_place place)
{
    tensor->grad_role = place.role;
    tensor->grad = place.data;
    if (!tensor->item->flat)
        memmove(tensor->grad_strides, place.strides, (size_t)tensor->item->param.ndim * sizeof *place.strides);
}

/* The result of an operation on the gradient and perhaps another tensor: new memory, laid out as PyTorch would. */
static by_op_place new_grad(by_op_tensor *tensor, const int64_t *other, int64_t room[LAYOUT_DIMS])
{
    const step_item *item = tensor->item;
    if (item->flat)
        return (by_op_place){SGD_ROLE_RESULT, tensor->scratch, NULL};
    layout_result(&(layout){.ndim = item->param.ndim, .shape = item->param.shape, .strides = {tensor->grad_strides, other}},
                  room);
    return (by_op_place){SGD_ROLE_RESULT, tensor->scratch, room};
}

/* ---- operations over the list --------------------------------------------------------------------------------------------- */

typedef by_op_operands choose_operands(by_op_walk *walk, by_op_tensor *tensor, int64_t room[LAYOUT_OPERANDS][LAYOUT_DIMS]);

/* Runs an operation over tensors [begin, end): flat ones in one call, the others each in its own order. */
static sgd_status run(by_op_walk *walk, size_t begin, size_t end, sgd_operation operation, double scalar, double value,
                      choose_operands *choose, bool result_is_grad)
{
    size_t flat = 0;
    sgd_status status = SGD_OK;
    for (size_t i = begin; i < end && !status; i++) {
        by_op_tensor *tensor = &walk->tensors[i];
        const step_item *item = tensor->item;
        int64_t room[LAYOUT_OPERANDS][LAYOUT_DIMS];
        by_op_operands of = choose(walk, tensor, room);
        sgd_dtype wide = item->promotes ? by_op_promoted_dtype(walk, item, operation, value) : item->param.dtype;
        if (wide != item->param.dtype)
            status = by_op_promoted(walk, item, wide, operation, scalar, value, &of);
        else if (item->flat)
            walk->operands[flat++] = (sgd_operand){.dtype = item->param.dtype, .numel = item->param.numel, .out = of.out.data,
                                                   .x = of.x.data, .y = of.y.data};
        else
            status = by_op_strided(walk, tensor, operation, scalar, value, &of);
        if (result_is_grad)
            grad_becomes(tensor, of.out);
    }
    return status || !flat ? status : by_op_call(walk, operation, scalar, value, flat, walk->operands);
}

static by_op_operands negated(by_op_walk *walk, by_op_tensor *tensor, int64_t room[LAYOUT_OPERANDS][LAYOUT_DIMS])
{
    (void)walk;
    return (by_op_operands){.out = new_grad(tensor, NULL, room[0]), .x = grad_of(tensor)};
}

/* g + weight_decay * p; torch._foreach_add_ after a negation works in place. */
static by_op_operands decayed(by_op_walk *walk, by_op_tensor *tensor, int64_t room[LAYOUT_OPERANDS][LAYOUT_DIMS])
{
    const step_group *group = walk->group;
    bool in_place = group->path == SGD_FOREACH && group->hyper.maximize;
    by_op_operands of = {.x = param_of(tensor, room[1]), .y = grad_of(tensor), .in_place = in_place};
    of.out = in_place ? of.y : new_grad(tensor, of.x.strides, room[0]);
    return of;
}

/* What g.addcmul_(p.clone(), weight_decay) reads. */
static by_op_operands decayed_by_clone(by_op_walk *walk, by_op_tensor *tensor, int64_t room[LAYOUT_OPERANDS][LAYOUT_DIMS])
{
    return (by_op_operands){.out = grad_of(tensor), .x = clone_of(walk, tensor, room[1]), .y = grad_of(tensor), .in_place = true};
}

static by_op_operands cloned(by_op_walk *walk, by_op_tensor *tensor, int64_t room[LAYOUT_OPERANDS][LAYOUT_DIMS])
{
    (void)walk;
    return (by_op_operands){.out = buffer_of(tensor, room[0]), .x = grad_of(tensor), .in_place = true};
}

static by_op_operands scaled(by_op_walk *walk, by_op_tensor *tensor, int64_t room[LAYOUT_OPERANDS][LAYOUT_DIMS])
{
    (void)walk;
    by_op_place buffer = buffer_of(tensor, room[0]);
    return (by_op_operands){.out = buffer, .x = buffer, .in_place = true};
}

static by_op_operands accumulated(by_op_walk *walk, by_op_tensor *tensor, int64_t room[LAYOUT_OPERANDS][LAYOUT_DIMS])
{
    (void)walk;
    by_op_place buffer = buffer_of(tensor, room[0]);
    return (by_op_operands){.out = buffer, .x = grad_of(tensor), .y = buffer, .in_place = true};
}

/* g + momentum * buf; torch._foreach_add_ works in place, on p.grad itself where nothing has copied it. */
static by_op_operands looked_ahead(by_op_walk *walk, by_op_tensor *tensor, int64_t room[LAYOUT_OPERANDS][LAYOUT_DIMS])
{
    bool in_place = walk->group->path == SGD_FOREACH;
    by_op_operands of = {.x = buffer_of(tensor, room[1]), .y = grad_of(tensor), .in_place = in_place};
    of.out = in_place ? of.y : new_grad(tensor, of.x.strides, room[0]);
    return of;
}

static by_op_operands descended(by_op_walk *walk, by_op_tensor *tensor, int64_t room[LAYOUT_OPERANDS][LAYOUT_DIMS])
{
    (void)walk;
    by_op_place param = param_of(tensor, room[0]);
    return (by_op_operands){.out = param, .x = grad_of(tensor), .y = param, .in_place = true};
}

/* ---- stages -------------------------------------------------------------------------------------------------------------------- */

static void start(by_op_walk *walk, char *scratch)
{
    for (size_t i = 0; i < walk->count; i++) {
        by_op_tensor *tensor = &walk->tensors[i];
        const step_item *item = tensor->item;
        tensor->grad_role = SGD_ROLE_GRAD;
        tensor->grad = item->grad.data;
        if (!item->flat) {
            int64_t room[LAYOUT_DIMS];
            memcpy(tensor->grad_strides, tensor_view_strides(&item->grad, room), (size_t)item->param.ndim * sizeof room[0]);
        }
        tensor->scratch = scratch;
        if (scratch) /* what is only written down has none */
            scratch += scratch_of(walk->group, item);
    }
}

static sgd_status clone_params(const by_op_walk *walk)
{
    const sgd_backend *backend = walk->backend;
    sgd_status status = SGD_OK;
    for (size_t i = 0; i < walk->count && !status; i++) {
        const step_item *item = walk->tensors[i].item;
        int64_t own[LAYOUT_DIMS], room[LAYOUT_DIMS];
        by_op_place clone = clone_of(walk, &walk->tensors[i], room);
        if (!item->flat && !walk->strided)
            status = backend->copy_strided(backend->context, sgd_dtype_size(item->param.dtype), item->param.ndim,
                                           item->param.shape, clone.data, clone.strides, item->param.data,
                                           tensor_view_strides(&item->param, own));
    }
    return status;
}

static sgd_status decay(by_op_walk *walk)
{
    const sgd_hyper *hyper = &walk->group->hyper;
    if (!hyper->weight_decay_addcmul)
        return run(walk, 0, walk->count, SGD_OP_AXPY, hyper->weight_decay, 1, decayed, true);
    sgd_status status = clone_params(walk);
    return status ? status : run(walk, 0, walk->count, SGD_OP_ADDCMUL, hyper->weight_decay, 1, decayed_by_clone, true);
}

/* The buffers: cloned where there is none, else buf * momentum + (1 - dampening) * g. */
static sgd_status accumulate(by_op_walk *walk)
{
    const sgd_hyper *hyper = &walk->group->hyper;
    sgd_status status = SGD_OK;
    for (size_t begin = 0, end; begin < walk->count && !status; begin = end) {
        bool first = walk->tensors[begin].item->first;
        for (end = begin; end < walk->count && walk->tensors[end].item->first == first;)
            end++;
        if (first) {
            status = run(walk, begin, end, SGD_OP_COPY, 0, 0, cloned, false);
            continue;
        }
        status = run(walk, begin, end, SGD_OP_SCALE, hyper->momentum, 1, scaled, false);
        if (!status)
            status = run(walk, begin, end, SGD_OP_AXPY, 1 - hyper->dampening, 1, accumulated, false);
    }
    return status;
}

/* g + momentum * buf, or buf itself. */
static sgd_status direct(by_op_walk *walk)
{
    const sgd_hyper *hyper = &walk->group->hyper;
    if (hyper->nesterov)
        return run(walk, 0, walk->count, SGD_OP_AXPY, hyper->momentum, 1, looked_ahead, true);
    for (size_t i = 0; i < walk->count; i++) {
        int64_t room[LAYOUT_DIMS];
        grad_becomes(&walk->tensors[i], buffer_of(&walk->tensors[i], room));
    }
    return SGD_OK;
}

static sgd_status descend(by_op_walk *walk)
{
    const sgd_hyper *hyper = &walk->group->hyper;
    if (hyper->lr_addcmul)
        return run(walk, 0, walk->count, SGD_OP_ADDCMUL, hyper->lr, -1, descended, false);
    return run(walk, 0, walk->count, SGD_OP_AXPY, -hyper->lr, 1, descended, false);
}

static sgd_status run_stages(by_op_walk *walk, char *scratch)
{
    const sgd_hyper *hyper = &walk->group->hyper;
    sgd_status status = SGD_OK;
    start(walk, scratch);
    if (hyper->maximize)
        status = run(walk, 0, walk->count, SGD_OP_NEGATE, 0, 0, negated, true);
    if (!status && hyper->weight_decay != 0)
        status = decay(walk);
    if (!status && hyper->momentum != 0) {
        status = accumulate(walk);
        if (!status)
            status = direct(walk);
    }
    return status ? status : descend(walk);
}

/* ---- all operations at once ------------------------------------------------------------------------------------------------------ */

/* An item's operations, where its elements may go through all of them one by one.  Params that share a gradient which foreach
 * changes see each other's changes: these take turns. */
static bool write_down(const step_group *group, const step_item *item, strided_program *out)
{
    by_op_tensor tensor = {.item = item};
    by_op_walk walk = {.group = group, .backend = group->config->backend, .count = 1, .tensors = &tensor, .program = out,
                 .strided = &(strided_call){.backend = group->config->backend}};
    out->count = 0;
    bool in_turns = item->flat || !strided_offered(walk.backend) || (item->write_grad && group->path == SGD_FOREACH);
    return !in_turns && !run_stages(&walk, NULL) && strided_possible(item, out);
}

size_t by_op_scratch(const step_group *group, const step_item *item)
{
    strided_program program;
    return write_down(group, item, &program) ? 0 : scratch_of(group, item);
}

sgd_status by_op_step(const step_group *group, const sgd_arithmetic *arithmetic, size_t count, by_op_tensor *tensors,
                      sgd_operand *operands, const strided_call *call, void *scratch)
{
    by_op_walk walk = {.group = group, .backend = group->config->backend, .arithmetic = arithmetic, .tensors = tensors,
                 .operands = operands, .strided = strided_offered(group->config->backend) ? call : NULL};
    sgd_status status = SGD_OK;
    for (size_t i = 0; i < count && !status; i++) {
        const step_item *item = tensors[i].item;
        strided_program program;
        if (write_down(group, item, &program))
            status = strided_operate(call, item, &program);
        else
            tensors[walk.count++].item = item;
    }
    return status || !walk.count ? status : run_stages(&walk, scratch);
}
