/* cases.cpp - the matrix of cases. */
#include "cases.hpp"

#include <algorithm>
#include <fnmatch.h>

std::string Case::name() const
{
    return std::string(sgd_path_name(path)) + "/" + sgd_schedule_name(schedule) + "/" + sgd_dtype_name(dtype) + "/" +
           shapes->name + "/threads:" + std::to_string(threads);
}

static bool matches(const std::string &name, const std::vector<std::string> &filters)
{
    return filters.empty() || std::any_of(filters.begin(), filters.end(), [&](const std::string &filter) {
               return fnmatch(filter.c_str(), name.c_str(), 0) == 0;
           });
}

/* The fused path computes a step in one pass by nature: by_op would be the same code under a second name. */
static std::vector<sgd_schedule> schedules_of(sgd_path path)
{
    if (path == SGD_FUSED)
        return {SGD_SCHEDULE_SINGLE_PASS};
    return {SGD_SCHEDULE_SINGLE_PASS, SGD_SCHEDULE_BY_OP};
}

std::vector<Case> cases_select(const std::vector<ShapeSet> &sets, const std::vector<unsigned> &threads,
                               const std::vector<std::string> &filters)
{
    std::vector<Case> cases;
    for (const ShapeSet &set : sets)
        for (sgd_dtype dtype : {SGD_F64, SGD_F32, SGD_F16, SGD_BF16})
            for (unsigned count : threads)
                for (int path = 0; path < SGD_PATH_COUNT; path++)
                    for (sgd_schedule schedule : schedules_of(static_cast<sgd_path>(path))) {
                        Case one{static_cast<sgd_path>(path), schedule, dtype, &set, count};
                        if (matches(one.name(), filters))
                            cases.push_back(one);
                    }
    return cases;
}
