/* oracle_part.hpp - what the oracle makes of a part of a shape set: three steps from the start values, the first with new
 * buffers.
 *
 * The oracle is slow, and independent of the library.  Tensors are cut into parts that compute alone what they compute within
 * their tensor (sgd_oracle_row), so that threads share the work and a sample of a large set can be had.
 */
#pragma once

#include <vector>

#include "contestant.hpp"
#include "oracle.h"

constexpr unsigned CHECKED_STEPS = 3;

struct Part {
    size_t tensor, begin, elements; /* of which tensor, from which element on, how many */
    uint64_t first;                 /* the number of its first element in the list, for its start values */
    bool edge;                      /* at the beginning or the end of a row: a boundary of thread chunks, or the tensor's own */
};

/* The oracle for all parts of one case; threads may share it. */
class Oracle {
public:
    Oracle(const Case &one, const Promise &promise);
    ~Oracle() { sgd_oracle_destroy(oracle_); }
    Oracle(const Oracle &) = delete;
    Oracle &operator=(const Oracle &) = delete;

    const Case &one() const { return one_; }
    const Promise &promise() const { return promise_; }

    /* All parts, in order.  Whole tensors where PyTorch's defects are reproduced, since those reach over any cut. */
    std::vector<Part> parts() const;

    /* Whether some elements are undefined and so never compared. */
    bool has_defects() const { return has_defects_; }

private:
    friend class PartValues;

    const Case one_;
    const Promise promise_;
    sgd_oracle *oracle_;
    sgd_oracle_options options_{};
    bool has_defects_;
};

/* Params, buffers and gradients of a part after the steps. */
class PartValues {
public:
    enum Array { PARAM, BUFFER, GRADIENT, ARRAYS };
    static const char *array_name(Array array);

    /* Takes the steps.  False where memory ran out or the oracle refuses. */
    bool compute(const Oracle &oracle, const Part &part);

    /* The elements; undefined ones are 0. */
    const unsigned char *array(Array array) const { return memory_[array].data(); }

    /* Whether nobody can foretell this element of the buffer. */
    bool undefined(size_t element) const { return !undefined_.empty() && undefined_[element]; }
    const std::vector<uint8_t> &undefined_flags() const { return undefined_; }

private:
    std::vector<unsigned char> memory_[ARRAYS];
    std::vector<uint8_t> undefined_;
};
