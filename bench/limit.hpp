/* limit.hpp - the streaming limit: how fast this machine walks memory with the least arithmetic there is.
 *
 * As many streams as a step has, each as long as the tensors together, read and written as the step does: b += g; p += b
 * in 16-bit integers where there is a momentum buffer, p += g where there is none.  The library's allocator gives the memory
 * and as many threads share it out by bytes, so a set that fits the caches is held against the caches.
 */
#pragma once

#include <cstdint>

#include "memory.hpp"

class Streams {
public:
    /* Streams of `bytes` each, two or three of them.  Throws std::runtime_error where memory runs out. */
    Streams(size_t bytes, bool has_buffer, unsigned threads);

    /* Walks them once. */
    void pass();

private:
    size_t count_; /* of 16-bit numbers */
    unsigned threads_;
    Memory memory_[3];
    uint16_t *p_ = nullptr, *g_ = nullptr, *b_ = nullptr; /* the last: none without a momentum buffer */
};
