/* cases.cpp - the matrix of cases, and what is taken out of it. */
#include "cases.hpp"

#include <algorithm>
#include <charconv>
#include <fnmatch.h>
#include <stdexcept>

#include "text.hpp"

static const char *const DEVICES[] = {"cpu"};

/* ---- names ------------------------------------------------------------------------------------------------------- */

std::string contract_short_name(sgd_contract contract)
{
    std::string name = sgd_contract_name(contract);
    return name.substr(name.find('/') + 1);
}

std::string Case::path_name() const { return limit ? "limit" : sgd_path_name(path); }

std::string Case::implementation_name() const
{
    return limit ? format("streams_%ur%uw", hyper->reads(), hyper->writes()) : implementation;
}

std::string Case::name() const
{
    std::string name = path_name() + "/" + implementation_name() + "/" + sgd_dtype_name(dtype) + "/" + shapes->name;
    if (hyper != &hyper_sets().front())
        name += "/" + hyper->name;
    if (contract != sgd_config_default().contract)
        name += "/" + contract_short_name(contract);
    return name + "/threads:" + std::to_string(threads);
}

bool Case::is_ours(sgd_schedule *schedule) const
{
    sgd_schedule found;
    if (limit || !sgd_schedule_parse(implementation.c_str(), &found))
        return false;
    if (schedule)
        *schedule = found;
    return true;
}

bool Case::same_block(const Case &other) const
{
    return shapes == other.shapes && dtype == other.dtype && hyper == other.hyper && contract == other.contract &&
           threads == other.threads;
}

/* ---- dimensions -------------------------------------------------------------------------------------------------- */

/* The values of one dimension, all and by default. */
template <class Value> struct Dimension {
    const char *what;
    std::vector<std::pair<std::string, Value>> all;
    size_t by_default; /* so many of the first */

    std::vector<Value> choose(const std::vector<std::string> &names, bool everything) const;
};

template <class Value>
std::vector<Value> Dimension<Value>::choose(const std::vector<std::string> &names, bool everything) const
{
    std::vector<Value> chosen;
    bool every = names.empty() ? everything : names == std::vector<std::string>{"all"};
    if (names.empty() || every) {
        for (size_t i = 0; i < (every ? all.size() : by_default); i++)
            chosen.push_back(all[i].second);
        return chosen;
    }
    for (const std::string &name : names) {
        auto found = std::find_if(all.begin(), all.end(), [&](const auto &entry) { return entry.first == name; });
        if (found == all.end()) {
            std::vector<std::string> known;
            for (const auto &entry : all)
                known.push_back(entry.first);
            throw std::runtime_error(std::string("no ") + what + " '" + name + "'; there are " + join(known, ", "));
        }
        if (std::find(chosen.begin(), chosen.end(), found->second) == chosen.end())
            chosen.push_back(found->second);
    }
    return chosen;
}

static Dimension<sgd_path> paths()
{
    Dimension<sgd_path> dimension{"path", {}, SGD_PATH_COUNT};
    for (int path = 0; path < SGD_PATH_COUNT; path++)
        dimension.all.push_back({sgd_path_name(static_cast<sgd_path>(path)), static_cast<sgd_path>(path)});
    return dimension;
}

/* Complex only where asked for. */
static Dimension<sgd_dtype> dtypes()
{
    Dimension<sgd_dtype> dimension{"dtype", {}, 4};
    for (sgd_dtype dtype : {SGD_F64, SGD_F32, SGD_F16, SGD_BF16, SGD_C64, SGD_C128})
        dimension.all.push_back({sgd_dtype_name(dtype), dtype});
    return dimension;
}

static Dimension<sgd_contract> contracts()
{
    sgd_contract first = sgd_config_default().contract;
    Dimension<sgd_contract> dimension{"contract", {{contract_short_name(first), first}}, 1};
    for (int i = 0; i < SGD_CONTRACT_COUNT; i++)
        if (sgd_contract contract = static_cast<sgd_contract>(i); contract != first)
            dimension.all.push_back({contract_short_name(contract), contract});
    return dimension;
}

static Dimension<const HyperSet *> hypers()
{
    Dimension<const HyperSet *> dimension{"hyper-parameter set", {}, 1};
    for (const HyperSet &set : hyper_sets())
        dimension.all.push_back({set.name, &set});
    return dimension;
}

static Dimension<std::string> named(const char *what, const std::vector<std::string> &names)
{
    Dimension<std::string> dimension{what, {}, names.size()};
    for (const std::string &name : names)
        dimension.all.push_back({name, name});
    return dimension;
}

static Dimension<std::string> implementations(const std::vector<std::string> &hosts)
{
    std::vector<std::string> names;
    for (sgd_schedule schedule : {SGD_SCHEDULE_SINGLE_PASS, SGD_SCHEDULE_BY_OP})
        names.push_back(sgd_schedule_name(schedule));
    names.insert(names.end(), hosts.begin(), hosts.end());
    return named("implementation", names);
}

/* ---- selection --------------------------------------------------------------------------------------------------- */

/* The sets that are read, each once. */
static const ShapeSet *set_called(const std::string &name, std::list<ShapeSet> *sets)
{
    for (const ShapeSet &set : *sets)
        if (set.name == name)
            return &set;
    sets->push_back(shape_set_read(name));
    return &sets->back();
}

static std::vector<const ShapeSet *> choose_sets(const Choice &choice, std::list<ShapeSet> *sets)
{
    std::vector<const ShapeSet *> chosen;
    for (const std::string &name : shape_sets_choose(choice.shapes, choice.everything))
        if (const ShapeSet *set = set_called(name, sets);
            std::find(chosen.begin(), chosen.end(), set) == chosen.end())
            chosen.push_back(set);
    return chosen;
}

/* PyTorch's fused path has no complex dtypes; and it is one pass by nature: by_op would be the same code under another name. */
static bool exists(const Case &one)
{
    sgd_schedule schedule;
    if (one.path == SGD_FUSED && one.is_ours(&schedule) && schedule == SGD_SCHEDULE_BY_OP)
        return false;
    return sgd_rulebook_has(sgd_rulebook_torch(), one.contract, one.path, one.dtype);
}

static void add_product(const Choice &choice, const std::vector<std::string> &hosts, Selection *out)
{
    named("device", {std::begin(DEVICES), std::end(DEVICES)}).choose(choice.devices, choice.everything);
    const bool all = choice.everything;
    for (const ShapeSet *set : choose_sets(choice, &out->sets))
        for (sgd_dtype dtype : dtypes().choose(choice.dtypes, all))
            for (const HyperSet *hyper : hypers().choose(choice.hypers, all))
                for (sgd_contract contract : contracts().choose(choice.contracts, all))
                    for (unsigned threads : choice.threads)
                        for (sgd_path path : paths().choose(choice.paths, all))
                            for (const std::string &who : implementations(hosts).choose(choice.implementations, all))
                                if (Case one{false, path, who, dtype, set, hyper, contract, threads}; exists(one))
                                    out->cases.push_back(one);
}

/* The choice that a whole name stands for; false where it is none.  What it names is looked up by add_product. */
static bool parse_name(const std::string &name, Choice *out)
{
    std::vector<std::string> words = split(name, '/');
    if (words.size() < 5 || words.size() > 7 || words.back().rfind("threads:", 0) != 0)
        return false;
    const std::string &last = words.back();
    unsigned threads = 0;
    auto [end, error] = std::from_chars(last.data() + 8, last.data() + last.size(), threads);
    if (error != std::errc() || end != last.data() + last.size() || threads == 0)
        return false;
    *out = Choice{{words[0]}, {words[1]}, {words[2]}, {words[3]}, {}, {}, {}, {}, {threads}, false};
    for (size_t i = 4; i + 1 < words.size(); i++)
        if (words[i].rfind("cpu-", 0) == 0)
            out->contracts.push_back(words[i]);
        else
            out->hypers.push_back(words[i]);
    return true;
}

/* A filter that names a case outside of what is chosen; where it names nothing, the others may still match. */
static void add_named(const std::string &filter, const std::vector<std::string> &hosts, Selection *out)
{
    auto is_it = [&](const Case &one) { return one.name() == filter; };
    Choice choice;
    if (std::any_of(out->cases.begin(), out->cases.end(), is_it) || !parse_name(filter, &choice))
        return;
    std::vector<Case> before = std::move(out->cases);
    out->cases.clear();
    try {
        add_product(choice, hosts, out);
    } catch (const std::runtime_error &) {
        out->cases.clear();
    }
    std::copy_if(out->cases.begin(), out->cases.end(), std::back_inserter(before), is_it);
    out->cases = std::move(before);
}

static void gather_blocks(std::vector<Case> *cases)
{
    for (auto begin = cases->begin(); begin != cases->end();) {
        const Case first = *begin;
        begin = std::stable_partition(begin, cases->end(), [&](const Case &one) { return one.same_block(first); });
    }
}

Selection cases_select(const Choice &choice, const std::vector<std::string> &hosts)
{
    Selection selection;
    add_product(choice, hosts, &selection);
    if (choice.filters.empty())
        return selection;
    for (const std::string &filter : choice.filters)
        add_named(filter, hosts, &selection);
    auto unwanted = [&](const Case &one) {
        return std::none_of(choice.filters.begin(), choice.filters.end(), [&](const std::string &filter) {
            return fnmatch(filter.c_str(), one.name().c_str(), 0) == 0;
        });
    };
    selection.cases.erase(std::remove_if(selection.cases.begin(), selection.cases.end(), unwanted), selection.cases.end());
    gather_blocks(&selection.cases);
    return selection;
}
