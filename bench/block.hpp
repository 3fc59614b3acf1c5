/* block.hpp - runs the cases of one block: opens, checks and times them side by side. */
#pragma once

#include "contestant.hpp"
#include "expectation.hpp"
#include "noise.hpp"
#include "outcome.hpp"
#include "progress.hpp"

struct Circumstances {
    Effort effort;
    Check check;
    const sgd_bench_host *host; /* or NULL */
    Noise *noise;
    Progress *progress;
};

/* The most memory that the block takes: params, gradients, a buffer of each contestant, the limit's streams, and what a step
 * walking memory operation by operation keeps beside them. */
size_t block_size(const Block &block);

/* Fills in the outcomes.  Nothing is timed before every case has been checked.  In each round every case and the limit take one
 * repetition, in random order.  An interruption ends it between two. */
void block_run(Block *block, const Circumstances &circumstances);
