/* harness.cpp - the benchmarks' bodies. */
#include "harness.hpp"

#include <algorithm>
#include <benchmark/benchmark.h>
#include <exception>
#include <memory>

#include "limit.hpp"
#include "workload.hpp"

/* ---- the plan ---------------------------------------------------------------------------------------------------- */

std::string Measurement::name() const
{
    if (kind == CASE)
        return one.name();
    return std::string(kind == LIMIT_FIRST ? "limit/first/" : "limit/again/") + sgd_dtype_name(one.dtype) + "/" +
           one.shapes->name + "/threads:" + std::to_string(one.threads);
}

size_t Measurement::moves() const
{
    return kind == CASE ? step_moves(one) : Stream::moves(step_tensors_size(one));
}

bool Measurement::same_block(const Measurement &other) const
{
    return one.shapes == other.one.shapes && one.dtype == other.one.dtype;
}

/* One limit for every thread count between begin and end, which are in one block. */
static void add_limits(std::vector<Measurement> *plan, Measurement::Kind kind, const Case *begin, const Case *end)
{
    for (const Case *at = begin; at < end; at++)
        if (std::none_of(begin, at, [&](const Case &other) { return other.threads == at->threads; }))
            plan->push_back({kind, *at});
}

std::vector<Measurement> measurements_of(const std::vector<Case> &cases)
{
    std::vector<Measurement> plan;
    const Case *last = cases.data() + cases.size();
    for (const Case *begin = cases.data(), *end; begin < last; begin = end) {
        end = std::find_if(begin, last, [&](const Case &other) {
            return !Measurement{Measurement::CASE, *begin}.same_block({Measurement::CASE, other});
        });
        add_limits(&plan, Measurement::LIMIT_FIRST, begin, end);
        for (const Case *at = begin; at < end; at++)
            plan.push_back({Measurement::CASE, *at});
        add_limits(&plan, Measurement::LIMIT_AGAIN, begin, end);
    }
    return plan;
}

size_t measurements_size(const std::vector<Measurement> &plan)
{
    size_t most = 0;
    for (const Measurement &measurement : plan)
        most = std::max(most, workload_size(measurement.one));
    return most;
}

/* ---- the bodies -------------------------------------------------------------------------------------------------- */

/* Google Benchmark enters a body several times; what it works on stays until another one needs the memory. */
static std::unique_ptr<Workload> workload;
static std::unique_ptr<Stream> stream;

static void time_step(benchmark::State &state, const Case &one)
{
    stream.reset();
    if (!workload || !workload->holds(one)) {
        workload.reset();
        workload = std::make_unique<Workload>(*one.shapes, one.dtype);
    }
    workload->prepare(one);
    for (auto turn : state) {
        (void)turn;
        if (!workload->step()) {
            state.SkipWithError(workload->error());
            break;
        }
    }
}

static void time_limit(benchmark::State &state, const Case &one)
{
    size_t size = step_tensors_size(one);
    workload.reset();
    if (!stream || !stream->holds(size, one.threads)) {
        stream.reset();
        stream = std::make_unique<Stream>(size, one.threads);
    }
    for (auto turn : state) {
        (void)turn;
        stream->pass();
    }
}

static void time_one(benchmark::State &state, const Measurement &measurement)
{
    try {
        if (measurement.kind == Measurement::CASE)
            time_step(state, measurement.one);
        else
            time_limit(state, measurement.one);
    } catch (const std::exception &error) {
        state.SkipWithError(error.what());
        return;
    }
    using benchmark::Counter;
    const double moves = static_cast<double>(measurement.moves());
    state.counters["bytes"] = moves;
    state.counters["GB_per_s"] = Counter(moves / 1e9, Counter::kIsIterationInvariantRate);
}

void measurements_register(const std::vector<Measurement> &plan, const Effort &effort)
{
    for (const Measurement &measurement : plan)
        benchmark::RegisterBenchmark(measurement.name().c_str(),
                                     [&measurement](benchmark::State &state) { time_one(state, measurement); })
            ->MinTime(effort.min_time)
            ->Repetitions(static_cast<int>(effort.repetitions))
            ->Unit(benchmark::kMillisecond)
            ->MeasureProcessCPUTime() /* of all threads */
            ->UseRealTime();
}
