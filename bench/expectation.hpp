/* expectation.hpp - the bits that a case should give, as hashes of its parts, and whether a contestant's are these. */
#pragma once

#include <string>
#include <vector>

#include "oracle_part.hpp"

/* How much of a case's output is held against the oracle's. */
enum class Check { NONE, SAMPLE, ALL };

struct Verdict {
    bool equal;
    std::string why; /* equal: of how many elements; wrong: the first difference */
};

/* Where a contestant left what it computed; buffers are NULL without momentum. */
struct Outputs {
    const DLTensor *params, *buffers, *gradients;
};

class Expectation {
public:
    /* Asks the oracle, or the cache for what it once said of the same question.  SAMPLE: of everything up to 2^20 elements or
     * where the cache knows it, else of a sample: small tensors, the beginning and the end of each row of the others, and parts
     * drawn from the rest.  Throws std::runtime_error where the oracle cannot say. */
    Expectation(const Case &one, const Promise &promise, Check check);

    bool covers_all() const { return covered_ == oracle_.one().shapes->elements; }
    size_t covered() const { return covered_; }
    const Promise &promise() const { return oracle_.promise(); }
    sgd_path path() const { return oracle_.one().path; }

    /* Whether all elements have bits that can be foretold, so that two equal contestants agree in every one of them. */
    bool foretells_all() const { return !oracle_.has_defects(); }

    Verdict compare(const Outputs &outputs) const;

private:
    void choose(Check check);
    void ask();
    std::string difference(const Outputs &outputs, size_t part) const;

    const Oracle oracle_;
    std::vector<Part> parts_;
    std::vector<uint64_t> hashes_;
    std::vector<std::vector<uint8_t>> undefined_; /* flags of each part; empty without defects */
    size_t covered_ = 0;
};

/* A hash of everything that a contestant computed. */
uint64_t outputs_hash(const Outputs &outputs, size_t count);
