/* oracle_cache.cpp - a file is its question, the hashes, and a hash of both. */
#include "oracle_cache.hpp"

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <xxhash.h>

#include "output_file.hpp"
#include "text.hpp"

namespace fs = std::filesystem;

static fs::path folder()
{
    const char *cache = std::getenv("XDG_CACHE_HOME"), *home = std::getenv("HOME");
    if (cache && *cache == '/')
        return fs::path(cache) / "exactsgd";
    return home && *home ? fs::path(home) / ".cache" / "exactsgd" : fs::path();
}

static std::string question(const Case &one, const Promise &promise)
{
    const sgd_options options = one.hyper->options(one.path);
    std::string text = format("sgd-bench oracle 1\n%s\n%s %s %s lr %a momentum %a dampening %a weight_decay %a nesterov %d "
                              "torch_threads %u steps %u\n",
                              SGD_ORACLE_SOURCES, sgd_contract_name(one.contract), sgd_path_name(one.path),
                              sgd_dtype_name(one.dtype), options.lr, options.momentum, options.dampening, options.weight_decay,
                              options.nesterov, promise.torch_threads, CHECKED_STEPS);
    for (const TensorShape &shape : one.shapes->tensors)
        text += std::to_string(shape.elements) + " ";
    return text + "\n";
}

static fs::path file_of(const std::string &question)
{
    return folder() / format("oracle-%016llx", static_cast<unsigned long long>(XXH3_64bits(question.data(), question.size())));
}

static std::string with_seal(const std::string &content)
{
    uint64_t seal = XXH3_64bits(content.data(), content.size());
    return content + std::string(reinterpret_cast<const char *>(&seal), sizeof seal);
}

bool oracle_cache_read(const Case &one, const Promise &promise, size_t count, std::vector<uint64_t> *hashes)
{
    if (folder().empty())
        return false;
    const std::string asked = question(one, promise);
    std::ifstream file(file_of(asked), std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    const std::string found = text.str();
    const size_t bytes = count * sizeof(uint64_t);
    if (found.size() != asked.size() + bytes + sizeof(uint64_t) || found.compare(0, asked.size(), asked) != 0 ||
        found != with_seal(found.substr(0, asked.size() + bytes)))
        return false;
    hashes->resize(count);
    std::memcpy(hashes->data(), found.data() + asked.size(), bytes);
    return true;
}

void oracle_cache_write(const Case &one, const Promise &promise, const std::vector<uint64_t> &hashes)
{
    std::error_code none;
    if (folder().empty() || (!fs::create_directories(folder(), none) && none))
        return;
    const std::string asked = question(one, promise);
    const char *bytes = reinterpret_cast<const char *>(hashes.data());
    try {
        output_write(file_of(asked).string(), with_seal(asked + std::string(bytes, hashes.size() * sizeof hashes[0])));
    } catch (const std::runtime_error &) { /* a full disk is no reason to fail a run */
    }
}
