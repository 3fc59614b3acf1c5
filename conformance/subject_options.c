/* subject_options.c - see subject_options.h. */
#include "subject_options.h"

#include "scalar.h"

/* The shape of every tensor of one element. */
static const int64_t ones[VECTORS_MAX_SCALAR_DIMS] = {1, 1, 1, 1, 1, 1, 1, 1};

DLDataType subject_type(sgd_dtype dtype)
{
    uint8_t code = dtype == SGD_BF16                          ? kDLBfloat
                   : dtype == SGD_C64 || dtype == SGD_C128 ? kDLComplex
                                                              : kDLFloat;
    return (DLDataType){.code = code, .bits = (uint8_t)(8 * sgd_dtype_size(dtype)), .lanes = 1};
}

static const DLTensor *one_element(subject_scalar *memory, sgd_dtype dtype, int32_t ndim, double value)
{
    scalar_encode(dtype, value, &memory->element);
    memory->tensor = (DLTensor){.data = &memory->element,
                                .device = {kDLCPU, 0},
                                .ndim = ndim,
                                .dtype = subject_type(dtype),
                                .shape = (int64_t *)(uintptr_t)ones};
    return &memory->tensor;
}

/* An option that is a tensor; the number beside it then has no meaning, and is one that would be noticed. */
static void set_tensor(const vectors *v, uint32_t scalar, subject_scalar *memory, double *number, sgd_tensor_option *option)
{
    if (scalar == VECTORS_NONE)
        return;
    option->tensor = one_element(memory, (sgd_dtype)v->scalar.dtype[scalar], v->scalar.ndim[scalar], *number);
    option->requires_grad = v->scalar.requires_grad[scalar];
    *number = 0.4375;
}

sgd_options subject_options(const case_data *data, size_t group, size_t step, subject_scalar scalars[SUBJECT_SCALARS])
{
    const vectors *v = data->file;
    size_t row = data->group_begin + group;
    case_options from = case_options_of(data, group, step);
    sgd_options options = sgd_options_default();
    options.lr = from.lr;
    options.momentum = from.momentum;
    options.dampening = from.dampening;
    options.weight_decay = from.weight_decay;
    options.nesterov = from.nesterov;
    options.maximize = from.maximize;
    options.foreach = data->path == SGD_FOREACH ? SGD_TRUE : SGD_FALSE;
    options.fused = data->path == SGD_FUSED ? SGD_TRUE : SGD_FALSE;
    set_tensor(v, v->group.lr_scalar[row], &scalars[0], &options.lr, &options.lr_tensor);
    set_tensor(v, v->group.momentum_scalar[row], &scalars[1], &options.momentum, &options.momentum_tensor);
    set_tensor(v, v->group.dampening_scalar[row], &scalars[2], &options.dampening, &options.dampening_tensor);
    set_tensor(v, v->group.weight_decay_scalar[row], &scalars[3], &options.weight_decay, &options.weight_decay_tensor);
    return options;
}

const DLTensor *subject_scale(const float *value, subject_scalar *memory)
{
    return value ? one_element(memory, SGD_F32, 0, (double)*value) : NULL;
}
