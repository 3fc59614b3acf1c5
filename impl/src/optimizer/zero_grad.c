/* zero_grad.c - zero_grad() over the host's gradients (torch/optim/optimizer.py). */
#include <string.h>

#include "internal.h"

static sgd_status check_slot(const sgd_gradient *slot, size_t index, sgd_error *error)
{
    size_t numel;
    sgd_status status = SGD_OK;
    if (slot->dense) {
        status = tensor_numel(slot->dense, &numel, error);
        if (!status && slot->dense->device.device_type != kDLCPU)
            return sgd_error_set(error, SGD_ERROR_DEVICE, "gradient %zu is not in host memory", index);
        if (!status && numel > 0 && !slot->dense->data)
            return sgd_error_set(error, SGD_ERROR_ARGUMENT, "gradient %zu has no data", index);
        if (!status && !tensor_element_size(slot->dense->dtype))
            return sgd_error_set(error, SGD_ERROR_DTYPE, "gradient %zu: DLPack dtype code %d, %d bits is not known", index,
                                 slot->dense->dtype.code, slot->dense->dtype.bits);
    } else if (slot->sparse && (!slot->sparse->indices.shape || !slot->sparse->values.shape)) {
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "gradient %zu has no shape", index);
    }
    return status;
}

/* Zeros at every index, innermost dimension last; memory between the elements stays. */
static void zero_dense(const DLTensor *tensor, int32_t dim, char *at)
{
    size_t size = tensor_element_size(tensor->dtype);
    if (dim == tensor->ndim) {
        memset(at, 0, size);
        return;
    }
    for (int64_t i = 0; i < tensor->shape[dim]; i++)
        zero_dense(tensor, dim + 1, at + i * tensor->strides[dim] * (int64_t)size);
}

static void zero_slot(sgd_gradient *slot)
{
    if (slot->dense) {
        size_t numel;
        const DLTensor *tensor = slot->dense;
        char *data = tensor->data ? (char *)tensor->data + tensor->byte_offset : NULL;
        if (tensor_numel(tensor, &numel, NULL) || numel == 0)
            return;
        if (!tensor->strides || layout_is_contiguous(tensor->ndim, tensor->shape, tensor->strides))
            memset(data, 0, numel * tensor_element_size(tensor->dtype));
        else
            zero_dense(tensor, 0, data);
    } else if (slot->sparse) { /* Tensor.zero_() of a sparse tensor leaves no entries */
        slot->sparse->indices.shape[1] = 0;
        slot->sparse->values.shape[0] = 0;
        slot->sparse->coalesced = true;
    }
}

sgd_status sgd_optimizer_zero_grad(sgd_optimizer *optimizer, sgd_gradient *slots, size_t count, bool set_to_none,
                                   sgd_error *error)
{
    if (!optimizer || (count > 0 && !slots))
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "%s is NULL", optimizer ? "slots" : "optimizer");
    if (count != optimizer->members.param_count)
        return sgd_error_set(error, SGD_ERROR_SHAPE, "%zu gradients for %zu parameters", count,
                             optimizer->members.param_count);
    sgd_status status = SGD_OK;
    for (size_t i = 0; i < count && !set_to_none && !status; i++)
        status = check_slot(&slots[i], i, error);
    for (size_t i = 0; i < count && !status; i++) {
        if (set_to_none)
            slots[i] = (sgd_gradient){.dense = NULL};
        else
            zero_slot(&slots[i]);
    }
    return status;
}
