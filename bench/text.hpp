/* text.hpp - numbers and lists as people read them. */
#pragma once

#include <cstddef>
#include <string>
#include <vector>

/* printf into a string. */
__attribute__((format(printf, 1, 2))) std::string format(const char *pattern, ...);

/* 25557032: "25,557,032" */
std::string with_commas(size_t number);

/* 613368768: "613 MB" (powers of ten, as in GB/s) */
std::string with_unit(double bytes);

std::string join(const std::vector<std::string> &words, const std::string &between);

/* "a,b": {"a", "b"}; an empty word between commas stays one. */
std::vector<std::string> split(const std::string &text, char at);
