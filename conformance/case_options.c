/* case_options.c - hyper-parameters and scaling of a case, step by step; see case_data.h. */
#include "case_data.h"

case_options case_options_of(const case_data *data, size_t group, size_t step)
{
    const vectors *v = data->file;
    size_t row = data->group_begin + group;
    if (v->group.option_begin[row] == VECTORS_NONE)
        return (case_options){v->group.lr[row],           v->group.momentum[row], v->group.dampening[row],
                              v->group.weight_decay[row], v->group.nesterov[row], v->group.maximize[row]};
    row = v->group.option_begin[row] + step;
    return (case_options){v->option.lr[row],           v->option.momentum[row], v->option.dampening[row],
                          v->option.weight_decay[row], v->option.nesterov[row], v->option.maximize[row]};
}

static size_t scaling_row(const case_data *data, size_t step)
{
    uint32_t begin = data->file->problem.scaling_begin[data->file->cases.problem[data->row]];
    return begin == VECTORS_NONE ? SIZE_MAX : begin + step;
}

const float *case_grad_scale(const case_data *data, size_t step)
{
    size_t row = scaling_row(data, step);
    return row != SIZE_MAX && data->file->scaling.has_grad_scale[row] ? &data->file->scaling.grad_scale[row] : NULL;
}

const float *case_found_inf(const case_data *data, size_t step)
{
    size_t row = scaling_row(data, step);
    return row != SIZE_MAX && data->file->scaling.has_found_inf[row] ? &data->file->scaling.found_inf[row] : NULL;
}

bool case_is_plain(const case_data *data)
{
    const vectors *v = data->file;
    bool plain = scaling_row(data, 0) == SIZE_MAX;
    for (size_t g = data->group_begin; g < data->group_begin + data->groups; g++)
        plain = plain && v->group.option_begin[g] == VECTORS_NONE && v->group.lr_scalar[g] == VECTORS_NONE &&
                v->group.momentum_scalar[g] == VECTORS_NONE && v->group.dampening_scalar[g] == VECTORS_NONE &&
                v->group.weight_decay_scalar[g] == VECTORS_NONE;
    for (size_t t = 0; plain && t < data->tensors; t++)
        plain = case_is_flat(data, t);
    return plain;
}

/* Outside fused 1 - dampening is subtracted in the tensor's dtype: here the number that gives the same in double.  The
 * difference is a multiple of 2^-25, so that taking it from 1 again is exact. */
static double dampening_of_tensor(const case_data *data, uint32_t scalar, double dampening)
{
    bool narrow = data->path != SGD_FUSED && data->file->scalar.dtype[scalar] == SGD_F32;
    return narrow ? 1 - (double)(1 - (float)dampening) : dampening;
}

sgd_oracle_options case_oracle_options(const case_data *data, size_t group, size_t step, sgd_defects defects)
{
    const vectors *v = data->file;
    size_t row = data->group_begin + group;
    case_options from = case_options_of(data, group, step);
    uint32_t lr = v->group.lr_scalar[row], decay = v->group.weight_decay_scalar[row], dampening = v->group.dampening_scalar[row];
    const float *scale = case_grad_scale(data, step), *inf = case_found_inf(data, step);
    sgd_oracle_options options = {.contract = data->contract,
                                  .path = data->path,
                                  .defects = defects,
                                  .torch_threads = data->torch_threads,
                                  .lr = from.lr,
                                  .momentum = from.momentum,
                                  .dampening = from.dampening,
                                  .weight_decay = from.weight_decay,
                                  .nesterov = from.nesterov,
                                  .maximize = from.maximize,
                                  .momentum_is_tensor = v->group.momentum_scalar[row] != VECTORS_NONE,
                                  .has_grad_scale = scale != NULL,
                                  .grad_scale = scale ? *scale : 0,
                                  .found_inf = inf && *inf == 1};
    if (lr != VECTORS_NONE && v->scalar.requires_grad[lr] && data->path == SGD_FORLOOP) {
        options.lr_addcmul = true;
        options.lr_dtype = (sgd_dtype)v->scalar.dtype[lr];
    }
    if (decay != VECTORS_NONE && v->scalar.requires_grad[decay] && from.weight_decay != 0) {
        options.weight_decay_addcmul = true;
        options.weight_decay_dtype = (sgd_dtype)v->scalar.dtype[decay];
    }
    if (dampening != VECTORS_NONE)
        options.dampening = dampening_of_tensor(data, dampening, from.dampening);
    return options;
}
