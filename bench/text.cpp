/* text.cpp - numbers and lists as people read them. */
#include "text.hpp"

#include <cstdarg>
#include <cstdio>

std::string format(const char *pattern, ...)
{
    va_list arguments, again;
    va_start(arguments, pattern);
    va_copy(again, arguments);
    int length = std::vsnprintf(nullptr, 0, pattern, arguments);
    std::string text(length > 0 ? static_cast<size_t>(length) : 0, '\0');
    std::vsnprintf(text.data(), text.size() + 1, pattern, again);
    va_end(again);
    va_end(arguments);
    return text;
}

std::string with_commas(size_t number)
{
    std::string digits = std::to_string(number);
    for (size_t at = digits.size(); at > 3; at -= 3)
        digits.insert(at - 3, ",");
    return digits;
}

std::string with_unit(double bytes)
{
    const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB"};
    size_t unit = 0;
    for (; bytes >= 999.5 && unit + 1 < sizeof units / sizeof units[0]; unit++)
        bytes /= 1000;
    return format(bytes < 9.995 && unit > 0 ? "%.2f %s" : "%.0f %s", bytes, units[unit]);
}

std::string join(const std::vector<std::string> &words, const std::string &between)
{
    std::string text;
    for (const std::string &word : words)
        text += (text.empty() ? "" : between) + word;
    return text;
}

std::vector<std::string> split(const std::string &text, char at)
{
    std::vector<std::string> words(1);
    for (char c : text)
        if (c == at)
            words.emplace_back();
        else
            words.back() += c;
    return words;
}
