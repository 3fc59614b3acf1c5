/* stopwatch.cpp - see stopwatch.hpp. */
#include "stopwatch.hpp"

#include <vector>

namespace {

/* Keeps the run and prints nothing. */
class Keeper : public benchmark::BenchmarkReporter {
public:
    bool ReportContext(const Context &) override { return true; }
    void ReportRuns(const std::vector<Run> &runs) override { kept = runs.front(); }

    Run kept;
};

} // namespace

void stopwatch_initialize(const char *program)
{
    static std::string name; /* kept by Google Benchmark */
    name = program;
    char list[] = "--benchmark_list_tests=false", out[] = "--benchmark_out=",
         all[] = "--benchmark_report_aggregates_only=false", order[] = "--benchmark_enable_random_interleaving=false";
    char *arguments[] = {name.data(), list, out, all, order, nullptr};
    int count = 5;
    benchmark::Initialize(&count, arguments);
}

Run repetition(const std::string &name, const std::function<bool()> &turn, const std::function<std::string()> &failure,
               double min_time, benchmark::IterationCount iterations)
{
    auto body = [&](benchmark::State &state) {
        for (auto one : state) {
            (void)one;
            if (!turn()) {
                state.SkipWithError(failure().c_str());
                break;
            }
        }
    };
    benchmark::ClearRegisteredBenchmarks();
    benchmark::internal::Benchmark *registered = benchmark::RegisterBenchmark(name.c_str(), body);
    registered->Unit(benchmark::kMillisecond)->MeasureProcessCPUTime() /* of all threads */ ->UseRealTime()->Repetitions(1);
    if (iterations)
        registered->Iterations(iterations);
    else
        registered->MinTime(min_time);
    Keeper keeper;
    benchmark::RunSpecifiedBenchmarks(&keeper, ".");
    benchmark::ClearRegisteredBenchmarks(); /* the body's references end here */
    return keeper.kept;
}
