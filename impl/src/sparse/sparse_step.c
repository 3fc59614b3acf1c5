/* sparse_step.c - one parameter's step with a sparse gradient: torch/optim/sgd.py, _single_tensor_sgd and _multi_tensor_sgd,
 * which differ here in one thing: foreach adds nesterov's momentum into p.grad itself.
 */
#include <stdlib.h>

#include "sparse.h"

struct sparse_step {
    sparse_step *next; /* in the workspace */
    sparse_context context;
    sgd_hyper hyper;
    sgd_item *item;
    tensor_view param, dense_buffer;
    const sgd_sparse *grad;      /* negated or not */
    const sgd_sparse *direction; /* NULL: it is the dense buffer */
    bool writes_grad;
    sgd_sparse negated;
    sgd_sparse first;            /* the clone that becomes the buffer */
    sgd_sparse scaled;           /* buffer * momentum ... */
    sparse_sum accumulated;      /* ... + (1 - dampening) * grad */
    strided_operation dense_scale, dense_descent;
    dense_sum dense_accumulated;
    sparse_sum looked_ahead;     /* grad + momentum * buffer */
    dense_sum descended;
};

static sgd_status sparse_dense_error(sgd_error *error)
{
    return sgd_error_set(error, SGD_ERROR_RUNTIME, "add(sparse, dense) is not supported. Use add(dense, sparse) instead.");
}

static sgd_status not_sparse_error(const char *operation, sgd_error *error)
{
    return sgd_error_set(error, SGD_ERROR_NOT_IMPLEMENTED,
                         "Could not run 'aten::%s' with arguments from the 'SparseCPU' backend.", operation);
}

sgd_status sparse_buffer_error(sgd_path path, sgd_error *error)
{
    return path == SGD_FUSED ? not_sparse_error("_fused_sgd_", error) : sparse_dense_error(error);
}

bool sparse_buffer_exists(const sgd_item *item)
{
    return item->has_buffer && item->sparse_buffer && item->sparse_buffer->values.shape;
}

/* ---- looking at everything --------------------------------------------------------------------------------------------- */

static sgd_status prepare_negated(sparse_step *step, sgd_error *error)
{
    if (!step->hyper.maximize)
        return SGD_OK;
    if (sparse_make_like(step->grad, &step->negated))
        return sparse_no_memory("a negated gradient", error);
    step->grad = &step->negated;
    return SGD_OK;
}

static sgd_status prepare_sparse_buffer(sparse_step *step, sgd_error *error)
{
    const sgd_sparse *buffer = step->item->sparse_buffer;
    /* mul_ leaves no entry of a tensor without elements (_mul_dense_sparse_out). */
    sgd_status status = sparse_numel(buffer) ? sparse_make_like(buffer, &step->scaled)
                                             : sparse_make(buffer, 0, NULL, &step->scaled);
    if (status)
        return sparse_no_memory("a momentum buffer", error);
    step->scaled.coalesced = sparse_nnz(&step->scaled) < 2;
    status = sparse_sum_prepare(&step->accumulated, step->context.dtype, &step->scaled, step->grad,
                                           1 - step->hyper.dampening, error);
    step->direction = sparse_sum_result(&step->accumulated);
    return status;
}

static sgd_status prepare_dense_buffer(sparse_step *step, sgd_error *error)
{
    const tensor_view *buffer = &step->dense_buffer;
    int64_t room[LAYOUT_DIMS];
    sgd_status status = strided_prepare(&step->dense_scale, buffer->dtype, buffer->ndim, buffer->shape,
                                        tensor_view_strides(buffer, room), NULL, error);
    if (!status)
        status = dense_sum_prepare(&step->dense_accumulated, buffer, step->grad, 1 - step->hyper.dampening, error);
    step->direction = NULL;
    return status;
}

static sgd_status prepare_buffer(sparse_step *step, sgd_error *error)
{
    if (sparse_buffer_exists(step->item))
        return prepare_sparse_buffer(step, error);
    if (step->item->has_buffer)
        return prepare_dense_buffer(step, error);
    if (sparse_make_like(step->grad, &step->first))
        return sparse_no_memory("a momentum buffer", error);
    step->direction = &step->first;
    return SGD_OK;
}

static sgd_status prepare_nesterov(sparse_step *step, sgd_error *error)
{
    if (!step->direction)
        return sparse_dense_error(error);
    sgd_status status = sparse_sum_prepare(&step->looked_ahead, step->context.dtype, step->grad, step->direction,
                                           step->hyper.momentum, error);
    step->direction = sparse_sum_result(&step->looked_ahead);
    step->writes_grad =
        step->context.arithmetic.path == SGD_FOREACH && !step->hyper.maximize && step->looked_ahead.kind != SUM_IS_T;
    return status;
}

static sgd_status prepare_descent(sparse_step *step, sgd_error *error)
{
    const tensor_view *param = &step->param;
    int64_t param_room[LAYOUT_DIMS], buffer_room[LAYOUT_DIMS];
    if (step->direction)
        return step->hyper.lr_addcmul ? not_sparse_error("addcmul_", error)
                                      : dense_sum_prepare(&step->descended, param, step->direction, -step->hyper.lr, error);
    sgd_status status = step->hyper.lr_addcmul ? SGD_OK : step_check_alpha(param->dtype, -step->hyper.lr, error);
    return status ? status
                  : strided_prepare(&step->dense_descent, param->dtype, param->ndim, param->shape,
                                    tensor_view_strides(param, param_room),
                                    tensor_view_strides(&step->dense_buffer, buffer_room), error);
}

static sgd_status prepare_all(sparse_step *step, sgd_error *error)
{
    step->direction = step->grad;
    sgd_status status = prepare_negated(step, error);
    if (!status && step->hyper.weight_decay != 0)
        return step->hyper.weight_decay_addcmul ? not_sparse_error("addcmul_", error) : sparse_dense_error(error);
    step->direction = step->grad;
    if (!status && step->hyper.momentum != 0) {
        status = prepare_buffer(step, error);
        if (!status && step->hyper.nesterov)
            status = prepare_nesterov(step, error);
    }
    return status ? status : prepare_descent(step, error);
}

sgd_status sparse_item_check(const step_group *group, const sgd_item *item, const tensor_view *param, size_t index,
                             sgd_error *error)
{
    const sgd_sparse *tensors[] = {item->sparse_grad, group->hyper.momentum != 0 && sparse_buffer_exists(item)
                                                          ? item->sparse_buffer : NULL};
    const char *const names[] = {"gradient", "momentum buffer"};
    sgd_status status = step_check_claim(group->config, group->path, param->dtype, error);
    if (status || group->path == SGD_FUSED)
        return status ? status
                      : sgd_error_set(error, SGD_ERROR_RUNTIME, "`_fused_sgd` does not support sparse gradients");
    for (int i = 0; i < 2 && tensors[i]; i++) {
        sgd_dtype dtype;
        status = sparse_check(tensors[i], names[i], index, &dtype, error);
        if (status)
            return status;
        if (dtype != param->dtype)
            return sgd_error_set(error, SGD_ERROR_DTYPE, "%s %zu is %s, its parameter is %s", names[i], index,
                                 sgd_dtype_name(dtype), sgd_dtype_name(param->dtype));
        bool same = tensors[i]->ndim == param->ndim;
        for (int32_t d = 0; same && d < param->ndim; d++)
            same = tensors[i]->shape[d] == param->shape[d];
        if (!same)
            return sgd_error_set(error, SGD_ERROR_SHAPE, "%s %zu and its parameter differ in shape", names[i], index);
    }
    if (group->hyper.momentum != 0 && !item->sparse_buffer && !item->has_buffer)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "sparse momentum buffer %zu is NULL", index);
    const sgd_backend *backend = group->config->backend;
    if (backend->dl_device != kDLCPU || !backend->axpy || !backend->scale || !backend->negate || !backend->addcmul ||
        !backend->copy_strided)
        return sgd_error_set(error, SGD_ERROR_UNSUPPORTED, "backend %s takes no sparse gradients", backend->name);
    return SGD_OK;
}

sgd_status sparse_step_prepare(const step_group *group, step_item *item, sparse_step **list, sgd_error *error)
{
    const sgd_config *config = group->config;
    sparse_step *step = calloc(1, sizeof *step);
    if (!step)
        return sparse_no_memory("the operations", error);
    *step = (sparse_step){.next = *list,
                          .context = {.backend = config->backend,
                                      .arithmetic = {.struct_size = sizeof(sgd_arithmetic),
                                                     .contract = config->contract,
                                                     .path = group->path,
                                                     .defects = config->defects,
                                                     .torch_threads = config->torch_threads,
                                                     .threads = config->threads},
                                      .dtype = item->param.dtype},
                          .hyper = group->hyper,
                          .item = item->from,
                          .param = item->param,
                          .dense_buffer = item->buffer,
                          .grad = item->from->sparse_grad};
    *list = item->sparse = step;
    return prepare_all(step, error);
}

/* ---- the work ---------------------------------------------------------------------------------------------------------- */

static sgd_status run_buffer(sparse_step *step)
{
    const sparse_context *context = &step->context;
    if (step->first.owned)
        return sparse_copy_values(context, step->grad, &step->first, 0);
    sgd_status status;
    if (step->scaled.owned) {
        status = sparse_copy_values(context, step->item->sparse_buffer, &step->scaled, 0);
        if (!status) /* mul_ of a sparse tensor has the scalar as its first operand, as torch._foreach_mul_ */
            status = sparse_scale(context, SGD_FOREACH, step->hyper.momentum, &step->scaled);
        return status ? status : sparse_sum_run(&step->accumulated, context);
    }
    status = strided_run(&step->dense_scale, context, STRIDED_SCALE, step->hyper.momentum, step->dense_buffer.data, NULL);
    return status ? status : dense_sum_run(&step->dense_accumulated, context);
}

static void replace(sgd_sparse *old, sgd_sparse *with)
{
    sgd_sparse_destroy(old);
    *old = *with;
    *with = (sgd_sparse){0};
}

/* What the step leaves behind. */
static void keep_results(sparse_step *step)
{
    if (step->hyper.momentum == 0)
        return;
    if (step->first.owned)
        replace(step->item->sparse_buffer, &step->first);
    else if (step->scaled.owned)
        replace(step->item->sparse_buffer, sparse_sum_result(&step->accumulated));
    if (step->writes_grad)
        replace(step->item->sparse_grad, sparse_sum_result(&step->looked_ahead));
}

sgd_status sparse_step_run(sparse_step *step, sgd_path path)
{
    const sparse_context *context = &step->context;
    const sgd_hyper *hyper = &step->hyper;
    sgd_status status = SGD_OK;
    step->context.arithmetic.path = path;
    if (hyper->maximize) {
        status = sparse_copy_values(context, step->item->sparse_grad, &step->negated, 0);
        if (!status)
            status = sparse_negate(context, &step->negated);
    }
    if (!status && hyper->momentum != 0)
        status = run_buffer(step);
    if (!status && hyper->momentum != 0 && hyper->nesterov)
        status = sparse_sum_run(&step->looked_ahead, context);
    if (!status)
        status = step->direction ? dense_sum_run(&step->descended, context)
                                 : strided_run(&step->dense_descent, context,
                                               hyper->lr_addcmul ? STRIDED_ADDCMUL : STRIDED_ADD,
                                               hyper->lr_addcmul ? hyper->lr : -hyper->lr, step->param.data,
                                               step->dense_buffer.data);
    if (!status)
        keep_results(step);
    return status;
}

static void destroy(sparse_step *step)
{
    sgd_sparse_destroy(&step->negated);
    sgd_sparse_destroy(&step->first);
    sgd_sparse_destroy(&step->scaled);
    sparse_sum_clear(&step->accumulated);
    strided_clear(&step->dense_scale);
    strided_clear(&step->dense_descent);
    dense_sum_clear(&step->dense_accumulated);
    sparse_sum_clear(&step->looked_ahead);
    dense_sum_clear(&step->descended);
    free(step);
}

void sparse_steps_destroy(sparse_step **list)
{
    while (*list) {
        sparse_step *step = *list;
        *list = step->next;
        destroy(step);
    }
}
