/* test_run.c - the library passes, and no wrong implementation passes for right: where it is wrong is said exactly. */
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmocka_test.h"
#include "configurations.h"
#include "made_suite.h"
#include "report.h"

static int set_up(void **state)
{
    (void)state;
    return made_suite_begin(made_vectors());
}

/* ---- wrong backends ------------------------------------------------------------------------------------------------ */

/* How the scalar CPU backend is spoiled. */
typedef enum mistake { LAST_BIT, OVERRUN, LOST_BUFFER, ERROR } mistake;
static mistake made_mistake;

static sgd_status wrong_step(void *context, const sgd_arithmetic *arithmetic, const sgd_hyper *hyper, size_t count,
                             const sgd_step_tensor *tensors)
{
    const sgd_backend *right = sgd_backend_cpu(SGD_ISA_SCALAR);
    (void)context;
    sgd_status status = right->step(right->context, arithmetic, hyper, count, tensors);
    for (size_t i = 0; i < count; i++) {
        unsigned char *param = tensors[i].param;
        size_t width = sgd_dtype_size(tensors[i].dtype), numel = tensors[i].numel;
        switch (made_mistake) {
        case LAST_BIT: param[(numel - 2) * width] ^= 1; break;
        case OVERRUN: param[numel * width] = 0; break;
        case LOST_BUFFER: memset(tensors[i].buffer, 0, numel * width); break;
        case ERROR: return SGD_ERROR_BACKEND;
        }
    }
    return status;
}

static sgd_backend wrong_backend(mistake which)
{
    sgd_backend backend = *sgd_backend_cpu(SGD_ISA_SCALAR);
    backend.name = "wrong";
    backend.step = wrong_step;
    backend.prepare = NULL, backend.run = NULL, backend.discard = NULL; /* they are right */
    made_mistake = which;
    return backend;
}

static difference first_difference(mistake which, const char *glob)
{
    sgd_backend backend = wrong_backend(which);
    run_one(&backend, SGD_DEFECTS_REPRODUCE, glob);
    assert_false(conform_accepted(results));
    assert_int_equal(results->cases[0].failure_count, 1);
    return results->cases[0].failures[0].what;
}

/* ---- tests --------------------------------------------------------------------------------------------------------- */

static void the_library_passes_in_every_configuration(void **state)
{
    (void)state;
    configurations all;
    conform_error error;
    assert_true(configurations_choose("all", "all", "1,2", &all, &error));
    results = conform_run(suite, all.subjects, all.count, NULL, &error);
    assert_non_null(results);
    assert_true(conform_accepted(results));
    assert_int_equal(results->total.cases, 7);
    assert_int_equal(results->total.library_equal + results->total.nan_payload, 7);
    /* Eager cases run in all configurations but for what to do about defects, fused ones in one schedule; one of the three
     * has a defect. */
    assert_int_equal(results->runs, 4 * all.count / 2 + all.count / 2 + 2 * all.count / 4);
    configurations_free(&all);
}

static void a_wrong_last_bit_is_found_where_it_is(void **state)
{
    (void)state;
    difference what = first_difference(LAST_BIT, "*/00000-t1-avx2");
    assert_int_equal(what.kind, DIFFERENCE_BITS);
    assert_int_equal(what.step, 0); /* tensor 0 has no gradient then */
    assert_int_equal(what.tensor, 1);
    assert_int_equal(what.array, CASE_PARAM);
    assert_int_equal(what.index, 38);
    assert_int_equal(what.segment, SGD_SEGMENT_TAIL);
    assert_int_equal(what.count, 1);
    assert_int_equal(what.expected ^ what.actual, 1);
}

static void a_hashed_array_is_located_by_the_oracle(void **state)
{
    (void)state;
    difference what = first_difference(LAST_BIT, "*/00002-t1-avx2");
    assert_int_equal(what.kind, DIFFERENCE_BITS);
    assert_int_equal(what.index, 4998);
    assert_int_equal(what.count, 1);
}

static void a_wrong_buffer_an_overrun_and_an_error_are_found(void **state)
{
    (void)state;
    difference what = first_difference(LOST_BUFFER, "*/00000-t1-avx2");
    assert_int_equal(what.array, CASE_BUFFER);
    assert_int_equal(what.count, 40);
    assert_int_equal(first_difference(OVERRUN, "*/00000-t1-avx2").kind, DIFFERENCE_OVERRUN);
    what = first_difference(ERROR, "*/00000-t1-avx2");
    assert_int_equal(what.kind, DIFFERENCE_STATUS);
    assert_non_null(strstr(what.message, "SGD_ERROR_BACKEND"));
}

/* Element 3 of the param that a case has after its last step: a NaN. */
static unsigned char *last_nan(size_t case_row, size_t steps)
{
    uint32_t array = made->outcome.param[made->cases.outcome_begin[case_row] + steps - 1];
    return (unsigned char *)(uintptr_t)vectors_stored(made, array) +
           3 * sgd_dtype_size((sgd_dtype)made->array.dtype[array]);
}

static void assert_nan_payload(const char *glob, bool accepted)
{
    run_one(sgd_backend_cpu(SGD_ISA_SCALAR), SGD_DEFECTS_FIX, glob);
    assert_int_equal(results->total.cases, 1);
    assert_int_equal(results->total.library_equal, 0);
    assert_int_equal(results->total.oracle_equal, 0);
    assert_int_equal(results->total.nan_payload, accepted);
    assert_int_equal(conform_accepted(results), accepted);
}

static void a_nan_payload_counts_only_where_the_contract_states_it(void **state)
{
    (void)state;
    last_nan(4, 2)[0] ^= 1;
    last_nan(5, 2)[0] ^= 1;
    last_nan(6, 1)[0] ^= 1;
    load();
    assert_nan_payload("torch-2.13/cpu-base/fused/f64/*", true);
    assert_nan_payload("torch-2.13/cpu-fma/fused/f64/*", false);
    /* With a NaN among the options any NaN equals any NaN. */
    assert_nan_payload("*/forloop/f32/00004-*", true);
}

static void the_ledger_tells_torch_from_the_specification(void **state)
{
    (void)state;
    const sgd_backend *right = sgd_backend_cpu(SGD_ISA_SCALAR);
    run_one(right, SGD_DEFECTS_REPRODUCE, "*/fused/f16/*");
    assert_string_equal(results->cases[0].defects[0]->id, "pytorch#191763");
    assert_int_equal(results->cases[0].match[SGD_DEFECTS_REPRODUCE], CONFORM_TORCH);
    assert_int_equal(results->defects[0].matches[SGD_DEFECTS_REPRODUCE][CONFORM_TORCH], 1);
    assert_true(conform_accepted(results));

    run_one(right, SGD_DEFECTS_FIX, "*/fused/f16/*");
    assert_int_equal(results->cases[0].match[SGD_DEFECTS_FIX], CONFORM_SPECIFICATION);
    assert_true(conform_accepted(results));

    sgd_backend wrong = wrong_backend(LAST_BIT);
    run_one(&wrong, SGD_DEFECTS_FIX, "*/fused/f16/*");
    assert_int_equal(results->cases[0].match[SGD_DEFECTS_FIX], CONFORM_NEITHER);
    assert_int_equal(results->cases[0].failures[0].wanted, CONFORM_SPECIFICATION);
    assert_false(conform_accepted(results));
}

static void a_contract_that_torch_does_not_keep_is_found(void **state)
{
    (void)state;
    uint32_t *param = (uint32_t *)(uintptr_t)vectors_stored(made, made->outcome.param[2]);
    param[4] ^= 1;
    load();
    run_one(sgd_backend_cpu(SGD_ISA_SCALAR), SGD_DEFECTS_FIX, "*/00000-t1-avx2");
    assert_int_equal(results->cases[0].oracle, CONFORM_DIFFERENT);
    assert_int_equal(results->cases[0].failure_count, 2);
    assert_null(results->cases[0].failures[0].subject);
    assert_int_equal(results->cases[0].failures[0].what.index, 4);
    assert_false(conform_accepted(results));
}

static void a_hash_that_nothing_has_is_found(void **state)
{
    (void)state;
    made->array.where[made->outcome.param[made->cases.outcome_begin[3]]] ^= 1;
    load();
    run_one(sgd_backend_cpu(SGD_ISA_SCALAR), SGD_DEFECTS_FIX, "*/00002-t1-avx2");
    assert_int_equal(results->cases[0].failure_count, 2);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(results->cases[0].failures[i].what.kind, DIFFERENCE_HASH);
}

static void a_buffer_too_many_or_too_few_is_found(void **state)
{
    (void)state;
    uint32_t *buffer = &made->outcome.buffer[0]; /* tensor 0 has no gradient in step 0, so no buffer */
    assert_int_equal(*buffer, VECTORS_NONE);
    *buffer = made->outcome.buffer[2];
    load();
    run_one(sgd_backend_cpu(SGD_ISA_SCALAR), SGD_DEFECTS_FIX, "*/00000-t1-avx2");
    assert_int_equal(results->cases[0].failures[1].what.kind, DIFFERENCE_MISSING);

    *buffer = VECTORS_NONE;
    made->outcome.buffer[1] = VECTORS_NONE;
    load();
    run_one(sgd_backend_cpu(SGD_ISA_SCALAR), SGD_DEFECTS_FIX, "*/00000-t1-avx2");
    assert_int_equal(results->cases[0].failures[1].what.kind, DIFFERENCE_UNEXPECTED);
    assert_int_equal(results->cases[0].failures[1].what.array, CASE_BUFFER);
}

/* What torch leaves to chance may be anything, and is counted; its neighbour may not. */
static void only_undefined_elements_are_masked(void **state)
{
    (void)state;
    size_t step_1 = made->cases.outcome_begin[2] + 1;
    uint16_t *buffer = (uint16_t *)(uintptr_t)vectors_stored(made, made->outcome.buffer[step_1]);
    buffer[30] ^= 0x1234;
    load();
    run_one(sgd_backend_cpu(SGD_ISA_SCALAR), SGD_DEFECTS_REPRODUCE, "*/fused/f16/*");
    assert_true(conform_accepted(results));
    assert_int_equal(results->cases[0].masked_chance, 6); /* 30 and 31; in step 2 also 23 and 27, which read both */

    buffer[29] ^= 1;
    load();
    run_one(sgd_backend_cpu(SGD_ISA_SCALAR), SGD_DEFECTS_REPRODUCE, "*/fused/f16/*");
    assert_false(conform_accepted(results));
    assert_int_equal(results->cases[0].failures[1].what.index, 29);
}

/* As many as by the capture's own rule, reference/capture/undefined.py, which knows nothing of the oracle. */
static void what_is_left_to_chance_is_what_the_capture_says(void **state)
{
    (void)state;
    const char *files[] = {SGD_VECTORS_DIR "/torch-2.13.0-cpu-bf16.h5", SGD_VECTORS_DIR "/torch-2.13.0-cpu-f16.h5"};
    conform_error error;
    conform_suite_free(suite);
    suite = conform_suite_load(files, 2, SGD_VECTORS_DIR "/defects.json", &error);
    assert_non_null(suite);
    static const char *const globs[] = {"*/cpu-base/fused/bf16/*", "*/cpu-fma/fused/bf16/*", "*/cpu-base/fused/f16/*",
                                        "*/cpu-fma/fused/f16/*"};
    static const size_t elements[] = {5674, 9457, 6859, 11319};
    for (size_t i = 0; i < 4; i++) {
        run_one(sgd_backend_cpu(SGD_ISA_SCALAR), SGD_DEFECTS_REPRODUCE, globs[i]);
        assert_true(conform_accepted(results));
        assert_int_equal(results->defects[0].masked_chance, elements[i]);
    }
}

/* Also that no line is wider than 80 columns or ends in a blank. */
static void assert_prints(sgd_defects defects, const char *glob, const char *text)
{
    static char printed[8192];
    run_one(sgd_backend_cpu(SGD_ISA_SCALAR), defects, glob);
    FILE *out = fmemopen(printed, sizeof printed, "w");
    report_terminal(&(report){suite, results, &ran, 1, NULL}, out, false);
    fclose(out);
    if (!strstr(printed, text) || !strstr(printed, " x 1 thread\n"))
        fail_msg("no \"%s\" in:\n%s", text, printed);
    for (char *line = strtok(printed, "\n"); line; line = strtok(NULL, "\n"))
        if (strlen(line) > 80 || line[strlen(line) - 1] == ' ')
            fail_msg("too wide, or a blank at its end: \"%s\"", line);
}

static void junit_refuses_what_is_not_utf8(void **state)
{
    (void)state;
    conform_error error = {""};
    sgd_backend wrong = wrong_backend(LAST_BIT);
    run_one(&wrong, SGD_DEFECTS_FIX, "*/f64/*");
    assert_true(report_junit(&(report){suite, results, &ran, 1, "\xC3\xA9"}, "/dev/null", &error));
    assert_false(report_junit(&(report){suite, results, &ran, 1, "\xE9"}, "/dev/null", &error));
    assert_false(report_junit(&(report){suite, results, &ran, 1, "\x01"}, "/dev/null", &error));
    assert_non_null(strstr(error.text, "/dev/null: output: out of memory, or a file name that is not printable UTF-8"));
}

static void torch_is_claimed_only_where_its_defects_are_reproduced(void **state)
{
    (void)state;
    assert_prints(SGD_DEFECTS_REPRODUCE, NULL, "in 7 of 7 cases, with its defects\n          reproduced\n");
    assert_prints(SGD_DEFECTS_FIX, NULL, "in 6 of 6 cases without a known\n          defect, to the spec");
    assert_prints(SGD_DEFECTS_FIX, "*/f16/*", "conforms  bit-identical to the specification in 1 of 1 cases with a known");
    assert_prints(SGD_DEFECTS_FIX, "*/f64/*", "bit-identical to torch 2.13.0+made in 2 of 2 cases\n");
}

static void a_run_of_nothing_is_refused(void **state)
{
    (void)state;
    conform_error error = {""};
    conform_subject subject = {"scalar", sgd_backend_cpu(SGD_ISA_SCALAR), SGD_SCHEDULE_SINGLE_PASS, 1, SGD_DEFECTS_FIX};
    assert_null(conform_run(suite, &subject, 0, NULL, &error));
    assert_string_equal(error.text, "no implementation to run");
    assert_int_equal(conform_suite_select(suite, NULL, "nothing like it"), 0);
    assert_null(conform_run(suite, &subject, 1, NULL, &error));
    assert_string_equal(error.text, "no case to run");
}

static void results_do_not_depend_on_the_number_of_threads(void **state)
{
    (void)state;
    sgd_backend backend = wrong_backend(LAST_BIT);
    int threads = omp_get_max_threads();
    omp_set_num_threads(1);
    run_one(&backend, SGD_DEFECTS_FIX, NULL);
    conform_results *one = results;
    results = NULL;
    omp_set_num_threads(4);
    run_one(&backend, SGD_DEFECTS_FIX, NULL);
    const conform_results *four = results;
    omp_set_num_threads(threads);
    assert_memory_equal(one->cells, four->cells, sizeof one->cells);
    for (size_t i = 0; i < one->case_count; i++) {
        assert_int_equal(one->cases[i].failure_count, four->cases[i].failure_count);
        for (size_t k = 0; k < one->cases[i].failure_count; k++)
            assert_memory_equal(&one->cases[i].failures[k].what, &four->cases[i].failures[k].what, sizeof(difference));
    }
    conform_results_free(one);
}

static void the_ledger_and_the_contract_name_the_same_cells(void **state)
{
    (void)state;
    for (int c = 0; c < SGD_CONTRACT_COUNT; c++)
        for (int p = 0; p < SGD_PATH_COUNT; p++)
            for (int d = 0; d < SGD_DTYPE_COUNT; d++) {
                const ledger_defect *defect =
                    ledger_find(conform_suite_ledger(suite), (sgd_contract)c, (sgd_path)p, (sgd_dtype)d);
                const sgd_width *width = sgd_rulebook_width(sgd_rulebook_torch(), (sgd_path)p, (sgd_dtype)d);
                const char *id = width && width->defect ? width->defect : "";
                assert_string_equal(defect ? defect->id : "", id);
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_library_passes_in_every_configuration, set_up, made_suite_end),
        cmocka_unit_test_setup_teardown(a_wrong_last_bit_is_found_where_it_is, set_up, made_suite_end),
        cmocka_unit_test_setup_teardown(a_hashed_array_is_located_by_the_oracle, set_up, made_suite_end),
        cmocka_unit_test_setup_teardown(a_wrong_buffer_an_overrun_and_an_error_are_found, set_up, made_suite_end),
        cmocka_unit_test_setup_teardown(a_nan_payload_counts_only_where_the_contract_states_it, set_up, made_suite_end),
        cmocka_unit_test_setup_teardown(the_ledger_tells_torch_from_the_specification, set_up, made_suite_end),
        cmocka_unit_test_setup_teardown(a_contract_that_torch_does_not_keep_is_found, set_up, made_suite_end),
        cmocka_unit_test_setup_teardown(a_hash_that_nothing_has_is_found, set_up, made_suite_end),
        cmocka_unit_test_setup_teardown(a_buffer_too_many_or_too_few_is_found, set_up, made_suite_end),
        cmocka_unit_test_setup_teardown(only_undefined_elements_are_masked, set_up, made_suite_end),
        cmocka_unit_test_setup_teardown(what_is_left_to_chance_is_what_the_capture_says, set_up, made_suite_end),
        cmocka_unit_test_setup_teardown(junit_refuses_what_is_not_utf8, set_up, made_suite_end),
        cmocka_unit_test_setup_teardown(torch_is_claimed_only_where_its_defects_are_reproduced, set_up, made_suite_end),
        cmocka_unit_test_setup_teardown(a_run_of_nothing_is_refused, set_up, made_suite_end),
        cmocka_unit_test_setup_teardown(results_do_not_depend_on_the_number_of_threads, set_up, made_suite_end),
        cmocka_unit_test_setup_teardown(the_ledger_and_the_contract_name_the_same_cells, set_up, made_suite_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
