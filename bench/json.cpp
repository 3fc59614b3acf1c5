/* json.cpp - Google Benchmark writes the document, and what it does not know is added to it. */
#include "json.hpp"

#include <cmath>
#include <cstdlib>
#include <jansson.h>
#include <memory>
#include <new>
#include <numeric>
#include <sstream>
#include <stdexcept>

#include "machine.hpp"
#include "memory.hpp"
#include "slopes.hpp"
#include "text.hpp"

static constexpr char SCHEMA[] = "exactsgd-bench/2";

/* ---- jansson ----------------------------------------------------------------------------------------------------- */

struct Drop {
    void operator()(json_t *value) const { json_decref(value); }
};
using Json = std::unique_ptr<json_t, Drop>;

/* Gives the value to the object or array. */
static void put(json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, value) != 0)
        throw std::bad_alloc();
}

static void put(json_t *array, json_t *value)
{
    if (json_array_append_new(array, value) != 0)
        throw std::bad_alloc();
}

static json_t *text(const std::string &value)
{
    json_t *made = json_string(value.c_str());
    return made ? made : json_string("(not UTF-8)");
}

static json_t *whole(size_t value) { return json_integer(static_cast<json_int_t>(value)); }

/* ---- Google Benchmark's part ------------------------------------------------------------------------------------- */

namespace {

/* An entry of "benchmarks", in the order in which they are written. */
struct Entry {
    const Outcome *outcome;
    const Outcome *limit;
    int round;   /* -1: an aggregate, or no run at all */
    double time; /* ms; 0: an aggregate that is no time */
};

} // namespace

/* Google Benchmark appends how it measured to every name, and counts its own threads: both would hide what this program calls
 * the case. */
static Run named(Run run, const Case &one)
{
    benchmark::BenchmarkName name;
    name.function_name = one.name();
    run.run_name = name;
    run.threads = one.threads;
    return run;
}

/* `real` and `cpu` are ms, or shares of 1 for a coefficient of variation. */
static Run aggregate(const Outcome &outcome, const char *what, double real, double cpu, bool is_time)
{
    Run run = named(outcome.runs.front(), outcome.one);
    const double scale = is_time ? static_cast<double>(run.iterations) / 1e3 : 1;
    run.run_type = Run::RT_Aggregate;
    run.repetitions = static_cast<int64_t>(outcome.runs.size());
    run.aggregate_name = what;
    run.aggregate_unit = is_time ? benchmark::kTime : benchmark::kPercentage;
    run.real_accumulated_time = real * scale;
    run.cpu_accumulated_time = cpu * scale;
    return run;
}

static double mean_of(const std::vector<double> &values)
{
    return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

static double deviation_of(const std::vector<double> &values)
{
    const double mean = mean_of(values);
    double sum = 0;
    for (double value : values)
        sum += (value - mean) * (value - mean);
    return std::sqrt(sum / static_cast<double>(values.size() - 1));
}

/* As Google Benchmark has them, where there are two repetitions or more. */
static std::vector<Run> aggregates_of(const Outcome &outcome)
{
    if (outcome.runs.size() < 2)
        return {};
    std::vector<double> real = outcome.times(), cpu;
    for (const Run &run : outcome.runs)
        cpu.push_back(run.GetAdjustedCPUTime());
    return {aggregate(outcome, "mean", mean_of(real), mean_of(cpu), true),
            aggregate(outcome, "median", median_of(real), median_of(cpu), true),
            aggregate(outcome, "stddev", deviation_of(real), deviation_of(cpu), true),
            aggregate(outcome, "cv", deviation_of(real) / mean_of(real), deviation_of(cpu) / mean_of(cpu), false)};
}

/* A case without a time: its error stands where the time would. */
static Run without_time(const Outcome &outcome)
{
    Run run = named(Run(), outcome.one);
    run.error_occurred = true;
    run.error_message = (outcome.state == Outcome::WRONG ? "WRONG: " : "") + outcome.message;
    run.repetition_index = 0;
    return run;
}

static void report(const Outcome &outcome, const Outcome &limit, benchmark::JSONReporter *reporter, std::vector<Entry> *entries)
{
    if (outcome.state == Outcome::WRONG || outcome.state == Outcome::FAILED) {
        reporter->ReportRuns({without_time(outcome)});
        entries->push_back({&outcome, &limit, -1, 0});
        return;
    }
    for (size_t i = 0; i < outcome.runs.size(); i++) {
        Run run = named(outcome.runs[i], outcome.one);
        run.repetitions = static_cast<int64_t>(outcome.runs.size());
        run.repetition_index = static_cast<int64_t>(i);
        reporter->ReportRuns({run});
        entries->push_back({&outcome, &limit, static_cast<int>(outcome.rounds[i]), run.GetAdjustedRealTime()});
    }
    for (const Run &run : aggregates_of(outcome)) {
        reporter->ReportRuns({run});
        const bool is_middle = run.aggregate_name == "mean" || run.aggregate_name == "median";
        entries->push_back({&outcome, &limit, -1, is_middle ? run.GetAdjustedRealTime() : 0});
    }
}

static Json google_document(const std::vector<Block> &blocks, std::vector<Entry> *entries)
{
    std::ostringstream stream, errors;
    benchmark::JSONReporter reporter;
    reporter.SetOutputStream(&stream);
    reporter.SetErrorStream(&errors);
    reporter.ReportContext(benchmark::BenchmarkReporter::Context());
    for (const Block &block : blocks)
        for (const Outcome &outcome : block)
            report(outcome, block.front(), &reporter, entries);
    reporter.Finalize();
    json_error_t error;
    Json document(json_loads(stream.str().c_str(), 0, &error));
    if (!document)
        throw std::runtime_error(std::string("Google Benchmark's JSON does not parse: ") + error.text);
    return document;
}

/* ---- additions --------------------------------------------------------------------------------------------------- */

static json_t *machine_json()
{
    const Machine machine = machine_describe();
    json_t *object = json_object();
    put(object, "cpu", text(machine.cpu));
    put(object, "governor", text(machine.governor));
    put(object, "memory_bytes", whole(machine.memory_bytes));
    if (machine.threads == 0)
        return object;
    put(object, "sockets", whole(machine.sockets));
    put(object, "cores", whole(machine.cores));
    put(object, "threads", whole(machine.threads));
    put(object, "numa", whole(machine.numa_nodes));
    json_t *caches = json_array();
    for (const Cache &cache : machine.caches) {
        json_t *one = json_object();
        put(one, "level", whole(cache.level));
        put(one, "bytes", whole(cache.bytes));
        put(one, "count", whole(cache.count));
        put(caches, one);
    }
    put(object, "caches", caches);
    return object;
}

static json_t *noise_json(const Noise &noise)
{
    const std::string why = join(noise.disturbances(), "; ");
    json_t *object = json_object();
    put(object, "figure", json_real(noise.figure()));
    put(object, "others", json_real(noise.others()));
    put(object, "stolen", json_real(noise.stolen()));
    put(object, "disturbed", json_boolean(!why.empty()));
    put(object, "why", text(why));
    return object;
}

static void add_context(json_t *context, const Effort &effort, const Noise &noise, const char *host_versions, bool partial)
{
    const Build build = build_describe();
    put(context, "schema", text(SCHEMA));
    put(context, "sgd_version", text(SGD_VERSION));
    put(context, "backend", text(bench_backend()->name));
    put(context, "commit", text(build.commit));
    put(context, "compiler", text(build.compiler));
    put(context, "flags", text(build.flags));
    put(context, "machine", machine_json());
    json_t *versions = json_object();
    for (const auto &[name, version] : versions_describe(host_versions))
        put(versions, name.c_str(), text(version));
    put(context, "versions", versions);
    json_t *how_long = json_object();
    put(how_long, "min_time", json_real(effort.min_time));
    put(how_long, "repetitions", whole(effort.repetitions));
    put(context, "effort", how_long);
    put(context, "partial", json_boolean(partial));
    put(context, "noise", noise_json(noise));
}

/* What a family is: everything of a case but its shapes. */
static void add_family(json_t *object, const Case &one)
{
    put(object, "path", text(one.path_name()));
    put(object, "implementation", text(one.implementation_name()));
    put(object, "dtype", text(sgd_dtype_name(one.dtype)));
    put(object, "hyper", text(one.hyper->name));
    put(object, "contract", text(contract_short_name(one.contract)));
    put(object, "device", text("cpu"));
    put(object, "threads", whole(one.threads));
}

static void add_case(json_t *object, const Case &one)
{
    add_family(object, one);
    put(object, "shapes", text(one.shapes->name));
    put(object, "tensors", whole(one.shapes->tensors.size()));
    put(object, "elements", whole(one.shapes->elements));
    put(object, "bytes", whole(one.moves()));
}

static void add_outcome(json_t *object, const Entry &entry)
{
    const Outcome &outcome = *entry.outcome;
    add_case(object, outcome.one);
    if (entry.round >= 0)
        put(object, "round", whole(static_cast<size_t>(entry.round)));
    if (entry.time > 0)
        put(object, "GB_per_s", json_real(static_cast<double>(outcome.one.moves()) / 1e6 / entry.time));
    if (outcome.one.limit)
        return;
    if (entry.time > 0 && entry.limit->is_timed())
        put(object, "share_of_limit", json_real(entry.limit->median() / entry.time));
    put(object, "bits", text(bits_name(outcome.bits)));
    put(object, "bits_why", text(outcome.bits_why));
    put(object, "hash", text(format("%016llx", static_cast<unsigned long long>(outcome.hash))));
    if (outcome.peak_memory >= 0)
        put(object, "peak_memory_bytes", json_integer(outcome.peak_memory));
    if (outcome.allocations >= 0)
        put(object, "allocations", json_integer(outcome.allocations));
}

static json_t *slopes_json(const std::vector<Block> &blocks)
{
    json_t *array = json_array();
    for (const Slopes &slopes : slopes_of(blocks)) {
        json_t *object = json_object(), *sets = json_array();
        add_family(object, *slopes.family);
        put(object, "ns_per_tensor", json_real(slopes.ns_per_tensor));
        put(object, "ns_per_byte", json_real(slopes.ns_per_byte));
        for (const std::string &set : slopes.sets)
            put(sets, text(set));
        put(object, "sets", sets);
        put(array, object);
    }
    return array;
}

static json_t *left_out_json(const std::vector<Block> &blocks)
{
    json_t *array = json_array();
    for (const Block &block : blocks)
        for (const Outcome &outcome : block)
            if (outcome.state == Outcome::LEFT_OUT) {
                json_t *object = json_object();
                put(object, "name", text(outcome.one.name()));
                add_case(object, outcome.one);
                put(object, "why", text(outcome.message));
                put(array, object);
            }
    return array;
}

std::string json_of(const std::vector<Block> &blocks, const Effort &effort, const Noise &noise, const char *host_versions,
                    bool partial)
{
    std::vector<Entry> entries;
    Json document = google_document(blocks, &entries);
    add_context(json_object_get(document.get(), "context"), effort, noise, host_versions, partial);
    json_t *benchmarks = json_object_get(document.get(), "benchmarks");
    for (size_t i = 0; i < entries.size(); i++)
        add_outcome(json_array_get(benchmarks, i), entries[i]);
    put(document.get(), "slopes", slopes_json(blocks));
    put(document.get(), "left_out", left_out_json(blocks));
    std::unique_ptr<char, decltype(&std::free)> written(json_dumps(document.get(), JSON_INDENT(2)), &std::free);
    if (!written)
        throw std::bad_alloc();
    return std::string(written.get()) + "\n";
}
