/* workload.hpp - one shape set in one dtype in memory, and the optimizer that steps it. */
#pragma once

#include <vector>

#include "cases.hpp"
#include "memory.hpp"

/* Momentum and weight decay, as ResNet-50 is trained; the library's defaults otherwise. */
sgd_options bench_options();

/* What such a step must move: it reads param, gradient and buffer, and writes param and buffer. */
size_t step_moves(const Case &one);

/* What it moves that over: params, gradients and buffers. */
size_t step_tensors_size(const Case &one);

/* The most memory that the case takes. */
size_t workload_size(const Case &one);

class Workload {
public:
    /* Params and gradients with values, on the backend.  Throws std::runtime_error where memory runs out. */
    Workload(const ShapeSet &shapes, sgd_dtype dtype);
    ~Workload();
    Workload(const Workload &) = delete;
    Workload &operator=(const Workload &) = delete;

    bool holds(const Case &one) const { return shapes_ == one.shapes && dtype_ == one.dtype; }

    /* Makes the optimizer of the case, unless it is there, and takes its first step, which makes the buffers. */
    void prepare(const Case &one);

    /* One step; false, with the reason in error(), where it fails. */
    bool step() { return sgd_optimizer_step(optimizer_, gradients_.data(), gradients_.size(), &error_) == SGD_OK; }
    const char *error() const { return error_.message; }

private:
    void add_tensor(const TensorShape &shape, uint64_t seed, bool gradient);

    const ShapeSet *shapes_;
    sgd_dtype dtype_;
    std::vector<Memory> memory_;
    std::vector<DLTensor> tensors_;     /* params, then gradients */
    std::vector<DLTensor *> gradients_; /* the second half */
    sgd_optimizer *optimizer_ = nullptr;
    Case prepared_{};
    sgd_error error_{};
};
