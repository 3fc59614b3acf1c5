/* json.hpp - a run as Google Benchmark's JSON with additions: schema "exactsgd-bench/2", described in README.md. */
#pragma once

#include <string>
#include <vector>

#include "noise.hpp"
#include "outcome.hpp"

/* Throws std::runtime_error where memory runs out. */
std::string json_of(const std::vector<Block> &blocks, const Effort &effort, const Noise &noise, const char *host_versions,
                    bool partial);
