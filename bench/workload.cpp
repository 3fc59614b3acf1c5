/* workload.cpp - tensors full of values that stay ordinary for as long as anyone cares to measure. */
#include "workload.hpp"

#include <cstring>
#include <stdexcept>

sgd_options bench_options()
{
    sgd_options options = sgd_options_default();
    options.momentum = 0.9;
    options.weight_decay = 1e-4;
    return options;
}

static size_t one_of_each(const Case &one) { return one.shapes->elements * sgd_dtype_size(one.dtype); }

size_t step_moves(const Case &one) { return 5 * one_of_each(one); }

size_t step_tensors_size(const Case &one) { return 3 * one_of_each(one); }

/* by_op keeps changed gradients beside the given ones. */
size_t workload_size(const Case &one)
{
    return step_tensors_size(one) + (one.schedule == SGD_SCHEDULE_BY_OP ? one_of_each(one) : 0);
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

/* Zeros, subnormals and infinities run at another speed on some processors, so none may appear.  Params begin in
 * +-[1, 2), gradients stay there with the opposite sign.  A step then drives every param away from zero, towards
 * |g| / weight_decay <= 20,000, and the buffer stays below |g| / (1 - momentum) <= 20: within range even for f16
 * (65,504).  Half the way takes 700,000 steps.  The products with lr 1e-3 and weight decay 1e-4 begin above f16's
 * smallest normal number, 6.1e-5. */
struct Format {
    uint64_t one, mantissa, sign;
};

static Format format_of(sgd_dtype dtype)
{
    switch (dtype) {
    case SGD_F64:
        return {UINT64_C(0x3FF0000000000000), UINT64_C(0x000FFFFFFFFFFFFF), UINT64_C(0x8000000000000000)};
    case SGD_F32:
        return {0x3F800000, 0x007FFFFF, 0x80000000};
    case SGD_F16:
        return {0x3C00, 0x03FF, 0x8000};
    case SGD_BF16:
        return {0x3F80, 0x007F, 0x8000};
    default:
        throw std::runtime_error("no values for this dtype");
    }
}

/* splitmix64: a good hash of a counter, so that threads fill side by side and every run has the same values. */
static uint64_t scramble(uint64_t x)
{
    x += UINT64_C(0x9E3779B97F4A7C15);
    x = (x ^ x >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ x >> 27) * UINT64_C(0x94D049BB133111EB);
    return x ^ x >> 31;
}

/* Param and gradient of the same seed take opposite signs: the sign hangs on the element alone. */
static void fill(void *data, size_t elements, sgd_dtype dtype, uint64_t seed, bool gradient)
{
    const Format format = format_of(dtype);
    const size_t size = sgd_dtype_size(dtype);
    char *bytes = static_cast<char *>(data);
#pragma omp parallel for if (elements > 65536)
    for (size_t i = 0; i < elements; i++) {
        uint64_t random = scramble(seed + i), digits = gradient ? scramble(random) : random;
        bool negative = (random >> 63 != 0) != gradient;
        uint64_t bits = format.one | (digits & format.mantissa) | (negative ? format.sign : 0);
        std::memcpy(bytes + i * size, &bits, size); /* the low bytes: little endian */
    }
}

/* ---- tensors ----------------------------------------------------------------------------------------------------- */

/* Every tensor has memory of its own, as the tensors of a model do. */
void Workload::add_tensor(const TensorShape &shape, uint64_t seed, bool gradient)
{
    DLTensor tensor{};
    memory_.push_back(allocate(shape.elements * sgd_dtype_size(dtype_)));
    tensor.data = memory_.back().get();
    tensor.device = {static_cast<DLDeviceType>(bench_backend()->dl_device), 0};
    tensor.ndim = static_cast<int32_t>(shape.sizes.size());
    tensor.dtype = {static_cast<uint8_t>(dtype_ == SGD_BF16 ? kDLBfloat : kDLFloat),
                    static_cast<uint8_t>(8 * sgd_dtype_size(dtype_)), 1};
    tensor.shape = const_cast<int64_t *>(shape.sizes.data()); /* DLPack knows no const; nobody writes it */
    fill(tensor.data, shape.elements, dtype_, seed, gradient);
    tensors_.push_back(tensor);
}

Workload::Workload(const ShapeSet &shapes, sgd_dtype dtype) : shapes_(&shapes), dtype_(dtype)
{
    const size_t count = shapes.tensors.size();
    for (bool gradient : {false, true}) {
        uint64_t seed = 0;
        for (const TensorShape &shape : shapes.tensors) {
            add_tensor(shape, seed, gradient);
            seed += shape.elements;
        }
    }
    for (size_t i = 0; i < count; i++)
        gradients_.push_back(&tensors_[count + i]);
}

Workload::~Workload() { sgd_optimizer_destroy(optimizer_); }

/* ---- optimizer --------------------------------------------------------------------------------------------------- */

void Workload::prepare(const Case &one)
{
    if (optimizer_ && prepared_.name() == one.name())
        return;
    sgd_optimizer_destroy(optimizer_);
    optimizer_ = nullptr;

    sgd_options options = bench_options();
    options.foreach = one.path == SGD_FOREACH ? SGD_TRUE : SGD_FALSE;
    options.fused = one.path == SGD_FUSED ? SGD_TRUE : SGD_FALSE;
    sgd_config config = sgd_config_default();
    config.backend = bench_backend();
    config.schedule = one.schedule;
    config.threads = one.threads;
    sgd_status status =
        sgd_optimizer_create(&options, &config, tensors_.data(), shapes_->tensors.size(), &optimizer_, &error_);
    if (status || !step())
        throw std::runtime_error(error());
    prepared_ = one;
}
