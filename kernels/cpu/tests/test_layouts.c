/* test_layouts.c - segments of rows, chunks and tails, and copies between layouts against an element-by-element walk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "segments.h"

/* ---- segments ------------------------------------------------------------------------------------------------------- */

static segmenting segments_of(sgd_contract contract, uint32_t torch_threads, sgd_operand operand)
{
    sgd_arithmetic arithmetic = {.contract = contract, .path = SGD_FOREACH, .torch_threads = torch_threads};
    return segmenting_of(&arithmetic, operand.dtype, operand.inner, operand.row, operand.numel);
}

static void check_segment(segmenting segmenting, sgd_operation operation, size_t at, size_t end, rounding rounding)
{
    segment found = segment_of(segmenting, operation, at);
    if (found.end != end || found.rounding != rounding)
        fail_msg("element %zu: up to %zu with rounding %d, not %zu with %d", at, found.end, found.rounding, end, rounding);
}

static void a_chunk_ends_in_a_tail_of_its_own(void **state)
{
    (void)state;
    segmenting s = segments_of(SGD_TORCH_2_13_CPU_FMA, 2, (sgd_operand){.dtype = SGD_F16, .numel = 65543});
    check_segment(s, SGD_OP_AXPY, 0, 32768, FMA_BODY);
    check_segment(s, SGD_OP_AXPY, 32768, 32772, FMA_TAIL);
    check_segment(s, SGD_OP_AXPY, 32772, 65540, FMA_BODY);
    check_segment(s, SGD_OP_AXPY, 65542, 65543, FMA_TAIL);
    s = segments_of(SGD_TORCH_2_13_CPU_BASE, 2, (sgd_operand){.dtype = SGD_BF16, .numel = 32767});
    check_segment(s, SGD_OP_AXPY, 0, 32736, BASE_BODY);
    check_segment(s, SGD_OP_AXPY, 32736, 32767, BASE_TAIL);
    s = segments_of(SGD_TORCH_2_13_CPU_FMA, 2, (sgd_operand){.dtype = SGD_F32, .numel = 65543});
    check_segment(s, SGD_OP_AXPY, 0, 65543, FMA_BODY);
}

static void a_chunk_cuts_the_row_that_it_ends_in(void **state)
{
    (void)state;
    /* 599 rows of 70: two threads take 20965 elements each, 299 rows and a half. */
    segmenting s = segments_of(SGD_TORCH_2_13_CPU_FMA, 2, (sgd_operand){.dtype = SGD_F16, .numel = 41930, .row = 70});
    check_segment(s, SGD_OP_AXPY, 64, 70, FMA_TAIL);
    check_segment(s, SGD_OP_AXPY, 70, 134, FMA_BODY);
    check_segment(s, SGD_OP_AXPY, 20930, 20962, FMA_BODY); /* row 299 is cut at 20965 */
    check_segment(s, SGD_OP_AXPY, 20962, 20965, FMA_TAIL);
    check_segment(s, SGD_OP_AXPY, 20965, 20997, FMA_BODY);
    check_segment(s, SGD_OP_AXPY, 20997, 21000, FMA_TAIL);
    check_segment(s, SGD_OP_AXPY, 21000, 21064, FMA_BODY);
}

static void strides_that_forbid_vectors_make_all_tail(void **state)
{
    (void)state;
    sgd_operand operand = {.dtype = SGD_BF16, .inner = SGD_INNER_STRIDED, .numel = 640, .row = 64};
    check_segment(segments_of(SGD_TORCH_2_13_CPU_FMA, 1, operand), SGD_OP_AXPY, 0, 640, FMA_TAIL);
    operand.dtype = SGD_C128;
    check_segment(segments_of(SGD_TORCH_2_13_CPU_FMA, 1, operand), SGD_OP_NEGATE, 0, 640, FMA_TAIL);
}

/* What is fused in c64 tails depends on the operation, the strides and the tail's length. */
static void c64_tails_have_groups(void **state)
{
    (void)state;
    segmenting s = segments_of(SGD_TORCH_2_13_CPU_FMA, 1, (sgd_operand){.dtype = SGD_C64, .numel = 15});
    check_segment(s, SGD_OP_AXPY, 0, 8, FMA_BODY);
    check_segment(s, SGD_OP_AXPY, 8, 12, FMA_TAIL);
    check_segment(s, SGD_OP_AXPY, 12, 15, BASE_TAIL);
    check_segment(s, SGD_OP_SCALE, 8, 9, BASE_TAIL);
    check_segment(s, SGD_OP_SCALE, 9, 13, FMA_TAIL);
    check_segment(s, SGD_OP_SCALE, 13, 15, BASE_TAIL);
    check_segment(s, SGD_OP_ADDCMUL, 8, 15, BASE_TAIL);
    s = segments_of(SGD_TORCH_2_13_CPU_FMA, 1, (sgd_operand){.dtype = SGD_C64, .numel = 12});
    check_segment(s, SGD_OP_AXPY, 8, 12, FMA_TAIL);
    check_segment(s, SGD_OP_SCALE, 8, 12, BASE_TAIL);
    sgd_operand strided = {.dtype = SGD_C64, .inner = SGD_INNER_STRIDED, .numel = 14, .row = 7};
    check_segment(segments_of(SGD_TORCH_2_13_CPU_FMA, 1, strided), SGD_OP_AXPY, 0, 6, FMA_TAIL);
    check_segment(segments_of(SGD_TORCH_2_13_CPU_FMA, 1, strided), SGD_OP_AXPY, 6, 7, BASE_TAIL);
    strided.inner = SGD_INNER_STRIDED_IN_PLACE;
    check_segment(segments_of(SGD_TORCH_2_13_CPU_FMA, 1, strided), SGD_OP_AXPY, 0, 7, BASE_TAIL);
    strided.inner = SGD_INNER_CONTIGUOUS;
    check_segment(segments_of(SGD_TORCH_2_13_CPU_BASE, 1, strided), SGD_OP_AXPY, 0, 14, BASE_BODY);
}

static void an_expanded_gradient_is_not_fused_in_blocks_of_its_tail(void **state)
{
    (void)state;
    sgd_operand operand = {.dtype = SGD_F32, .inner = SGD_INNER_BROADCAST_OTHER, .numel = 27};
    segmenting s = segments_of(SGD_TORCH_2_13_CPU_FMA, 1, operand);
    check_segment(s, SGD_OP_AXPY, 0, 16, FMA_BODY);
    check_segment(s, SGD_OP_AXPY, 16, 17, FMA_TAIL);
    check_segment(s, SGD_OP_AXPY, 17, 25, BASE_TAIL);
    check_segment(s, SGD_OP_AXPY, 25, 27, FMA_TAIL);
    operand.dtype = SGD_F64;
    check_segment(segments_of(SGD_TORCH_2_13_CPU_FMA, 1, operand), SGD_OP_AXPY, 25, 27, BASE_TAIL);
    operand.inner = SGD_INNER_BROADCAST;
    check_segment(segments_of(SGD_TORCH_2_13_CPU_FMA, 1, operand), SGD_OP_AXPY, 0, 27, FMA_BODY);
}

/* ---- copies ---------------------------------------------------------------------------------------------------------- */

#define STORAGE 4096
#define DIMS 5

static uint32_t random_below(uint32_t limit)
{
    static uint64_t random = 1;
    random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(random >> 33) % limit;
}

/* Strides without overlap: dimensions in random order, with gaps between them now and then. */
static int64_t make_strides(int32_t ndim, const int64_t *shape, int64_t *strides)
{
    int32_t order[DIMS];
    int64_t step = 1;
    for (int32_t d = 0; d < ndim; d++) {
        int32_t place = (int32_t)random_below((uint32_t)d + 1);
        order[d] = order[place];
        order[place] = d;
    }
    bool plain = random_below(3) == 0;
    for (int32_t k = 0; k < ndim; k++) {
        int32_t d = plain ? ndim - 1 - k : order[k];
        step *= random_below(4) == 0 ? 2 : 1;
        strides[d] = step;
        step *= shape[d];
    }
    return step;
}

static void copy_one_by_one(size_t size, int32_t ndim, const int64_t *shape, char *out, const int64_t *out_strides,
                            const char *in, const int64_t *in_strides)
{
    if (ndim == 0) {
        memcpy(out, in, size);
        return;
    }
    for (int64_t i = 0; i < shape[0]; i++)
        copy_one_by_one(size, ndim - 1, shape + 1, out + i * out_strides[0] * (int64_t)size, out_strides + 1,
                        in + i * in_strides[0] * (int64_t)size, in_strides + 1);
}

static void check_copy(size_t size, unsigned trial)
{
    static char in[STORAGE * 16], expected[STORAGE * 16], actual[STORAGE * 16];
    int64_t shape[DIMS], out_strides[DIMS], in_strides[DIMS], first = 0;
    int32_t ndim = (int32_t)random_below(DIMS + 1);
    for (int32_t d = 0; d < ndim; d++)
        shape[d] = random_below(12) ? 1 + random_below(ndim > 3 ? 3 : 9) : random_below(ndim > 2 ? 2 : 20);
    if (make_strides(ndim, shape, out_strides) > STORAGE || make_strides(ndim, shape, in_strides) > STORAGE)
        return;
    for (int32_t d = 0; d < ndim; d++) {
        if (random_below(6) == 0)
            in_strides[d] = 0;
        if (random_below(6) == 0 && shape[d]) { /* walked backwards from its end */
            first += (shape[d] - 1) * in_strides[d];
            in_strides[d] = -in_strides[d];
        }
    }
    memset(expected, 0x5A, sizeof expected);
    memset(actual, 0x5A, sizeof actual);
    for (size_t i = 0; i < sizeof in; i++)
        in[i] = (char)random_below(256);
    copy_one_by_one(size, ndim, shape, expected, out_strides, in + first * (int64_t)size, in_strides);
    assert_int_equal(copy_strided(size, ndim, shape, actual, out_strides, in + first * (int64_t)size, in_strides), SGD_OK);
    if (memcmp(expected, actual, sizeof expected) != 0)
        fail_msg("%zu bytes an element, %d dimensions, trial %u", size, (int)ndim, trial);
}

static void copies_go_to_other_elements_or_beyond(void **state)
{
    (void)state;
    for (unsigned trial = 0; trial < 800; trial++)
        for (size_t size = 2; size <= 16; size *= 2)
            check_copy(size, trial);
}

/* Planes that the tensors walk the other way round, from less than a square of the vectors' to several tiles. */
static void an_edge_of_a_plane_is_left_out(void **state)
{
    (void)state;
    enum { SIDE = 70 };
    static char in[SIDE * SIDE * 16], expected[sizeof in], actual[sizeof in];
    for (size_t i = 0; i < sizeof in; i++)
        in[i] = (char)random_below(256);
    for (unsigned trial = 0; trial < 400; trial++) {
        const int64_t shape[] = {1 + random_below(SIDE), 1 + random_below(SIDE)};
        const int64_t rows[] = {SIDE, 1}, columns[] = {1, trial % 2 ? SIDE : shape[0]};
        const int64_t *out = trial % 4 < 2 ? rows : columns, *from = trial % 4 < 2 ? columns : rows;
        size_t size = (size_t)2 << trial / 4 % 4;
        memset(expected, 0x5A, sizeof expected);
        memset(actual, 0x5A, sizeof actual);
        copy_one_by_one(size, 2, shape, expected, out, in, from);
        assert_int_equal(copy_strided(size, 2, shape, actual, out, in, from), SGD_OK);
        if (memcmp(expected, actual, sizeof expected) != 0)
            fail_msg("%zu bytes an element, %d x %d, trial %u", size, (int)shape[0], (int)shape[1], trial);
    }
}

static void an_element_of_another_size_is_refused(void **state)
{
    (void)state;
    char out = 1, in = 2;
    assert_int_equal(copy_strided(1, 0, NULL, &out, NULL, &in, NULL), SGD_ERROR_UNSUPPORTED);
    assert_int_equal(out, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chunk_ends_in_a_tail_of_its_own),
        cmocka_unit_test(a_chunk_cuts_the_row_that_it_ends_in),
        cmocka_unit_test(strides_that_forbid_vectors_make_all_tail),
        cmocka_unit_test(c64_tails_have_groups),
        cmocka_unit_test(an_expanded_gradient_is_not_fused_in_blocks_of_its_tail),
        cmocka_unit_test(copies_go_to_other_elements_or_beyond),
        cmocka_unit_test(an_edge_of_a_plane_is_left_out),
        cmocka_unit_test(an_element_of_another_size_is_refused),
    };
    return cmocka_run_group_tests_name("layouts", tests, NULL, NULL);
}
