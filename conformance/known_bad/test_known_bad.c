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

/* Runs a mistake and demands that exactly the cells of these sets (bits by enum value) reject it. */
static void reject(known_bad_id id, unsigned contracts, unsigned paths, unsigned dtypes)
{
    conform_results *results = run(id);
    assert_false(conform_accepted(results));
    assert_true(show(id, results) > 0);
    for (int contract = 0; contract < SGD_CONTRACT_COUNT; contract++)
        for (int path = 0; path < SGD_PATH_COUNT; path++)
            for (int dtype = 0; dtype < SGD_DTYPE_COUNT; dtype++) {
                bool expected = contracts >> contract & paths >> path & dtypes >> dtype & 1;
                if (expected != (results->cells[contract][path][dtype].failed > 0))
                    fail_msg("%s/%s/%s: %s", sgd_contract_name((sgd_contract)contract), sgd_path_name((sgd_path)path),
                             sgd_dtype_name((sgd_dtype)dtype), expected ? "does not reject it" : "rejects it");
            }
    conform_results_free(results);
}

#define BIT(value) (1u << (value))
enum {
    FMA = BIT(SGD_TORCH_2_13_CPU_FMA),
    BOTH = FMA | BIT(SGD_TORCH_2_13_CPU_BASE),
    EAGER = BIT(SGD_FORLOOP) | BIT(SGD_FOREACH),
    PATHS = EAGER | BIT(SGD_FUSED),
    F16 = BIT(SGD_F16),
    BF16 = BIT(SGD_BF16),
    DTYPES = BIT(SGD_F64) | BIT(SGD_F32) | F16 | BF16
};

static void the_same_backend_without_a_mistake_is_accepted(void **state)
{
    (void)state;
    conform_results *results = run(KNOWN_GOOD);
    show(KNOWN_GOOD, results);
    assert_true(conform_accepted(results));
    conform_results_free(results);
}

static void multiply_and_add_apart_is_rejected(void **state)
{
    (void)state;
    reject(KNOWN_BAD_APART, FMA, PATHS, DTYPES);
}

static void dampening_on_the_first_step_is_rejected(void **state)
{
    (void)state;
    reject(KNOWN_BAD_DAMPED_FIRST, BOTH, PATHS, DTYPES);
}

static void one_minus_dampening_in_float_is_rejected(void **state)
{
    (void)state;
    reject(KNOWN_BAD_FLOAT_DAMPENING, BOTH, PATHS, DTYPES);
}

static void alpha_unrounded_in_bf16_is_rejected(void **state)
{
    (void)state;
    reject(KNOWN_BAD_WIDE_ALPHA, BOTH, EAGER, BF16);
}

static void foreach_momentum_unrounded_in_f16_is_rejected(void **state)
{
    (void)state;
    reject(KNOWN_BAD_WIDE_MOMENTUM, BOTH, BIT(SGD_FOREACH), F16);
}

static void a_tail_that_begins_one_element_early_is_rejected(void **state)
{
    (void)state;
    reject(KNOWN_BAD_SHORT_BODY, BOTH, EAGER, F16 | BF16);
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
