/* command.cpp - options by argp. */
#include "command.hpp"

#include <algorithm>
#include <argp.h>
#include <charconv>
#include <omp.h>

#include "text.hpp"

static constexpr unsigned MOST_THREADS = 4096, MOST_REPETITIONS = 1000;
static constexpr double LONGEST_TIME = 3600;

enum {
    KEY_PATH = 256,
    KEY_IMPLEMENTATION,
    KEY_DTYPE,
    KEY_SHAPES,
    KEY_HYPER,
    KEY_CONTRACT,
    KEY_DEVICE,
    KEY_THREADS,
    KEY_ALL,
    KEY_MIN_TIME,
    KEY_REPETITIONS,
    KEY_CHECK,
    KEY_NO_TABLE,
    KEY_JSON
};

const char *argp_program_version = "sgd-bench (ExactSGD) " SGD_VERSION;

static const argp_option options[] = {
    {nullptr, 0, nullptr, 0, "Which benchmarks; a list of names, or all:", 1},
    {"path", KEY_PATH, "NAMES", 0, "forloop, foreach, fused; default: all", 1},
    {"implementation", KEY_IMPLEMENTATION, "NAMES", 0, "single_pass, by_op; default: all", 1},
    {"dtype", KEY_DTYPE, "NAMES", 0, "f64, f32, f16, bf16, c64, c128; default: the first four", 1},
    {"shapes", KEY_SHAPES, "NAMES", 0, "Shape sets; default: many-small, one-large, resnet50; those of SGD_SHAPES", 1},
    {"hyper", KEY_HYPER, "NAMES", 0, "momentum_decay, plain, momentum, nesterov; default: the first", 1},
    {"contract", KEY_CONTRACT, "NAMES", 0, "cpu-fma, cpu-base; default: the first", 1},
    {"device", KEY_DEVICE, "NAMES", 0, "cpu", 1},
    {"threads", KEY_THREADS, "N[,N]", 0, "Thread counts; default: what OpenMP would take", 1},
    {"all", KEY_ALL, nullptr, 0, "All of each that is not chosen; takes hours", 1},
    {"filter", 'f', "GLOB", 0,
     "Of these, those whose name matches, e.g. 'forloop/*/f32/*'; repeat it for more.  A whole name is found wherever it is",
     1},
    {nullptr, 0, nullptr, 0, "How they run:", 2},
    {"min-time", KEY_MIN_TIME, "SECONDS", 0, "Time of one repetition; default: 0.1", 2},
    {"repetitions", KEY_REPETITIONS, "N", 0, "Repetitions, whose median is reported; default: 3", 2},
    {"check", KEY_CHECK, "WHAT", 0, "Bits to hold against the oracle's: sample, all, none; default: sample", 2},
    {"no-table", KEY_NO_TABLE, nullptr, 0, "Prints only what is wrong", 2},
    {"json", KEY_JSON, "FILE", 0, "Writes Google Benchmark's JSON as well", 2},
    {nullptr, 0, nullptr, 0, "Help:", -1},
    {}};

static const char description[] =
    "Times a step of ExactSGD in GB/s and as a share of the machine's streaming limit, and checks its bits."
    "\vCommands:\n"
    "  list      prints the names of the benchmarks, one a line; list --all: of all there are\n"
    "  shapes    prints the shape sets with their numbers of tensors and elements\n"
    "  run       runs them and prints a table\n"
    "  vs-torch  runs them beside PyTorch's own; sgd-bench vs-torch --help\n"
    "  report    makes a page of results; sgd-bench report --help\n\n"
    "The environment: SGD_SHAPES, a folder of shape sets; SGD_ISA, the widest instruction set to use (scalar, avx2, avx512, avx512_bf16); "
    "EXACTSGD_PYTHON, the Python of vs-torch and report; XDG_CACHE_HOME, where --check all keeps what the oracle said; "
    "OpenMP's own, such as OMP_PROC_BIND.";

/* The whole of the text as a number from `least` to `most`, or the program ends. */
template <class Number> static Number parse(argp_state *state, const std::string &text, Number least, Number most)
{
    Number value{};
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || !(value >= least && value <= most))
        argp_error(state, "'%s' is not a number from %g to %g", text.c_str(), static_cast<double>(least),
                   static_cast<double>(most));
    return value;
}

template <class Value> static void add_once(std::vector<Value> *values, const Value &value)
{
    if (std::find(values->begin(), values->end(), value) == values->end())
        values->push_back(value);
}

static Check parse_check(argp_state *state, const std::string &name)
{
    if (name != "none" && name != "sample" && name != "all")
        argp_error(state, "--check '%s'; there are sample, all, none", name.c_str());
    return name == "none" ? Check::NONE : name == "all" ? Check::ALL : Check::SAMPLE;
}

/* The list of names that an option fills; NULL for one that fills none. */
static std::vector<std::string> *names_of(int key, Choice *choice)
{
    switch (key) {
    case KEY_PATH:
        return &choice->paths;
    case KEY_IMPLEMENTATION:
        return &choice->implementations;
    case KEY_DTYPE:
        return &choice->dtypes;
    case KEY_SHAPES:
        return &choice->shapes;
    case KEY_HYPER:
        return &choice->hypers;
    case KEY_CONTRACT:
        return &choice->contracts;
    case KEY_DEVICE:
        return &choice->devices;
    default:
        return nullptr;
    }
}

static void take_command(argp_state *state, const std::string &argument, Settings *settings)
{
    settings->command = argument;
    if (state->arg_num > 0 || (argument != "list" && argument != "shapes" && argument != "run"))
        argp_error(state, "unexpected '%s': one command, list, shapes or run; vs-torch and report stand first",
                   argument.c_str());
}

static error_t parse_option(int key, char *argument, argp_state *state)
{
    Settings *settings = static_cast<Settings *>(state->input);
    if (std::vector<std::string> *names = names_of(key, &settings->choice)) {
        for (const std::string &name : split(argument, ','))
            add_once(names, name);
        return 0;
    }
    switch (key) {
    case 'f':
        settings->choice.filters.push_back(argument);
        return 0;
    case KEY_THREADS:
        for (const std::string &count : split(argument, ','))
            add_once(&settings->choice.threads, parse<unsigned>(state, count, 1, MOST_THREADS));
        return 0;
    case KEY_ALL:
        settings->choice.everything = true;
        return 0;
    case KEY_MIN_TIME:
        settings->effort.min_time = parse<double>(state, argument, 1e-6, LONGEST_TIME);
        return 0;
    case KEY_REPETITIONS:
        settings->effort.repetitions = parse<unsigned>(state, argument, 1, MOST_REPETITIONS);
        return 0;
    case KEY_CHECK:
        settings->check = parse_check(state, argument);
        return 0;
    case KEY_NO_TABLE:
        settings->table = false;
        return 0;
    case KEY_JSON:
        settings->json = argument;
        return 0;
    case ARGP_KEY_ARG:
        take_command(state, argument, settings);
        return 0;
    case ARGP_KEY_END:
        if (settings->command.empty())
            argp_error(state, "no command: list, shapes or run");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

Settings command_parse(int argc, char **argv)
{
    Settings settings;
    const argp parser = {options, parse_option, "list|shapes|run", description, nullptr, nullptr, nullptr};
    argp_err_exit_status = EXIT_UNUSABLE;
    argp_parse(&parser, argc, argv, 0, nullptr, &settings);
    if (settings.choice.threads.empty())
        settings.choice.threads.push_back(static_cast<unsigned>(omp_get_max_threads()));
    return settings;
}
