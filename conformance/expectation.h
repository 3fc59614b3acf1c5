/* expectation.h - what a case should give: every array after every step, from torch or from the oracle. */
#ifndef CONFORM_EXPECTATION_H
#define CONFORM_EXPECTATION_H

#include "case_data.h"

typedef struct expected_array {
    bool exists;
    const void *elements;     /* NULL: known by its hash only */
    uint64_t hash;            /* where there are no elements  */
    const uint8_t *undefined; /* sets of sgd_oracle_undefined: where torch's bits are not foretold; or NULL */
    const int64_t *strides;   /* of a momentum buffer, the number of which is its parameter's dimensions; or NULL: not known */
} expected_array;

typedef struct expectation {
    expected_array *arrays; /* see expected_at */
    unsigned char *memory;  /* what the oracle computed, or NULL */
} expectation;

/* What the oracle computes, defects reproduced or fixed.  False where memory ran out or the oracle refuses a step. */
bool expectation_by_oracle(expectation *out, const case_data *data, sgd_defects defects);

/* What torch gave, by the file; elements that nobody can foretell are flagged as in `reproduced`, the oracle's answer with
 * defects reproduced, which must outlive it.  False where memory ran out. */
bool expectation_by_torch(expectation *out, case_data *data, const expectation *reproduced);

/* Takes over the oracle's elements for each array that is known by its hash, if the hash is theirs. */
void expectation_resolve(expectation *torch, const case_data *data, const expectation *reproduced);

void expectation_free(expectation *expectation);

expected_array *expected_at(const expectation *expectation, const case_data *data, size_t step, size_t tensor,
                            case_array which);

#endif
