/* slopes.hpp - what a step costs per tensor and per byte, so that growth is visible. */
#pragma once

#include <vector>

#include "outcome.hpp"

/* The two slopes of a family: all cases of the run that differ in their shape set alone. */
struct Slopes {
    const Case *family; /* one of them */
    double ns_per_tensor, ns_per_byte;
    std::vector<std::string> sets;
};

/* Those of every family with two sets or more that tell the slopes apart.  Least squares of relative errors, so that a small
 * set counts as much as a large one; neither slope is below 0. */
std::vector<Slopes> slopes_of(const std::vector<Block> &blocks);
