/* harness.hpp - what is measured in which order, handed to Google Benchmark. */
#pragma once

#include <string>
#include <vector>

#include "cases.hpp"

/* How long to measure. */
struct Effort {
    double min_time; /* seconds of one repetition */
    unsigned repetitions;
};

/* One benchmark: a case, or the streaming limit that the cases of its set, dtype and thread count are held against. */
struct Measurement {
    enum Kind { LIMIT_FIRST, CASE, LIMIT_AGAIN } kind;
    Case one; /* for a limit path and schedule say nothing */

    /* "limit/first/f32/resnet50/threads:1", or the name of the case */
    std::string name() const;

    /* Bytes that one turn moves, as GB/s count them. */
    size_t moves() const;

    /* Whether both stand in one block of the table and share their limits. */
    bool same_block(const Measurement &other) const;
};

/* The cases, block by block, each block between measurements of its limits: what else runs on the machine changes
 * within seconds, so a limit is measured next to what is held against it. */
std::vector<Measurement> measurements_of(const std::vector<Case> &cases);

/* Registers each with Google Benchmark under its name; `plan` must outlive the run. */
void measurements_register(const std::vector<Measurement> &plan, const Effort &effort);

/* The most memory that any of them takes. */
size_t measurements_size(const std::vector<Measurement> &plan);
