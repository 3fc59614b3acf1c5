/* table.cpp - see table.hpp. */
#include "table.hpp"

#include <cstdio>

#include "machine.hpp"
#include "memory.hpp"
#include "oracle_part.hpp"
#include "slopes.hpp"
#include "text.hpp"

/* ---- head -------------------------------------------------------------------------------------------------------- */

static std::string topology_text(const Machine &machine)
{
    if (machine.threads == 0)
        return "";
    std::string text = format("%u socket%s, %u cores, %u threads", machine.sockets, machine.sockets == 1 ? "" : "s",
                              machine.cores, machine.threads);
    for (const Cache &cache : machine.caches)
        text += format(", L%u %zu x %zu kB", cache.level, cache.count, cache.bytes / 1024);
    return text;
}

static void print_machine(const char *versions)
{
    const Machine machine = machine_describe();
    const Build build = build_describe();
    std::printf("sgd-bench, ExactSGD %s, commit %s\n\n", SGD_VERSION, build.commit.c_str());
    std::printf("  machine   %s; backend %s\n", machine.cpu.c_str(), bench_backend()->name);
    if (std::string text = topology_text(machine); !text.empty())
        std::printf("            %s\n", text.c_str());
    std::printf("            %s of memory; frequency governor %s\n",
                with_unit(static_cast<double>(machine.memory_bytes)).c_str(), machine.governor.c_str());
    std::printf("  built by  %s\n", build.compiler.c_str());
    if (versions && *versions)
        std::printf("  beside    %s\n", versions);
}

static void print_noise(const char *label, const Noise &noise)
{
    for (const std::string &reason : noise.disturbances())
        std::printf("%sDISTURBED: %s\n", label, reason.c_str());
}

void Table::head(const Effort &effort, const char *versions, const Noise &noise) const
{
    if (!shown_)
        return;
    print_machine(versions);
    const HyperSet &usual = hyper_sets().front();
    std::printf("  step      lr %g, momentum %g, weight decay %g; contract %s;\n"
                "            where a block does not say otherwise\n",
                sgd_options_default().lr, usual.momentum, usual.weight_decay,
                sgd_contract_name(sgd_config_default().contract));
    std::printf("  time      median of %u repetition%s of %g s or more; spread: from fastest to slowest\n",
                effort.repetitions, effort.repetitions == 1 ? "" : "s", effort.min_time);
    std::printf("  GB/s      what a step must move (read param, gradient, buffer; write param, buffer), over\n"
                "            the time; the same bytes for both schedules, though by_op moves more\n");
    std::printf("  limit     the same streams, as many bytes and threads, hardly any arithmetic; its repetitions\n"
                "            stand between those of the cases\n");
    std::printf("  memory    what one step takes at most beyond the state, counted at malloc\n");
    std::printf("  bits      after %u steps, against the oracle; %% of the elements where it is a sample\n", CHECKED_STEPS);
    print_noise("  machine   ", noise);
    std::fflush(stdout);
}

/* ---- blocks ------------------------------------------------------------------------------------------------------ */

static std::string conditions(const Case &first)
{
    std::vector<std::string> words;
    if (first.hyper != &hyper_sets().front())
        words.push_back(format("%s: momentum %g, weight decay %g%s", first.hyper->name.c_str(), first.hyper->momentum,
                               first.hyper->weight_decay, first.hyper->nesterov ? ", nesterov" : ""));
    if (first.contract != sgd_config_default().contract)
        words.push_back(std::string("contract ") + sgd_contract_name(first.contract));
    return join(words, "; ");
}

void Table::block_head(const Case &first, const Noise &noise)
{
    if (shapes_ != first.shapes) {
        std::printf("\n%s: %s tensor%s, %s elements\n\n", first.shapes->name.c_str(),
                    with_commas(first.shapes->tensors.size()).c_str(), first.shapes->tensors.size() == 1 ? "" : "s",
                    with_commas(first.shapes->elements).c_str());
        print_noise("  ", noise);
        std::printf("  %-5s  %7s  %-7s  %-12s  %9s  %7s  %7s  %8s  %7s  %s\n", "dtype", "threads", "path", "by", "ms/step",
                    "spread", "GB/s", "of limit", "memory", "bits");
    } else {
        std::printf("\n");
    }
    shapes_ = first.shapes;
    if (std::string text = conditions(first); !text.empty())
        std::printf("  %s\n", text.c_str());
}

static std::string bits_text(const Outcome &outcome)
{
    if (outcome.bits != Outcome::EQUAL || outcome.elements_checked == outcome.one.shapes->elements)
        return bits_name(outcome.bits);
    const double share = static_cast<double>(outcome.elements_checked) / static_cast<double>(outcome.one.shapes->elements);
    return format(share < 0.0995 ? "equal %.1f %%" : "equal %.0f %%", 100 * share);
}

static const char *state_text(const Outcome &outcome)
{
    switch (outcome.state) {
    case Outcome::WRONG:
        return "WRONG: ";
    case Outcome::FAILED:
        return "FAILED: ";
    case Outcome::LEFT_OUT:
        return "left out: ";
    default:
        return "not timed";
    }
}

static void print_outcome(const Outcome &outcome, const Outcome &limit)
{
    std::printf("  %-5s  %7u  %-7s  %-12s  ", sgd_dtype_name(outcome.one.dtype), outcome.one.threads,
                outcome.one.path_name().c_str(), outcome.one.implementation_name().c_str());
    if (!outcome.is_timed()) {
        std::printf("%s%s\n", state_text(outcome), outcome.message.c_str());
        return;
    }
    std::printf("%9.4f  %5.0f %%  %7.2f", outcome.median(), 100 * outcome.spread(), outcome.rate());
    if (outcome.one.limit) {
        std::printf("\n");
        return;
    }
    const double share = outcome.share_of(&limit);
    std::printf("  %8s  %7s  %s\n", share > 0 ? format("%.0f %%", 100 * share).c_str() : "",
                outcome.peak_memory < 0 ? "" : with_unit(static_cast<double>(outcome.peak_memory)).c_str(),
                bits_text(outcome).c_str());
}

void Table::block(const Block &block, const Noise &noise)
{
    if (shown_)
        block_head(block.front().one, noise);
    for (const Outcome &outcome : block)
        if (shown_)
            print_outcome(outcome, block.front());
        else if (outcome.state == Outcome::WRONG || outcome.state == Outcome::FAILED)
            std::fprintf(stderr, "sgd-bench: %s: %s%s\n", outcome.one.name().c_str(), state_text(outcome),
                         outcome.message.c_str());
    std::fflush(stdout);
}

/* ---- end --------------------------------------------------------------------------------------------------------- */

static void print_slopes(const std::vector<Slopes> &all)
{
    if (all.empty())
        return;
    std::printf("\nslopes: what a step costs per tensor and per byte that it moves, over the shape sets of the run\n\n");
    std::printf("  %-5s  %7s  %-7s  %-12s  %9s  %9s  %s\n", "dtype", "threads", "path", "by", "ns/tensor", "ns/byte", "sets");
    for (const Slopes &slopes : all) {
        const Case &one = *slopes.family;
        const std::string text = conditions(one);
        std::printf("  %-5s  %7u  %-7s  %-12s  %9.1f  %9.4f  %zu%s%s\n", sgd_dtype_name(one.dtype), one.threads,
                    one.path_name().c_str(), one.implementation.c_str(), slopes.ns_per_tensor, slopes.ns_per_byte,
                    slopes.sets.size(), text.empty() ? "" : "; ", text.c_str());
    }
}

void Table::end(const std::vector<Block> &blocks, const Noise &noise, bool partial) const
{
    if (!shown_)
        return;
    print_slopes(slopes_of(blocks));
    std::printf("\n");
    if (partial)
        std::printf("PARTIAL: interrupted before everything was measured\n");
    print_noise("", noise);
    std::printf("noise %.1f %%: how far a fixed loop's time went up; of the processors' time, other programs took\n"
                "%.1f %%, the hypervisor %.1f %%\n",
                100 * noise.figure(), 100 * noise.others(), 100 * noise.stolen());
    std::fflush(stdout);
}
