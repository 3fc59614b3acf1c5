/* shapes.cpp - reads shape sets. */
#include "shapes.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include "text.hpp"

namespace fs = std::filesystem;

/* Far beyond any model, small enough that sizes in bytes cannot overflow and that a slip does not fill the memory. */
static constexpr size_t MOST_TENSORS = 1000 * 1000;
static constexpr size_t MOST_ELEMENTS = size_t{1} << 48;

/* A run of about a minute. */
static const std::vector<std::string> DEFAULT_SETS = {"many-small", "one-large", "resnet50"};

static fs::path folder()
{
    const char *chosen = std::getenv("SGD_SHAPES");
    return chosen ? chosen : SGD_SHAPES_FOLDER;
}

/* The names of all files, sorted. */
static std::vector<std::string> file_names()
{
    std::vector<std::string> names;
    std::error_code error;
    for (fs::directory_iterator at(folder(), error), end; !error && at != end; at.increment(error))
        if (at->path().extension() == ".txt")
            names.push_back(at->path().stem().string());
    if (error)
        throw std::runtime_error("no shape sets in " + folder().string() + ": " + error.message());
    if (names.empty())
        throw std::runtime_error("no shape sets in " + folder().string() + ": no file *.txt");
    std::sort(names.begin(), names.end());
    return names;
}

static size_t parse_size(std::string_view text, const std::string &what, size_t most)
{
    size_t value = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || value < 1 || value > most)
        throw std::runtime_error(what + " '" + std::string(text) + "' is not a whole number from 1 to " +
                                 with_commas(most));
    return value;
}

/* "64x3x7x7" */
static TensorShape parse_tensor(const std::string &name, const std::string &shape)
{
    TensorShape tensor{name, {}, 1};
    for (size_t begin = 0, end; begin <= shape.size(); begin = end + 1) {
        end = std::min(shape.find('x', begin), shape.size());
        size_t size = parse_size(std::string_view(shape).substr(begin, end - begin), "size", MOST_ELEMENTS);
        tensor.sizes.push_back(static_cast<int64_t>(size));
        if (size > MOST_ELEMENTS / tensor.elements)
            throw std::runtime_error("shape " + shape + " has more than " + with_commas(MOST_ELEMENTS) + " elements");
        tensor.elements *= size;
    }
    return tensor;
}

/* "[COUNT *] NAME SHAPE", or nothing */
static void parse_line(const std::string &line, ShapeSet *set)
{
    std::istringstream stream(line.substr(0, line.find('#')));
    std::vector<std::string> words;
    for (std::string word; stream >> word;)
        words.push_back(word);
    if (words.empty())
        return;
    bool repeated = words.size() == 4 && words[1] == "*";
    if (!repeated && words.size() != 2)
        throw std::runtime_error("expected 'NAME SHAPE' or 'COUNT * NAME SHAPE'");
    size_t count = repeated ? parse_size(words[0], "count", MOST_TENSORS) : 1;
    TensorShape tensor = parse_tensor(words[words.size() - 2], words.back());
    if (count > MOST_TENSORS - set->tensors.size())
        throw std::runtime_error("more than " + with_commas(MOST_TENSORS) + " tensors");
    if (tensor.elements > (MOST_ELEMENTS - set->elements) / count)
        throw std::runtime_error("more than " + with_commas(MOST_ELEMENTS) + " elements");
    set->elements += tensor.elements * count;
    set->tensors.insert(set->tensors.end(), count, tensor);
}

/* "[1k]", a part of a family */
static bool parse_part(const std::string &line, std::string *part)
{
    std::istringstream stream(line.substr(0, line.find('#')));
    std::string word, more;
    if (!(stream >> word) || word.front() != '[')
        return false;
    bool closed = word.back() == ']' && !(stream >> more);
    *part = closed ? word.substr(1, word.size() - 2) : "";
    if (part->empty() || part->find_first_of("/:[]*?") != std::string::npos)
        throw std::runtime_error("expected '[PART]', a name without any of / : * ?");
    return true;
}

/* Takes the place of the file's own set, or comes behind the part before. */
static void begin_part(const std::string &name, std::vector<ShapeSet> *sets)
{
    bool first = sets->size() == 1 && sets->front().name.find(':') == std::string::npos;
    if (first != sets->back().tensors.empty())
        throw std::runtime_error(first ? "tensors before the first part" : "no tensors in " + sets->back().name);
    for (const ShapeSet &set : *sets)
        if (set.name == name)
            throw std::runtime_error("there is a " + name + " already");
    if (first)
        sets->clear();
    sets->push_back({name, {}, 0});
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

/* The sets of a file, in its order: one called like the file, or the parts of a family. */
static std::vector<ShapeSet> read_file(const std::string &name)
{
    std::vector<std::string> names = file_names();
    if (std::find(names.begin(), names.end(), name) == names.end())
        throw std::runtime_error("no shape set '" + name + "'; there are " + join(names, ", "));
    std::string path = (folder() / (name + ".txt")).string();
    std::ifstream file(path);
    std::vector<ShapeSet> sets = {{name, {}, 0}};
    size_t number = 0;
    for (std::string line, part; std::getline(file, line);) {
        number++;
        try {
            if (parse_part(line, &part))
                begin_part(name + ":" + part, &sets);
            else
                parse_line(line, &sets.back());
        } catch (const std::runtime_error &error) {
            throw std::runtime_error(path + ":" + std::to_string(number) + ": " + error.what());
        }
    }
    if (!file.is_open() || file.bad())
        throw std::runtime_error(path + ": " + std::strerror(errno));
    if (sets.back().tensors.empty())
        throw std::runtime_error(path + ": no tensors" + (sets.size() > 1 ? " in " + sets.back().name : ""));
    return sets;
}

ShapeSet shape_set_read(const std::string &name)
{
    std::vector<std::string> names;
    for (const ShapeSet &set : read_file(name.substr(0, name.find(':')))) {
        if (set.name == name)
            return set;
        names.push_back(set.name);
    }
    throw std::runtime_error("no shape set '" + name + "'; there are " + join(names, ", "));
}

std::vector<std::string> shape_sets_choose(const std::vector<std::string> &names, bool everything)
{
    bool every = names.empty() ? everything || std::getenv("SGD_SHAPES") : names == std::vector<std::string>{"all"};
    std::vector<std::string> chosen;
    for (const std::string &name : every ? file_names() : names.empty() ? DEFAULT_SETS : names) {
        if (name.find(':') != std::string::npos) {
            chosen.push_back(name);
            continue;
        }
        for (const ShapeSet &set : read_file(name))
            chosen.push_back(set.name);
    }
    return chosen;
}
