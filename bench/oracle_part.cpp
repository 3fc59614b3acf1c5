/* oracle_part.cpp - see oracle_part.hpp. */
#include "oracle_part.hpp"

#include <algorithm>
#include <cstring>
#include <new>
#include <stdexcept>

#include "values.hpp"

/* A multiple of 64, so that a cut falls between the blocks of every body. */
static constexpr size_t PART = 4096;

Oracle::Oracle(const Case &one, const Promise &promise) : one_(one), promise_(promise)
{
    char message[256];
    oracle_ = sgd_oracle_create(sgd_rulebook_torch(), message, sizeof message);
    if (!oracle_)
        throw std::runtime_error(message);
    const sgd_options options = one.hyper->options(one.path);
    options_.contract = one.contract;
    options_.path = one.path;
    options_.defects = promise.defects;
    options_.torch_threads = promise.torch_threads;
    options_.lr = options.lr;
    options_.momentum = options.momentum;
    options_.dampening = options.dampening;
    options_.weight_decay = options.weight_decay;
    options_.nesterov = options.nesterov;
    has_defects_ = promise.defects == SGD_DEFECTS_REPRODUCE &&
                   sgd_rulebook_width(sgd_rulebook_torch(), one.path, one.dtype)->defect != nullptr;
}

std::vector<Part> Oracle::parts() const
{
    std::vector<Part> parts;
    uint64_t first = 0;
    for (size_t tensor = 0; tensor < one_.shapes->tensors.size(); tensor++) {
        const size_t elements = one_.shapes->tensors[tensor].elements;
        const size_t row = has_defects_ ? elements : sgd_oracle_row(oracle_, &options_, one_.dtype, elements);
        for (size_t begin = 0; begin < elements; begin += row)
            for (size_t at = begin, end = std::min(begin + row, elements); at < end;) {
                size_t length = has_defects_ ? elements : std::min(PART, end - at);
                parts.push_back({tensor, at, length, first + at, at == begin || at + length == end});
                at += length;
            }
        first += elements;
    }
    return parts;
}

const char *PartValues::array_name(Array array)
{
    static const char *const names[] = {"param", "momentum buffer", "gradient"};
    return names[array];
}

bool PartValues::compute(const Oracle &oracle, const Part &part)
{
    const sgd_dtype dtype = oracle.one_.dtype;
    const size_t size = sgd_dtype_size(dtype);
    try {
        for (auto &memory : memory_)
            memory.resize(part.elements * size);
        undefined_.assign(oracle.has_defects_ ? part.elements : 0, 0);
    } catch (const std::bad_alloc &) {
        return false;
    }
    values_fill(memory_[PARAM].data(), part.elements, dtype, part.first, Role::PARAM);
    values_fill(memory_[GRADIENT].data(), part.elements, dtype, part.first, Role::GRADIENT);
    sgd_oracle_tensor tensor{};
    tensor.dtype = dtype;
    tensor.numel = part.elements;
    tensor.param = memory_[PARAM].data();
    tensor.grad = memory_[GRADIENT].data();
    tensor.buffer = memory_[BUFFER].data();
    tensor.undefined = oracle.has_defects_ ? undefined_.data() : nullptr;
    sgd_oracle_options options = oracle.options_;
    if (!oracle.has_defects_)
        options.torch_threads = 1; /* a part is of one row */
    for (unsigned step = 0; step < CHECKED_STEPS; step++)
        if (!sgd_oracle_step(oracle.oracle_, &options, &tensor, 1))
            return false;
    for (size_t i = 0; i < undefined_.size(); i++)
        if (undefined_[i])
            std::memset(memory_[BUFFER].data() + i * size, 0, size);
    return true;
}
