/* output_file.hpp - a result file appears whole or not at all. */
#pragma once

#include <string>

/* Whether the file could be written, asked before a minute of measuring.  Throws std::runtime_error with one line. */
void output_check(const std::string &path);

/* Writes a temporary file beside it and renames that; what is no plain file, such as /dev/stdout, is written directly.
 * Throws std::runtime_error with one line, after which the folder is as it was. */
void output_write(const std::string &path, const std::string &text);
