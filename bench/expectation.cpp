/* expectation.cpp - see expectation.hpp. */
#include "expectation.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <random>
#include <stdexcept>
#include <xxhash.h>

#include "oracle_cache.hpp"
#include "text.hpp"

static constexpr size_t SAMPLE_ELEMENTS = size_t{1} << 20;

using Arrays = const unsigned char *[PartValues::ARRAYS];

/* ---- hashes ------------------------------------------------------------------------------------------------------ */

static uint64_t hash_arrays(const Arrays &arrays, size_t bytes)
{
    uint64_t hash = 0;
    for (const unsigned char *array : arrays)
        if (array)
            hash = XXH3_64bits_withSeed(array, bytes, hash);
    return hash;
}

static size_t bytes_of(const DLTensor &tensor)
{
    size_t bytes = tensor.dtype.bits / 8u;
    for (int32_t i = 0; i < tensor.ndim; i++)
        bytes *= static_cast<size_t>(tensor.shape[i]);
    return bytes;
}

static const unsigned char *data_of(const DLTensor &tensor)
{
    return static_cast<const unsigned char *>(tensor.data) + tensor.byte_offset;
}

uint64_t outputs_hash(const Outputs &outputs, size_t count)
{
    std::vector<uint64_t> hashes(count);
#pragma omp parallel for schedule(dynamic)
    for (size_t i = 0; i < count; i++) {
        const Arrays arrays = {data_of(outputs.params[i]), outputs.buffers ? data_of(outputs.buffers[i]) : nullptr,
                               data_of(outputs.gradients[i])};
        hashes[i] = hash_arrays(arrays, bytes_of(outputs.params[i]));
    }
    return XXH3_64bits(hashes.data(), hashes.size() * sizeof hashes[0]);
}

/* ---- the oracle's ------------------------------------------------------------------------------------------------ */

Expectation::Expectation(const Case &one, const Promise &promise, Check check) : oracle_(one, promise)
{
    parts_ = oracle_.parts();
    const bool cacheable = foretells_all();
    const bool known = cacheable && oracle_cache_read(one, promise, parts_.size(), &hashes_);
    if (!known)
        choose(check);
    for (const Part &part : parts_)
        covered_ += part.elements;
    if (known)
        return;
    ask();
    if (cacheable && check == Check::ALL)
        oracle_cache_write(one, promise, hashes_);
}

/* Takes a sample's parts: the edges first, of the rest by chance, the same ones in every run.  Where parts are whole tensors,
 * small ones first. */
void Expectation::choose(Check check)
{
    if (check == Check::ALL || oracle_.one().shapes->elements <= SAMPLE_ELEMENTS)
        return;
    std::shuffle(parts_.begin(), parts_.end(), std::mt19937_64(parts_.size()));
    if (foretells_all())
        std::stable_partition(parts_.begin(), parts_.end(), [](const Part &part) { return part.edge; });
    else
        std::stable_sort(parts_.begin(), parts_.end(), [](const Part &a, const Part &b) { return a.elements < b.elements; });
    size_t elements = 0, count = 0;
    while (count < parts_.size() && (count == 0 || elements + parts_[count].elements <= SAMPLE_ELEMENTS))
        elements += parts_[count++].elements;
    parts_.resize(count);
    std::sort(parts_.begin(), parts_.end(), [](const Part &a, const Part &b) { return a.first < b.first; });
}

void Expectation::ask()
{
    hashes_.resize(parts_.size());
    undefined_.resize(foretells_all() ? 0 : parts_.size());
    std::atomic<bool> refused{false};
#pragma omp parallel
    {
        PartValues values;
#pragma omp for schedule(dynamic)
        for (size_t i = 0; i < parts_.size(); i++) {
            if (refused || !values.compute(oracle_, parts_[i])) {
                refused = true;
                continue;
            }
            const bool has_buffer = oracle_.one().hyper->has_buffer();
            const Arrays arrays = {values.array(PartValues::PARAM), has_buffer ? values.array(PartValues::BUFFER) : nullptr,
                                   values.array(PartValues::GRADIENT)};
            hashes_[i] = hash_arrays(arrays, parts_[i].elements * sgd_dtype_size(oracle_.one().dtype));
            if (!undefined_.empty())
                undefined_[i] = values.undefined_flags();
        }
    }
    if (refused)
        throw std::runtime_error("the oracle cannot compute " + oracle_.one().name());
}

/* ---- a contestant's ---------------------------------------------------------------------------------------------- */

static void arrays_of(const Outputs &outputs, const Part &part, size_t size, Arrays *out)
{
    const DLTensor *lists[] = {outputs.params, outputs.buffers, outputs.gradients};
    for (size_t i = 0; i < PartValues::ARRAYS; i++)
        (*out)[i] = lists[i] ? data_of(lists[i][part.tensor]) + part.begin * size : nullptr;
}

/* The elements, with 0 for those that are undefined. */
static std::vector<unsigned char> masked(const unsigned char *elements, size_t size, const std::vector<uint8_t> &undefined)
{
    std::vector<unsigned char> copy(elements, elements + undefined.size() * size);
    for (size_t i = 0; i < undefined.size(); i++)
        if (undefined[i])
            std::memset(copy.data() + i * size, 0, size);
    return copy;
}

Verdict Expectation::compare(const Outputs &outputs) const
{
    const size_t size = sgd_dtype_size(oracle_.one().dtype);
    std::vector<unsigned char> differs(parts_.size());
#pragma omp parallel for schedule(dynamic, 16)
    for (size_t i = 0; i < parts_.size(); i++) {
        Arrays arrays;
        arrays_of(outputs, parts_[i], size, &arrays);
        std::vector<unsigned char> copy;
        if (!undefined_.empty() && arrays[PartValues::BUFFER]) {
            copy = masked(arrays[PartValues::BUFFER], size, undefined_[i]);
            arrays[PartValues::BUFFER] = copy.data();
        }
        differs[i] = hash_arrays(arrays, parts_[i].elements * size) != hashes_[i];
    }
    auto first = std::find(differs.begin(), differs.end(), 1);
    if (first != differs.end())
        return {false, difference(outputs, static_cast<size_t>(first - differs.begin()))};
    const size_t all = oracle_.one().shapes->elements;
    return {true, (covers_all() ? "" : with_commas(covered_) + " of ") + with_commas(all) + " elements"};
}

static std::string bits_of(const unsigned char *element, size_t size)
{
    std::string text = "0x";
    for (size_t i = size; i-- > 0;) /* little endian */
        text += format("%02X", element[i]);
    return text;
}

std::string Expectation::difference(const Outputs &outputs, size_t part_index) const
{
    const Part &part = parts_[part_index];
    const size_t size = sgd_dtype_size(oracle_.one().dtype);
    Arrays arrays;
    arrays_of(outputs, part, size, &arrays);
    PartValues values;
    if (!values.compute(oracle_, part))
        throw std::runtime_error("the oracle cannot compute " + oracle_.one().name());
    for (int i = 0; i < PartValues::ARRAYS; i++) {
        const auto which = static_cast<PartValues::Array>(i);
        for (size_t element = 0; arrays[i] && element < part.elements; element++) {
            const unsigned char *got = arrays[i] + element * size, *expected = values.array(which) + element * size;
            if ((which == PartValues::BUFFER && values.undefined(element)) || std::memcmp(got, expected, size) == 0)
                continue;
            const std::string &tensor = oracle_.one().shapes->tensors[part.tensor].name;
            return format("%s of tensor %zu (%s), element %s: %s, the oracle has %s", PartValues::array_name(which),
                          part.tensor, tensor.c_str(), with_commas(part.begin + element).c_str(),
                          bits_of(got, size).c_str(), bits_of(expected, size).c_str());
        }
    }
    return "the bits differ from those that the cache remembers, which the oracle no longer has"; /* a damaged cache */
}
