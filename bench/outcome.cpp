/* outcome.cpp - see outcome.hpp. */
#include "outcome.hpp"

#include <algorithm>

double median_of(std::vector<double> values)
{
    std::sort(values.begin(), values.end());
    size_t middle = values.size() / 2;
    return values.size() % 2 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

std::vector<double> Outcome::times() const
{
    std::vector<double> times;
    for (const Run &run : runs)
        times.push_back(run.GetAdjustedRealTime());
    return times;
}

double Outcome::median() const { return median_of(times()); }

double Outcome::spread() const
{
    const std::vector<double> all = times();
    auto [least, most] = std::minmax_element(all.begin(), all.end());
    return (*most - *least) / median();
}

double Outcome::share_of(const Outcome *limit) const
{
    return limit && limit->is_timed() && is_timed() ? limit->median() / median() : 0;
}

const char *bits_name(Outcome::Bits bits)
{
    static const char *const names[] = {"unchecked", "equal", "wrong"};
    return names[bits];
}
