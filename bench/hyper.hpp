/* hyper.hpp - the sets of hyper-parameters that steps are timed with. */
#pragma once

#include <string>
#include <vector>

#include <sgd/sgd.h>

struct HyperSet {
    std::string name;
    double momentum, weight_decay;
    bool nesterov;

    bool has_buffer() const { return momentum != 0; }

    /* What a step must read and write of each element: param and gradient, and the buffer if there is one; the gradient is
     * only read. */
    unsigned reads() const { return has_buffer() ? 3 : 2; }
    unsigned writes() const { return has_buffer() ? 2 : 1; }

    /* The library's defaults but for this. */
    sgd_options options(sgd_path path) const;
};

/* All of them; the first is the one that names leave out. */
const std::vector<HyperSet> &hyper_sets();
