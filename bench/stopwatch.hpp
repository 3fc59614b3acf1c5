/* stopwatch.hpp - one repetition of one benchmark by Google Benchmark.
 *
 * Its own repetitions and its random interleaving shuffle all of them together; here whole rounds are wanted, so that each
 * repetition of a case stands beside one of every other, and an end between any two.
 */
#pragma once

#include <benchmark/benchmark.h>
#include <functional>
#include <string>

using Run = benchmark::BenchmarkReporter::Run;

/* Calls `turn` until `min_time` seconds are over, or `iterations` times where that is not 0.  False from `turn` ends it, with
 * what `failure` says in the run's error.  The times of a run are in ms. */
Run repetition(const std::string &name, const std::function<bool()> &turn, const std::function<std::string()> &failure,
               double min_time, benchmark::IterationCount iterations);

/* Google Benchmark takes flags from the environment too; what runs hangs on our command line alone. */
void stopwatch_initialize(const char *program);
