/* test_features.c - the library passes in every feature's case, and no wrong layout, scale or option passes for right. */
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
    return made_suite_begin(made_feature_vectors());
}

/* The oracle agrees and the library too, or both fail in a case that was changed. */
static void assert_run(const char *glob, size_t failures)
{
    run_one(sgd_backend_cpu(SGD_ISA_SCALAR), SGD_DEFECTS_REPRODUCE, glob);
    assert_int_equal(results->total.cases, 1);
    assert_int_equal(results->cases[0].failure_count, failures);
}

static void the_library_passes_in_every_configuration(void **state)
{
    (void)state;
    configurations all;
    conform_error error;
    assert_true(configurations_choose("all", "all", "1,2", &all, &error));
    results = conform_run(suite, all.subjects, all.count, NULL, &error);
    assert_non_null(results);
    if (!conform_accepted(results))
        report_terminal(&(report){suite, results, all.subjects, all.count, NULL}, stderr, false);
    assert_true(conform_accepted(results));
    assert_int_equal(results->total.cases, 7);
    assert_int_equal(results->unjudged, 1);
    assert_int_equal(results->features[VECTORS_LAYOUT].library_equal, 3);
    configurations_free(&all);
}

static void a_buffer_that_lies_otherwise_is_found(void **state)
{
    (void)state;
    uint32_t layout = made->outcome.buffer_layout[made->cases.outcome_begin[0]];
    uint64_t *stride = made->dim.stride + made->layout.dim_begin[layout];
    uint64_t first = stride[0];
    stride[0] = stride[1] == 1 ? 1 : 5;
    stride[1] = first == 1 && stride[0] == 5 ? 1 : 3;
    load();
    assert_run("*/00000-*", 2);
    const difference *what = &results->cases[0].failures[1].what;
    assert_int_equal(what->kind, DIFFERENCE_LAYOUT);
    assert_int_equal(what->array, CASE_BUFFER);
    assert_non_null(strstr(what->message, "expected ("));
}

static void a_changed_element_of_a_transposed_tensor_is_found_by_its_row_major_index(void **state)
{
    (void)state;
    uint32_t *param = (uint32_t *)(uintptr_t)vectors_stored(made, made->outcome.param[made->cases.outcome_begin[0] + 1]);
    param[7] ^= 1;
    load();
    assert_run("*/00000-*", 2);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(results->cases[0].failures[i].what.step, 1);
        assert_int_equal(results->cases[0].failures[i].what.index, 7);
        assert_int_equal(results->cases[0].failures[i].what.segment, SGD_SEGMENT_ANY);
    }
}

static void an_imaginary_part_is_told_from_a_real_one(void **state)
{
    (void)state;
    uint32_t *param = (uint32_t *)(uintptr_t)vectors_stored(made, made->outcome.param[made->cases.outcome_begin[5]]);
    param[2 * 4 + 1] ^= 1;
    load();
    assert_run("*/c64/*", 2);
    const difference *what = &results->cases[0].failures[1].what;
    assert_int_equal(what->index, 4);
    assert_int_equal(what->part, 1);
    assert_int_equal(what->expected ^ what->actual, 1);
    assert_string_equal(part_name(what), ".imag");
}

/* A step that found_inf skips, another scale, another value of a tensor, another dtype of it. */
static void what_the_file_says_of_a_step_is_what_is_run(void **state)
{
    (void)state;
    assert_run("*-amp", 0);
    made->scaling.found_inf[1] = 0.5;
    load();
    assert_run("*-amp", 2);
    assert_int_equal(results->cases[0].failures[1].what.step, 1);
    made->scaling.found_inf[1] = 1;
    made->scaling.grad_scale[0] = 4;
    load();
    assert_run("*-amp", 2);
    assert_int_equal(results->cases[0].failures[1].what.step, 0);

    assert_run("*-tensor-lr", 0);
    made->option.lr[2] *= 2;
    load();
    assert_run("*-tensor-lr", 2);
    assert_int_equal(results->cases[0].failures[1].what.step, 2);
    made->option.lr[2] /= 2;
    made->option.momentum[1] = 0.25;
    load();
    assert_run("*-tensor-lr", 2);
    assert_int_equal(results->cases[0].failures[1].what.step, 1);
}

static void strides_that_fused_ignores_have_two_right_answers(void **state)
{
    (void)state;
    run_one(sgd_backend_cpu(SGD_ISA_SCALAR), SGD_DEFECTS_REPRODUCE, "*/00001-*");
    assert_true(conform_accepted(results));
    assert_string_equal(results->cases[0].defects[0]->id, "fused-ignores-strides");
    assert_null(results->cases[0].defects[1]);
    assert_int_equal(results->cases[0].match[SGD_DEFECTS_REPRODUCE], CONFORM_TORCH);
    run_one(sgd_backend_cpu(SGD_ISA_SCALAR), SGD_DEFECTS_FIX, "*/00001-*");
    assert_true(conform_accepted(results));
    assert_int_equal(results->cases[0].match[SGD_DEFECTS_FIX], CONFORM_SPECIFICATION);
    run_one(sgd_backend_cpu(SGD_ISA_SCALAR), SGD_DEFECTS_REPRODUCE, "*/00002-*");
    assert_true(conform_accepted(results));
    assert_string_equal(results->cases[0].defects[0]->id, "pytorch#191763");
    assert_null(results->cases[0].defects[1]);
    assert_true(results->cases[0].masked_chance > 0);
}

static void print(char *text, size_t size)
{
    FILE *out = fmemopen(text, size, "w");
    report_terminal(&(report){suite, results, &ran, 1, NULL}, out, false);
    fclose(out);
}

static void features_and_what_is_not_judged_are_counted_visibly(void **state)
{
    (void)state;
    char text[8192];
    run_one(sgd_backend_cpu(SGD_ISA_SCALAR), SGD_DEFECTS_REPRODUCE, NULL);
    print(text, sizeof text);
    if (!strstr(text, "feature layout                          3         3         3           0      0\n") ||
        !strstr(text, "not judged   1 case of torch-2.13/cuda-sm90: no contract is written down\n"))
        fail_msg("%s", text);
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
        if (strlen(line) > 80 || line[strlen(line) - 1] == ' ')
            fail_msg("too wide, or a blank at its end: \"%s\"", line);

    run_one(sgd_backend_cpu(SGD_ISA_SCALAR), SGD_DEFECTS_REPRODUCE, "*/cuda-sm90/*");
    assert_int_equal(results->total.cases, 0);
    assert_false(conform_accepted(results));
    print(text, sizeof text);
    if (!strstr(text, "does not conform  no case could be judged\n"))
        fail_msg("%s", text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_library_passes_in_every_configuration, set_up, made_suite_end),
        cmocka_unit_test_setup_teardown(a_buffer_that_lies_otherwise_is_found, set_up, made_suite_end),
        cmocka_unit_test_setup_teardown(a_changed_element_of_a_transposed_tensor_is_found_by_its_row_major_index, set_up, made_suite_end),
        cmocka_unit_test_setup_teardown(an_imaginary_part_is_told_from_a_real_one, set_up, made_suite_end),
        cmocka_unit_test_setup_teardown(what_the_file_says_of_a_step_is_what_is_run, set_up, made_suite_end),
        cmocka_unit_test_setup_teardown(strides_that_fused_ignores_have_two_right_answers, set_up, made_suite_end),
        cmocka_unit_test_setup_teardown(features_and_what_is_not_judged_are_counted_visibly, set_up, made_suite_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
