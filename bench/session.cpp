/* session.cpp - sgd_bench_main: from the command line to the exit status. */
#include "session.h"

#include <algorithm>
#include <argp.h>
#include <benchmark/benchmark.h>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <omp.h>
#include <stdexcept>

#include "harness.hpp"
#include "memory.hpp"
#include "output_file.hpp"
#include "report.hpp"
#include "text.hpp"

enum { EXIT_FAILED = 1, EXIT_UNUSABLE = 2 };

/* ---- the command line -------------------------------------------------------------------------------------------- */

struct Settings {
    std::string command;
    std::vector<std::string> filters, shapes;
    std::vector<unsigned> threads;
    Effort effort{0.1, 3}; /* of everything: about a minute on two cores */
    std::string json;
};

static constexpr unsigned MOST_THREADS = 4096, MOST_REPETITIONS = 1000;
static constexpr double LONGEST_TIME = 3600;

enum { KEY_SHAPES = 256, KEY_THREADS, KEY_MIN_TIME, KEY_REPETITIONS, KEY_JSON };

const char *argp_program_version = "sgd-bench (ExactSGD) " SGD_VERSION;

static const argp_option options[] = {
    {nullptr, 0, nullptr, 0, "Which benchmarks:", 1},
    {"filter", 'f', "GLOB", 0, "Those whose name matches, e.g. 'forloop/*/f32/*'; repeat it for more", 1},
    {"shapes", KEY_SHAPES, "NAME[,NAME]", 0, "Shape sets; default: all there are", 1},
    {"threads", KEY_THREADS, "N[,N]", 0, "Thread counts; default: what OpenMP would take", 1},
    {nullptr, 0, nullptr, 0, "How they run:", 2},
    {"min-time", KEY_MIN_TIME, "SECONDS", 0, "Time of one repetition; default: 0.1", 2},
    {"repetitions", KEY_REPETITIONS, "N", 0, "Repetitions, whose median is reported; default: 3", 2},
    {"json", KEY_JSON, "FILE", 0, "Writes Google Benchmark's JSON as well", 2},
    {nullptr, 0, nullptr, 0, "Help:", -1},
    {}};

static const char description[] = "Times a step of ExactSGD in GB/s and as a share of the machine's streaming limit."
                                  "\vCommands:\n"
                                  "  list   prints the names of the benchmarks, one a line\n"
                                  "  run    runs them and prints a table\n\n"
                                  "The environment: SGD_SHAPES, a folder of shape sets; SGD_ISA, the widest "
                                  "instruction set to use (scalar, avx2, avx512); OpenMP's own, such as "
                                  "OMP_PROC_BIND.";

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

static void finish(argp_state *state, Settings *settings)
{
    if (settings->command.empty())
        argp_error(state, "no command: list or run");
    if (settings->threads.empty())
        settings->threads.push_back(static_cast<unsigned>(omp_get_max_threads()));
}

static error_t parse_option(int key, char *argument, argp_state *state)
{
    Settings *settings = static_cast<Settings *>(state->input);
    switch (key) {
    case 'f':
        settings->filters.push_back(argument);
        return 0;
    case KEY_SHAPES:
        for (const std::string &name : split(argument, ','))
            add_once(&settings->shapes, name);
        return 0;
    case KEY_THREADS:
        for (const std::string &count : split(argument, ','))
            add_once(&settings->threads, parse<unsigned>(state, count, 1, MOST_THREADS));
        return 0;
    case KEY_MIN_TIME:
        settings->effort.min_time = parse<double>(state, argument, 1e-6, LONGEST_TIME);
        return 0;
    case KEY_REPETITIONS:
        settings->effort.repetitions = parse<unsigned>(state, argument, 1, MOST_REPETITIONS);
        return 0;
    case KEY_JSON:
        settings->json = argument;
        return 0;
    case ARGP_KEY_ARG:
        settings->command = argument;
        if (state->arg_num > 0 || (settings->command != "list" && settings->command != "run"))
            argp_error(state, "unexpected '%s': one command, list or run", argument);
        return 0;
    case ARGP_KEY_END:
        finish(state, settings);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* ---- the commands ------------------------------------------------------------------------------------------------ */

static std::vector<ShapeSet> read_sets(const std::vector<std::string> &chosen)
{
    std::vector<ShapeSet> sets;
    for (const std::string &name : chosen.empty() ? shape_set_names() : chosen)
        sets.push_back(shape_set_read(name));
    return sets;
}

static void list(const std::vector<Case> &cases)
{
    for (const Case &one : cases)
        std::printf("%s\n", one.name().c_str());
}

/* Google Benchmark takes flags from the environment too; what runs hangs on our command line alone. */
static void initialize_benchmark(char *program)
{
    static char list[] = "--benchmark_list_tests=false", out[] = "--benchmark_out=",
                all[] = "--benchmark_report_aggregates_only=false",
                order[] = "--benchmark_enable_random_interleaving=false";
    char *arguments[] = {program, list, out, all, order, nullptr};
    int count = 5;
    benchmark::Initialize(&count, arguments);
}

static int run(const std::vector<Case> &cases, const Settings &settings, char *program)
{
    std::vector<Measurement> plan = measurements_of(cases);
    size_t needed = measurements_size(plan), available = memory_available();
    if (needed > available)
        throw std::runtime_error("needs " + with_unit(static_cast<double>(needed)) + " of memory, " +
                                 with_unit(static_cast<double>(available)) + " are free; choose --shapes or --filter");
    if (!settings.json.empty())
        output_check(settings.json);

    initialize_benchmark(program);
    report_context(settings.effort);
    measurements_register(plan, settings.effort);
    Report report(plan, settings.effort);
    benchmark::RunSpecifiedBenchmarks(&report, ".");
    if (!settings.json.empty())
        output_write(settings.json, report.json());
    return report.failed() ? EXIT_FAILED : 0;
}

/* A mistyped instruction set must not silently time another one. */
static void check_environment()
{
    const char *name = std::getenv("SGD_ISA");
    sgd_isa isa;
    if (name && *name && !sgd_isa_parse(name, &isa))
        throw std::runtime_error(std::string("SGD_ISA: no instruction set is called ") + name);
}

static int main_command(const Settings &settings, char *program)
{
    check_environment();
    const std::vector<ShapeSet> sets = read_sets(settings.shapes);
    const std::vector<Case> cases = cases_select(sets, settings.threads, settings.filters);
    if (cases.empty())
        throw std::runtime_error("no benchmark matches; sgd-bench list prints the names");
    int status = 0;
    if (settings.command == "list")
        list(cases);
    else
        status = run(cases, settings, program);
    if (std::fflush(stdout) != 0 || std::ferror(stdout))
        throw std::runtime_error("cannot write to standard output");
    return status;
}

int sgd_bench_main(int argc, char **argv, const sgd_bench_host *host)
{
    (void)host;
    Settings settings;
    const argp parser = {options, parse_option, "list|run", description, nullptr, nullptr, nullptr};
    argp_err_exit_status = EXIT_UNUSABLE;
    argp_parse(&parser, argc, argv, 0, nullptr, &settings);
    std::signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error of write, not the end */
    try {
        return main_command(settings, argv[0]);
    } catch (const std::bad_alloc &) {
        std::fprintf(stderr, "sgd-bench: out of memory\n");
    } catch (const std::exception &error) {
        std::fprintf(stderr, "sgd-bench: %s\n", error.what());
    }
    return EXIT_UNUSABLE;
}
