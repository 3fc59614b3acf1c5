/* suite.c - the vector files and the ledger of a run, and which of their cases are selected; see run.h. */
#include <fnmatch.h>
#include <stdlib.h>

#include "suite.h"

static bool load_files(conform_suite *suite, const char *const *files, size_t count, conform_error *error)
{
    suite->files = calloc(count + 1, sizeof *suite->files);
    if (!suite->files)
        return conform_fail(error, "vectors: out of memory");
    size_t cases = 0;
    for (size_t i = 0; i < count; i++) {
        suite->files[i] = vectors_load(files[i], error);
        if (!suite->files[i])
            return false;
        suite->file_count++;
        cases += suite->files[i]->cases.count;
    }
    suite->cases = calloc(cases + 1, sizeof *suite->cases);
    return suite->cases || conform_fail(error, "vectors: out of memory");
}

conform_suite *conform_suite_load(const char *const *files, size_t count, const char *ledger_file, conform_error *error)
{
    conform_suite *suite = calloc(1, sizeof *suite);
    if (!suite) {
        conform_fail(error, "vectors: out of memory");
        return NULL;
    }
    suite->ledger = ledger_load(ledger_file, error);
    bool done = suite->ledger && load_files(suite, files, count, error);
    if (done) {
        suite->oracle = sgd_oracle_create(sgd_rulebook_torch(), error->text, sizeof error->text);
        done = suite->oracle != NULL;
    }
    if (!done) {
        conform_suite_free(suite);
        return NULL;
    }
    conform_suite_select(suite, NULL, NULL);
    return suite;
}

void conform_suite_free(conform_suite *suite)
{
    if (!suite)
        return;
    for (size_t i = 0; i < suite->file_count; i++)
        vectors_free(suite->files[i]);
    free(suite->files);
    free(suite->cases);
    ledger_free(suite->ledger);
    if (suite->oracle)
        sgd_oracle_destroy(suite->oracle);
    free(suite);
}

static bool is_selected(const vectors *file, size_t row, const sgd_contract *contract, const char *glob)
{
    char name[VECTORS_NAME_SIZE];
    if (contract && vectors_contract(file, row) != *contract)
        return false;
    vectors_case_name(file, row, name);
    return !glob || fnmatch(glob, name, 0) == 0;
}

size_t conform_suite_select(conform_suite *suite, const sgd_contract *contract, const char *glob)
{
    suite->case_count = 0;
    for (size_t f = 0; f < suite->file_count; f++)
        for (size_t row = 0; row < suite->files[f]->cases.count; row++)
            if (is_selected(suite->files[f], row, contract, glob))
                suite->cases[suite->case_count++] = (conform_case){suite->files[f], row};
    return suite->case_count;
}

size_t conform_suite_file_count(const conform_suite *suite) { return suite->file_count; }
const vectors *conform_suite_file(const conform_suite *suite, size_t file) { return suite->files[file]; }
const ledger *conform_suite_ledger(const conform_suite *suite) { return suite->ledger; }
size_t conform_suite_case_count(const conform_suite *suite) { return suite->case_count; }

conform_case conform_suite_case(const conform_suite *suite, size_t number) { return suite->cases[number]; }

void conform_suite_case_name(const conform_suite *suite, size_t number, char *name)
{
    vectors_case_name(suite->cases[number].file, suite->cases[number].row, name);
}
