/* made_suite.h - a suite over one file of made vectors, for tests that change them and run again. */
#ifndef CONFORM_MADE_SUITE_H
#define CONFORM_MADE_SUITE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmocka_test.h"
#include "run.h"
#include "vector_maker.h"

static char folder[64], path[96];
static vectors *made;
static conform_suite *suite;
static conform_subject ran;      /* the subject and ... */
static conform_results *results; /* ... the results of the last run_one; made_suite_end frees them */

/* Writes what `made` is now, and loads it. */
static void load(void)
{
    const char *files[] = {path};
    conform_error error;
    conform_suite_free(suite);
    write_vectors(made, path, (writing){0});
    suite = conform_suite_load(files, 1, SGD_VECTORS_DIR "/defects.json", &error);
    if (!suite)
        fail_msg("%s", error.text);
}

/* Takes over the vectors. */
static int made_suite_begin(vectors *vectors)
{
    strcpy(folder, "/tmp/sgd-suite-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/made.h5", folder);
    made = vectors;
    load();
    return 0;
}

static int made_suite_end(void **state)
{
    (void)state;
    conform_results_free(results);
    results = NULL;
    conform_suite_free(suite);
    suite = NULL;
    made_vectors_free(made);
    unlink(path);
    return rmdir(folder);
}

static void run_one(const sgd_backend *backend, sgd_defects defects, const char *glob)
{
    conform_error error;
    ran = (conform_subject){backend->name, backend, SGD_SCHEDULE_SINGLE_PASS, 1, defects};
    conform_suite_select(suite, NULL, glob);
    conform_results_free(results);
    results = conform_run(suite, &ran, 1, NULL, &error);
    if (!results)
        fail_msg("%s", error.text);
}

#endif
