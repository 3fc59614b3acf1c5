/* test_known_bad.c - the suite rejects every known-bad implementation, in the cells where its mistake shows and no others,
 * and accepts the same backend without a mistake. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "known_bad.h"
#include "run.h"
#include "sets.h"

static const char *const files[] = {SGD_VECTORS_DIR "/torch-2.13.0-cpu-f64.h5", SGD_VECTORS_DIR "/torch-2.13.0-cpu-f32.h5",
                                    SGD_VECTORS_DIR "/torch-2.13.0-cpu-f16.h5", SGD_VECTORS_DIR "/torch-2.13.0-cpu-bf16.h5"};

/* The first hundred problems of each dtype, without the repetitions under avx512. */
#define CASES "*/000[0-9][0-9]-t[12]-[ad][ve][xf][2a]*"

static conform_suite *suite;

static int load(void **state)
{
    (void)state;
    conform_error error;
    suite = conform_suite_load(files, sizeof files / sizeof files[0], SGD_VECTORS_DIR "/defects.json", &error);
    if (!suite)
        print_message("%s\n", error.text);
    return suite && conform_suite_select(suite, NULL, CASES) > 0 ? 0 : -1;
}

static int unload(void **state)
{
    (void)state;
    conform_suite_free(suite);
    return 0;
}

static conform_results *run(known_bad_id id)
{
    conform_error error;
    known_bad *bad = known_bad_create(id, error.text, sizeof error.text);
    if (!bad)
        fail_msg("%s", error.text);
    conform_subject subjects[2] = {
        {known_bad_name(id), known_bad_backend(bad), SGD_SCHEDULE_SINGLE_PASS, 1, SGD_DEFECTS_REPRODUCE},
        {known_bad_name(id), known_bad_backend(bad), SGD_SCHEDULE_SINGLE_PASS, 1, SGD_DEFECTS_FIX}};
    conform_results *results = conform_run(suite, subjects, 2, NULL, &error);
    known_bad_destroy(bad);
    if (!results)
        fail_msg("%s", error.text);
    return results;
}

/* Prints which cases reject the implementation, and returns how many: of a cell, or of all with SGD_PATH_COUNT. */
static size_t show(known_bad_id id, const conform_results *results)
{
    print_message("%s: %s\n  rejected by %zu of %zu cases\n", known_bad_name(id), known_bad_description(id),
                  results->total.failed, results->total.cases);
    for (int contract = 0; contract < SGD_CONTRACT_COUNT; contract++)
        for (int path = 0; path < SGD_PATH_COUNT; path++)
            for (int dtype = 0; dtype < SGD_DTYPE_COUNT; dtype++) {
                const conform_cell *cell = &results->cells[contract][path][dtype];
                if (cell->failed)
                    print_message("  %s/%s/%s: %zu of %zu\n", sgd_contract_name((sgd_contract)contract),
                                  sgd_path_name((sgd_path)path), sgd_dtype_name((sgd_dtype)dtype), cell->failed,
                                  cell->cases);
            }
    return results->total.failed;
}

/* Sets of cells, bits by enum value. */
typedef struct cells {
    unsigned contracts, paths, dtypes;
} cells;

static bool contains(const cells *set, int contract, int path, int dtype)
{
    return set->contracts >> contract & set->paths >> path & set->dtypes >> dtype & 1;
}

/* Runs a mistake and demands that every cell of `shows` rejects it, and no cell beyond those and `may_show`, where only rare
 * values tell. */
static void reject(known_bad_id id, cells shows, cells may_show)
{
    conform_results *results = run(id);
    assert_false(conform_accepted(results));
    assert_true(show(id, results) > 0);
    for (int contract = 0; contract < SGD_CONTRACT_COUNT; contract++)
        for (int path = 0; path < SGD_PATH_COUNT; path++)
            for (int dtype = 0; dtype < SGD_DTYPE_COUNT; dtype++) {
                bool rejects = results->cells[contract][path][dtype].failed > 0;
                bool must = contains(&shows, contract, path, dtype);
                if (rejects ? !must && !contains(&may_show, contract, path, dtype) : must)
                    fail_msg("%s/%s/%s: %s", sgd_contract_name((sgd_contract)contract), sgd_path_name((sgd_path)path),
                             sgd_dtype_name((sgd_dtype)dtype), rejects ? "rejects it" : "does not reject it");
            }
    conform_results_free(results);
}

static const cells nowhere = {0, 0, 0};

static void the_same_backend_without_a_mistake_is_accepted(void **state)
{
    (void)state;
    conform_results *results = run(KNOWN_GOOD);
    show(KNOWN_GOOD, results);
    assert_true(conform_accepted(results));
    conform_results_free(results);
}

/* Products of two 16-bit numbers are exact in float unless they underflow, so the 16-bit eager paths hardly tell; fused does,
 * whose scalars are floats. */
static void multiply_and_add_apart_is_rejected(void **state)
{
    (void)state;
    reject(KNOWN_BAD_APART, (cells){FMA, EVERY_PATH, WIDE}, (cells){FMA, EVERY_PATH, HALF});
}

static void dampening_on_the_first_step_is_rejected(void **state)
{
    (void)state;
    reject(KNOWN_BAD_DAMPED_FIRST, (cells){BOTH, EVERY_PATH, ALL}, nowhere);
}

/* In 16 bits the two differences nearly always round to the same scalar. */
static void one_minus_dampening_in_float_is_rejected(void **state)
{
    (void)state;
    reject(KNOWN_BAD_FLOAT_DAMPENING, (cells){BOTH, EVERY_PATH, WIDE}, (cells){BOTH, EVERY_PATH, HALF});
}

static void alpha_unrounded_in_bf16_is_rejected(void **state)
{
    (void)state;
    reject(KNOWN_BAD_WIDE_ALPHA, (cells){BOTH, EAGER, BF16}, nowhere);
}

static void foreach_momentum_unrounded_in_f16_is_rejected(void **state)
{
    (void)state;
    reject(KNOWN_BAD_WIDE_MOMENTUM, (cells){BOTH, FOREACH, F16}, nowhere);
}

/* Without FMA body and tail differ in which of two NaNs wins, in f16 only. */
static void a_tail_that_begins_one_element_early_is_rejected(void **state)
{
    (void)state;
    reject(KNOWN_BAD_SHORT_BODY, (cells){FMA, EAGER, HALF}, (cells){BASE, EAGER, F16});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_backend_without_a_mistake_is_accepted),
        cmocka_unit_test(multiply_and_add_apart_is_rejected),
        cmocka_unit_test(dampening_on_the_first_step_is_rejected),
        cmocka_unit_test(one_minus_dampening_in_float_is_rejected),
        cmocka_unit_test(alpha_unrounded_in_bf16_is_rejected),
        cmocka_unit_test(foreach_momentum_unrounded_in_f16_is_rejected),
        cmocka_unit_test(a_tail_that_begins_one_element_early_is_rejected),
    };
    return cmocka_run_group_tests_name("known bad", tests, load, unload);
}
