/* table.hpp - what a run prints on standard output: a head, a table per block, the slopes, a verdict. */
#pragma once

#include <string>
#include <vector>

#include "noise.hpp"
#include "outcome.hpp"

class Table {
public:
    /* `shown` false: prints nothing but what a person must see. */
    explicit Table(bool shown) : shown_(shown) {}

    void head(const Effort &effort, const char *versions, const Noise &noise) const;
    void block(const Block &block, const Noise &noise);
    void end(const std::vector<Block> &blocks, const Noise &noise, bool partial) const;

private:
    void block_head(const Case &first, const Noise &noise);

    const bool shown_;
    const ShapeSet *shapes_ = nullptr; /* of the block before */
};
