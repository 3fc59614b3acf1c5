/* group.c - what of a param group's step there is besides its tensors: the path, options with their tensors read, the gradient
 * scaler's numbers. */
#include <string.h>

#include "engine.h"

/* ---- scaling ----------------------------------------------------------------------------------------------------------------- */

static const char *dlpack_scalar_type(DLDataType type)
{
    static const struct {
        uint8_t code, bits;
        const char *name;
    } names[] = {{kDLFloat, 64, "Double"}, {kDLFloat, 16, "Half"}, {kDLBfloat, 16, "BFloat16"}, {DL_BOOL, 8, "Bool"},
                 {kDLInt, 64, "Long"},     {kDLInt, 32, "Int"},    {kDLInt, 16, "Short"},       {kDLInt, 8, "Char"},
                 {kDLUInt, 8, "Byte"}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (names[i].code == type.code && names[i].bits == type.bits)
            return names[i].name;
    return "Undefined";
}

static sgd_status read_scale(const DLTensor *tensor, const char *name, float *out, sgd_error *error)
{
    if (tensor->dtype.code != kDLFloat || tensor->dtype.bits != 32 || tensor->dtype.lanes != 1)
        return sgd_error_set(error, SGD_ERROR_RUNTIME, "expected scalar type Float but found %s",
                             dlpack_scalar_type(tensor->dtype));
    size_t numel = 1;
    for (int32_t d = 0; d < tensor->ndim; d++)
        numel *= (size_t)tensor->shape[d];
    if (tensor->device.device_type != kDLCPU || !tensor->data || numel == 0)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "%s must hold an element in host memory", name);
    memcpy(out, (const char *)tensor->data + tensor->byte_offset, sizeof *out);
    return SGD_OK;
}

static sgd_status read_scaling(const sgd_scaling *scaling, step_group *group, sgd_error *error)
{
    if (!scaling || (!scaling->grad_scale && !scaling->found_inf))
        return SGD_OK;
    if (group->path != SGD_FUSED)
        return sgd_error_set(error, SGD_ERROR_ASSERTION, "Expected grad_scale and found_inf to be None");
    float found_inf = 0;
    sgd_status status = SGD_OK;
    group->has_grad_scale = scaling->grad_scale != NULL;
    if (scaling->grad_scale)
        status = read_scale(scaling->grad_scale, "grad_scale", &group->grad_scale, error);
    if (!status && scaling->found_inf)
        status = read_scale(scaling->found_inf, "found_inf", &found_inf, error);
    group->skip = found_inf == 1;
    return status;
}

/* ---- the group ----------------------------------------------------------------------------------------------------------------- */

sgd_status step_group_begin(const sgd_config *config, const sgd_options *options, const sgd_scaling *scaling, step_group *out,
                            sgd_error *error)
{
    step_group group = {.config = config,
                        .path = sgd_options_path(options, config->backend),
                        .momentum_is_tensor = options->momentum_tensor.tensor != NULL};
    sgd_status status = read_scaling(scaling, &group, error);
    if (!status)
        status = options_resolve(options, group.path, &group.hyper, error);
    if (!status && group.hyper.lr_addcmul)
        group.lr_type = options->lr_tensor.tensor->dtype;
    if (!status && group.momentum_is_tensor)
        group.momentum_type = options->momentum_tensor.tensor->dtype;
    if (!status && group.hyper.weight_decay_addcmul)
        group.weight_decay_type = options->weight_decay_tensor.tensor->dtype;
    if (!status)
        *out = group;
    return status;
}

bool step_writes_grad(const step_group *group)
{
    const sgd_hyper *hyper = &group->hyper;
    switch (group->path) {
    case SGD_FUSED: return group->has_grad_scale;
    case SGD_FOREACH: return hyper->nesterov && hyper->momentum != 0 && hyper->weight_decay == 0 && !hyper->maximize;
    default: return hyper->weight_decay_addcmul && !hyper->maximize;
    }
}

static bool same_type(DLDataType x, DLDataType y) { return x.code == y.code && x.bits == y.bits && x.lanes == y.lanes; }

/* Whether items that were prepared for one group would be the same for the other. */
static bool same_way(const step_group *x, const step_group *y)
{
    return x->path == y->path && (x->hyper.momentum != 0) == (y->hyper.momentum != 0) && x->has_grad_scale == y->has_grad_scale &&
           x->momentum_is_tensor == y->momentum_is_tensor && x->hyper.lr_addcmul == y->hyper.lr_addcmul &&
           x->hyper.weight_decay_addcmul == y->hyper.weight_decay_addcmul && same_type(x->lr_type, y->lr_type) &&
           same_type(x->weight_decay_type, y->weight_decay_type) && same_type(x->momentum_type, y->momentum_type) &&
           step_writes_grad(x) == step_writes_grad(y);
}

bool step_group_renew(step_group *group, const sgd_options *options, const sgd_scaling *scaling)
{
    step_group now;
    if (step_group_begin(group->config, options, scaling, &now, NULL) || !same_way(&now, group))
        return false;
    for (int dtype = 0; dtype < SGD_DTYPE_COUNT && group->path != SGD_FUSED; dtype++)
        if ((group->dtypes >> dtype & 1) && step_check_alphas(&now.hyper, (sgd_dtype)dtype, false, NULL))
            return false;
    group->hyper = now.hyper;
    group->grad_scale = now.grad_scale;
    group->skip = now.skip;
    return true;
}
