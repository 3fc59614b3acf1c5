/* slopes.cpp - see slopes.hpp. */
#include "slopes.hpp"

#include <algorithm>

using Family = std::vector<const Outcome *>;

static bool related(const Case &a, const Case &b)
{
    return !a.limit && !b.limit && a.path == b.path && a.implementation == b.implementation && a.dtype == b.dtype &&
           a.hyper == b.hyper && a.contract == b.contract && a.threads == b.threads;
}

static std::vector<Family> families_of(const std::vector<Block> &blocks)
{
    std::vector<Family> families;
    for (const Block &block : blocks)
        for (const Outcome &outcome : block) {
            if (outcome.one.limit || !outcome.is_timed())
                continue;
            auto known = std::find_if(families.begin(), families.end(),
                                      [&](const Family &family) { return related(family.front()->one, outcome.one); });
            if (known == families.end())
                families.push_back({&outcome});
            else
                known->push_back(&outcome);
        }
    return families;
}

/* With x = tensors/time and y = bytes/time of each set: a*x + b*y as near to 1 as can be.  False where the sets are as good as
 * one. */
static bool fit(const Family &family, double *a, double *b)
{
    double xx = 0, xy = 0, yy = 0, x1 = 0, y1 = 0;
    for (const Outcome *outcome : family) {
        const double ns = 1e6 * outcome->median();
        const double x = static_cast<double>(outcome->one.shapes->tensors.size()) / ns;
        const double y = static_cast<double>(outcome->one.moves()) / ns;
        xx += x * x, xy += x * y, yy += y * y, x1 += x, y1 += y;
    }
    const double determinant = xx * yy - xy * xy;
    if (!(determinant > 1e-6 * xx * yy))
        return false;
    *a = (yy * x1 - xy * y1) / determinant;
    *b = (xx * y1 - xy * x1) / determinant;
    if (*a < 0)
        *a = 0, *b = y1 / yy;
    else if (*b < 0)
        *b = 0, *a = x1 / xx;
    return true;
}

std::vector<Slopes> slopes_of(const std::vector<Block> &blocks)
{
    std::vector<Slopes> all;
    for (const Family &family : families_of(blocks)) {
        Slopes slopes{&family.front()->one, 0, 0, {}};
        if (family.size() < 2 || !fit(family, &slopes.ns_per_tensor, &slopes.ns_per_byte))
            continue;
        for (const Outcome *outcome : family)
            slopes.sets.push_back(outcome->one.shapes->name);
        all.push_back(slopes);
    }
    return all;
}
