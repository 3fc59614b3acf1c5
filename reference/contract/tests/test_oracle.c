/* test_oracle.c - the oracle's own arithmetic, segments and undefined elements, against facts that can be worked out by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "oracle.h"
#include "rounding.h"

static uint64_t bits(float value)
{
    uint32_t word;
    memcpy(&word, &value, sizeof word);
    return word;
}

static float value_of(sgd_dtype dtype, uint64_t stored)
{
    uint32_t word = (uint32_t)rounding_widen(dtype, stored);
    float value;
    memcpy(&value, &word, sizeof value);
    return value;
}

/* Between neighbours a < b of a format the midpoint goes to the even one, and the next floats beside it to their own side. */
static void narrowing_rounds_to_nearest_even(void **state)
{
    (void)state;
    for (sgd_dtype dtype = SGD_F16; dtype <= SGD_BF16; dtype++) {
        uint64_t infinity = dtype == SGD_F16 ? 0x7C00 : 0x7F80;
        for (uint64_t low = 0; low + 1 < infinity; low++) {
            double a = value_of(dtype, low), b = value_of(dtype, low + 1);
            float middle = (float)((a + b) / 2);
            assert_int_equal(rounding_narrow(dtype, SGD_NARROW_KEEP_TOP, bits((float)a)), low);
            if ((double)middle != (a + b) / 2)
                continue; /* bf16 subnormals next to the float's own */
            assert_int_equal(rounding_narrow(dtype, SGD_NARROW_KEEP_TOP, bits(middle)), low + (low & 1));
            assert_int_equal(rounding_narrow(dtype, SGD_NARROW_KEEP_TOP, bits(nextafterf(middle, 0))), low);
            assert_int_equal(rounding_narrow(dtype, SGD_NARROW_KEEP_TOP, bits(nextafterf(middle, INFINITY))), low + 1);
            assert_int_equal(rounding_narrow(dtype, SGD_NARROW_KEEP_TOP, bits(-middle)), 0x8000 | (low + (low & 1)));
        }
    }
}

static void narrowing_overflows_half_a_unit_above_the_largest(void **state)
{
    (void)state;
    assert_int_equal(rounding_narrow(SGD_F16, SGD_NARROW_KEEP_TOP, bits(65519.996f)), 0x7BFF);
    assert_int_equal(rounding_narrow(SGD_F16, SGD_NARROW_KEEP_TOP, bits(65520.0f)), 0x7C00);
    assert_int_equal(rounding_narrow(SGD_F16, SGD_NARROW_KEEP_TOP, bits(-1e30f)), 0xFC00);
    assert_int_equal(rounding_narrow(SGD_BF16, SGD_NARROW_KEEP_TOP, 0x7F7F7FFF), 0x7F7F);
    assert_int_equal(rounding_narrow(SGD_BF16, SGD_NARROW_KEEP_TOP, 0x7F7F8000), 0x7F80);
    assert_int_equal(rounding_narrow(SGD_BF16, SGD_NARROW_KEEP_TOP, bits(INFINITY)), 0x7F80);
}

static void nans_become_what_the_narrowing_says(void **state)
{
    (void)state;
    uint64_t nan = 0xFFA12345; /* signalling, negative */
    assert_int_equal(rounding_narrow(SGD_F16, SGD_NARROW_KEEP_TOP, nan), 0x8000 | 0x7E00 | ((nan >> 13) & 0x3FF));
    assert_int_equal(rounding_narrow(SGD_F16, SGD_NARROW_SIGN_7E00, nan), 0xFE00);
    assert_int_equal(rounding_narrow(SGD_BF16, SGD_NARROW_ALL_ONES, nan), 0xFFFF);
    assert_int_equal(rounding_narrow(SGD_BF16, SGD_NARROW_X_7FC0, nan), 0x7FC0);
    assert_int_equal(rounding_widen(SGD_F16, 0x7D01), 0x7FE02000); /* quieted on the way up, as VCVTPH2PS does */
    assert_int_equal(rounding_widen(SGD_BF16, 0x7F81), 0x7F810000);
}

static void the_first_nan_operand_wins_and_is_quieted(void **state)
{
    (void)state;
    uint64_t first = 0x7F800001, second = 0xFFC00002, one = bits(1), infinity = bits(INFINITY), zero = 0;
    assert_int_equal(rounding_add(WORKING_F32, first, second), 0x7FC00001);
    assert_int_equal(rounding_add(WORKING_F32, second, first), second);
    assert_int_equal(rounding_fma(WORKING_F32, one, first, second), 0x7FC00001);
    assert_int_equal(rounding_fms(WORKING_F32, one, one, second), second);
    assert_int_equal(rounding_fnma(WORKING_F32, first, one, one), 0x7FC00001);
    assert_int_equal(rounding_fma(WORKING_F32, infinity, zero, second), second);
    assert_int_equal(rounding_mul(WORKING_F32, infinity, zero), 0xFFC00000);
    assert_true(rounding_mul(WORKING_F64, UINT64_C(0x7FF0000000000000), 0) == UINT64_C(0xFFF8000000000000));
}

/* ---- segments -------------------------------------------------------------------------------------------------------- */

static size_t tail_elements(sgd_path path, sgd_dtype dtype, size_t numel, uint32_t threads, sgd_defects defects)
{
    sgd_oracle *oracle = sgd_oracle_create(sgd_rulebook_torch(), NULL, 0);
    sgd_oracle_options options = {.path = path, .torch_threads = threads, .defects = defects};
    size_t count = 0;
    for (size_t i = 0; i < numel; i++)
        count += sgd_oracle_segment(oracle, &options, dtype, numel, i) == SGD_SEGMENT_TAIL;
    sgd_oracle_destroy(oracle);
    return count;
}

static void segments_are_pytorchs(void **state)
{
    (void)state;
    assert_int_equal(tail_elements(SGD_FORLOOP, SGD_F16, 70, 1, SGD_DEFECTS_FIX), 6);
    assert_int_equal(tail_elements(SGD_FORLOOP, SGD_F16, 31, 1, SGD_DEFECTS_FIX), 31);
    assert_int_equal(tail_elements(SGD_FORLOOP, SGD_F32, 31, 1, SGD_DEFECTS_FIX), 15);
    /* 32,767 is one chunk; 32,768 is one chunk of whole vectors; 32,769 becomes 16,385 + 16,384 with two threads */
    assert_int_equal(tail_elements(SGD_FOREACH, SGD_BF16, 32767, 2, SGD_DEFECTS_FIX), 31);
    assert_int_equal(tail_elements(SGD_FOREACH, SGD_BF16, 32768, 2, SGD_DEFECTS_FIX), 0);
    assert_int_equal(tail_elements(SGD_FOREACH, SGD_BF16, 32769, 1, SGD_DEFECTS_FIX), 1);
    assert_int_equal(tail_elements(SGD_FOREACH, SGD_BF16, 32769, 2, SGD_DEFECTS_FIX), 1);
    /* 65,543 = 32,772 + 32,771: tails of 4 and 3; with three threads 21,848 twice and 21,847: 24, 24 and 23 */
    assert_int_equal(tail_elements(SGD_FOREACH, SGD_BF16, 65543, 2, SGD_DEFECTS_FIX), 7);
    assert_int_equal(tail_elements(SGD_FOREACH, SGD_BF16, 65543, 3, SGD_DEFECTS_FIX), 71);
    assert_int_equal(tail_elements(SGD_FUSED, SGD_F32, 70, 2, SGD_DEFECTS_FIX), 6);
    assert_int_equal(tail_elements(SGD_FUSED, SGD_F64, 70, 2, SGD_DEFECTS_FIX), 2);
    assert_int_equal(tail_elements(SGD_FUSED, SGD_F16, 70, 2, SGD_DEFECTS_REPRODUCE), 6);
    assert_int_equal(tail_elements(SGD_FUSED, SGD_F16, 70, 2, SGD_DEFECTS_FIX), 70);
}

/* ---- what pytorch#191763 leaves to chance ---------------------------------------------------------------------------- */

enum { MOST = 160 };

static size_t undefined_after_two_steps(size_t numel, uint32_t threads, uint8_t flags[MOST])
{
    uint16_t param[MOST] = {0}, grad[MOST] = {0}, buffer[MOST] = {0};
    sgd_oracle *oracle = sgd_oracle_create(sgd_rulebook_torch(), NULL, 0);
    sgd_oracle_options options = {.path = SGD_FUSED,
                                  .defects = SGD_DEFECTS_REPRODUCE,
                                  .torch_threads = threads,
                                  .lr = 0.1,
                                  .momentum = 0.9};
    sgd_oracle_tensor tensor = {
        .dtype = SGD_F16, .numel = numel, .param = param, .grad = grad, .buffer = buffer, .undefined = flags};
    memset(flags, 0, MOST);
    assert_true(sgd_oracle_step(oracle, &options, &tensor, 1));
    for (size_t i = 0; i < numel; i++)
        assert_int_equal(flags[i], 0); /* the first step only copies */
    assert_true(sgd_oracle_step(oracle, &options, &tensor, 1));
    sgd_oracle_destroy(oracle);
    size_t count = 0;
    for (size_t i = 0; i < numel; i++)
        count += flags[i];
    return count;
}

static void elements_that_read_beyond_the_buffer_are_undefined(void **state)
{
    (void)state;
    uint8_t flags[MOST];
    assert_int_equal(undefined_after_two_steps(24, 1, flags), 0); /* eight elements behind the block: all reads inside */
    assert_int_equal(undefined_after_two_steps(16, 1, flags), 4);
    for (size_t i = 12; i < 16; i++)
        assert_int_equal(flags[i], 1);
    assert_int_equal(undefined_after_two_steps(22, 1, flags), 1);
    assert_int_equal(flags[15], 1);
    assert_int_equal(undefined_after_two_steps(15, 1, flags), 0); /* no block at all */
}

static void elements_that_race_with_the_next_thread_are_undefined(void **state)
{
    (void)state;
    uint8_t flags[MOST];
    /* 136 = 8 blocks and 8: two chunks of 96 and 40, so 92 to 95 race */
    assert_int_equal(undefined_after_two_steps(136, 1, flags), 0);
    assert_int_equal(undefined_after_two_steps(136, 2, flags), 4);
    for (size_t i = 92; i < 96; i++)
        assert_int_equal(flags[i], 1);
}

/* ---- groups ---------------------------------------------------------------------------------------------------------- */

static void fused_with_a_buffer_missing_raises_and_changes_nothing(void **state)
{
    (void)state;
    float param[2] = {1, 2}, grad[2] = {3, 4}, buffer[2] = {0, 0};
    sgd_oracle *oracle = sgd_oracle_create(sgd_rulebook_torch(), NULL, 0);
    sgd_oracle_options options = {.path = SGD_FUSED, .torch_threads = 1, .lr = 1, .momentum = 0.5};
    sgd_oracle_tensor tensors[2] = {
        {.dtype = SGD_F32, .numel = 1, .param = &param[0], .grad = &grad[0], .buffer = &buffer[0], .has_buffer = true},
        {.dtype = SGD_F32, .numel = 1, .param = &param[1], .grad = &grad[1], .buffer = &buffer[1]}};
    assert_false(sgd_oracle_step(oracle, &options, tensors, 2));
    assert_true(param[0] == 1 && param[1] == 2 && buffer[0] == 0);
    tensors[1].grad = NULL; /* None: the list is whole again */
    assert_true(sgd_oracle_step(oracle, &options, tensors, 2));
    assert_true(param[0] == -2 && param[1] == 2);
    assert_false(tensors[1].has_buffer);
    sgd_oracle_destroy(oracle);
}

/* ---- layouts and scaling --------------------------------------------------------------------------------------------- */

static void fused_does_not_leave_the_memory_of_an_expanded_gradient(void **state)
{
    (void)state;
    float param[4] = {1, 2, 3, 4}, grad[1] = {2}, buffer[4] = {0};
    sgd_oracle *oracle = sgd_oracle_create(sgd_rulebook_torch(), NULL, 0);
    sgd_oracle_options options = {
        .path = SGD_FUSED, .defects = SGD_DEFECTS_REPRODUCE, .torch_threads = 1, .lr = 1, .momentum = 0.5};
    sgd_oracle_layout layout = {.ndim = 2, .shape = {2, 2}, .param_strides = {1, 2}, .grad_strides = {0, 0}};
    sgd_oracle_tensor tensor = {
        .dtype = SGD_F32, .numel = 4, .param = param, .grad = grad, .buffer = buffer, .layout = &layout};
    assert_string_equal(sgd_oracle_storage_defect(oracle, &options, &tensor), "fused-ignores-strides");
    assert_false(sgd_oracle_step(oracle, &options, &tensor, 1));
    assert_true(param[0] == 1 && !tensor.has_buffer);
    options.defects = SGD_DEFECTS_FIX;
    assert_true(sgd_oracle_step(oracle, &options, &tensor, 1));
    for (int i = 0; i < 4; i++)
        assert_true(param[i] == (float)i - 1 && buffer[i] == 2);
    assert_true(tensor.has_buffer && layout.buffer_strides[0] == 2 && layout.buffer_strides[1] == 1);
    sgd_oracle_destroy(oracle);
}

static void a_found_infinity_leaves_everything_as_it_was(void **state)
{
    (void)state;
    float param[1] = {1}, grad[1] = {8}, buffer[1] = {0};
    sgd_oracle *oracle = sgd_oracle_create(sgd_rulebook_torch(), NULL, 0);
    sgd_oracle_options options = {.path = SGD_FUSED,
                                  .torch_threads = 1,
                                  .lr = 1,
                                  .momentum = 0.5,
                                  .has_grad_scale = true,
                                  .grad_scale = 4,
                                  .found_inf = true};
    sgd_oracle_tensor tensor = {.dtype = SGD_F32, .numel = 1, .param = param, .grad = grad, .buffer = buffer};
    assert_true(sgd_oracle_step(oracle, &options, &tensor, 1));
    assert_true(param[0] == 1 && grad[0] == 8 && !tensor.has_buffer);
    options.found_inf = false;
    assert_true(sgd_oracle_step(oracle, &options, &tensor, 1));
    assert_true(param[0] == -1 && grad[0] == 2 && buffer[0] == 2);
    options.path = SGD_FOREACH; /* an AssertionError there */
    assert_false(sgd_oracle_step(oracle, &options, &tensor, 1));
    sgd_oracle_destroy(oracle);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(narrowing_rounds_to_nearest_even),
        cmocka_unit_test(narrowing_overflows_half_a_unit_above_the_largest),
        cmocka_unit_test(nans_become_what_the_narrowing_says),
        cmocka_unit_test(the_first_nan_operand_wins_and_is_quieted),
        cmocka_unit_test(segments_are_pytorchs),
        cmocka_unit_test(elements_that_read_beyond_the_buffer_are_undefined),
        cmocka_unit_test(elements_that_race_with_the_next_thread_are_undefined),
        cmocka_unit_test(fused_with_a_buffer_missing_raises_and_changes_nothing),
        cmocka_unit_test(fused_does_not_leave_the_memory_of_an_expanded_gradient),
        cmocka_unit_test(a_found_infinity_leaves_everything_as_it_was),
    };
    return cmocka_run_group_tests_name("oracle", tests, NULL, NULL);
}
