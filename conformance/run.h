/* run.h - the suite as a library: load vectors, choose cases, put subjects to the test, read the results.
 *
 *     conform_suite *suite = conform_suite_load(files, count, ledger, &error);
 *     conform_suite_select(suite, NULL, "torch-2.13/cpu-fma/fused" "/" "*");
 *     conform_subject subject = {"mine", &backend, SGD_SCHEDULE_SINGLE_PASS, 1, SGD_DEFECTS_FIX};
 *     conform_results *results = conform_run(suite, &subject, 1, NULL, &error);
 *     bool accepted = results && conform_accepted(results);
 *
 * Per case: the oracle against torch, then every subject against torch.  In the cells of a known defect a subject with
 * SGD_DEFECTS_REPRODUCE has to match torch, one with SGD_DEFECTS_FIX the specification.  Cases that nobody can judge, since
 * their contract is not written down, are counted apart.  Nothing here prints.
 */
#ifndef CONFORM_RUN_H
#define CONFORM_RUN_H

#include "judge.h"
#include "subject.h"

/* ---- what to run --------------------------------------------------------------------------------------------------- */

typedef struct conform_suite conform_suite;

/* Loads and checks the files and the ledger of defects; all cases are selected.  NULL with one line in `error`. */
conform_suite *conform_suite_load(const char *const *files, size_t count, const char *ledger, conform_error *error);
void conform_suite_free(conform_suite *suite); /* takes NULL */

/* Selects the cases of a contract (NULL: of any) whose name matches a glob (NULL: any), and returns how many they are. */
size_t conform_suite_select(conform_suite *suite, const sgd_contract *contract, const char *glob);

size_t conform_suite_file_count(const conform_suite *suite);
const vectors *conform_suite_file(const conform_suite *suite, size_t file);
const ledger *conform_suite_ledger(const conform_suite *suite);

/* The selected cases, in the order of files and of rows in a file. */
typedef struct conform_case {
    const vectors *file;
    size_t row; /* of table case */
} conform_case;
size_t conform_suite_case_count(const conform_suite *suite);
conform_case conform_suite_case(const conform_suite *suite, size_t number);

/* Its name; `name` has VECTORS_NAME_SIZE characters. */
void conform_suite_case_name(const conform_suite *suite, size_t number, char *name);

/* ---- what came out of a case --------------------------------------------------------------------------------------- */

/* A set: what an implementation's bits are equal to.  Without a known defect torch is the specification. */
typedef enum conform_match {
    CONFORM_NEITHER = 0,
    CONFORM_TORCH = 1,
    CONFORM_SPECIFICATION = 2,
    CONFORM_BOTH = 3
} conform_match;
#define CONFORM_MATCH_COUNT 4

typedef struct conform_failure {
    const conform_subject *subject; /* NULL: the oracle                          */
    conform_match wanted;           /* CONFORM_TORCH or CONFORM_SPECIFICATION    */
    difference what;
} conform_failure;

typedef struct conform_case_result {
    const char *unjudged;        /* why nobody can judge the case, so that all else says nothing; or NULL */
    conform_verdict oracle;      /* against torch */
    conform_verdict library;     /* the worst of all subjects, each against what it has to match */
    const ledger_defect *defects[CASE_DEFECTS]; /* known in this case; NULL behind them */
    size_t masked_chance;        /* elements left out of the comparison with torch, which leaves them to chance, ... */
    size_t masked_open_nan;      /* ... or which makes them of a NaN's bits that the contract leaves open */
    size_t runs;                 /* subjects that ran */
    size_t judged[2];            /* in the cells of a defect: subjects by sgd_defects, ... */
    conform_match match[2];      /* ... and what all of them match */
    conform_failure *failures;   /* one for the oracle, one for each subject at most */
    size_t failure_count;
} conform_case_result;

/* Runs the selected case `number`.  False where memory ran out, or the oracle knows that torch raises an error.  A subject
 * that would only repeat an earlier one is left out: another schedule of the fused path, other defects where there is
 * none. */
bool conform_run_case(const conform_suite *suite, size_t number, const conform_subject *subjects, size_t count,
                      conform_case_result *out);
void conform_case_result_clear(conform_case_result *result);

/* ---- what came out of a run ---------------------------------------------------------------------------------------- */

typedef struct conform_cell {
    size_t cases;
    size_t oracle_equal, library_equal; /* cases with every bit right                                     */
    size_t nan_payload;                 /* cases right but for NaN payloads that the contract leaves open */
    size_t failed;
} conform_cell;

/* Masked elements of a case that has two defects count for the first. */
typedef struct conform_defect_tally {
    size_t cases, masked_chance, masked_open_nan;
    size_t matches[2][CONFORM_MATCH_COUNT]; /* cases by sgd_defects and what all subjects match */
} conform_defect_tally;

typedef struct conform_results {
    size_t case_count;
    conform_case_result *cases; /* as selected */
    conform_cell cells[SGD_CONTRACT_COUNT][SGD_PATH_COUNT][SGD_DTYPE_COUNT + 1]; /* last: mixed dtypes */
    conform_cell features[VECTORS_FEATURE_COUNT];
    conform_cell total;
    size_t unjudged; /* cases that are in none of these cells */
    conform_defect_tally *defects; /* one for each of the ledger's */
    size_t runs;                   /* of subjects, over all cases */
} conform_results;

typedef struct conform_progress {
    void (*report)(void *context, size_t done, size_t total); /* called by one thread */
    void *context;
} conform_progress;

/* Runs all selected cases, side by side on OpenMP's threads; the results do not depend on how many there are.  NULL with
 * one line in `error`: no case or no subject to run, a case that cannot be stepped, no memory.  `suite` and `subjects` must
 * outlive the results. */
conform_results *conform_run(const conform_suite *suite, const conform_subject *subjects, size_t count,
                             const conform_progress *progress, conform_error *error);
void conform_results_free(conform_results *results); /* takes NULL */

/* At least one case was judged, and none failed.  (conform_run refuses to run without a subject, and the first always runs.) */
bool conform_accepted(const conform_results *results);

#endif
