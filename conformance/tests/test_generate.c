/* test_generate.c - generated arrays and hashes are those of the format: expected values from NumPy and Python's xxhash. */
#include "cmocka_test.h"
#include "compare.h"
#include "generate.h"

static const struct {
    sgd_dtype dtype;
    uint64_t first[3], hash; /* seed 42; the hash over 1000 elements */
} known[] = {
    {SGD_F64, {0xc00732262feb6e95, 0x401fe333b266f103, 0x3f826757130f9f52}, 0xfd4aac5ff144911d},
    {SGD_F32, {0xc06b6e95, 0x40e6f103, 0x3c0f9f52}, 0x3c7a4e80aa4c2db9},
    {SGD_F16, {0xc295, 0x4503, 0x2352}, 0x4a1a9c5e30cde8c8},
    {SGD_BF16, {0xc015, 0x4083, 0x3c52}, 0x78c2f384e736ff5d},
};

static void generated_elements_are_the_formats(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof known / sizeof known[0]; k++) {
        uint64_t elements[1000];
        generate_array(known[k].dtype, 42, 1000, elements);
        for (size_t i = 0; i < 3; i++)
            assert_int_equal(element_bits(known[k].dtype, elements, i), known[k].first[i]);
    }
}

static void hashes_are_xxh3_over_the_bytes(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof known / sizeof known[0]; k++) {
        uint64_t elements[1000];
        generate_array(known[k].dtype, 42, 1000, elements);
        assert_int_equal(hash_array(known[k].dtype, 1000, elements), known[k].hash);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(generated_elements_are_the_formats),
                                       cmocka_unit_test(hashes_are_xxh3_over_the_bytes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
