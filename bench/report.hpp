/* report.hpp - what a run prints and writes: a head, a table per shape set, Google Benchmark's JSON. */
#pragma once

#include <benchmark/benchmark.h>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "harness.hpp"

/* Adds what identifies the run to the JSON's context. */
void report_context(const Effort &effort);

class Report : public benchmark::BenchmarkReporter {
public:
    /* `plan` must outlive the report. */
    Report(const std::vector<Measurement> &plan, const Effort &effort);

    bool ReportContext(const Context &context) override;
    void ReportRuns(const std::vector<Run> &runs) override;
    void Finalize() override;

    /* After the run. */
    bool failed() const { return failed_; }
    std::string json() const { return json_text_.str(); }

private:
    struct Result {
        std::vector<double> times; /* ms, one per repetition */
        std::string error;
    };

    void start(size_t index);
    void finish_block();
    void print_limit(const Measurement &first) const;
    void print_case(const Measurement &measurement) const;
    std::vector<double> limit_times(const Measurement &measurement) const;
    double limit(const Measurement &measurement) const;
    void write_runs();

    const std::vector<Measurement> &plan_;
    const Effort effort_;
    std::map<std::string, size_t> index_;   /* name to place in the plan */
    std::map<std::string, Result> results_; /* name to what came of it */
    size_t current_ = 0;                    /* place in the plan of the last measurement reported */
    std::vector<Run> block_;                /* runs that wait for their limit */
    bool failed_ = false;
    std::ostringstream json_text_;
    benchmark::JSONReporter json_;
};
