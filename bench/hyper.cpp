/* hyper.cpp - see hyper.hpp. */
#include "hyper.hpp"

sgd_options HyperSet::options(sgd_path path) const
{
    sgd_options options = sgd_options_default();
    options.momentum = momentum;
    options.weight_decay = weight_decay;
    options.nesterov = nesterov;
    options.foreach = path == SGD_FOREACH ? SGD_TRUE : SGD_FALSE;
    options.fused = path == SGD_FUSED ? SGD_TRUE : SGD_FALSE;
    return options;
}

/* Nesterov has weight decay: without, PyTorch's foreach leaves the changed gradient in p.grad, which would grow from step to
 * step as long as nobody writes a new one. */
const std::vector<HyperSet> &hyper_sets()
{
    static const std::vector<HyperSet> sets = {
        {"momentum_decay", 0.9, 1e-4, false}, /* as ResNet-50 is trained */
        {"plain", 0, 0, false},
        {"momentum", 0.9, 0, false},
        {"nesterov", 0.9, 1e-4, true},
    };
    return sets;
}
