/* test_layout.c - elements that come back in another order, or a gap that is taken for an element. */
#include <string.h>

#include "cmocka_test.h"
#include "layout.h"

static const int64_t shape[] = {2, 3}, rows[] = {3, 1}, columns[] = {1, 2}, gaps[] = {8, 2}, first_row[] = {0, 1};
static const uint16_t elements[] = {1, 2, 3, 4, 5, 6};

static case_layout with(const int64_t *strides, size_t offset) { return (case_layout){2, shape, strides, offset}; }

static void assert_memory(case_layout layout, size_t room, const uint16_t *wanted)
{
    uint16_t memory[16] = {0}, back[6];
    assert_int_equal(layout_room(&layout), room);
    layout_scatter(&layout, sizeof *memory, elements, (unsigned char *)memory);
    assert_memory_equal(memory, wanted, room * sizeof *memory);
    layout_gather(&layout, sizeof *memory, (const unsigned char *)memory, back);
    if (layout.strides[0])
        assert_memory_equal(back, elements, sizeof back);
    layout_blank(&layout, sizeof *memory, 0, (unsigned char *)memory);
    for (size_t i = 0; i < 16; i++)
        assert_int_equal(memory[i], 0);
}

static void elements_go_to_their_places_and_back(void **state)
{
    (void)state;
    assert_memory(with(rows, 0), 6, elements);
    assert_memory(with(columns, 0), 6, (const uint16_t[]){1, 4, 2, 5, 3, 6});
    assert_memory(with(gaps, 1), 14, (const uint16_t[]){0, 1, 0, 2, 0, 3, 0, 0, 0, 4, 0, 5, 0, 6});
    assert_memory(with(first_row, 0), 3, (const uint16_t[]){4, 5, 6}); /* the last row that was put there */
}

static void only_row_major_order_is_plain(void **state)
{
    (void)state;
    static const int64_t ones[] = {1, 3, 1}, odd[] = {77, 1, 5}, nothing[] = {0, 3};
    case_layout layouts[] = {with(rows, 0), with(columns, 0), with(gaps, 0), with(rows, 1)};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(layout_is_plain(&layouts[i]), i == 0);
    assert_true(layout_is_plain(&(case_layout){3, ones, odd, 0}));
    assert_true(layout_is_plain(&(case_layout){0, NULL, NULL, 0}));
    assert_true(layout_is_plain(&(case_layout){2, nothing, columns, 0}));
    assert_int_equal(layout_room(&(case_layout){2, nothing, columns, 2}), 2);
    assert_int_equal(layout_room(&(case_layout){0, NULL, NULL, 2}), 3);
}

static void a_layout_of_no_dimension_has_one_element(void **state)
{
    (void)state;
    case_layout layout = {0, NULL, NULL, 2};
    uint16_t memory[4] = {0}, back = 0;
    layout_scatter(&layout, sizeof *memory, elements, (unsigned char *)memory);
    assert_memory_equal(memory, ((const uint16_t[]){0, 0, 1, 0}), sizeof memory);
    layout_gather(&layout, sizeof *memory, (const unsigned char *)memory, &back);
    assert_int_equal(back, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(elements_go_to_their_places_and_back),
                                       cmocka_unit_test(only_row_major_order_is_plain),
                                       cmocka_unit_test(a_layout_of_no_dimension_has_one_element)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
