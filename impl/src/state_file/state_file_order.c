/* state_file_order.c - tensors of any layout in the order of their indices, as a state file keeps them. */
#include <string.h>

#include "state_file_hdf5.h"

size_t numel_of(const DLTensor *tensor)
{
    size_t numel = 1;
    for (int32_t d = 0; d < tensor->ndim; d++)
        numel *= (size_t)tensor->shape[d];
    return numel;
}

bool is_contiguous(const DLTensor *tensor)
{
    int64_t expected = 1;
    bool contiguous = true;
    for (int32_t d = tensor->ndim - 1; d >= 0 && tensor->strides; d--) {
        contiguous &= tensor->shape[d] == 1 || tensor->strides[d] == expected;
        expected *= tensor->shape[d];
    }
    return contiguous || numel_of(tensor) == 0;
}

void reorder(const DLTensor *tensor, size_t size, char *ordered, bool from_tensor)
{
    int64_t index[MOST_DIMS] = {0}, at = 0;
    char *data = (char *)tensor->data + tensor->byte_offset;
    for (size_t i = 0, numel = numel_of(tensor); i < numel; i++) {
        char *element = data + at * (int64_t)size;
        memcpy(from_tensor ? ordered + i * size : element, from_tensor ? element : ordered + i * size, size);
        for (int32_t d = tensor->ndim - 1; d >= 0; d--) {
            at += tensor->strides[d];
            if (++index[d] < tensor->shape[d])
                break;
            at -= tensor->strides[d] * index[d];
            index[d] = 0;
        }
    }
}
