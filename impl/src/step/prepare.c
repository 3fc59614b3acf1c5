/* prepare.c - the first half of a step: everything that can go wrong is looked at, nothing is changed.
 *
 * torch/optim/sgd.py: sgd(), _fused_sgd's first step and type checks; c10/util/TypeCast.h; ATen/MemoryOverlap.h.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "sparse.h"

/* ---- one item ---------------------------------------------------------------------------------------------------------- */

/* A gradient or a buffer has its parameter's dtype, shape and device. */
static sgd_status check_companion(const DLTensor *tensor, const DLTensor *param_tensor, const tensor_view *param,
                                  const sgd_backend *backend, const char *what, size_t index, tensor_view *out,
                                  sgd_error *error)
{
    sgd_status status = tensor_view_check(tensor, backend, what, index, out, error);
    if (status)
        return status;
    if (out->dtype != param->dtype)
        return sgd_error_set(error, SGD_ERROR_DTYPE, "%s %zu is %s, its parameter is %s", what, index,
                             sgd_dtype_name(out->dtype), sgd_dtype_name(param->dtype));
    if (tensor->device.device_id != param_tensor->device.device_id)
        return sgd_error_set(error, SGD_ERROR_DEVICE, "%s %zu is on device %d, its parameter on device %d", what, index,
                             (int)tensor->device.device_id, (int)param_tensor->device.device_id);
    if (!tensor_view_same_shape(out, param))
        return sgd_error_set(error, SGD_ERROR_SHAPE, "%s %zu and its parameter differ in shape", what, index);
    return SGD_OK;
}

/* Written tensors must not hold one element at several indices (at::assert_no_internal_overlap). */
static sgd_status check_writable(const tensor_view *view, sgd_error *error)
{
    if (view->strides && layout_overlaps(view->ndim, view->shape, view->strides))
        return sgd_error_set(error, SGD_ERROR_RUNTIME,
                             "unsupported operation: more than one element of the written-to tensor refers to a single memory "
                             "location. Please clone() the tensor before performing the operation.");
    return SGD_OK;
}

static bool is_flat(const step_item *item)
{
    if (item->param.contiguous && item->grad.contiguous && (!item->buffer.data || item->buffer.contiguous))
        return true;
    int64_t room[LAYOUT_OPERANDS][LAYOUT_DIMS];
    return layout_is_flat(&(layout){.ndim = item->param.ndim,
                                    .shape = item->param.shape,
                                    .strides = {tensor_view_strides(&item->param, room[0]),
                                                tensor_view_strides(&item->grad, room[1]),
                                                item->buffer.data ? tensor_view_strides(&item->buffer, room[2]) : NULL}});
}

static bool promotes(sgd_dtype dtype, DLDataType option) { return number_promote(dtype, option) != dtype; }

static sgd_status prepare_dense(const step_group *group, size_t index, step_item *item, sgd_error *error)
{
    const sgd_backend *backend = group->config->backend;
    const sgd_item *from = item->from;
    sgd_status status = check_companion(from->grad, from->param, &item->param, backend, "gradient", index, &item->grad, error);
    if (!status)
        status = check_writable(&item->param, error);
    item->write_grad = step_writes_grad(group);
    if (!status && item->write_grad)
        status = check_writable(&item->grad, error);
    item->first = !from->has_buffer;
    if (!status && group->hyper.momentum != 0) {
        if (sparse_buffer_exists(from))
            return sparse_buffer_error(group->path, error);
        if (!from->buffer)
            return sgd_error_set(error, SGD_ERROR_ARGUMENT, "momentum buffer %zu is NULL", index);
        status = check_companion(from->buffer, from->param, &item->param, backend, "momentum buffer", index, &item->buffer,
                                 error);
        if (!status)
            status = check_writable(&item->buffer, error);
    }
    item->promotes = item->param.ndim == 0 &&
                     ((group->hyper.lr_addcmul && promotes(item->param.dtype, group->lr_type)) ||
                      (group->hyper.weight_decay_addcmul && promotes(item->param.dtype, group->weight_decay_type)) ||
                      (group->momentum_is_tensor && promotes(item->param.dtype, group->momentum_type)));
    if (!status)
        item->flat = is_flat(item);
    return status;
}

static sgd_status prepare_sparse(const step_group *group, size_t index, step_item *item, sgd_error *error)
{
    const sgd_backend *backend = group->config->backend;
    const sgd_item *from = item->from;
    bool dense_buffer = group->hyper.momentum != 0 && from->has_buffer && !sparse_buffer_exists(from);
    sgd_status status = sparse_item_check(group, from, &item->param, index, error);
    item->first = !from->has_buffer;
    item->flat = true;
    if (!status)
        status = check_writable(&item->param, error);
    if (status || !dense_buffer)
        return status;
    if (!from->buffer)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "momentum buffer %zu is NULL", index);
    if (item->param.ndim == 0 && group->hyper.lr_addcmul && promotes(item->param.dtype, group->lr_type))
        return sgd_error_set(error, SGD_ERROR_UNSUPPORTED, "a wider lr that requires grad, over a parameter without dimensions "
                             "with a sparse gradient and a dense buffer, is not offered");
    status = check_companion(from->buffer, from->param, &item->param, backend, "momentum buffer", index, &item->buffer, error);
    return status ? status : check_writable(&item->buffer, error);
}

static sgd_status prepare_item(const step_group *group, size_t index, step_item *item, sgd_error *error)
{
    const sgd_item *from = item->from;
    if (!from->grad && !from->sparse_grad) /* left alone, be it in memory or not */
        return SGD_OK;
    sgd_status status = tensor_view_check(from->param, group->config->backend, "parameter", index, &item->param, error);
    if (status)
        return status;
    item->active = true;
    return from->sparse_grad ? prepare_sparse(group, index, item, error) : prepare_dense(group, index, item, error);
}

/* ---- what the backend offers ----------------------------------------------------------------------------------------------- */

static bool claims(const sgd_backend *backend, sgd_contract contract, sgd_path path, sgd_dtype dtype)
{
    for (size_t i = 0; i < backend->claim_count; i++)
        if (backend->claims[i].contract == contract && backend->claims[i].path == path && backend->claims[i].dtype == dtype)
            return true;
    return false;
}

static bool is_complex(sgd_dtype dtype) { return dtype == SGD_C64 || dtype == SGD_C128; }

sgd_status step_check_claim(const sgd_config *config, sgd_path path, sgd_dtype dtype, sgd_error *error)
{
    if (path == SGD_FUSED && is_complex(dtype))
        return sgd_error_set(error, SGD_ERROR_RUNTIME,
                             "`fused=True` requires all the params to be floating point Tensors of supported devices: ['mps', "
                             "'cuda', 'xpu', 'hpu', 'cpu', 'mtia', 'privateuseone'] but torch.complex%d and cpu",
                             dtype == SGD_C64 ? 64 : 128);
    if (!claims(config->backend, config->contract, path, dtype))
        return sgd_error_set(error, SGD_ERROR_UNSUPPORTED, "backend %s does not claim %s/%s/%s", config->backend->name,
                             sgd_contract_name(config->contract), sgd_path_name(path), sgd_dtype_name(dtype));
    return SGD_OK;
}

/* An item that is not flat is brought into order by copies; where positions decide the bits it goes operation by operation. */
static sgd_status check_layout(const step_group *group, const step_item *item, size_t index, sgd_error *error)
{
    const sgd_backend *backend = group->config->backend;
    bool by_op = backend->negate && backend->copy && backend->axpy && backend->scale && backend->addcmul;
    if ((item->flat && !item->promotes) || (backend->copy_strided && by_op))
        return SGD_OK;
    return sgd_error_set(error, SGD_ERROR_LAYOUT, "parameter %zu, its gradient or buffer is not contiguous, which backend %s "
                         "does not take", index, backend->name);
}

/* ---- what PyTorch raises --------------------------------------------------------------------------------------------------- */

/* c10/util/TypeCast.h checked_convert: alpha of add must fit the dtype, infinities and NaN pass. */
static bool alpha_overflows(sgd_dtype dtype, double alpha)
{
    static const double largest[SGD_DTYPE_COUNT] = {[SGD_F64] = DBL_MAX, [SGD_F32] = FLT_MAX,      [SGD_F16] = 65504.0,
                                                    [SGD_C64] = FLT_MAX, [SGD_BF16] = 0x1.FEp127, [SGD_C128] = DBL_MAX};
    return isfinite(alpha) && fabs(alpha) > largest[dtype];
}

static const char *const scalar_type_names[SGD_DTYPE_COUNT] = {[SGD_F64] = "double",
                                                               [SGD_F32] = "float",
                                                               [SGD_F16] = "c10::Half",
                                                               [SGD_BF16] = "c10::BFloat16",
                                                               [SGD_C64] = "c10::complex<float>",
                                                               [SGD_C128] = "c10::complex<double>"};

sgd_status step_check_alpha(sgd_dtype dtype, double alpha, sgd_error *error)
{
    return alpha_overflows(dtype, alpha) ? sgd_error_set(error, SGD_ERROR_RUNTIME,
                                                         "value cannot be converted to type %s without overflow",
                                                         scalar_type_names[dtype])
                                         : SGD_OK;
}

sgd_status step_check_alphas(const sgd_hyper *hyper, sgd_dtype dtype, bool first, sgd_error *error)
{
    bool momentum = hyper->momentum != 0;
    const double alphas[] = {hyper->lr_addcmul ? 0 : hyper->lr, hyper->weight_decay_addcmul ? 0 : hyper->weight_decay,
                             momentum && !first ? 1 - hyper->dampening : 0,
                             momentum && hyper->nesterov ? hyper->momentum : 0};
    sgd_status status = SGD_OK;
    for (size_t i = 0; i < sizeof alphas / sizeof alphas[0] && !status; i++)
        status = step_check_alpha(dtype, alphas[i], error);
    return status;
}

/* torch._fused_sgd_ wants a buffer for every tensor or for none: the first None's place in its dtype's list is named. */
static sgd_status check_fused_buffers(const step_group *group, sgd_dtype dtype, sgd_error *error)
{
    if (group->hyper.momentum == 0 || !step_buffers_mixed(group, SGD_DTYPE_COUNT))
        return SGD_OK;
    size_t place = 0;
    for (size_t i = 0; i < group->count; i++) {
        const step_item *item = &group->items[i];
        if (!item->active || item->param.dtype != dtype)
            continue;
        if (item->first)
            return sgd_error_set(error, SGD_ERROR_TYPE, "expected Tensor as element %zu in argument 2, but got NoneType",
                                 place);
        place++;
    }
    return SGD_OK;
}

/* Fused walks storage from each tensor's start, whatever the strides; where that leaves the tensor, so would we. */
static sgd_status check_storage(const step_group *group, const tensor_view *view, const char *what, size_t index,
                                sgd_error *error)
{
    if (group->config->defects == SGD_DEFECTS_FIX || view->contiguous)
        return SGD_OK;
    size_t span = view->numel > 0;
    for (int32_t d = 0; d < view->ndim && span; d++)
        span += (size_t)(view->shape[d] - 1) * (size_t)view->strides[d];
    if (span >= view->numel)
        return SGD_OK;
    return sgd_error_set(error, SGD_ERROR_LAYOUT, "%s %zu: torch._fused_sgd_ would read and write %zu elements from its start, "
                         "%zu beyond its memory", what, index, view->numel, view->numel - span);
}

static sgd_status check_item(const step_group *group, const step_item *item, size_t index, sgd_error *error)
{
    if (!item->active)
        return SGD_OK;
    sgd_status status = step_check_claim(group->config, group->path, item->param.dtype, error);
    if (!status)
        status = check_layout(group, item, index, error);
    if (status || item->from->sparse_grad)
        return status; /* sparse_step_prepare looks further */
    if (group->path != SGD_FUSED)
        return step_check_alphas(&group->hyper, item->param.dtype, item->first, error);
    status = check_storage(group, &item->param, "parameter", index, error);
    if (!status)
        status = check_storage(group, &item->grad, "gradient", index, error);
    return status || !item->buffer.data ? status
                                        : check_storage(group, &item->buffer, "momentum buffer", index, error);
}

/* ---- the whole ----------------------------------------------------------------------------------------------------------------- */

static bool share_a_bucket(sgd_dtype x, sgd_dtype y)
{
    return (x == SGD_F32 && y == SGD_BF16) || (x == SGD_BF16 && y == SGD_F32);
}

/* The order in which foreach and fused take the dtypes of a group: that of libstdc++'s hash map in torch/csrc's
 * _group_tensors_by_device_and_dtype.  A new key comes first of all, or first in its bucket; of the six dtypes only f32 and
 * bf16 share one (measured, torch 2.13.0). */
static size_t list_dtypes(const step_group *group, sgd_dtype order[SGD_DTYPE_COUNT])
{
    size_t count = 0;
    for (size_t i = 0; i < group->count; i++) {
        sgd_dtype dtype = group->items[i].param.dtype;
        size_t place = 0, neighbour = 0;
        while (place < count && order[place] != dtype)
            place++;
        if (!group->items[i].active || place < count)
            continue;
        while (neighbour < count && !share_a_bucket(order[neighbour], dtype))
            neighbour++;
        place = neighbour < count ? neighbour : 0;
        memmove(order + place + 1, order + place, (count - place) * sizeof *order);
        order[place] = dtype;
        count++;
    }
    return count;
}

static sgd_status check_list(const step_group *group, sgd_dtype dtype, sgd_error *error)
{
    sgd_status status = group->path == SGD_FUSED ? check_fused_buffers(group, dtype, error) : SGD_OK;
    for (size_t i = 0; i < group->count && !status; i++)
        if (group->items[i].param.dtype == dtype)
            status = check_item(group, &group->items[i], i, error);
    return status;
}

/* The first error is the one that PyTorch comes to first. */
static sgd_status check_items(const step_group *group, sgd_error *error)
{
    sgd_dtype order[SGD_DTYPE_COUNT];
    size_t lists = group->path == SGD_FORLOOP ? 0 : list_dtypes(group, order);
    sgd_status status = SGD_OK;
    for (size_t i = 0; i < lists && !status; i++)
        status = check_list(group, order[i], error);
    for (size_t i = 0; i < group->count && group->path == SGD_FORLOOP && !status; i++)
        status = check_item(group, &group->items[i], i, error);
    return status;
}

bool step_buffers_mixed(const step_group *group, sgd_dtype dtype)
{
    bool with = false, without = false;
    for (size_t i = 0; i < group->count; i++) {
        const step_item *item = &group->items[i];
        if (item->active && (dtype == SGD_DTYPE_COUNT || item->param.dtype == dtype)) {
            with |= !item->first;
            without |= item->first;
        }
    }
    return with && without;
}

sgd_status step_prepare(const sgd_config *config, const sgd_options *options, sgd_item *items, size_t count,
                        const sgd_scaling *scaling, step_item *prepared, step_group *out, sgd_error *error)
{
    step_group group;
    sgd_status status = step_group_begin(config, options, scaling, &group, error);
    if (status)
        return status;
    group.items = prepared;
    group.count = count;
    for (size_t i = 0; i < count && !status; i++) {
        prepared[i] = (step_item){.from = &items[i]};
        status = prepare_item(&group, i, &prepared[i], error);
    }
    if (!status)
        status = check_items(&group, error);
    if (!status)
        *out = group;
    return status;
}
