/* report.cpp - prints each block when it is complete, since the limit of its cases is measured again at its end. */
#include "report.hpp"

#include <algorithm>
#include <cstdio>
#include <unistd.h>

#include "machine.hpp"
#include "memory.hpp"
#include "text.hpp"
#include "workload.hpp"

void report_context(const Effort &effort)
{
    const sgd_options options = bench_options();
    benchmark::AddCustomContext("sgd_version", SGD_VERSION);
    benchmark::AddCustomContext("cpu", cpu_model());
    benchmark::AddCustomContext("backend", bench_backend()->name);
    benchmark::AddCustomContext("contract", sgd_contract_name(sgd_config_default().contract));
    benchmark::AddCustomContext("compiler", SGD_COMPILER);
    benchmark::AddCustomContext("lr", format("%g", options.lr));
    benchmark::AddCustomContext("momentum", format("%g", options.momentum));
    benchmark::AddCustomContext("weight_decay", format("%g", options.weight_decay));
    benchmark::AddCustomContext("min_time", format("%g", effort.min_time));
}

static void print_head(const Effort &effort, const benchmark::CPUInfo &cpu)
{
    const sgd_options options = bench_options();
    std::printf("sgd-bench, ExactSGD %s\n\n", SGD_VERSION);
    std::printf("  machine   %s, %d processors; backend %s\n", cpu_model().c_str(), cpu.num_cpus,
                bench_backend()->name);
    std::printf("  built by  %s\n", SGD_COMPILER);
    std::printf("  step      lr %g, momentum %g, weight decay %g; contract %s\n", options.lr, options.momentum,
                options.weight_decay, sgd_contract_name(sgd_config_default().contract));
    std::printf("  time      median of %u repetition%s of %g s or more; spread: from fastest to slowest\n",
                effort.repetitions, effort.repetitions == 1 ? "" : "s", effort.min_time);
    std::printf("  GB/s      what a step must move (read param, gradient, buffer; write param, buffer), over\n"
                "            the time; the same bytes for both schedules, though by_op moves more\n");
    std::printf("  limit     GB/s of a = a*k + b over as many bytes, in memory or in cache as they are, on\n"
                "            as many threads; the fastest repetition, before the cases or after them\n");
    if (cpu.scaling == benchmark::CPUInfo::ENABLED)
        std::printf("  note      CPU frequency scaling is on: expect noise\n");
}

Report::Report(const std::vector<Measurement> &plan, const Effort &effort) : plan_(plan), effort_(effort)
{
    for (size_t i = 0; i < plan.size(); i++)
        index_[plan[i].name()] = i;
    json_.SetOutputStream(&json_text_);
    json_.SetErrorStream(&GetErrorStream());
}

/* ---- while it runs ----------------------------------------------------------------------------------------------- */

/* A line for a person who waits; nothing where stderr is a file. */
void Report::start(size_t index)
{
    if (!isatty(STDERR_FILENO))
        return;
    if (index < plan_.size())
        std::fprintf(stderr, "\r\033[K[%zu/%zu] %s", index + 1, plan_.size(), plan_[index].name().c_str());
    else
        std::fputs("\r\033[K", stderr);
}

bool Report::ReportContext(const Context &context)
{
    print_head(effort_, context.cpu_info);
    std::fflush(stdout);
    start(0);
    return json_.ReportContext(context);
}

void Report::ReportRuns(const std::vector<Run> &runs)
{
    for (const Run &run : runs) {
        const std::string &name = run.run_name.function_name;
        size_t index = index_.at(name);
        if (!plan_[index].same_block(plan_[current_]))
            finish_block();
        current_ = index;
        Result &result = results_[name];
        if (run.error_occurred)
            result.error = run.error_message;
        else if (run.run_type == Run::RT_Iteration)
            result.times.push_back(run.GetAdjustedRealTime());
        failed_ |= run.error_occurred;
        block_.push_back(run);
    }
    start(current_ + 1);
}

void Report::Finalize()
{
    finish_block();
    json_.Finalize();
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

static double median(std::vector<double> values)
{
    std::sort(values.begin(), values.end());
    size_t middle = values.size() / 2;
    return values.size() % 2 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

static double spread(const std::vector<double> &values)
{
    auto [least, most] = std::minmax_element(values.begin(), values.end());
    return (*most - *least) / median(values);
}

static double rate(const Measurement &measurement, double milliseconds)
{
    return static_cast<double>(measurement.moves()) / 1e6 / milliseconds;
}

/* What the machine can do is what it did once: all repetitions count, before the cases and after them, and the fastest
 * stands. */
std::vector<double> Report::limit_times(const Measurement &measurement) const
{
    std::vector<double> times;
    for (Measurement::Kind kind : {Measurement::LIMIT_FIRST, Measurement::LIMIT_AGAIN}) {
        auto found = results_.find(Measurement{kind, measurement.one}.name());
        if (found != results_.end())
            times.insert(times.end(), found->second.times.begin(), found->second.times.end());
    }
    return times;
}

/* GB/s; 0 where it could not be measured. */
double Report::limit(const Measurement &measurement) const
{
    std::vector<double> times = limit_times(measurement);
    if (times.empty())
        return 0;
    return rate({Measurement::LIMIT_FIRST, measurement.one}, *std::min_element(times.begin(), times.end()));
}

void Report::print_limit(const Measurement &first) const
{
    std::vector<double> times = limit_times(first);
    std::printf("  %-5s  %7u  %-7s  %-11s  ", sgd_dtype_name(first.one.dtype), first.one.threads, "limit",
                "a = a*k + b");
    if (times.empty())
        std::printf("%s\n", results_.at(first.name()).error.c_str());
    else
        std::printf("%9.4f  %5.0f %%  %7.2f\n", *std::min_element(times.begin(), times.end()), 100 * spread(times),
                    limit(first));
}

void Report::print_case(const Measurement &measurement) const
{
    const Case &one = measurement.one;
    const Result &result = results_.at(measurement.name());
    std::printf("  %-5s  %7u  %-7s  %-11s  ", sgd_dtype_name(one.dtype), one.threads, sgd_path_name(one.path),
                sgd_schedule_name(one.schedule));
    if (result.times.empty() || !result.error.empty()) {
        std::printf("%s\n", result.error.c_str());
        return;
    }
    double time = median(result.times), moved = rate(measurement, time);
    std::printf("%9.4f  %5.0f %%  %7.2f", time, 100 * spread(result.times), moved);
    if (limit(measurement) > 0)
        std::printf("  %6.0f %%", 100 * moved / limit(measurement));
    std::printf("\n");
}

void Report::finish_block()
{
    const Measurement &last = plan_[current_];
    size_t begin = current_;
    while (begin > 0 && plan_[begin - 1].same_block(last))
        begin--;
    start(plan_.size());
    const ShapeSet &shapes = *last.one.shapes;
    if (begin == 0 || plan_[begin - 1].one.shapes != &shapes) {
        std::printf("\n%s: %s tensor%s, %s elements\n\n", shapes.name.c_str(),
                    with_commas(shapes.tensors.size()).c_str(), shapes.tensors.size() == 1 ? "" : "s",
                    with_commas(shapes.elements).c_str());
        std::printf("  %-5s  %7s  %-7s  %-11s  %9s  %7s  %7s  %8s\n", "dtype", "threads", "path", "schedule", "ms/step",
                    "spread", "GB/s", "of limit");
    } else {
        std::printf("\n");
    }
    for (size_t i = begin; i <= current_; i++)
        if (plan_[i].kind == Measurement::LIMIT_FIRST)
            print_limit(plan_[i]);
        else if (plan_[i].kind == Measurement::CASE)
            print_case(plan_[i]);
    std::fflush(stdout);
    write_runs();
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

/* Google Benchmark appends how it measured to every name, and counts its own threads: both would hide what this program
 * calls the case. */
static benchmark::BenchmarkReporter::Run named(benchmark::BenchmarkReporter::Run run, const Measurement &measurement)
{
    benchmark::BenchmarkName name;
    name.function_name = measurement.name();
    run.run_name = name;
    run.threads = measurement.one.threads;
    return run;
}

void Report::write_runs()
{
    for (const Run &original : block_) {
        const Measurement &measurement = plan_[index_.at(original.run_name.function_name)];
        Run run = named(original, measurement);
        bool share_has_meaning = measurement.kind == Measurement::CASE && run.aggregate_unit == benchmark::kTime;
        if (!run.error_occurred && share_has_meaning && limit(measurement) > 0)
            run.counters["share_of_limit"] = run.counters["GB_per_s"].value / limit(measurement);
        json_.ReportRuns({run});
    }
    block_.clear();
}
