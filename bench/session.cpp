/* session.cpp - sgd_bench_main: from the command line to the exit status. */
#include "session.h"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <stdexcept>

#include "block.hpp"
#include "command.hpp"
#include "interruption.hpp"
#include "json.hpp"
#include "memory.hpp"
#include "output_file.hpp"
#include "table.hpp"
#include "text.hpp"

static void list(const std::vector<Case> &cases)
{
    for (const Case &one : cases)
        std::printf("%s\n", one.name().c_str());
}

static void list_shapes(const Choice &choice)
{
    for (const std::string &name : shape_sets_choose(choice.shapes, true)) {
        const ShapeSet set = shape_set_read(name);
        std::printf("%-16s %9s tensor%s %15s elements\n", name.c_str(), with_commas(set.tensors.size()).c_str(),
                    set.tensors.size() == 1 ? " " : "s", with_commas(set.elements).c_str());
    }
}

/* ---- run --------------------------------------------------------------------------------------------------------- */

/* The cases, block by block, each block with its limit. */
static std::vector<Block> blocks_of(const std::vector<Case> &cases)
{
    std::vector<Block> blocks;
    for (const Case &one : cases) {
        if (blocks.empty() || !blocks.back().front().one.same_block(one)) {
            Case limit = one;
            limit.limit = true;
            blocks.emplace_back(1).front().one = limit;
        }
        blocks.back().emplace_back().one = one;
    }
    return blocks;
}

/* Before anything is allocated. */
static void check_memory(const std::vector<Block> &blocks)
{
    const size_t available = memory_available();
    for (const Block &block : blocks)
        if (const size_t needed = block_size(block); needed > available)
            throw std::runtime_error(std::string(sgd_dtype_name(block.front().one.dtype)) + " " +
                                     block.front().one.shapes->name + " needs " + with_unit(static_cast<double>(needed)) +
                                     " of memory, " + with_unit(static_cast<double>(available)) +
                                     " are free; choose --shapes, --dtype or --filter");
}

static void run_block(Block *block, const Circumstances &circumstances)
{
    try {
        block_run(block, circumstances);
    } catch (const std::exception &error) { /* no memory after all: the others may still have it */
        for (Outcome &outcome : *block) {
            outcome.state = Outcome::FAILED;
            outcome.message = error.what();
        }
    }
}

static bool any(const std::vector<Block> &blocks, bool (*is)(const Outcome &))
{
    return std::any_of(blocks.begin(), blocks.end(),
                       [&](const Block &block) { return std::any_of(block.begin(), block.end(), is); });
}

static bool failed(const Outcome &outcome) { return outcome.state == Outcome::FAILED || outcome.state == Outcome::WRONG; }

/* A moment of looking at the machine, so that the head of the table can say whether it is a quiet one. */
static Noise first_look()
{
    Noise noise;
    for (int i = 0; i < 100; i++)
        noise.calibrate();
    return noise;
}

static int run(const std::vector<Case> &cases, const Settings &settings, const char *program, const sgd_bench_host *host)
{
    std::vector<Block> blocks = blocks_of(cases);
    check_memory(blocks);
    if (!settings.json.empty())
        output_check(settings.json);
    stopwatch_initialize(program);

    const char *versions = host ? host->versions : nullptr;
    Interruption interruption;
    Table table(settings.table);
    table.head(settings.effort, versions, first_look());
    Noise noise;
    size_t turns = 0;
    for (const Block &block : blocks)
        turns += block.size() * settings.effort.repetitions;
    Progress progress(turns);
    size_t done = 0;
    for (; done < blocks.size() && !Interruption::noted(); done++) {
        run_block(&blocks[done], {settings.effort, settings.check, host, &noise, &progress});
        progress.clear();
        table.block(blocks[done], noise);
        progress.block_done(done + 1, blocks.size());
    }
    const bool partial = Interruption::noted();
    table.end(blocks, noise, partial);
    if (!settings.json.empty())
        output_write(settings.json, json_of(blocks, settings.effort, noise, versions, partial));
    return partial ? EXIT_INTERRUPTED : any(blocks, failed) ? EXIT_FAILED : 0;
}

/* ---- main -------------------------------------------------------------------------------------------------------- */

/* A mistyped instruction set must not silently time another one. */
static void check_environment()
{
    const char *name = std::getenv("SGD_ISA");
    sgd_isa isa;
    if (name && *name && !sgd_isa_parse(name, &isa))
        throw std::runtime_error(std::string("SGD_ISA: no instruction set is called ") + name);
}

static int list_or_run(const Settings &settings, const char *program, const sgd_bench_host *host)
{
    if (host && host->struct_size < sizeof *host)
        throw std::runtime_error("the host was built for an older session.h");
    std::vector<std::string> hosts;
    for (size_t i = 0; host && i < host->implementation_count; i++)
        hosts.push_back(host->implementations[i]);
    const Selection selection = cases_select(settings.choice, hosts);
    if (selection.cases.empty())
        throw std::runtime_error("no benchmark matches; sgd-bench list --all prints the names");
    if (settings.command == "run")
        return run(selection.cases, settings, program, host);
    list(selection.cases);
    return 0;
}

static int main_command(const Settings &settings, const char *program, const sgd_bench_host *host)
{
    check_environment();
    int status = 0;
    if (settings.command == "shapes")
        list_shapes(settings.choice);
    else
        status = list_or_run(settings, program, host);
    if (std::fflush(stdout) != 0 || std::ferror(stdout))
        throw std::runtime_error("cannot write to standard output");
    return status;
}

int sgd_bench_main(int argc, char **argv, const sgd_bench_host *host)
{
    const Settings settings = command_parse(argc, argv);
    std::signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error of write, not the end */
    try {
        return main_command(settings, argv[0], host);
    } catch (const std::bad_alloc &) {
        std::fprintf(stderr, "sgd-bench: out of memory\n");
    } catch (const std::exception &error) {
        std::fprintf(stderr, "sgd-bench: %s\n", error.what());
    }
    return EXIT_UNUSABLE;
}
