/* test_compare.c - what counts as equal, and how values read in a message. */
#include "cmocka_test.h"
#include "compare.h"
#include "oracle.h"

static void one_bit_is_a_difference(void **state)
{
    (void)state;
    uint32_t expected[] = {0x3F800000, 0x40000000, 0x40400000}, actual[] = {0x3F800000, 0x40000001, 0x40400001};
    comparison got = compare_arrays(SGD_F32, 3, expected, actual, NULL, SGD_NAN_CLASS);
    assert_int_equal(got.different, 2);
    assert_int_equal(got.first, 1);
}

static void zeros_of_both_signs_differ(void **state)
{
    (void)state;
    uint16_t expected[] = {0x0000}, actual[] = {0x8000};
    assert_int_equal(compare_arrays(SGD_F16, 1, expected, actual, NULL, SGD_NAN_CLASS).different, 1);
}

static void nan_payload_counts_where_the_contract_states_it(void **state)
{
    (void)state;
    uint64_t expected[] = {0x7FF8000000000123}, actual[] = {0xFFF8000000000000};
    assert_int_equal(compare_arrays(SGD_F64, 1, expected, actual, NULL, SGD_NAN_EXACT).different, 1);
    comparison got = compare_arrays(SGD_F64, 1, expected, actual, NULL, SGD_NAN_CLASS);
    assert_int_equal(got.different, 0);
    assert_int_equal(got.nan_payload, 1);
}

static void nan_never_equals_infinity_or_a_number(void **state)
{
    (void)state;
    uint16_t expected[] = {0x7FC0, 0x7FC0}, actual[] = {0x7F80, 0x3F80};
    assert_int_equal(compare_arrays(SGD_BF16, 2, expected, actual, NULL, SGD_NAN_CLASS).different, 2);
}

static void masked_elements_are_left_out_and_counted(void **state)
{
    (void)state;
    uint16_t expected[] = {1, 2, 3, 4}, actual[] = {1, 9, 3, 9};
    uint8_t undefined[] = {0, SGD_UNDEFINED_CHANCE, SGD_UNDEFINED_OPEN_NAN, SGD_UNDEFINED_CHANCE | SGD_UNDEFINED_OPEN_NAN};
    comparison got = compare_arrays(SGD_F16, 4, expected, actual, undefined, SGD_NAN_EXACT);
    assert_int_equal(got.different, 0);
    assert_int_equal(got.masked_chance, 2);
    assert_int_equal(got.masked_open_nan, 1);
}

static void assert_text(sgd_dtype dtype, uint64_t bits, const char *text)
{
    char got[ELEMENT_TEXT_SIZE];
    element_text(dtype, bits, got);
    assert_string_equal(got, text);
}

static void values_read_as_decimals(void **state)
{
    (void)state;
    assert_text(SGD_F16, 0x3C00, "1");
    assert_text(SGD_F16, 0x0001, "5.9605e-08");
    assert_text(SGD_F16, 0xFC00, "-inf");
    assert_text(SGD_BF16, 0x3F81, "1.008");
    assert_text(SGD_BF16, 0xFFC0, "-NaN");
    assert_text(SGD_F32, 0x7F800001, "signalling NaN");
    assert_text(SGD_F32, 0x80000000, "-0");
    assert_text(SGD_F32, 0x3DCCCCCD, "0.100000001");
    assert_text(SGD_F64, 0x3FB999999999999A, "0.10000000000000001");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_bit_is_a_difference),
        cmocka_unit_test(zeros_of_both_signs_differ),
        cmocka_unit_test(nan_payload_counts_where_the_contract_states_it),
        cmocka_unit_test(nan_never_equals_infinity_or_a_number),
        cmocka_unit_test(masked_elements_are_left_out_and_counted),
        cmocka_unit_test(values_read_as_decimals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
