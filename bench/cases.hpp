/* cases.hpp - what there is to time, and its names.
 *
 * A case is called path/implementation/dtype/shapes[/hyper][/contract]/threads:N, e.g.
 * "forloop/single_pass/f32/resnet50/threads:1" or "fused/single_pass/bf16/many-small/nesterov/cpu-base/threads:2".  Hyper
 * "momentum_decay" and contract "cpu-fma" are left out.  The name is also a filter that selects this case alone.
 */
#pragma once

#include <list>
#include <string>
#include <vector>

#include <sgd/sgd.h>

#include "hyper.hpp"
#include "shapes.hpp"

struct Case {
    bool limit;    /* no step, but the streaming limit of its block; path and implementation then say nothing */
    sgd_path path;
    std::string implementation; /* ours are called like their schedule; a host's as it says */
    sgd_dtype dtype;
    const ShapeSet *shapes; /* outlives the case */
    const HyperSet *hyper;
    sgd_contract contract;
    unsigned threads;

    std::string name() const;
    std::string path_name() const;           /* "forloop", "limit" */
    std::string implementation_name() const; /* "single_pass", "streams_3r2w" */

    /* Whether the library computes it, and then how. */
    bool is_ours(sgd_schedule *schedule = nullptr) const;

    /* Bytes of one tensor list, and what a step moves at least, as GB/s count it. */
    size_t size() const { return shapes->elements * sgd_dtype_size(dtype); }
    size_t moves() const { return size() * (hyper->reads() + hyper->writes()); }

    /* Whether both step the same tensors, under the same limit. */
    bool same_block(const Case &other) const;
};

/* "cpu-fma" of "torch-2.13/cpu-fma" */
std::string contract_short_name(sgd_contract contract);

/* What the command line asks for: names, where none are given the defaults, or the one name "all". */
struct Choice {
    std::vector<std::string> paths, implementations, dtypes, shapes, hypers, contracts, devices, filters;
    std::vector<unsigned> threads;
    bool everything = false; /* all where nothing is chosen */
};

struct Selection {
    std::list<ShapeSet> sets; /* that the cases point to */
    std::vector<Case> cases;  /* block by block */
};

/* The cases of the product of all choices whose name matches a filter, if there are any: a glob, or a whole name, which is
 * found outside of the choices, too.  `hosts` names the implementations that a host offers.  Throws std::runtime_error with one
 * line for a name that does not exist. */
Selection cases_select(const Choice &choice, const std::vector<std::string> &hosts);
