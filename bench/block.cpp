/* block.cpp - see block.hpp. */
#include "block.hpp"

#include <algorithm>
#include <exception>
#include <random>

#include "allocations.h"
#include "interruption.hpp"
#include "limit.hpp"
#include "text.hpp"

size_t block_size(const Block &block)
{
    const Case &first = block.front().one;
    const size_t streams = first.hyper->reads(), buffers = first.hyper->has_buffer() ? block.size() - 1 : 0;
    const bool only_single_pass = std::all_of(block.begin(), block.end(), [](const Outcome &outcome) {
        sgd_schedule schedule;
        return outcome.one.limit || (outcome.one.is_ours(&schedule) && schedule == SGD_SCHEDULE_SINGLE_PASS);
    });
    return first.size() * (2 + streams + buffers + (only_single_pass ? 0 : 1));
}

/* ---- before the clock runs --------------------------------------------------------------------------------------- */

namespace {

/* What is open while a block runs. */
struct Arena {
    Block &block;
    const Circumstances &now;
    Tensors tensors;
    Streams streams;
    std::vector<std::unique_ptr<Contestant>> contestants; /* one for each of the block, NULL where there is none */
    std::list<Expectation> expectations;

    Arena(Block *block_of, const Circumstances &circumstances);
    const Expectation &expectation_for(const Case &one, const Promise &promise, Check check);
};

} // namespace

Arena::Arena(Block *block_of, const Circumstances &circumstances)
    : block(*block_of), now(circumstances), tensors(*block.front().one.shapes, block.front().one.dtype),
      streams(block.front().one.size(), block.front().one.hyper->has_buffer(), block.front().one.threads),
      contestants(block.size())
{
}

/* What all contestants of a path with the same promise share. */
const Expectation &Arena::expectation_for(const Case &one, const Promise &promise, Check check)
{
    for (const Expectation &known : expectations)
        if (known.path() == one.path && known.promise() == promise && (known.covers_all() || check != Check::ALL))
            return known;
    expectations.emplace_back(one, promise, check);
    return expectations.back();
}

static void fail(Outcome *outcome, Outcome::State state, const std::string &message)
{
    outcome->state = state;
    outcome->message = message;
}

static void call_wrong(Outcome *outcome, const std::string &difference)
{
    fail(outcome, Outcome::WRONG,
         difference + "; again: sgd-bench run --check all --filter '" + outcome->one.name() + "'" +
             (outcome->one.is_ours() ? std::string("; the suite: sgd-conform run --filter '") +
                                           sgd_contract_name(outcome->one.contract) + "/" + outcome->one.path_name() + "/" +
                                           sgd_dtype_name(outcome->one.dtype) + "/*'"
                                     : ""));
    outcome->bits = Outcome::DIFFERENT;
    outcome->bits_why = difference;
}

/* Elements outside of a sample: whoever has the same promise has the same bits in all of them.  Where two differ, the oracle
 * decides on every element. */
static void compare_with_others(Arena *arena, Outcome *outcome, const Contestant &contestant, const Outputs &outputs)
{
    for (size_t i = 0; i < arena->block.size() && outcome->bits == Outcome::EQUAL; i++) {
        Outcome &other = arena->block[i];
        if (&other == outcome || !arena->contestants[i] || other.bits != Outcome::EQUAL || other.hash == outcome->hash ||
            other.one.path != outcome->one.path || !(arena->contestants[i]->promise == contestant.promise))
            continue;
        Verdict verdict = arena->expectation_for(outcome->one, contestant.promise, Check::ALL).compare(outputs);
        if (!verdict.equal)
            call_wrong(outcome, verdict.why);
        else {
            call_wrong(&other, "its bits differ from those of " + outcome->one.name() + ", which are the oracle's");
            arena->contestants[i].reset();
        }
    }
}

static void check_bits(Arena *arena, Outcome *outcome, Contestant *contestant)
{
    std::vector<DLTensor> buffers;
    const bool has_buffer = outcome->one.hyper->has_buffer();
    if (has_buffer && (!contestant->buffers(&buffers) ||
                       std::any_of(buffers.begin(), buffers.end(), [](const DLTensor &buffer) { return !buffer.data; }))) {
        fail(outcome, Outcome::FAILED, "it has no momentum buffers after " + std::to_string(CHECKED_STEPS) + " steps");
        return;
    }
    Tensors &tensors = arena->tensors;
    const Outputs outputs{tensors.params(), has_buffer ? buffers.data() : nullptr, tensors.gradients()};
    outcome->hash = outputs_hash(outputs, tensors.count());
    if (arena->now.check == Check::NONE || !contestant->promise.checked) {
        outcome->bits_why = contestant->promise.checked ? "--check none" : contestant->promise.why;
        return;
    }
    const Expectation &expected = arena->expectation_for(outcome->one, contestant->promise, arena->now.check);
    const Verdict verdict = expected.compare(outputs);
    if (!verdict.equal) {
        call_wrong(outcome, verdict.why);
        return;
    }
    outcome->bits = Outcome::EQUAL;
    outcome->bits_why = verdict.why;
    outcome->elements_checked = expected.covered();
    if (expected.foretells_all())
        compare_with_others(arena, outcome, *contestant, outputs);
}

/* False where the step failed. */
static bool measure_memory(Outcome *outcome, Contestant *contestant)
{
    if (!sgd_bench_allocations_begin) {
        outcome->peak_memory = contestant->peak_memory();
        return true;
    }
    sgd_bench_allocations_begin();
    const bool stepped = contestant->step();
    sgd_bench_allocations_end(&outcome->allocations, &outcome->peak_memory);
    return stepped;
}

/* From the start values with a fresh state, CHECKED_STEPS steps, whose bits are compared; and one whose memory is counted. */
static std::unique_ptr<Contestant> admit(Arena *arena, Outcome *outcome)
{
    arena->tensors.reset();
    std::string why;
    std::unique_ptr<Contestant> contestant = contestant_open(outcome->one, &arena->tensors, arena->now.host, &why);
    if (!contestant) {
        fail(outcome, Outcome::LEFT_OUT, why);
        return nullptr;
    }
    outcome->state = Outcome::TIMED;
    bool stepped = true;
    for (unsigned step = 0; step < CHECKED_STEPS && stepped; step++)
        stepped = contestant->step();
    if (stepped)
        check_bits(arena, outcome, contestant.get());
    if (stepped && outcome->state == Outcome::TIMED)
        stepped = measure_memory(outcome, contestant.get());
    if (!stepped)
        fail(outcome, Outcome::FAILED, contestant->failure());
    return outcome->state == Outcome::TIMED ? std::move(contestant) : nullptr;
}

static void admit_all(Arena *arena)
{
    for (size_t i = 0; i < arena->block.size() && !Interruption::noted(); i++) {
        Outcome &outcome = arena->block[i];
        if (outcome.one.limit) {
            outcome.state = Outcome::TIMED;
            continue;
        }
        arena->now.progress->show("checking " + outcome.one.name());
        try {
            arena->contestants[i] = admit(arena, &outcome);
        } catch (const std::exception &error) {
            fail(&outcome, Outcome::FAILED, error.what());
        }
    }
}

/* ---- the clock runs ---------------------------------------------------------------------------------------------- */

/* The first repetition finds how many steps fill the time; the others take as many. */
static void take_repetition(Arena *arena, size_t i, unsigned round)
{
    Outcome &outcome = arena->block[i];
    Contestant *contestant = arena->contestants[i].get();
    auto turn = [&] { return contestant ? contestant->step() : (arena->streams.pass(), true); };
    auto failure = [&] { return contestant ? contestant->failure() : std::string(); };
    arena->now.progress->show(outcome.one.name() + format(", round %u of %u", round + 1, arena->now.effort.repetitions));
    Run run = repetition(outcome.one.name(), turn, failure, arena->now.effort.min_time,
                         outcome.runs.empty() ? 0 : outcome.runs.front().iterations);
    arena->now.progress->done();
    if (run.error_occurred) {
        fail(&outcome, Outcome::FAILED, run.error_message);
        arena->contestants[i].reset();
        return;
    }
    outcome.runs.push_back(run);
    outcome.rounds.push_back(round);
}

static constexpr int CALIBRATIONS = 3; /* a round */

static void take_rounds(Arena *arena)
{
    std::mt19937 random{std::random_device{}()};
    for (unsigned round = 0; round < arena->now.effort.repetitions && !Interruption::noted(); round++) {
        std::vector<size_t> order;
        for (size_t i = 0; i < arena->block.size(); i++)
            if (arena->block[i].state == Outcome::TIMED)
                order.push_back(i);
        arena->now.progress->done(arena->block.size() - order.size());
        std::shuffle(order.begin(), order.end(), random);
        for (int i = 0; i < CALIBRATIONS; i++)
            arena->now.noise->calibrate();
        for (size_t i : order)
            if (!Interruption::noted())
                take_repetition(arena, i, round);
    }
}

void block_run(Block *block, const Circumstances &circumstances)
{
    Arena arena(block, circumstances);
    admit_all(&arena);
    take_rounds(&arena);
}
