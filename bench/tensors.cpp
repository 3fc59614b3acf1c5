/* tensors.cpp - see tensors.hpp. */
#include "tensors.hpp"

#include "values.hpp"

static uint8_t type_code(sgd_dtype dtype)
{
    switch (dtype) {
    case SGD_BF16:
        return kDLBfloat;
    case SGD_C64:
    case SGD_C128:
        return kDLComplex;
    default:
        return kDLFloat;
    }
}

/* Every tensor has memory of its own, as the tensors of a model do. */
void Tensors::add(const TensorShape &shape, std::vector<DLTensor> *to)
{
    DLTensor tensor{};
    memory_.push_back(allocate(shape.elements * sgd_dtype_size(dtype_)));
    tensor.data = memory_.back().get();
    tensor.device = {static_cast<DLDeviceType>(bench_backend()->dl_device), 0};
    tensor.ndim = static_cast<int32_t>(shape.sizes.size());
    tensor.dtype = {type_code(dtype_), static_cast<uint8_t>(8 * sgd_dtype_size(dtype_)), 1};
    tensor.shape = const_cast<int64_t *>(shape.sizes.data()); /* DLPack knows no const; nobody writes it */
    to->push_back(tensor);
}

Tensors::Tensors(const ShapeSet &shapes, sgd_dtype dtype) : shapes_(shapes), dtype_(dtype)
{
    for (std::vector<DLTensor> *list : {&params_, &gradients_})
        for (const TensorShape &shape : shapes.tensors)
            add(shape, list);
    reset();
}

void Tensors::reset()
{
    uint64_t first = 0;
    for (size_t i = 0; i < count(); i++) {
        size_t elements = shapes_.tensors[i].elements;
        values_fill(params_[i].data, elements, dtype_, first, Role::PARAM);
        values_fill(gradients_[i].data, elements, dtype_, first, Role::GRADIENT);
        first += elements;
    }
}
