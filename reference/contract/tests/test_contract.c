/* test_contract.c - the rule tables are whole: every cell has its rules, no two of them compete, every text parses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "oracle.h"

static unsigned matches(const sgd_rulebook *book, int contract, int path, int dtype, int segment, int stage)
{
    unsigned count = 0;
    for (const sgd_rule *rule = book->rules; rule < book->rules + book->rule_count; rule++)
        count += rule->contracts >> contract & 1 && rule->paths >> path & 1 && rule->dtypes >> dtype & 1 &&
                 (rule->segment == SGD_SEGMENT_ANY || (int)rule->segment == segment) && (int)rule->stage == stage;
    return count;
}

/* Stages that a cell cannot do without: the addcmul forms are the for-loop's, unscaling is fused's; NEGATE_DECAY, STORE and
 * STORE_GRAD exist in some cells only; SCALE stands alone for complex dtypes only. */
static bool needed(int path, int dtype, int stage)
{
    switch (stage) {
    case SGD_STAGE_NEGATE_DECAY:
    case SGD_STAGE_STORE:
    case SGD_STAGE_STORE_GRAD: return false;
    case SGD_STAGE_UNSCALE: return path == SGD_FUSED;
    case SGD_STAGE_SCALE: return dtype == SGD_C64 || dtype == SGD_C128;
    case SGD_STAGE_DECAY_ADDCMUL:
    case SGD_STAGE_PARAM_ADDCMUL: return path == SGD_FORLOOP;
    default: return true;
    }
}

static void every_cell_has_exactly_one_rule_per_stage(void **state)
{
    (void)state;
    const sgd_rulebook *book = sgd_rulebook_torch();
    for (int contract = 0; contract < SGD_CONTRACT_COUNT; contract++)
        for (int path = 0; path < SGD_PATH_COUNT; path++)
            for (int dtype = 0; dtype < SGD_DTYPE_COUNT; dtype++)
                for (int segment = SGD_SEGMENT_BODY; segment <= SGD_SEGMENT_TAIL; segment++)
                    for (int stage = 0; stage < SGD_STAGE_COUNT; stage++) {
                        bool exists = sgd_rulebook_has(book, (sgd_contract)contract, (sgd_path)path, (sgd_dtype)dtype);
                        unsigned found = matches(book, contract, path, dtype, segment, stage);
                        if (found > 1 || (exists ? needed(path, dtype, stage) && found == 0 : found > 0))
                            fail_msg("%s/%s/%s %s %s: %u rules", sgd_contract_name((sgd_contract)contract),
                                     sgd_path_name((sgd_path)path), sgd_dtype_name((sgd_dtype)dtype),
                                     sgd_segment_name((sgd_segment)segment), sgd_stage_name((sgd_stage)stage), found);
                    }
}

static void every_cell_exists_but_fused_complex(void **state)
{
    (void)state;
    for (int contract = 0; contract < SGD_CONTRACT_COUNT; contract++)
        for (int path = 0; path < SGD_PATH_COUNT; path++)
            for (int dtype = 0; dtype < SGD_DTYPE_COUNT; dtype++)
                assert_int_equal(
                    sgd_rulebook_has(sgd_rulebook_torch(), (sgd_contract)contract, (sgd_path)path, (sgd_dtype)dtype),
                    path != SGD_FUSED || dtype <= SGD_BF16);
}

/* A group without a rule would leave its elements as they were. */
static void every_group_has_exactly_one_rule(void **state)
{
    (void)state;
    const sgd_rulebook *book = sgd_rulebook_torch();
    for (const sgd_tail_group *group = book->groups; group < book->groups + book->group_count; group++)
        for (int contract = 0; contract < SGD_CONTRACT_COUNT; contract++)
            for (int dtype = 0; dtype < SGD_DTYPE_COUNT; dtype++)
                for (int stage = 0; stage < SGD_STAGE_COUNT; stage++)
                    for (int path = SGD_FORLOOP; path <= SGD_FOREACH; path++)
                        if (group->contracts >> contract & group->dtypes >> dtype & group->stages >> stage & 1)
                            assert_int_equal(matches(book, contract, path, dtype, SGD_SEGMENT_GROUP, stage), 1);
}

static void groups_end_where_they_say(void **state)
{
    (void)state;
    const sgd_rulebook *book = sgd_rulebook_torch();
    const sgd_tail_group *group =
        sgd_rulebook_group(book, SGD_TORCH_2_13_CPU_FMA, SGD_C64, SGD_STAGE_DECAY, SGD_INNER_CONTIGUOUS);
    assert_int_equal(sgd_tail_group_end(group, 3), 0);
    assert_int_equal(sgd_tail_group_end(group, 7), 4);
    group = sgd_rulebook_group(book, SGD_TORCH_2_13_CPU_FMA, SGD_F32, SGD_STAGE_PARAM, SGD_INNER_BROADCAST_OTHER);
    assert_int_equal(sgd_tail_group_end(group, 0), 1);
    assert_int_equal(sgd_tail_group_end(group, 4), 1);
    assert_int_equal(sgd_tail_group_end(group, 12), 9);
    group = sgd_rulebook_group(book, SGD_TORCH_2_13_CPU_FMA, SGD_C64, SGD_STAGE_DECAY, SGD_INNER_STRIDED);
    assert_int_equal(sgd_tail_group_end(group, 1), 0);
    assert_int_equal(sgd_tail_group_end(group, 101), 100);
    assert_null(sgd_rulebook_group(book, SGD_TORCH_2_13_CPU_FMA, SGD_C64, SGD_STAGE_PARAM, SGD_INNER_STRIDED_IN_PLACE));
    assert_null(sgd_rulebook_group(book, SGD_TORCH_2_13_CPU_BASE, SGD_C64, SGD_STAGE_DECAY, SGD_INNER_STRIDED));
    assert_null(sgd_rulebook_group(book, SGD_TORCH_2_13_CPU_FMA, SGD_C128, SGD_STAGE_DECAY, SGD_INNER_STRIDED));
}

static void every_16_bit_cell_says_what_becomes_of_a_nan(void **state)
{
    (void)state;
    const sgd_rulebook *book = sgd_rulebook_torch();
    for (int contract = 0; contract < SGD_CONTRACT_COUNT; contract++)
        for (int dtype = SGD_F16; dtype <= SGD_BF16; dtype++)
            for (int segment = SGD_SEGMENT_BODY; segment <= SGD_SEGMENT_TAIL; segment++)
                assert_non_null(sgd_rulebook_narrowing(book, (sgd_contract)contract, (sgd_dtype)dtype,
                                                       (sgd_segment)segment));
}

static void nan_payloads_are_promised_where_they_were_measured(void **state)
{
    (void)state;
    const sgd_rulebook *book = sgd_rulebook_torch();
    for (int path = 0; path < SGD_PATH_COUNT; path++)
        for (int dtype = SGD_F64; dtype <= SGD_BF16; dtype++) {
            assert_int_equal(sgd_rulebook_nan(book, SGD_TORCH_2_13_CPU_FMA, path, dtype), SGD_NAN_EXACT);
            bool open = path == SGD_FUSED && dtype != SGD_BF16; /* R makes one constant of every bf16 NaN */
            assert_int_equal(sgd_rulebook_nan(book, SGD_TORCH_2_13_CPU_BASE, path, dtype),
                             open ? SGD_NAN_CLASS : SGD_NAN_EXACT);
        }
}

static void names_read_back_as_what_they_name(void **state)
{
    (void)state;
    for (int i = 0; i < SGD_DTYPE_COUNT; i++) {
        sgd_dtype dtype;
        assert_true(sgd_dtype_parse(sgd_dtype_name((sgd_dtype)i), &dtype));
        assert_int_equal(dtype, i);
        assert_true(sgd_dtype_size(dtype) >= 2);
    }
    for (int i = 0; i < SGD_PATH_COUNT; i++) {
        sgd_path path;
        assert_true(sgd_path_parse(sgd_path_name((sgd_path)i), &path));
        assert_int_equal(path, i);
    }
    for (int i = 0; i < SGD_CONTRACT_COUNT; i++) {
        sgd_contract contract;
        assert_true(sgd_contract_parse(sgd_contract_name((sgd_contract)i), &contract));
        assert_int_equal(contract, i);
    }
    sgd_dtype untouched = SGD_BF16;
    assert_false(sgd_dtype_parse("f8", &untouched));
    assert_false(sgd_dtype_parse(NULL, &untouched));
    assert_int_equal(untouched, SGD_BF16);
    assert_null(sgd_dtype_name((sgd_dtype)99));
    assert_null(sgd_path_name((sgd_path)99));
    assert_null(sgd_contract_name((sgd_contract)99));
    assert_int_equal(sgd_dtype_size((sgd_dtype)99), 0);
}

static void every_rule_parses(void **state)
{
    (void)state;
    char message[128] = "";
    sgd_oracle *oracle = sgd_oracle_create(sgd_rulebook_torch(), message, sizeof message);
    assert_string_equal(message, "");
    assert_non_null(oracle);
    sgd_oracle_destroy(oracle);
}

static void a_rule_that_is_not_of_the_language_is_named(void **state)
{
    (void)state;
    static const char *const broken[] = {"",           "g",           "g =",          "x = g",          "g = fma(p, wd)",
                                         "g = add(p,", "g = add(p b)", "g = mul(p, m17)", "g = sqrt(g)", "g = g g", "g = x.re", "g = vmul(p)"};
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        sgd_rule rule = {1, 1, 1, SGD_SEGMENT_ANY, SGD_STAGE_DECAY, SGD_NAN_EXACT, broken[i]};
        sgd_rulebook book = {.rules = &rule, .rule_count = 1};
        char message[128] = "";
        assert_null(sgd_oracle_create(&book, message, sizeof message));
        assert_non_null(strstr(message, "does not parse"));
    }
    sgd_product product = {"vmul", {"mul(x.re, y.re)", "mul(x.re, p)"}};
    sgd_rulebook book = {.products = &product, .product_count = 1};
    char message[128] = "";
    assert_null(sgd_oracle_create(&book, message, sizeof message));
    assert_string_equal(message, "product vmul does not parse: mul(x.re, y.re); mul(x.re, p)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_cell_has_exactly_one_rule_per_stage),
        cmocka_unit_test(every_cell_exists_but_fused_complex),
        cmocka_unit_test(every_group_has_exactly_one_rule),
        cmocka_unit_test(groups_end_where_they_say),
        cmocka_unit_test(every_16_bit_cell_says_what_becomes_of_a_nan),
        cmocka_unit_test(nan_payloads_are_promised_where_they_were_measured),
        cmocka_unit_test(names_read_back_as_what_they_name),
        cmocka_unit_test(every_rule_parses),
        cmocka_unit_test(a_rule_that_is_not_of_the_language_is_named),
    };
    return cmocka_run_group_tests_name("contract", tests, NULL, NULL);
}
