/* cases.hpp - what there is to time, and its names.
 *
 * A case is called path/schedule/dtype/shapes/threads:N, e.g. "forloop/single_pass/f32/resnet50/threads:1".  The name
 * is also a filter that selects this case alone.
 */
#pragma once

#include <string>
#include <vector>

#include <sgd/sgd.h>

#include "shapes.hpp"

struct Case {
    sgd_path path;
    sgd_schedule schedule;
    sgd_dtype dtype;
    const ShapeSet *shapes; /* outlives the case */
    unsigned threads;

    std::string name() const;
};

/* Every path and schedule of every dtype over these sets and thread counts, grouped by set, then by dtype, in the order
 * of the tables.  `filters` are globs over names, any of which may match; none: everything. */
std::vector<Case> cases_select(const std::vector<ShapeSet> &sets, const std::vector<unsigned> &threads,
                               const std::vector<std::string> &filters);
