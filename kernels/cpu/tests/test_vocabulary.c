/* test_vocabulary.c - the plain C vocabulary: software FMA against libm's, 16-bit conversions at every midpoint, scalars. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "random_bits.h"
#include "vocabulary_lanes.h"
#include "vocabulary_scalar.h"

/* Bit patterns with runs of equal bits and exponents near each other: where roundings tie and sums cancel. */
static uint64_t telling_bits(uint64_t mantissa_bits, uint64_t bias)
{
    uint64_t z = random_bits(), mantissa = random_bits() & ((UINT64_C(1) << mantissa_bits) - 1);
    if (z & 1)
        mantissa &= ~UINT64_C(0) << (z >> 8) % mantissa_bits;
    if (z & 2)
        mantissa |= (UINT64_C(1) << (z >> 16) % 8) - 1;
    uint64_t exponent = z & 4 ? random_bits() % (2 * bias + 2) : bias - 3 + (z >> 24) % 6;
    return (z >> 63) << (mantissa_bits == 52 ? 63 : 31) | exponent << mantissa_bits | mantissa;
}

static void check_fma_f64(double x, double y, double z)
{
    double expected = fma(x, y, z), actual = soft_fma_f64(x, y, z);
    if (isnan(expected) ? !isnan(actual) : bits_w64(expected) != bits_w64(actual))
        fail_msg("fma(%a, %a, %a) = %a, software %a", x, y, z, expected, actual);
    /* The quick form, of any values that a step may come to in a plain block. */
    double least = 0x1p-400, most = 0x1p400;
    if ((x != 0 && !(fabs(x) >= least && fabs(x) < most)) || (y != 0 && !(fabs(y) >= least && fabs(y) < most)) ||
        (z != 0 && !(fabs(z) >= least && fabs(z) < most)))
        return;
    actual = fma_lanes64(broadcast_lanes64(x), broadcast_lanes64(y), broadcast_lanes64(z))[1];
    if (bits_w64(expected) != bits_w64(actual))
        fail_msg("fma(%a, %a, %a) = %a, quick %a", x, y, z, expected, actual);
}

/* That the quick form takes a number for what the careful one does, if not for another NaN. */
static void check_quick_16(float x)
{
    words16 f16 = narrow_quick_f16(FMA_TAIL, broadcast_lanes32(x)), bf16 = narrow_quick_bf16(FMA_TAIL, broadcast_lanes32(x));
    float rounded = round_quick_f16(FMA_TAIL, broadcast_lanes32(x))[1], expected = round_f16(FMA_TAIL, x);
    assert_true(bits_w32(rounded) == bits_w32(expected) || (isnan(rounded) && !isfinite(expected)));
    if (isnan(x)) {
        assert_true(isnan(rounded) && isnan(widen_f16(f16[0])) && isnan(widen_bf16(bf16[0])));
    } else {
        assert_int_equal(f16[3], narrow_f16(FMA_TAIL, x));
        assert_int_equal(bf16[3], narrow_bf16(FMA_TAIL, x));
    }
}

static void quick_16_bit_conversions_are_the_careful_ones(void **state)
{
    (void)state;
    for (uint32_t bits = 0; bits <= UINT16_MAX; bits++) {
        words16 x = {0, 0, (uint16_t)bits, 0};
        float f16 = widen_quick_f16(x)[2], bf16 = widen_quick_bf16(x)[2], expected = widen_f16((uint16_t)bits);
        assert_true(isnan(expected) ? isnan(f16) : bits_w32(expected) == bits_w32(f16));
        assert_int_equal(bits_w32(bf16), bits << 16);
    }
    random_state = 3;
    for (uint64_t upper = 0; upper < UINT64_C(1) << 32; upper += 4096) /* where each of the formats rounds, and between */
        for (int below = -1; below <= 1; below++)
            check_quick_16(of_bits_w32((uint32_t)upper + (uint32_t)below));
    for (int i = 0; i < 1000000; i++)
        check_quick_16(of_bits_w32((uint32_t)telling_bits(23, 127)));
}

static void check_fma_f32(float x, float y, float z)
{
    float expected = fmaf(x, y, z), actual = soft_fma_f32(x, y, z);
    if (isnan(expected) ? !isnan(actual) : bits_w32(expected) != bits_w32(actual))
        fail_msg("fmaf(%a, %a, %a) = %a, software %a", (double)x, (double)y, (double)z, (double)expected,
                 (double)actual);
    /* The quick form, in each lane beside others; it may give NaN for an infinity. */
    static int lane;
    lane = (lane + 1) % LANES_lanes32;
    lanes32 xs = broadcast_lanes32(1.5), ys = broadcast_lanes32(INFINITY), zs = broadcast_lanes32(-1e-45);
    xs[lane] = x;
    ys[lane] = y;
    zs[lane] = z;
    actual = fma_lanes32(xs, ys, zs)[lane];
    if (isnan(expected) || (isinf(expected) && isnan(actual)) ? !isnan(actual) : bits_w32(expected) != bits_w32(actual))
        fail_msg("fmaf(%a, %a, %a) = %a, quick %a", (double)x, (double)y, (double)z, (double)expected, (double)actual);
}

static const double edges[] = {0.0,     -0.0,    1.0,      -1.0,        0x1p-1074, -0x1p-1074, 0x1p-1022, 0x1.fffffffffffffp1023,
                               INFINITY, -INFINITY, 0x1p-537, 0x1.8p-538, 0x1p1023,  -0x1p1023,  0x1.0000000000001p0, 3.0};

static void software_fma_f64_rounds_once(void **state)
{
    (void)state;
    size_t count = sizeof edges / sizeof edges[0];
    for (size_t i = 0; i < count * count * count; i++)
        check_fma_f64(edges[i % count], edges[i / count % count], edges[i / count / count]);
    random_state = 1;
    for (int i = 0; i < 1000000; i++) {
        double x = of_bits_w64(telling_bits(52, 1023)), y = of_bits_w64(telling_bits(52, 1023));
        check_fma_f64(x, y, of_bits_w64(telling_bits(52, 1023)));
        check_fma_f64(x, y, -(x * y));               /* only the product's error is left */
        check_fma_f64(x, y, ldexp(x * y, 52));       /* the product ends at half a unit */
        check_fma_f64(ldexp(x, -540), y, 0x1p-1050); /* subnormal results */
    }
}

/* The edges of f64 as those of f32, of which the smallest and the largest have other exponents. */
static float edge_f32(size_t i)
{
    double edge = edges[i % (sizeof edges / sizeof edges[0])];
    return (float)(fabs(edge) < 1 ? ldexp(edge, 900) * 0x1p25 : fabs(edge) > 4 ? ldexp(edge, -896) : edge);
}

static void software_fma_f32_rounds_once(void **state)
{
    (void)state;
    size_t count = sizeof edges / sizeof edges[0];
    for (size_t i = 0; i < count * count * count; i++)
        check_fma_f32(edge_f32(i), edge_f32(i / count), edge_f32(i / count / count));
    random_state = 2;
    for (int i = 0; i < 1000000; i++) {
        float x = of_bits_w32((uint32_t)telling_bits(23, 127)), y = of_bits_w32((uint32_t)telling_bits(23, 127));
        check_fma_f32(x, y, of_bits_w32((uint32_t)telling_bits(23, 127)));
        check_fma_f32(x, y, -(x * y));
        check_fma_f32(x, y, ldexpf(x * y, 23));
        check_fma_f32(ldexpf(x, -70), y, 0x1p-140f);
    }
}

static void narrowing_rounds_to_nearest_even_at_every_midpoint(void **state)
{
    (void)state;
    for (uint32_t low = 0; low + 1 < 0x7C00; low++) {
        float middle = (float)(((double)widen_f16((uint16_t)low) + (double)widen_f16((uint16_t)(low + 1))) / 2);
        assert_int_equal(narrow_f16(FMA_BODY, widen_f16((uint16_t)low)), low);
        assert_int_equal(narrow_f16(FMA_BODY, middle), low + (low & 1));
        assert_int_equal(narrow_f16(FMA_BODY, nextafterf(middle, 0)), low);
        assert_int_equal(narrow_f16(BASE_TAIL, -nextafterf(middle, INFINITY)), 0x8000 | (low + 1));
    }
    for (uint32_t low = 0; low + 1 < 0x7F80; low++) {
        float middle = of_bits_w32(low << 16 | 0x8000);
        assert_int_equal(narrow_bf16(FMA_BODY, widen_bf16((uint16_t)low)), low);
        assert_int_equal(narrow_bf16(FMA_BODY, middle), low + (low & 1));
        assert_int_equal(narrow_bf16(FMA_TAIL, of_bits_w32(low << 16 | 0x7FFF)), low);
        assert_int_equal(narrow_bf16(BASE_TAIL, of_bits_w32(low << 16 | 0x8001)), low + 1);
    }
    assert_int_equal(narrow_f16(FMA_BODY, 65520.0f), 0x7C00);
    assert_int_equal(narrow_f16(FMA_BODY, nextafterf(65520.0f, 0)), 0x7BFF);
}

static void sixteen_bit_nans_survive_where_they_should(void **state)
{
    (void)state;
    for (uint32_t nan = 0x7C01; nan < 0x8000; nan++) {
        assert_int_equal(pack_f16(widen_f16((uint16_t)nan)), nan | 0x0200);
        assert_int_equal(narrow_f16(BASE_BODY, widen_f16((uint16_t)(nan | 0x8000))), 0xFE00);
    }
    assert_int_equal(narrow_bf16(FMA_BODY, NAN), 0xFFFF);
    assert_int_equal(narrow_bf16(FMA_TAIL, NAN), 0x7FC0);
}

static void alpha_rounds_twice_on_its_way_to_f16(void **state)
{
    (void)state;
    double value = 1 + 0x1p-11 + 0x1p-40; /* above the tie as a double, on it as a float */
    assert_true(scalar_for_axpy(SGD_F16, value) == 1.0);
    assert_true(scalar_for_axpy(SGD_F64, value) == value);
    assert_true(scalar_for_scale(SGD_FORLOOP, SGD_F16, value) == (double)(float)value);
    assert_true(scalar_for_scale(SGD_FOREACH, SGD_F16, value) == 1.0);
}

static void one_minus_dampening_is_subtracted_in_double(void **state)
{
    (void)state;
    sgd_hyper hyper = {.dampening = 0.9, .momentum = 0.9};
    step_scalars scalars = scalars_for_step(SGD_FORLOOP, &hyper, SGD_F32);
    assert_true(scalars.one_minus_dampening == (double)(float)(1 - 0.9));
    assert_true(scalars.one_minus_dampening != (double)(1 - (float)0.9)); /* 0.9 is a value that tells */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(software_fma_f64_rounds_once),
        cmocka_unit_test(software_fma_f32_rounds_once),
        cmocka_unit_test(narrowing_rounds_to_nearest_even_at_every_midpoint),
        cmocka_unit_test(quick_16_bit_conversions_are_the_careful_ones),
        cmocka_unit_test(sixteen_bit_nans_survive_where_they_should),
        cmocka_unit_test(alpha_rounds_twice_on_its_way_to_f16),
        cmocka_unit_test(one_minus_dampening_is_subtracted_in_double),
    };
    return cmocka_run_group_tests_name("vocabulary", tests, NULL, NULL);
}
