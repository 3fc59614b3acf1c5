/* by_op.c - the eager paths as PyTorch runs them: one walk over memory per operation.
 *
 * torch/optim/sgd.py: _single_tensor_sgd is this over lists of one, _multi_tensor_sgd over whole lists.  Each operation walks
 * its operands in TensorIterator's order.  A backend that takes strided tensors does so itself, for the schedule single_pass
 * through all operations at once; for others what lies otherwise is copied into that order first.
 */
#include <string.h>

#include "strided.h"

#define AREAS 5 /* a changed gradient, one copy in order per operand, a cloned parameter */

/* A list in the making. */
typedef struct walk {
    const step_group *group;
    const sgd_backend *backend;
    const sgd_arithmetic *arithmetic;
    size_t count;
    by_op_tensor *tensors;
    sgd_operand *operands;
    strided_program *program; /* not NULL: operations are only written down */
    const strided_call *strided; /* NULL: the backend does not take strided tensors */
} walk;

/* A changed gradient; for backends that do not take strided tensors, copies in order beside it. */
static size_t scratch_of(const step_group *group, const step_item *item)
{
    return (item->flat || strided_offered(group->config->backend) ? 1 : AREAS) * step_item_bytes(item);
}

/* ---- where a gradient goes ---------------------------------------------------------------------------------------------------- */

/* Memory and how it lies; strides NULL where the item is flat. */
typedef struct place {
    sgd_role role;
    void *data;
    const int64_t *strides;
} place;

static place param_of(const by_op_tensor *tensor, int64_t room[LAYOUT_DIMS])
{
    const step_item *item = tensor->item;
    return (place){SGD_ROLE_PARAM, item->param.data, item->flat ? NULL : tensor_view_strides(&item->param, room)};
}

/* p.clone(), which lies as clone() leaves it; a flat parameter needs none. */
static place clone_of(const by_op_tensor *tensor, int64_t room[LAYOUT_DIMS])
{
    const step_item *item = tensor->item;
    if (item->flat)
        return (place){SGD_ROLE_PARAM, item->param.data, NULL};
    int64_t own[LAYOUT_DIMS];
    layout_like(item->param.ndim, item->param.shape, tensor_view_strides(&item->param, own), room);
    return (place){SGD_ROLE_PARAM, tensor->scratch + (AREAS - 1) * step_item_bytes(item), room};
}

static place buffer_of(const by_op_tensor *tensor, int64_t room[LAYOUT_DIMS])
{
    const step_item *item = tensor->item;
    return (place){SGD_ROLE_BUFFER, item->buffer.data, item->flat ? NULL : tensor_view_strides(&item->buffer, room)};
}

static place grad_of(by_op_tensor *tensor)
{
    return (place){tensor->grad_role, tensor->grad, tensor->item->flat ? NULL : tensor->grad_strides};
}

static void grad_becomes(by_op_tensor *tensor, place place)
{
    tensor->grad_role = place.role;
    tensor->grad = place.data;
    if (!tensor->item->flat)
        memmove(tensor->grad_strides, place.strides, (size_t)tensor->item->param.ndim * sizeof *place.strides);
}

/* The result of an operation on the gradient and perhaps another tensor: new memory, laid out as PyTorch would. */
static place new_grad(by_op_tensor *tensor, const int64_t *other, int64_t room[LAYOUT_DIMS])
{
    const step_item *item = tensor->item;
    if (item->flat)
        return (place){SGD_ROLE_RESULT, tensor->scratch, NULL};
    layout_result(&(layout){.ndim = item->param.ndim, .shape = item->param.shape, .strides = {tensor->grad_strides, other}},
                  room);
    return (place){SGD_ROLE_RESULT, tensor->scratch, room};
}

/* ---- one operation over the list ------------------------------------------------------------------------------------------- */

/* What an operation does to one tensor: out = f(x, y). */
typedef struct operands {
    place out, x, y; /* y: where the operation takes two */
    bool in_place;   /* out is y, or x where there is no y */
} operands;

static bool takes_two(sgd_operation operation) { return operation == SGD_OP_AXPY || operation == SGD_OP_ADDCMUL; }

/* The order of an operation: PyTorch's operands are output, self (y), other (x). */
static void iterate(const step_item *item, sgd_operation operation, const operands *tensor, iteration *out)
{
    layout layout = {.ndim = item->param.ndim, .shape = item->param.shape};
    layout.strides[0] = tensor->in_place ? tensor->out.strides : NULL;
    layout.strides[1] = takes_two(operation) ? tensor->y.strides : tensor->x.strides;
    layout.strides[2] = takes_two(operation) ? tensor->x.strides : NULL;
    iteration_make(&layout, tensor->in_place, out);
    if (operation == SGD_OP_ADDCMUL)
        out->inner = layout_inner_beside_scalar(out->inner);
}

static sgd_status copy_in_order(const walk *walk, const step_item *item, const iteration *it, int operand, void *memory,
                                void *tensor, bool back)
{
    size_t size = sgd_dtype_size(item->param.dtype);
    return back ? walk->backend->copy_strided(walk->backend->context, size, it->ndim, it->shape, tensor, it->strides[operand],
                                              memory, it->in_order)
                : walk->backend->copy_strided(walk->backend->context, size, it->ndim, it->shape, memory, it->in_order, tensor,
                                              it->strides[operand]);
}

/* An operand in the order of the iteration: itself, or a copy in the scratch. */
static sgd_status bring_in_order(const walk *walk, const by_op_tensor *tensor, const iteration *it, int operand, void **data)
{
    if (iteration_is_in_order(it, operand))
        return SGD_OK;
    void *copy = tensor->scratch + (size_t)(operand + 1) * step_item_bytes(tensor->item);
    sgd_status status = copy_in_order(walk, tensor->item, it, operand, copy, *data, false);
    *data = copy;
    return status;
}

static sgd_status call(const walk *walk, sgd_operation operation, double scalar, double value, size_t count,
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
static sgd_status run_in_order(const walk *walk, by_op_tensor *tensor, sgd_operation operation, double scalar, double value,
                               const operands *of, const iteration *iteration)
{
    const step_item *item = tensor->item;
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
    place result = of->out.role == SGD_ROLE_RESULT ? of->out : grad_of(tensor);
    if (result.role == SGD_ROLE_RESULT) { /* it has the same layout before and after an operation */
        call.result = result.data;
        call.result_strides = result.strides;
    }
    return strided_operate(&call, item, program);
}

static sgd_status run_strided(const walk *walk, by_op_tensor *tensor, sgd_operation operation, double scalar, double value,
                              const operands *of)
{
    const step_item *item = tensor->item;
    iteration it;
    iterate(item, operation, of, &it);
    if (walk->strided)
        return run_in_order(walk, tensor, operation, scalar, value, of, &it);
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
        status = call(walk, operation, scalar, value, 1, &operand);
    return status || direct ? status : copy_in_order(walk, item, &it, 0, out, of->out.data, true);
}

/* The dtype that an operation on a parameter without dimensions takes from its option. */
static sgd_dtype promoted_dtype(const walk *walk, const step_item *item, sgd_operation operation, double value)
{
    const step_group *group = walk->group;
    sgd_dtype dtype = item->param.dtype;
    if (operation == SGD_OP_SCALE)
        return group->momentum_is_tensor ? number_promote(dtype, group->momentum_type) : dtype;
    if (operation == SGD_OP_ADDCMUL)
        return number_promote(dtype, value < 0 ? group->lr_type : group->weight_decay_type);
    return dtype;
}

/* addcmul_ and mul_ of a parameter without dimensions in the wider dtype of the option. */
static sgd_status run_promoted(const walk *walk, const step_item *item, sgd_dtype wide, sgd_operation operation, double scalar,
                               double value, const operands *of)
{
    sgd_dtype dtype = item->param.dtype;
    _Alignas(16) unsigned char out[16], x[16], y[16];
    number_promote_element(dtype, of->x.data, wide, x);
    if (of->y.data)
        number_promote_element(dtype, of->y.data, wide, y);
    sgd_operand operand = {.dtype = wide, .numel = 1, .out = out, .x = x, .y = of->y.data ? y : NULL};
    sgd_status status = call(walk, operation, scalar, value, 1, &operand);
    if (!status)
        number_demote_element(walk->arithmetic->contract, wide, out, dtype, of->out.data);
    return status;
}

/* ---- operations over the list --------------------------------------------------------------------------------------------- */

typedef operands choose_operands(walk *walk, by_op_tensor *tensor, int64_t room[LAYOUT_OPERANDS][LAYOUT_DIMS]);

/* Runs an operation over tensors [begin, end): flat ones in one call, the others each in its own order. */
static sgd_status run(walk *walk, size_t begin, size_t end, sgd_operation operation, double scalar, double value,
                      choose_operands *choose, bool result_is_grad)
{
    size_t flat = 0;
    sgd_status status = SGD_OK;
    for (size_t i = begin; i < end && !status; i++) {
        by_op_tensor *tensor = &walk->tensors[i];
        const step_item *item = tensor->item;
        int64_t room[LAYOUT_OPERANDS][LAYOUT_DIMS];
        operands of = choose(walk, tensor, room);
        sgd_dtype wide = item->promotes ? promoted_dtype(walk, item, operation, value) : item->param.dtype;
        if (wide != item->param.dtype)
            status = run_promoted(walk, item, wide, operation, scalar, value, &of);
        else if (item->flat)
            walk->operands[flat++] = (sgd_operand){.dtype = item->param.dtype, .numel = item->param.numel, .out = of.out.data,
                                                   .x = of.x.data, .y = of.y.data};
        else
            status = run_strided(walk, tensor, operation, scalar, value, &of);
        if (result_is_grad)
            grad_becomes(tensor, of.out);
    }
    return status || !flat ? status : call(walk, operation, scalar, value, flat, walk->operands);
}

static operands negated(walk *walk, by_op_tensor *tensor, int64_t room[LAYOUT_OPERANDS][LAYOUT_DIMS])
{
    (void)walk;
    return (operands){.out = new_grad(tensor, NULL, room[0]), .x = grad_of(tensor)};
}

/* g + weight_decay * p; torch._foreach_add_ after a negation works in place. */
static operands decayed(walk *walk, by_op_tensor *tensor, int64_t room[LAYOUT_OPERANDS][LAYOUT_DIMS])
{
    const step_group *group = walk->group;
    bool in_place = group->path == SGD_FOREACH && group->hyper.maximize;
    operands of = {.x = param_of(tensor, room[1]), .y = grad_of(tensor), .in_place = in_place};
    of.out = in_place ? of.y : new_grad(tensor, of.x.strides, room[0]);
    return of;
}

/* What g.addcmul_(p.clone(), weight_decay) reads. */
static operands decayed_by_clone(walk *walk, by_op_tensor *tensor, int64_t room[LAYOUT_OPERANDS][LAYOUT_DIMS])
{
    (void)walk;
    return (operands){.out = grad_of(tensor), .x = clone_of(tensor, room[1]), .y = grad_of(tensor), .in_place = true};
}

static operands cloned(walk *walk, by_op_tensor *tensor, int64_t room[LAYOUT_OPERANDS][LAYOUT_DIMS])
{
    (void)walk;
    return (operands){.out = buffer_of(tensor, room[0]), .x = grad_of(tensor), .in_place = true};
}

static operands scaled(walk *walk, by_op_tensor *tensor, int64_t room[LAYOUT_OPERANDS][LAYOUT_DIMS])
{
    (void)walk;
    place buffer = buffer_of(tensor, room[0]);
    return (operands){.out = buffer, .x = buffer, .in_place = true};
}

static operands accumulated(walk *walk, by_op_tensor *tensor, int64_t room[LAYOUT_OPERANDS][LAYOUT_DIMS])
{
    (void)walk;
    place buffer = buffer_of(tensor, room[0]);
    return (operands){.out = buffer, .x = grad_of(tensor), .y = buffer, .in_place = true};
}

/* g + momentum * buf; torch._foreach_add_ works in place, on p.grad itself where nothing has copied it. */
static operands looked_ahead(walk *walk, by_op_tensor *tensor, int64_t room[LAYOUT_OPERANDS][LAYOUT_DIMS])
{
    bool in_place = walk->group->path == SGD_FOREACH;
    operands of = {.x = buffer_of(tensor, room[1]), .y = grad_of(tensor), .in_place = in_place};
    of.out = in_place ? of.y : new_grad(tensor, of.x.strides, room[0]);
    return of;
}

static operands descended(walk *walk, by_op_tensor *tensor, int64_t room[LAYOUT_OPERANDS][LAYOUT_DIMS])
{
    (void)walk;
    place param = param_of(tensor, room[0]);
    return (operands){.out = param, .x = grad_of(tensor), .y = param, .in_place = true};
}

/* ---- stages -------------------------------------------------------------------------------------------------------------------- */

static void start(walk *walk, char *scratch)
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
        scratch += scratch_of(walk->group, item);
    }
}

static sgd_status clone_params(const walk *walk)
{
    const sgd_backend *backend = walk->backend;
    sgd_status status = SGD_OK;
    for (size_t i = 0; i < walk->count && !status; i++) {
        const step_item *item = walk->tensors[i].item;
        int64_t own[LAYOUT_DIMS], room[LAYOUT_DIMS];
        place clone = clone_of(&walk->tensors[i], room);
        if (!item->flat && !walk->strided)
            status = backend->copy_strided(backend->context, sgd_dtype_size(item->param.dtype), item->param.ndim,
                                           item->param.shape, clone.data, clone.strides, item->param.data,
                                           tensor_view_strides(&item->param, own));
    }
    return status;
}

static sgd_status decay(walk *walk)
{
    const sgd_hyper *hyper = &walk->group->hyper;
    if (!hyper->weight_decay_addcmul)
        return run(walk, 0, walk->count, SGD_OP_AXPY, hyper->weight_decay, 1, decayed, true);
    sgd_status status = clone_params(walk);
    return status ? status : run(walk, 0, walk->count, SGD_OP_ADDCMUL, hyper->weight_decay, 1, decayed_by_clone, true);
}

/* The buffers: cloned where there is none, else buf * momentum + (1 - dampening) * g. */
static sgd_status accumulate(walk *walk)
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
static sgd_status direct(walk *walk)
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

static sgd_status descend(walk *walk)
{
    const sgd_hyper *hyper = &walk->group->hyper;
    if (hyper->lr_addcmul)
        return run(walk, 0, walk->count, SGD_OP_ADDCMUL, hyper->lr, -1, descended, false);
    return run(walk, 0, walk->count, SGD_OP_AXPY, -hyper->lr, 1, descended, false);
}

static sgd_status run_stages(walk *walk, char *scratch)
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
    walk walk = {.group = group, .backend = group->config->backend, .count = 1, .tensors = &tensor, .program = out,
                 .strided = &(strided_call){.backend = group->config->backend}};
    out->count = 0;
    return !item->flat && strided_offered(walk.backend) && group->config->schedule == SGD_SCHEDULE_SINGLE_PASS &&
           !(item->write_grad && group->path == SGD_FOREACH) && !run_stages(&walk, NULL) && strided_possible(item, out);
}

size_t by_op_scratch(const step_group *group, const step_item *item)
{
    strided_program program;
    return write_down(group, item, &program) ? 0 : scratch_of(group, item);
}

sgd_status by_op_step(const step_group *group, const sgd_arithmetic *arithmetic, size_t count, by_op_tensor *tensors,
                      sgd_operand *operands, const strided_call *call, void *scratch)
{
    walk walk = {.group = group, .backend = group->config->backend, .arithmetic = arithmetic, .tensors = tensors,
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
