/* tensor.c - DLPack descriptors, checked before anything else looks at them. */
#include <string.h>

#include "engine.h"

bool tensor_dtype(DLDataType type, sgd_dtype *out)
{
    static const struct {
        uint8_t code, bits;
        sgd_dtype dtype;
    } known[] = {{kDLFloat, 64, SGD_F64},   {kDLFloat, 32, SGD_F32},   {kDLFloat, 16, SGD_F16},
                 {kDLBfloat, 16, SGD_BF16}, {kDLComplex, 64, SGD_C64}, {kDLComplex, 128, SGD_C128}};
    for (size_t i = 0; type.lanes == 1 && i < sizeof known / sizeof known[0]; i++)
        if (known[i].code == type.code && known[i].bits == type.bits) {
            *out = known[i].dtype;
            return true;
        }
    return false;
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

/* torch has no negative strides. */
static bool strides_are_sound(const DLTensor *tensor)
{
    for (int i = 0; tensor->strides && i < tensor->ndim; i++)
        if (tensor->strides[i] < 0)
            return false;
    return true;
}

/* To its parts, if it is complex. */
bool tensor_is_aligned(const void *data, sgd_dtype dtype)
{
    size_t size = sgd_dtype_size(dtype);
    return (uintptr_t)data % (dtype == SGD_C64 || dtype == SGD_C128 ? size / 2 : size) == 0;
}

sgd_status tensor_view_check(const DLTensor *tensor, const sgd_backend *backend, const char *what, size_t index,
                             tensor_view *out, sgd_error *error)
{
    tensor_view view;
    if (!tensor)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "%s %zu is NULL", what, index);
    if (tensor->ndim < 0 || (tensor->ndim > 0 && !tensor->shape))
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "%s %zu has no shape", what, index);
    if (!tensor_dtype(tensor->dtype, &view.dtype))
        return sgd_error_set(error, SGD_ERROR_DTYPE,
                             "%s %zu: DLPack dtype code %d, %d bits, %d lanes is none of f64, f32, f16, bf16, c64, c128",
                             what, index, tensor->dtype.code, tensor->dtype.bits, tensor->dtype.lanes);
    if ((int32_t)tensor->device.device_type != backend->dl_device)
        return sgd_error_set(error, SGD_ERROR_DEVICE, "%s %zu is on DLPack device type %d, backend %s takes type %d", what,
                             index, (int)tensor->device.device_type, backend->name, (int)backend->dl_device);
    size_t element_size = sgd_dtype_size(view.dtype);
    if (tensor->ndim > LAYOUT_DIMS || !shape_numel(tensor, element_size, &view.numel))
        return sgd_error_set(error, SGD_ERROR_SHAPE,
                             "%s %zu: more than %d dimensions, a negative extent, or more elements than memory has", what,
                             index, LAYOUT_DIMS);
    if (!strides_are_sound(tensor))
        return sgd_error_set(error, SGD_ERROR_LAYOUT, "%s %zu has a negative stride", what, index);
    if (view.numel > 0 && !tensor->data)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "%s %zu has no data", what, index);
    view.data = tensor->data ? (char *)tensor->data + tensor->byte_offset : NULL;
    if (!tensor_is_aligned(view.data, view.dtype))
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "%s %zu is not aligned to its element size of %zu", what, index,
                             element_size);
    view.ndim = tensor->ndim;
    view.shape = tensor->shape;
    view.strides = tensor->strides;
    view.device = tensor->device;
    view.type = tensor->dtype;
    view.contiguous = !tensor->strides || layout_is_contiguous(view.ndim, view.shape, tensor->strides);
    *out = view;
    return SGD_OK;
}

bool tensor_view_same_shape(const tensor_view *x, const tensor_view *y)
{
    return x->ndim == y->ndim && (x->ndim == 0 || !memcmp(x->shape, y->shape, (size_t)x->ndim * sizeof *x->shape));
}

const int64_t *tensor_view_strides(const tensor_view *view, int64_t room[LAYOUT_DIMS])
{
    if (view->strides)
        return view->strides;
    layout_contiguous(view->ndim, view->shape, room);
    return room;
}
