/* run.c - all selected cases side by side, and the sums over them; see run.h. */
#include <omp.h>
#include <stdlib.h>

#include "suite.h"

/* ---- sums ---------------------------------------------------------------------------------------------------------- */

static void add_to_cell(conform_cell *cell, const conform_case_result *result)
{
    bool failed = result->oracle == CONFORM_DIFFERENT || result->library == CONFORM_DIFFERENT;
    cell->cases++;
    cell->oracle_equal += result->oracle == CONFORM_EQUAL;
    cell->library_equal += result->library == CONFORM_EQUAL;
    cell->failed += failed;
    cell->nan_payload +=
        !failed && (result->oracle == CONFORM_NAN_PAYLOAD || result->library == CONFORM_NAN_PAYLOAD);
}

static void add_to_defect(conform_defect_tally *tally, const conform_case_result *result, bool first)
{
    tally->cases++;
    tally->masked_chance += first ? result->masked_chance : 0;
    tally->masked_open_nan += first ? result->masked_open_nan : 0;
    for (int defects = 0; defects < 2; defects++)
        if (result->judged[defects])
            tally->matches[defects][result->match[defects]]++;
}

static void add_up(const conform_suite *suite, conform_results *results)
{
    for (size_t i = 0; i < results->case_count; i++) {
        const conform_case_result *result = &results->cases[i];
        conform_case chosen = suite->cases[i];
        if (result->unjudged) {
            results->unjudged++;
            continue;
        }
        add_to_cell(&results->cells[vectors_contract(chosen.file, chosen.row)][chosen.file->cases.path[chosen.row]]
                                   [vectors_dtype(chosen.file, chosen.row)],
                    result);
        add_to_cell(&results->features[vectors_feature_of(chosen.file, chosen.row)], result);
        add_to_cell(&results->total, result);
        results->runs += result->runs;
        for (size_t k = 0; k < CASE_DEFECTS && result->defects[k]; k++)
            add_to_defect(&results->defects[result->defects[k] - suite->ledger->defects], result, k == 0);
    }
}

/* ---- the run ------------------------------------------------------------------------------------------------------- */

/* The number of the first case that could not be run; case_count where all could. */
static size_t run_cases(const conform_suite *suite, const conform_subject *subjects, size_t count,
                        const conform_progress *progress, conform_results *results)
{
    size_t done = 0, refused = results->case_count;
    /* A subject with threads of its own opens a parallel region inside this one. */
    int levels = omp_get_max_active_levels();
    omp_set_max_active_levels(2);
#pragma omp parallel for schedule(dynamic, 4) reduction(min : refused)
    for (size_t i = 0; i < results->case_count; i++) {
        if (!conform_run_case(suite, i, subjects, count, &results->cases[i]) && i < refused)
            refused = i;
        size_t now;
#pragma omp atomic capture
        now = ++done;
        if (progress && omp_get_thread_num() == 0)
            progress->report(progress->context, now, results->case_count);
    }
    omp_set_max_active_levels(levels);
    return refused;
}

static conform_results *allocate(const conform_suite *suite)
{
    conform_results *results = calloc(1, sizeof *results);
    if (!results)
        return NULL;
    results->case_count = suite->case_count;
    results->cases = calloc(suite->case_count, sizeof *results->cases);
    results->defects = calloc(suite->ledger->count + 1, sizeof *results->defects);
    if (results->cases && results->defects)
        return results;
    conform_results_free(results);
    return NULL;
}

conform_results *conform_run(const conform_suite *suite, const conform_subject *subjects, size_t count,
                             const conform_progress *progress, conform_error *error)
{
    if (!suite->case_count || !count) {
        conform_fail(error, "no %s to run", count ? "case" : "implementation");
        return NULL;
    }
    conform_results *results = allocate(suite);
    if (!results) {
        conform_fail(error, "results: out of memory");
        return NULL;
    }
    size_t refused = run_cases(suite, subjects, count, progress, results);
    if (refused == results->case_count) {
        add_up(suite, results);
        return results;
    }
    char name[VECTORS_NAME_SIZE];
    conform_suite_case_name(suite, refused, name);
    conform_fail(error, "%s: %s: cannot be stepped: torch raises an error there, or memory ran out",
                 suite->cases[refused].file->file, name);
    conform_results_free(results);
    return NULL;
}

void conform_results_free(conform_results *results)
{
    if (!results)
        return;
    for (size_t i = 0; results->cases && i < results->case_count; i++)
        conform_case_result_clear(&results->cases[i]);
    free(results->cases);
    free(results->defects);
    free(results);
}

bool conform_accepted(const conform_results *results) { return results->total.cases && !results->total.failed; }
