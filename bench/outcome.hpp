/* outcome.hpp - what came of a case or limit, and the statistics of its repetitions. */
#pragma once

#include <string>
#include <vector>

#include "cases.hpp"
#include "stopwatch.hpp"

struct Outcome {
    enum State {
        WAITING, /* not begun */
        TIMED,   /* as far as it got: `runs` may be empty after an interruption */
        LEFT_OUT, /* the implementation does not have the case */
        FAILED,
        WRONG /* not timed, since its bits are wrong */
    };
    enum Bits { UNCHECKED, EQUAL, DIFFERENT };

    Case one;
    State state = WAITING;
    std::string message; /* of LEFT_OUT, FAILED and WRONG: one line */
    Bits bits = UNCHECKED;
    std::string bits_why; /* of how many elements; why not checked; what differs */
    size_t elements_checked = 0;
    uint64_t hash = 0;
    long long allocations = -1, peak_memory = -1; /* of one step, beyond the state; -1: not known */
    std::vector<Run> runs;                        /* one a repetition */
    std::vector<unsigned> rounds;                 /* in which round each was */

    bool is_timed() const { return state == TIMED && !runs.empty(); }
    std::vector<double> times() const; /* ms */
    double median() const;
    double spread() const; /* from fastest to slowest, as a share of the median */
    double rate() const { return static_cast<double>(one.moves()) / 1e6 / median(); } /* GB/s */

    /* Time of the limit over its own; 0 where either is missing. */
    double share_of(const Outcome *limit) const;
};

/* What stands in JSON: "equal", "wrong", "unchecked". */
const char *bits_name(Outcome::Bits bits);

/* One block: first its limit, then its cases. */
using Block = std::vector<Outcome>;

/* How long to measure. */
struct Effort {
    double min_time; /* seconds of one repetition */
    unsigned repetitions;
};

double median_of(std::vector<double> values);
