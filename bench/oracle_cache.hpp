/* oracle_cache.hpp - what the oracle said of whole shape sets, kept in files: $XDG_CACHE_HOME/exactsgd or ~/.cache/exactsgd.
 *
 * A file is found by everything that the answer depends on: the case, the values of its hyper-parameters, the shapes, PyTorch's
 * thread count, the rules and the oracle's sources.  A cache that cannot be read or written is as good as none.
 */
#pragma once

#include <vector>

#include "oracle_part.hpp"

/* False where there is no answer of `count` parts. */
bool oracle_cache_read(const Case &one, const Promise &promise, size_t count, std::vector<uint64_t> *hashes);
void oracle_cache_write(const Case &one, const Promise &promise, const std::vector<uint64_t> &hashes);
