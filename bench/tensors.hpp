/* tensors.hpp - the params and gradients of a block in memory; all its contestants step them. */
#pragma once

#include <vector>

#include "cases.hpp"
#include "memory.hpp"

class Tensors {
public:
    /* On the backend.  Throws std::runtime_error where memory runs out. */
    Tensors(const ShapeSet &shapes, sgd_dtype dtype);
    Tensors(const Tensors &) = delete;
    Tensors &operator=(const Tensors &) = delete;

    /* Gives every element its start value. */
    void reset();

    size_t count() const { return params_.size(); }
    DLTensor *params() { return params_.data(); }
    DLTensor *gradients() { return gradients_.data(); }

private:
    void add(const TensorShape &shape, std::vector<DLTensor> *to);

    const ShapeSet &shapes_;
    const sgd_dtype dtype_;
    std::vector<Memory> memory_;
    std::vector<DLTensor> params_, gradients_;
};
