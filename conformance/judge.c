/* judge.c - see judge.h. */
#include "judge.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "generate.h"

static void different(judgement *into, difference first)
{
    into->verdict = CONFORM_DIFFERENT;
    into->first = first;
}

void judge_failure(judgement *into, difference_kind kind, size_t step, size_t tensor, case_array array,
                   const char *message)
{
    if (into->verdict == CONFORM_DIFFERENT)
        return;
    difference first = {.kind = kind, .step = step, .tensor = tensor, .array = array};
    snprintf(first.message, sizeof first.message, "%s", message);
    different(into, first);
}

/* The segment of an element by the rules of its tensor's group. */
static sgd_segment segment_of(const judged *what, size_t tensor, size_t index)
{
    const case_data *data = what->data;
    size_t group = 0, end = data->file->group.tensor_count[data->group_begin];
    while (tensor >= end)
        end += data->file->group.tensor_count[data->group_begin + ++group];
    if (!case_is_flat(data, tensor))
        return SGD_SEGMENT_ANY;
    sgd_oracle_options options = case_oracle_options(data, group, 0, what->defects);
    return sgd_oracle_segment(data->oracle, &options, case_dtype(data, tensor), case_numel(data, tensor), index);
}

static void judge_elements(judgement *into, const judged *what, const expected_array *wanted, difference at,
                           const void *actual)
{
    comparison result = compare_arrays(at.dtype, at.numel, wanted->elements, actual, wanted->undefined,
                                       what->data->nan[at.tensor]);
    into->masked_chance += result.masked_chance;
    into->masked_open_nan += result.masked_open_nan;
    if (!result.different) {
        if (result.nan_payload)
            into->verdict = CONFORM_NAN_PAYLOAD;
        return;
    }
    at.kind = DIFFERENCE_BITS;
    at.count = result.different;
    at.index = result.first;
    at.part = result.part;
    at.segment = segment_of(what, at.tensor, at.index);
    size_t number = at.index * dtype_parts(at.dtype) + at.part;
    at.expected = element_bits(dtype_part(at.dtype), wanted->elements, number);
    at.actual = element_bits(dtype_part(at.dtype), actual, number);
    different(into, at);
}

/* "(64, 1)" */
static void strides_text(const int64_t *strides, int32_t count, char *text, size_t size)
{
    size_t used = (size_t)snprintf(text, size, "(");
    for (int32_t d = 0; d < count && used < size; d++)
        used += (size_t)snprintf(text + used, size - used, "%s%" PRId64, d ? ", " : "", strides[d]);
    if (used < size)
        snprintf(text + used, size - used, ")");
}

static void judge_strides(judgement *into, const case_layout *layout, difference at, const int64_t *wanted,
                          const int64_t *actual)
{
    char expected[64], got[64];
    if (!wanted || !actual || memcmp(wanted, actual, (size_t)layout->ndim * sizeof *wanted) == 0)
        return;
    strides_text(wanted, layout->ndim, expected, sizeof expected);
    strides_text(actual, layout->ndim, got, sizeof got);
    at.kind = DIFFERENCE_LAYOUT;
    snprintf(at.message, sizeof at.message, "expected %s, actual %s", expected, got);
    different(into, at);
}

void judge_array(judgement *into, const judged *what, const expectation *expected, size_t step, size_t tensor,
                 case_array array, actual_array actual)
{
    if (into->verdict == CONFORM_DIFFERENT)
        return;
    const expected_array *wanted = expected_at(expected, what->data, step, tensor, array);
    difference at = {.step = step,
                     .tensor = tensor,
                     .array = array,
                     .dtype = case_dtype(what->data, tensor),
                     .numel = case_numel(what->data, tensor)};
    if (wanted->exists != (actual.elements != NULL)) {
        at.kind = actual.elements ? DIFFERENCE_UNEXPECTED : DIFFERENCE_MISSING;
        different(into, at);
    } else if (actual.elements && wanted->elements) {
        judge_elements(into, what, wanted, at, actual.elements);
    } else if (actual.elements) {
        at.kind = DIFFERENCE_HASH;
        at.expected = wanted->hash;
        at.actual = hash_array(at.dtype, at.numel, actual.elements);
        if (at.actual != at.expected)
            different(into, at);
    }
    if (into->verdict != CONFORM_DIFFERENT && wanted->exists)
        judge_strides(into, &what->data->layouts[tensor], at, wanted->strides, actual.strides);
}
