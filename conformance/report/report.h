/* report.h - what a run found, for a person, for programs (JSON), and for CI servers (JUnit). */
#ifndef CONFORM_REPORT_H
#define CONFORM_REPORT_H

#include <stdio.h>

#include "run.h"

typedef struct report {
    const conform_suite *suite;
    const conform_results *results;
    const conform_subject *subjects;
    size_t subject_count;
    const char *program; /* as it was called, for the command that runs a case; NULL: sgd-conform */
} report;

/* Failed cases in full (the first few), then the table and the closing sentence. */
void report_terminal(const report *from, FILE *out, bool colour);

/* Whole files or none; false with one line in `error`.  The JSON's schema is in README.md. */
bool report_json(const report *from, const char *path, conform_error *error);
bool report_junit(const report *from, const char *path, conform_error *error);

/* ---- the words that all reports share ------------------------------------------------------------------------------ */

/* "bits": */
const char *difference_name(difference_kind kind);
const char *array_name(case_array array);
const char *defects_name(sgd_defects defects);

/* ".imag": which number of an element differs; "" where it has one. */
const char *part_name(const difference *what);

/* "matches the specification" */
const char *match_text(conform_match match);

/* "avx2 single_pass, 2 threads", "the oracle" */
#define WHO_SIZE 96
void failure_who(const conform_failure *failure, char *who);

/* The lines of one failure, each with `indent` before it: what differs, expected and actual, and the command that runs just
 * that case. */
void failure_print(const report *from, size_t case_number, const conform_failure *failure, const char *indent, FILE *out);

/* That command, a shell's: the program as it was called, SGD_VECTORS before it where that is set. */
void failure_command(const report *from, size_t case_number, const conform_failure *failure, FILE *out);

/* The cases that nobody could judge, by contract and reason: calls `print` for each of them. */
typedef struct unjudged_cases {
    char contract[VECTORS_CONTRACT_SIZE];
    const char *reason;
    size_t cases;
} unjudged_cases;
void report_unjudged(const report *from, void (*print)(void *context, const unjudged_cases *which), void *context);

/* The torch version that the vectors come from; "several versions" where the files differ. */
const char *report_torch_version(const report *from);

/* Whether instruction set `isa` of the built-in backend is among the subjects. */
bool report_has_isa(const report *from, sgd_isa isa);

#endif
