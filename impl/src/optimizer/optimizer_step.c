/* optimizer_step.c - step(): hooks and closure, then all groups are looked at, then each is stepped
 * (torch/optim/optimizer.py profile_hook_step, torch/optim/sgd.py SGD.step).
 *
 * A group with the same tensor twice is stepped in parts that each have different ones: the for-loop and fused take their
 * items one after another, so the bits are those of one list.  Foreach is not offered there: it reads what all of a list was.
 */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

/* ---- momentum buffers ---------------------------------------------------------------------------------------------------- */

/* None where param or gradient are not what they should be, which step_prepare looks at and names. */
static sgd_status new_dense_buffer(const sgd_optimizer *optimizer, const sgd_options *options, const parameter *param,
                                   const DLTensor *grad, sgd_value *out, sgd_error *error)
{
    int64_t strides[LAYOUT_DIMS];
    const sgd_backend *backend = optimizer->config.backend;
    DLTensor like = param->descriptor;
    if (sgd_buffer_strides(options, backend, &param->descriptor, grad, strides, NULL))
        return SGD_OK;
    bool contiguous = layout_is_contiguous(like.ndim, like.shape, strides);
    like.byte_offset = 0;
    return owned_tensor_create(&like, contiguous ? NULL : strides, backend, out, error);
}

/* Keeps a buffer and all that it takes to make it state, so that nothing can fail after the step. */
static sgd_status keep_pending(sgd_optimizer *optimizer, parameter *first, const sgd_value *value, sgd_error *error)
{
    sgd_status status = parameter_state(optimizer, first, error);
    if (status)
        return status;
    char *key = dict_reserve(first->state) ? text_copy(BUFFER_KEY) : NULL;
    if (!key)
        return no_memory(error);
    stored pending;
    status = stored_copy(value, &pending, error);
    if (status) {
        free(key);
        return status;
    }
    first->pending = pending;
    first->pending_key = key;
    return SGD_OK;
}

/* A buffer for a step that makes one: the host's memory, or new; a sparse one is made by the step itself. */
static sgd_status make_pending(sgd_optimizer *optimizer, const sgd_options *options, const sgd_step_arguments *arguments,
                               size_t index, const sgd_value *lent, sgd_error *error)
{
    parameter *param = &optimizer->members.params[index];
    const sgd_gradient *grad = &arguments->grads[index];
    sgd_value made = {.kind = SGD_VALUE_NONE};
    sgd_status status;
    if (lent)
        status = owned_sparse_create(lent->sparse, &made, error);
    else if (!grad->dense)
        status = owned_sparse_create(NULL, &made, error);
    else if (arguments->memory && arguments->memory[index].kind == SGD_VALUE_TENSOR)
        return keep_pending(optimizer, &optimizer->members.params[param->first], &arguments->memory[index], error);
    else
        status = new_dense_buffer(optimizer, options, param, grad->dense, &made, error);
    if (status || made.kind == SGD_VALUE_NONE)
        return status;
    status = keep_pending(optimizer, &optimizer->members.params[param->first], &made, error);
    made.type->release(made.object);
    return status;
}

static void drop_pending(members *members)
{
    for (size_t i = 0; i < members->param_count; i++) {
        parameter *param = &members->params[i];
        free(param->pending_key);
        param->pending_key = NULL;
        stored_clear(&param->pending);
    }
}

/* What a part of the step has made becomes state. */
static void commit_pending(parameter *param)
{
    stored *place = dict_find(param->state, BUFFER_KEY, 0), old = {.block = NULL};
    if (place) { /* a sparse buffer of the host's, now one of the library's */
        old = *place;
        *place = param->pending;
        free(param->pending_key);
    } else {
        dict_append(param->state, param->pending_key, param->pending);
    }
    param->has_state = true;
    param->pending = (stored){.block = NULL};
    param->pending_key = NULL;
    stored_clear(&old);
}

/* ---- items --------------------------------------------------------------------------------------------------------------- */

static void set_buffer(sgd_item *item, const stored *buffer)
{
    if (buffer->value.kind == SGD_VALUE_TENSOR)
        item->buffer = buffer->value.tensor.tensor;
    else
        item->sparse_buffer = owned_sparse(&buffer->value);
}

static sgd_status momentum_item(sgd_optimizer *optimizer, const sgd_options *options, const sgd_step_arguments *arguments,
                                size_t index, sgd_item *item, sgd_error *error)
{
    parameter *first = &optimizer->members.params[optimizer->members.params[index].first];
    const stored *buffer = first->state ? dict_find(first->state, BUFFER_KEY, 0) : NULL;
    item->has_buffer = buffer && buffer->value.kind != SGD_VALUE_NONE;
    if (item->has_buffer && buffer->value.kind != SGD_VALUE_TENSOR && buffer->value.kind != SGD_VALUE_SPARSE)
        return sgd_error_set(error, SGD_ERROR_TYPE, "momentum buffer %zu is no tensor", index);
    bool lent_sparse = item->has_buffer && buffer->value.kind == SGD_VALUE_SPARSE && !owned_sparse(&buffer->value);
    if ((!item->has_buffer || lent_sparse) && !first->pending_key) {
        sgd_status status =
            make_pending(optimizer, options, arguments, index, lent_sparse ? &buffer->value : NULL, error);
        if (status)
            return status;
    }
    if (first->pending_key || buffer)
        set_buffer(item, first->pending_key ? &first->pending : buffer);
    return SGD_OK;
}

static sgd_status make_item(sgd_optimizer *optimizer, const sgd_options *options, bool momentum,
                            const sgd_step_arguments *arguments, size_t index, sgd_error *error)
{
    sgd_item *item = &optimizer->items[index];
    const sgd_gradient *grad = &arguments->grads[index];
    *item = (sgd_item){.param = &optimizer->members.params[index].descriptor,
                       .grad = grad->dense,
                       .sparse_grad = grad->dense ? NULL : grad->sparse};
    bool active = grad->dense || grad->sparse;
    return active && momentum ? momentum_item(optimizer, options, arguments, index, item, error) : SGD_OK;
}

/* `group["momentum"] != 0` */
static sgd_status has_momentum(const sgd_options *options, bool *out, sgd_error *error)
{
    double momentum = options->momentum;
    sgd_status status = options->momentum_tensor.tensor ? number_read(&options->momentum_tensor, &momentum, error) : SGD_OK;
    *out = momentum != 0;
    return status;
}

static sgd_status make_items(sgd_optimizer *optimizer, const sgd_step_arguments *arguments, sgd_error *error)
{
    const members *members = &optimizer->members;
    sgd_status status = SGD_OK;
    for (size_t g = 0; g < members->group_count && !status; g++) {
        const param_group *group = members->groups[g];
        bool momentum = false;
        status = sgd_options_from_dict(&group->values, &optimizer->options[g], error);
        if (!status)
            status = has_momentum(&optimizer->options[g], &momentum, error);
        for (size_t i = group->first; i < group->first + group->count && !status; i++)
            status = make_item(optimizer, &optimizer->options[g], momentum, arguments, i, error);
    }
    return status;
}

/* ---- the parts of a group ------------------------------------------------------------------------------------------------ */

static size_t part_end(const members *members, const param_group *group, size_t begin)
{
    size_t end = begin + 1;
    while (end < group->first + group->count && !members->params[end].splits)
        end++;
    return end;
}

static sgd_status prepare_part(sgd_optimizer *optimizer, size_t g, size_t begin, size_t end, const sgd_scaling *scaling,
                               step_group *part, sgd_error *error)
{
    const sgd_options *options = &optimizer->options[g];
    const sgd_item *repeated = &optimizer->items[begin];
    if (optimizer->members.params[begin].splits && (repeated->grad || repeated->sparse_grad) &&
        sgd_options_path(options, optimizer->config.backend) == SGD_FOREACH)
        return sgd_error_set(error, SGD_ERROR_UNSUPPORTED, "foreach over a param group with the same tensor twice is not offered");
    sgd_status status = step_prepare(&optimizer->config, options, optimizer->items + begin, end - begin, scaling,
                                     optimizer->prepared + begin, part, error);
    part->number = g;
    return status ? status : step_reserve(part, &optimizer->workspace, error);
}

static sgd_status prepare_parts(sgd_optimizer *optimizer, const sgd_scaling *scaling, sgd_error *error)
{
    const members *members = &optimizer->members;
    sgd_status status = SGD_OK;
    optimizer->part_count = 0;
    for (size_t g = 0; g < members->group_count && !status; g++) {
        const param_group *group = members->groups[g];
        size_t begin = group->first, end;
        for (; begin < group->first + group->count && !status; begin = end) {
            end = part_end(members, group, begin);
            status = prepare_part(optimizer, g, begin, end, scaling, &optimizer->steps[optimizer->part_count], error);
            optimizer->part_count += !status;
        }
    }
    return status;
}

/* A tensor that is there twice is stepped twice, one after the other. */
static step_kind kind_of(const members *members)
{
    for (size_t i = 0; i < members->param_count; i++)
        if (members->params[i].previous != NO_INDEX)
            return STEP_ONCE;
    return STEP_AGAIN_GRADS;
}

/* Buffers that a part of the step has made. */
static void commit_part(sgd_optimizer *optimizer, const step_group *part)
{
    for (size_t i = 0; i < part->count; i++) {
        const parameter *param = &optimizer->members.params[part->items[i].from - optimizer->items];
        parameter *first = &optimizer->members.params[param->first];
        if (first->pending_key && part->items[i].active)
            commit_pending(first);
    }
}

/* ---- the next step ------------------------------------------------------------------------------------------------------- */

/* Whether options and gradients lead to the step that the workspace holds; takes over what may have changed. */
static bool still_holds(sgd_optimizer *optimizer, const sgd_step_arguments *arguments, bool *moved)
{
    const members *members = &optimizer->members;
    step_group *part = optimizer->steps;
    if (!optimizer->workspace.holds)
        return false;
    for (size_t g = 0; g < members->group_count; g++) {
        sgd_options options;
        if (sgd_options_from_dict(&members->groups[g]->values, &options, NULL))
            return false;
        if (members->groups[g]->count > 0 && !step_group_renew(part++, &options, arguments->scaling))
            return false;
    }
    for (size_t i = 0; i < members->param_count; i++) {
        const sgd_gradient *grad = &arguments->grads[i];
        if (grad->sparse || !keep_same_grad(&optimizer->workspace.kept[i], grad->dense, &optimizer->prepared[i], moved))
            return false;
    }
    return true;
}

/* ---- a step without hooks ------------------------------------------------------------------------------------------------ */

static sgd_status prepare_step(sgd_optimizer *optimizer, const sgd_step_arguments *arguments, sgd_error *error)
{
    bool moved = false;
    if (still_holds(optimizer, arguments, &moved))
        return moved ? steps_plan_moved(optimizer->steps, optimizer->part_count, &optimizer->workspace, error) : SGD_OK;
    optimizer->workspace.holds = false;
    sgd_status status = make_items(optimizer, arguments, error);
    if (!status)
        status = prepare_parts(optimizer, arguments->scaling, error);
    return status ? status
                  : steps_plan(optimizer->steps, optimizer->part_count, kind_of(&optimizer->members), &optimizer->workspace, error);
}

static sgd_status take_step(sgd_optimizer *optimizer, const sgd_step_arguments *arguments, sgd_error *error)
{
    size_t done = 0;
    if (arguments->count != optimizer->members.param_count)
        return sgd_error_set(error, SGD_ERROR_SHAPE, "%zu gradients for %zu parameters", arguments->count,
                             optimizer->members.param_count);
    if (arguments->count > 0 && !arguments->grads)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "grads is NULL");
    sgd_status status = prepare_step(optimizer, arguments, error);
    if (!status)
        status = steps_run(optimizer->steps, optimizer->part_count, &optimizer->workspace, &done, error);
    if (optimizer->workspace.holds)
        return status; /* it had nothing to make */
    for (size_t i = 0; i < done; i++)
        commit_part(optimizer, &optimizer->steps[i]);
    step_release(&optimizer->workspace);
    drop_pending(&optimizer->members);
    return status;
}

/* ---- with them ----------------------------------------------------------------------------------------------------------- */

static sgd_status run_closure(sgd_optimizer *optimizer, const sgd_step_arguments *arguments, sgd_value *loss,
                              sgd_error *error)
{
    sgd_error own = {.status = SGD_OK};
    if (!arguments->closure)
        return SGD_OK;
    sgd_status status = arguments->closure(arguments->closure_context, loss, &own);
    return callback_end(optimizer, status, &own, "the closure", error);
}

static sgd_status run_collect(sgd_optimizer *optimizer, sgd_step_arguments *arguments, sgd_error *error)
{
    sgd_error own = {.status = SGD_OK};
    if (!arguments->collect)
        return SGD_OK;
    sgd_status status = arguments->collect(optimizer, arguments, arguments->collect_context, &own);
    return callback_end(optimizer, status, &own, "collecting the gradients", error);
}

static sgd_status step_between_hooks(sgd_optimizer *optimizer, sgd_step_arguments *arguments, sgd_value *loss,
                                     sgd_error *error)
{
    sgd_hook_call call = {.struct_size = sizeof call, .kind = SGD_HOOK_STEP_PRE, .optimizer = optimizer, .arguments = arguments};
    hook_list own = {0}, global = {0};
    sgd_status status = hooks_run(&call, true, error);
    if (!status)
        status = hooks_run(&call, false, error);
    if (!status)
        status = run_closure(optimizer, arguments, loss, error);
    if (!status)
        status = run_collect(optimizer, arguments, error);
    if (!status)
        status = hooks_hold(optimizer, SGD_HOOK_STEP_POST, false, &own, error);
    if (!status)
        status = hooks_hold(optimizer, SGD_HOOK_STEP_POST, true, &global, error);
    if (!status)
        status = take_step(optimizer, arguments, error);
    call.kind = SGD_HOOK_STEP_POST;
    status = hooks_run_held(&call, &own, status, error);
    return hooks_run_held(&call, &global, status, error);
}

sgd_status sgd_optimizer_step_with(sgd_optimizer *optimizer, const sgd_step_arguments *arguments, sgd_value *loss,
                                   sgd_error *error)
{
    if (!optimizer || !arguments)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "%s is NULL", optimizer ? "arguments" : "optimizer");
    if (arguments->struct_size != sizeof *arguments)
        return sgd_error_set(error, SGD_ERROR_ABI, "arguments: struct_size %zu, this library's is %zu", arguments->struct_size,
                             sizeof *arguments);
    sgd_step_arguments own = *arguments;
    sgd_value value = {.kind = SGD_VALUE_NONE};
    sgd_status status = call_begin(optimizer, CALL_STEP, error);
    if (status)
        return status;
    status = call_end(optimizer, CALL_STEP, step_between_hooks(optimizer, &own, &value, error), error);
    if (!status && loss)
        *loss = value;
    else if (value.object && value.type->release)
        value.type->release(value.object);
    return status;
}

sgd_status sgd_optimizer_step(sgd_optimizer *optimizer, DLTensor *const *grads, size_t count, sgd_error *error)
{
    if (!optimizer)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "optimizer is NULL");
    if (count != optimizer->members.param_count)
        return sgd_error_set(error, SGD_ERROR_SHAPE, "%zu gradients for %zu parameters", count,
                             optimizer->members.param_count);
    if (count > 0 && !grads)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "grads is NULL");
    if (optimizer->busy[CALL_STEP])
        return call_begin(optimizer, CALL_STEP, error);
    if (optimizer->slot_count < count) {
        if (!RESERVE(optimizer->slots, count))
            return no_memory(error);
        optimizer->slot_count = count;
    }
    for (size_t i = 0; i < count; i++)
        optimizer->slots[i] = (sgd_gradient){.dense = grads[i]};
    return sgd_optimizer_step_with(
        optimizer, &(sgd_step_arguments){.struct_size = sizeof(sgd_step_arguments), .grads = optimizer->slots, .count = count},
        NULL, error);
}
