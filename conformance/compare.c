/* compare.c - see compare.h. */
#include "compare.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "oracle.h"

/* Widths of the fields, as IEEE 754 (and bfloat16) have them. */
typedef struct format {
    int exponent, mantissa, digits;
} format;

static const format format_of[SGD_DTYPE_COUNT] = {
    [SGD_F64] = {11, 52, 17}, [SGD_F32] = {8, 23, 9}, [SGD_F16] = {5, 10, 5}, [SGD_BF16] = {8, 7, 4}};

static uint64_t ones(int count) { return ((uint64_t)1 << count) - 1; }

static uint64_t exponent_field(format f, uint64_t bits) { return bits >> f.mantissa & ones(f.exponent); }

size_t dtype_parts(sgd_dtype dtype) { return dtype == SGD_C64 || dtype == SGD_C128 ? 2 : 1; }

sgd_dtype dtype_part(sgd_dtype dtype)
{
    return dtype == SGD_C64 ? SGD_F32 : dtype == SGD_C128 ? SGD_F64 : dtype;
}

uint64_t element_bits(sgd_dtype dtype, const void *elements, size_t index)
{
    switch (sgd_dtype_size(dtype)) {
    case 2: return ((const uint16_t *)elements)[index];
    case 4: return ((const uint32_t *)elements)[index];
    default: return ((const uint64_t *)elements)[index];
    }
}

bool bits_are_nan(sgd_dtype dtype, uint64_t bits)
{
    format f = format_of[dtype];
    return exponent_field(f, bits) == ones(f.exponent) && (bits & ones(f.mantissa));
}

static bool both_nan(sgd_dtype dtype, uint64_t a, uint64_t b) { return bits_are_nan(dtype, a) && bits_are_nan(dtype, b); }

/* One element's numbers, of real dtype `part`, of which the first is number `at`. */
static void compare_element(sgd_dtype part, size_t parts, size_t at, const void *expected, const void *actual, sgd_nan nan,
                            comparison *into)
{
    bool payload = false;
    for (size_t k = 0; k < parts; k++) {
        uint64_t wanted = element_bits(part, expected, at + k), got = element_bits(part, actual, at + k);
        if (wanted == got)
            continue;
        if (nan == SGD_NAN_CLASS && both_nan(part, wanted, got)) {
            payload = true;
            continue;
        }
        if (!into->different++) {
            into->first = at / parts;
            into->part = k;
        }
        return;
    }
    into->nan_payload += payload;
}

comparison compare_arrays(sgd_dtype dtype, size_t numel, const void *expected, const void *actual,
                          const uint8_t *undefined, sgd_nan nan)
{
    comparison result = {0};
    size_t parts = dtype_parts(dtype);
    if (!numel || (!undefined && memcmp(expected, actual, numel * sgd_dtype_size(dtype)) == 0))
        return result;
    for (size_t i = 0; i < numel; i++) {
        if (!undefined || !undefined[i])
            compare_element(dtype_part(dtype), parts, i * parts, expected, actual, nan, &result);
        else if (undefined[i] & SGD_UNDEFINED_CHANCE)
            result.masked_chance++;
        else
            result.masked_open_nan++;
    }
    return result;
}

/* The magnitude of finite bits. */
static double magnitude(format f, uint64_t bits)
{
    int bias = (int)ones(f.exponent - 1), exponent = (int)exponent_field(f, bits);
    uint64_t mantissa = bits & ones(f.mantissa);
    if (exponent)
        mantissa |= ones(f.mantissa) + 1;
    else
        exponent = 1;
    return ldexp((double)mantissa, exponent - bias - f.mantissa);
}

void element_text(sgd_dtype dtype, uint64_t bits, char *text)
{
    format f = format_of[dtype];
    const char *sign = bits >> (f.exponent + f.mantissa) & 1 ? "-" : "";
    if (bits_are_nan(dtype, bits))
        snprintf(text, ELEMENT_TEXT_SIZE, "%s%s", sign, bits >> (f.mantissa - 1) & 1 ? "NaN" : "signalling NaN");
    else if (exponent_field(f, bits) == ones(f.exponent))
        snprintf(text, ELEMENT_TEXT_SIZE, "%sinf", sign);
    else
        snprintf(text, ELEMENT_TEXT_SIZE, "%s%.*g", sign, f.digits, magnitude(f, bits));
}
