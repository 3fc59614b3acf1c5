/* shapes.hpp - shape sets: the parameter lists that steps are timed on, one file each.
 *
 *     # a comment runs to the end of the line
 *     conv1.weight 64x3x7x7
 *     1000 * bias 64            a thousand tensors of this shape
 *
 * The files lie in shapes/; the environment variable SGD_SHAPES names another folder.  A set is called like its file,
 * without ".txt".  A file may hold a family of sets instead: each begins with a line [PART] and is called FILE:PART.
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

/* The sets behind names, of which a family's stands for all its parts, and "all" for everything; without names, everything,
 * or the sets that a run takes by default: those of another folder, or three of ours.  Throws std::runtime_error with one
 * line that says which sets there are. */
std::vector<std::string> shape_sets_choose(const std::vector<std::string> &names, bool everything);

/* Reads one set.  Throws std::runtime_error with one line that says file and line, or which sets there are. */
ShapeSet shape_set_read(const std::string &name);
