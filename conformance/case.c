/* case.c - one case: the oracle against torch, then each subject against torch and against the specification; see run.h. */
#include <stdio.h>
#include <stdlib.h>

#include "sparse_case.h"
#include "suite.h"

/* What the arrays of a case can be. */
typedef struct answers {
    expectation reproduced;    /* the oracle with torch's defects                             */
    expectation torch;
    expectation specification; /* the oracle without; only where the case has a known defect  */
} answers;

static void add_failure(conform_case_result *result, const conform_subject *subject, conform_match wanted,
                        const difference *what)
{
    result->failures[result->failure_count++] = (conform_failure){subject, wanted, *what};
}

/* ---- the oracle ---------------------------------------------------------------------------------------------------- */

static void add_oracle(conform_case_result *result, const judgement *verdict)
{
    result->oracle = verdict->verdict;
    result->masked_chance = verdict->masked_chance;
    result->masked_open_nan = verdict->masked_open_nan;
    if (verdict->verdict == CONFORM_DIFFERENT)
        add_failure(result, NULL, CONFORM_TORCH, &verdict->first);
}

static void judge_oracle(const case_data *data, const answers *known, conform_case_result *result)
{
    judgement verdict = {.verdict = CONFORM_EQUAL};
    judged what = {data, SGD_DEFECTS_REPRODUCE};
    for (size_t step = 0; step < data->steps; step++)
        for (size_t t = 0; t < data->tensors; t++)
            for (int array = 0; array < CASE_ARRAY_COUNT; array++) {
                const expected_array *oracle = expected_at(&known->reproduced, data, step, t, (case_array)array);
                judge_array(&verdict, &what, &known->torch, step, t, (case_array)array,
                            (actual_array){oracle->exists ? oracle->elements : NULL, oracle->strides});
            }
    add_oracle(result, &verdict);
}

static bool open_answers(answers *known, case_data *data)
{
    *known = (answers){0};
    if (!expectation_by_oracle(&known->reproduced, data, SGD_DEFECTS_REPRODUCE))
        return false;
    if (!expectation_by_torch(&known->torch, data, &known->reproduced))
        return false;
    return !data->defects[0] || expectation_by_oracle(&known->specification, data, SGD_DEFECTS_FIX);
}

static void close_answers(answers *known)
{
    expectation_free(&known->reproduced);
    expectation_free(&known->torch);
    expectation_free(&known->specification);
}

/* ---- a subject ----------------------------------------------------------------------------------------------------- */

/* A subject's arrays against both answers. */
typedef struct verdicts {
    judgement torch, specification;
} verdicts;

static void judge_both_failed(verdicts *into, difference_kind kind, size_t step, size_t tensor, case_array array,
                              const char *message)
{
    judge_failure(&into->torch, kind, step, tensor, array, message);
    judge_failure(&into->specification, kind, step, tensor, array, message);
}

static void judge_step(const subject_run *run, const judged *what, const answers *known, size_t step, verdicts *into)
{
    const case_data *data = run->data;
    for (size_t t = 0; t < data->tensors; t++)
        for (int array = 0; array < CASE_ARRAY_COUNT; array++) {
            actual_array actual;
            actual.elements = subject_array(run, t, (case_array)array, &actual.strides);
            judge_array(&into->torch, what, &known->torch, step, t, (case_array)array, actual);
            if (data->defects[0])
                judge_array(&into->specification, what, &known->specification, step, t, (case_array)array, actual);
        }
    size_t tensor;
    case_array array;
    if (!subject_memory_intact(run, &tensor, &array))
        judge_both_failed(into, DIFFERENCE_OVERRUN, step, tensor, array, "");
}

static verdicts judge_subject(const case_data *data, const answers *known, const conform_subject *subject)
{
    verdicts result = {{.verdict = CONFORM_EQUAL}, {.verdict = CONFORM_EQUAL}};
    judged what = {data, subject->defects};
    subject_run run;
    sgd_error error = {SGD_OK, ""};
    sgd_status status = subject_open(&run, data, subject, &error);
    size_t step = 0;
    for (; !status && step < data->steps; step++) {
        status = subject_step(&run, step, &error);
        if (status)
            break;
        judge_step(&run, &what, known, step, &result);
    }
    if (status) {
        char message[sizeof result.torch.first.message];
        snprintf(message, sizeof message, "%s: %.120s", sgd_status_name(status), error.message);
        judge_both_failed(&result, DIFFERENCE_STATUS, step, 0, CASE_PARAM, message);
    }
    subject_close(&run);
    return result;
}

/* ---- all subjects -------------------------------------------------------------------------------------------------- */

/* Whether two subjects do the same thing in a case: the fused path has one schedule, and what to do about defects matters
 * only where there is one. */
static bool same_run(const case_data *data, const conform_subject *a, const conform_subject *b)
{
    return a->backend == b->backend && a->threads == b->threads &&
           (a->schedule == b->schedule || data->path == SGD_FUSED) && (a->defects == b->defects || !data->defects[0]);
}

static bool is_repeat(const case_data *data, const conform_subject *subjects, size_t number)
{
    for (size_t i = 0; i < number; i++)
        if (same_run(data, &subjects[i], &subjects[number]))
            return true;
    return false;
}

static void add_verdicts(conform_case_result *result, const case_data *data, const conform_subject *subject,
                         const verdicts *got)
{
    bool fixed = data->defects[0] && subject->defects == SGD_DEFECTS_FIX;
    const judgement *wanted = fixed ? &got->specification : &got->torch;
    result->runs++;
    if (wanted->verdict > result->library)
        result->library = wanted->verdict;
    if (wanted->verdict == CONFORM_DIFFERENT)
        add_failure(result, subject, fixed ? CONFORM_SPECIFICATION : CONFORM_TORCH, &wanted->first);
    if (!data->defects[0])
        return;
    unsigned match = (got->torch.verdict != CONFORM_DIFFERENT ? CONFORM_TORCH : 0u) |
                     (got->specification.verdict != CONFORM_DIFFERENT ? CONFORM_SPECIFICATION : 0u);
    result->judged[subject->defects]++;
    result->match[subject->defects] = (conform_match)(result->match[subject->defects] & match);
}

/* The oracle's verdict, and what the subjects' need; false where memory ran out, or torch raises an error. */
static bool judge_first(case_data *data, bool sparse, answers *known, conform_case_result *result)
{
    judgement verdict;
    if (sparse ? !sparse_case_judge_oracle(data, &verdict) : !open_answers(known, data))
        return false;
    for (size_t i = 0; i < CASE_DEFECTS; i++)
        result->defects[i] = data->defects[i];
    if (sparse) {
        add_oracle(result, &verdict);
        return true;
    }
    judge_oracle(data, known, result);
    expectation_resolve(&known->torch, data, &known->reproduced);
    return true;
}

bool conform_run_case(const conform_suite *suite, size_t number, const conform_subject *subjects, size_t count,
                      conform_case_result *out)
{
    conform_case chosen = suite->cases[number];
    conform_case_result result = {.unjudged = case_unjudged(chosen.file, chosen.row), .match = {CONFORM_BOTH, CONFORM_BOTH}};
    if (result.unjudged) {
        *out = result;
        return true;
    }
    case_data data;
    answers known = {0};
    bool sparse = sparse_case_is(chosen.file, chosen.file->cases.problem[chosen.row]);
    result.failures = calloc(count + 1, sizeof *result.failures);
    bool done = case_open(&data, chosen.file, chosen.row, suite->oracle, suite->ledger) && result.failures &&
                judge_first(&data, sparse, &known, &result);
    for (size_t i = 0; i < count && done; i++)
        if (!is_repeat(&data, subjects, i)) {
            verdicts got = {.torch = {.verdict = CONFORM_EQUAL}};
            if (sparse)
                got.torch = sparse_case_judge_subject(&data, &subjects[i]);
            else
                got = judge_subject(&data, &known, &subjects[i]);
            add_verdicts(&result, &data, &subjects[i], &got);
        }
    close_answers(&known);
    case_close(&data);
    if (!done || !result.failure_count) {
        free(result.failures);
        result.failures = NULL;
    }
    if (done)
        *out = result;
    return done;
}

void conform_case_result_clear(conform_case_result *result) { free(result->failures); }
