/* limit.hpp - the streaming limit: how fast this machine walks memory with the least arithmetic there is.
 *
 * a = a*k + b in f32: two streams read, one written in place, like a step that reads three and writes two.  It runs
 * over as many bytes as the tensors of the case, with as many threads, so a set that fits the caches is held against
 * the caches.
 */
#pragma once

#include "memory.hpp"

class Stream {
public:
    /* Two arrays that take `bytes` together, on `threads` threads.  Throws std::runtime_error where memory runs out. */
    Stream(size_t bytes, unsigned threads);

    bool holds(size_t bytes, unsigned threads) const { return bytes_ == bytes && threads_ == threads; }

    /* a = a*k + b once. */
    void pass();

    /* What one pass over arrays that take `bytes` together moves. */
    static size_t moves(size_t bytes) { return 3 * elements(bytes) * sizeof(float); }

private:
    static size_t elements(size_t bytes); /* of one array */

    size_t bytes_;
    unsigned threads_;
    Memory a_, b_;
};
