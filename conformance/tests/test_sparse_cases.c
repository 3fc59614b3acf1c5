/* test_sparse_cases.c - no wrong entry, order, flag or bit of a sparse tensor passes for right. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmocka_test.h"
#include "run.h"
#include "vector_maker.h"

/* The shipped file, in which the tests change what a case's momentum buffer is after its second step. */
static char folder[64], path[96];
static vectors *file;
static size_t chosen; /* row of table case */
static uint32_t buffer;

static bool is_input(uint32_t sparse)
{
    for (size_t i = 0; i < file->grad.count; i++)
        if (file->grad.sparse[i] != VECTORS_NONE && (file->grad.sparse[i] == sparse ||
            file->sparse.values[file->grad.sparse[i]] == file->sparse.values[sparse]))
            return true;
    return false;
}

/* An f32 case with a momentum buffer of two entries or more after step 1 that nothing else refers to as an input. */
static bool choose(size_t row)
{
    size_t problem = file->cases.problem[row], tensors = vectors_tensor_count(file, problem);
    if (file->problem.steps[problem] < 2 || vectors_dtype(file, row) != SGD_F32)
        return false;
    buffer = file->outcome.buffer_sparse[file->cases.outcome_begin[row] + tensors];
    chosen = row;
    return buffer != VECTORS_NONE && file->sparse.nnz[buffer] > 1 && !is_input(buffer) &&
           file->array.numel[file->sparse.values[buffer]] > 0;
}

static int set_up(void **state)
{
    (void)state;
    conform_error error;
    strcpy(folder, "/tmp/sgd-sparse-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/made.h5", folder);
    file = vectors_load(SGD_VECTORS_DIR "/torch-2.13.0-cpu-sparse.h5", &error);
    if (!file)
        fail_msg("%s", error.text);
    size_t row = 0;
    while (!choose(row))
        assert_true(++row < file->cases.count);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    vectors_free(file);
    unlink(path);
    return rmdir(folder);
}

/* Runs the chosen case of the file as it now is; answers what the library's difference is, after the oracle's equal one. */
static difference run_changed(size_t failures)
{
    char name[VECTORS_NAME_SIZE];
    const char *files[] = {path};
    conform_error error;
    write_vectors(file, path, (writing){0});
    conform_suite *suite = conform_suite_load(files, 1, SGD_VECTORS_DIR "/defects.json", &error);
    if (!suite)
        fail_msg("%s", error.text);
    conform_subject subject = {"scalar", sgd_backend_cpu(SGD_ISA_SCALAR), SGD_SCHEDULE_SINGLE_PASS, 1, SGD_DEFECTS_FIX};
    vectors_case_name(file, chosen, name);
    assert_int_equal(conform_suite_select(suite, NULL, name), 1);
    conform_results *results = conform_run(suite, &subject, 1, NULL, &error);
    assert_non_null(results);
    assert_int_equal(results->total.cases, 1);
    assert_int_equal(results->cases[0].failure_count, failures);
    difference found = {0};
    if (failures) {
        found = results->cases[0].failures[1].what;
        assert_null(results->cases[0].failures[0].subject);
        assert_int_equal(results->cases[0].failures[0].what.kind, found.kind);
    }
    conform_results_free(results);
    conform_suite_free(suite);
    return found;
}

static void assert_buffer(const difference *what, difference_kind kind)
{
    assert_int_equal(what->kind, kind);
    assert_int_equal(what->array, CASE_BUFFER);
    assert_int_equal(what->step, 1);
    assert_int_equal(what->tensor, 0);
}

static void the_case_passes_as_it_is(void **state)
{
    (void)state;
    run_changed(0);
}

static void a_bit_of_a_value_is_found(void **state)
{
    (void)state;
    uint32_t *values = (uint32_t *)(uintptr_t)vectors_stored(file, file->sparse.values[buffer]);
    values[1] ^= 1;
    difference what = run_changed(2);
    assert_buffer(&what, DIFFERENCE_BITS);
    assert_int_equal(what.index, 1);
    assert_int_equal(what.expected ^ what.actual, 1);
}

static void another_flag_is_found(void **state)
{
    (void)state;
    file->sparse.coalesced[buffer] ^= 1;
    difference what = run_changed(2);
    assert_buffer(&what, DIFFERENCE_ENTRIES);
    assert_non_null(strstr(what.message, "coalesced"));
}

/* The indices' array may be an input's as well, so the row is given another one of the same length. */
static void other_indices_are_found(void **state)
{
    (void)state;
    uint32_t old = file->sparse.indices[buffer];
    size_t bytes = (size_t)file->array.numel[old] * sizeof(int64_t);
    for (uint32_t i = 0; i < file->sparse.count; i++) {
        uint32_t other = file->sparse.indices[i];
        if (file->sparse.layout[i] == file->sparse.layout[buffer] && file->array.numel[other] == file->array.numel[old] &&
            memcmp(vectors_stored(file, other), vectors_stored(file, old), bytes)) {
            file->sparse.indices[buffer] = other;
            difference what = run_changed(2);
            assert_buffer(&what, DIFFERENCE_ENTRIES);
            assert_string_equal(what.message, "other indices, or another order");
            return;
        }
    }
    fail_msg("no other indices in the file");
}

static void a_missing_buffer_is_found(void **state)
{
    (void)state;
    size_t tensors = vectors_tensor_count(file, file->cases.problem[chosen]);
    file->outcome.buffer_sparse[file->cases.outcome_begin[chosen] + tensors] = VECTORS_NONE;
    difference what = run_changed(2);
    assert_buffer(&what, DIFFERENCE_UNEXPECTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_case_passes_as_it_is, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_bit_of_a_value_is_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_flag_is_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_indices_are_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_missing_buffer_is_found, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
