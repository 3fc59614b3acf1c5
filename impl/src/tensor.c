/* tensor.c - DLPack descriptors, checked before anything else looks at them. */
#include "internal.h"

static bool dtype_from_dlpack(DLDataType type, sgd_dtype *out)
{
    if (type.lanes != 1)
        return false;
    if (type.code == kDLFloat && type.bits == 64)
        *out = SGD_F64;
    else if (type.code == kDLFloat && type.bits == 32)
        *out = SGD_F32;
    else if (type.code == kDLFloat && type.bits == 16)
        *out = SGD_F16;
    else if (type.code == kDLBfloat && type.bits == 16)
        *out = SGD_BF16;
    else
        return false;
    return true;
}

/* Elements of a shape; false where it is negative or its bytes do not fit a size_t. */
static bool shape_numel(const DLTensor *tensor, size_t element_size, size_t *out)
{
    size_t numel = 1, limit = (size_t)PTRDIFF_MAX / element_size;
    bool empty = false;
    for (int i = 0; i < tensor->ndim; i++) {
        if (tensor->shape[i] < 0)
            return false;
        size_t extent = (size_t)tensor->shape[i];
        if (extent == 0)
            empty = true;
        else if (numel > limit / extent)
            return false;
        else
            numel *= extent;
    }
    *out = empty ? 0 : numel;
    return true;
}

static bool is_contiguous(const DLTensor *tensor, size_t numel)
{
    if (!tensor->strides || numel == 0)
        return true;
    int64_t expected = 1;
    for (int i = tensor->ndim - 1; i >= 0; i--) {
        if (tensor->shape[i] != 1 && tensor->strides[i] != expected)
            return false;
        expected *= tensor->shape[i];
    }
    return true;
}

sgd_status tensor_view_check(const DLTensor *tensor, const sgd_backend *backend, const char *what, size_t index,
                             tensor_view *out, sgd_error *error)
{
    tensor_view view;
    if (!tensor)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "%s %zu is NULL", what, index);
    if (tensor->ndim < 0 || (tensor->ndim > 0 && !tensor->shape))
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "%s %zu has no shape", what, index);
    if (!dtype_from_dlpack(tensor->dtype, &view.dtype))
        return sgd_error_set(error, SGD_ERROR_DTYPE,
                             "%s %zu: DLPack dtype code %d, %d bits, %d lanes is none of f64, f32, f16, bf16", what, index,
                             tensor->dtype.code, tensor->dtype.bits, tensor->dtype.lanes);
    if ((int32_t)tensor->device.device_type != backend->dl_device)
        return sgd_error_set(error, SGD_ERROR_DEVICE, "%s %zu is on DLPack device type %d, backend %s takes type %d", what, index,
                             (int)tensor->device.device_type, backend->name, (int)backend->dl_device);
    size_t element_size = sgd_dtype_size(view.dtype);
    if (!shape_numel(tensor, element_size, &view.numel))
        return sgd_error_set(error, SGD_ERROR_SHAPE, "%s %zu: a negative extent, or more elements than memory has", what,
                             index);
    if (!is_contiguous(tensor, view.numel))
        return sgd_error_set(error, SGD_ERROR_LAYOUT, "%s %zu is not contiguous", what, index);
    if (view.numel > 0 && !tensor->data)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "%s %zu has no data", what, index);
    view.data = tensor->data ? (char *)tensor->data + tensor->byte_offset : NULL;
    if ((uintptr_t)view.data % element_size != 0)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "%s %zu is not aligned to its element size of %zu", what, index,
                             element_size);
    *out = view;
    return SGD_OK;
}
