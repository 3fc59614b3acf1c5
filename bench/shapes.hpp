/* shapes.hpp - shape sets: the parameter lists that steps are timed on, one file each.
 *
 *     # a comment runs to the end of the line
 *     conv1.weight 64x3x7x7
 *     1000 * bias 64            a thousand tensors of this shape
 *
 * The files lie in shapes/; the environment variable SGD_SHAPES names another folder.  A set is called like its file,
 * without ".txt".
 */
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

struct TensorShape {
    std::string name;
    std::vector<int64_t> sizes;
    size_t elements;
};

struct ShapeSet {
    std::string name;
    std::vector<TensorShape> tensors;
    size_t elements; /* of all tensors together */
};

/* The names of all sets, sorted.  Throws std::runtime_error where there are none. */
std::vector<std::string> shape_set_names();

/* Reads one set.  Throws std::runtime_error with one line that says file and line, or which sets there are. */
ShapeSet shape_set_read(const std::string &name);
