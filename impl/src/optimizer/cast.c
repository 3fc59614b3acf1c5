/* cast.c - what load_state_dict makes of a tensor: torch.Tensor.to(dtype, device) in host memory
 * (torch/optim/optimizer.py _process_value_according_to_param_policy).
 *
 * Numbers become PyTorch's bits; a NaN stays a NaN whose payload is the library's own, as PyTorch's depends on the position.
 */
#include <string.h>

#include "dict.h"

static bool is_floating(DLDataType type) { return type.code == kDLFloat || type.code == kDLBfloat; }

static bool same_type(DLDataType x, DLDataType y) { return x.code == y.code && x.bits == y.bits && x.lanes == y.lanes; }

static DLDataType cast_type(const DLTensor *tensor, const DLTensor *param)
{
    return param && is_floating(param->dtype) && tensor_element_size(param->dtype) ? param->dtype : tensor->dtype;
}

bool tensor_needs_cast(const DLTensor *tensor, const DLTensor *param)
{
    return !same_type(tensor->dtype, cast_type(tensor, param)) || tensor->device.device_type != param->device.device_type ||
           tensor->device.device_id != param->device.device_id;
}

/* ---- elements -------------------------------------------------------------------------------------------------------------- */

static sgd_dtype float_dtype(DLDataType type)
{
    if (type.code == kDLBfloat)
        return SGD_BF16;
    unsigned bits = type.code == kDLComplex ? type.bits / 2 : type.bits;
    return bits == 64 ? SGD_F64 : bits == 32 ? SGD_F32 : SGD_F16;
}

static int64_t integer_read(DLDataType type, const void *element)
{
    union { int64_t i64; int32_t i32; int16_t i16; int8_t i8; uint8_t u8; } at;
    memcpy(&at, element, type.bits / 8);
    if (type.code != kDLInt)
        return at.u8;
    return type.bits == 64 ? at.i64 : type.bits == 32 ? at.i32 : type.bits == 16 ? at.i16 : at.i8;
}

/* From any dtype to a floating one.  Integers are rounded once to double or float; of a complex number the real part stays. */
static void element_cast(DLDataType from, const void *in, DLDataType to, void *out)
{
    if (is_floating(from) || from.code == kDLComplex) {
        number_convert(float_dtype(from), in, float_dtype(to), out);
        return;
    }
    int64_t integer = integer_read(from, in);
    double wide = (double)integer;
    float single = (float)integer;
    if (float_dtype(to) == SGD_F64)
        memcpy(out, &wide, sizeof wide);
    else
        number_convert(SGD_F32, &single, float_dtype(to), out);
}

/* ---- tensors --------------------------------------------------------------------------------------------------------------- */

static const char *data_of(const DLTensor *tensor) { return (const char *)tensor->data + tensor->byte_offset; }

static const int64_t *strides_of(const DLTensor *tensor, int64_t room[LAYOUT_DIMS])
{
    if (tensor->strides)
        return tensor->strides;
    layout_contiguous(tensor->ndim, tensor->shape, room);
    return room;
}

/* Copies all elements, index by index. */
static void fill(const DLTensor *from, const DLTensor *to, size_t numel)
{
    int64_t from_room[LAYOUT_DIMS], to_room[LAYOUT_DIMS], index[LAYOUT_DIMS] = {0}, in = 0, out = 0;
    const int64_t *in_strides = strides_of(from, from_room), *out_strides = strides_of(to, to_room);
    size_t in_size = tensor_element_size(from->dtype), out_size = tensor_element_size(to->dtype);
    bool same = same_type(from->dtype, to->dtype);
    for (size_t i = 0; i < numel; i++) {
        const char *source = data_of(from) + in * (int64_t)in_size;
        char *target = (char *)to->data + out * (int64_t)out_size;
        if (same)
            memcpy(target, source, in_size);
        else
            element_cast(from->dtype, source, to->dtype, target);
        for (int32_t d = from->ndim - 1; d >= 0; d--) {
            in += in_strides[d];
            out += out_strides[d];
            if (++index[d] < from->shape[d])
                break;
            in -= in_strides[d] * index[d];
            out -= out_strides[d] * index[d];
            index[d] = 0;
        }
    }
}

static sgd_status cast_dense(const DLTensor *from, const DLTensor *param, sgd_value *out, sgd_error *error)
{
    size_t numel;
    int64_t strides[LAYOUT_DIMS];
    sgd_status status = tensor_numel(from, &numel, error);
    if (status)
        return status;
    if (from->device.device_type != kDLCPU || (param && param->device.device_type != kDLCPU))
        return sgd_error_set(error, SGD_ERROR_UNSUPPORTED, "copies of tensors in other than host memory are not offered");
    if (numel > 0 && !from->data)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "a tensor of the state has no data");
    if (from->strides)
        layout_like(from->ndim, from->shape, from->strides, strides);
    DLTensor like = *from;
    like.dtype = cast_type(from, param);
    status = owned_tensor_create(&like, from->strides ? strides : NULL, NULL, out, error);
    if (status)
        return status;
    if (!tensor_element_size(from->dtype)) {
        out->type->release(out->object);
        return sgd_error_set(error, SGD_ERROR_DTYPE, "DLPack dtype code %d, %d bits, %d lanes is not known", from->dtype.code,
                             from->dtype.bits, from->dtype.lanes);
    }
    fill(from, out->tensor.tensor, numel);
    return SGD_OK;
}

static sgd_status cast_sparse(const sgd_sparse *from, const DLTensor *param, sgd_value *out, sgd_error *error)
{
    sgd_value indices, values;
    sgd_status status = cast_dense(&from->indices, NULL, &indices, error);
    if (status)
        return status;
    status = cast_dense(&from->values, param, &values, error);
    if (!status) {
        status = sgd_sparse_create(&indices, &values, from->ndim, from->shape, from->coalesced, out, error);
        values.type->release(values.object);
    }
    indices.type->release(indices.object);
    return status;
}

sgd_status tensor_cast(const sgd_value *value, const DLTensor *param, sgd_value *out, sgd_error *error)
{
    sgd_value made = {.kind = SGD_VALUE_NONE};
    sgd_status status = value->kind == SGD_VALUE_SPARSE ? cast_sparse(value->sparse, param, &made, error)
                                                        : cast_dense(value->tensor.tensor, param, &made, error);
    if (status)
        return status;
    if (made.kind == SGD_VALUE_TENSOR)
        made.tensor.requires_grad = value->tensor.requires_grad;
    *out = made;
    return SGD_OK;
}
