/* judge.h - holds what an implementation gave against an expectation, and remembers the first difference. */
#ifndef CONFORM_JUDGE_H
#define CONFORM_JUDGE_H

#include "compare.h"
#include "expectation.h"

typedef enum conform_verdict {
    CONFORM_EQUAL,       /* every bit                                                                */
    CONFORM_NAN_PAYLOAD, /* every bit but those of NaNs where the contract states no payload         */
    CONFORM_DIFFERENT
} conform_verdict;

typedef enum difference_kind {
    DIFFERENCE_BITS,       /* an element                                                             */
    DIFFERENCE_HASH,       /* an array that is known by its hash only                                */
    DIFFERENCE_MISSING,    /* an array that should exist does not                                    */
    DIFFERENCE_UNEXPECTED, /* an array exists that should not                                        */
    DIFFERENCE_LAYOUT,     /* a momentum buffer lies in memory otherwise                             */
    DIFFERENCE_ENTRIES,    /* a sparse tensor has other entries, or another flag                     */
    DIFFERENCE_OVERRUN,    /* memory behind the array, or between its elements, was written          */
    DIFFERENCE_STATUS      /* the implementation answered with an error                              */
} difference_kind;

/* Steps, tensors and elements count from 0. */
typedef struct difference {
    difference_kind kind;
    size_t step, tensor;
    case_array array;
    sgd_dtype dtype;
    size_t numel, count, index; /* count elements of numel differ, the first is index (BITS) */
    size_t part;                /* which of its numbers, 1 for an imaginary part (BITS)       */
    sgd_segment segment;        /* of that element (BITS), ANY where the tensor is not flat   */
    uint64_t expected, actual;  /* bits of that number (BITS) or hashes (HASH)                */
    char message[160];          /* the implementation's (STATUS)                              */
} difference;

typedef struct judgement {
    conform_verdict verdict;
    size_t masked_chance, masked_open_nan; /* elements left out, as in `comparison` */
    difference first;                      /* where the verdict is CONFORM_DIFFERENT */
} judgement;

/* What is judged: the circumstances, and the rules by which its elements were computed (for the segment in messages). */
typedef struct judged {
    const case_data *data;
    sgd_defects defects;
} judged;

/* An array as an implementation left it: elements in row-major order, NULL: there is none; strides as in expected_array. */
typedef struct actual_array {
    const void *elements;
    const int64_t *strides;
} actual_array;

/* Does nothing once the verdict is CONFORM_DIFFERENT. */
void judge_array(judgement *into, const judged *what, const expectation *wanted, size_t step, size_t tensor,
                 case_array array, actual_array actual);

/* The implementation failed altogether. */
void judge_failure(judgement *into, difference_kind kind, size_t step, size_t tensor, case_array array,
                   const char *message);

#endif
