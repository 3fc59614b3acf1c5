/* sparse_case.h - cases with sparse gradients: the oracle and the library against torch.
 *
 * What a sparse tensor is compared by: number and order of entries, the flag, and every bit of the values.  They go through
 * sgd_step, and tensor by tensor through the sparse oracle.
 */
#ifndef CONFORM_SPARSE_CASE_H
#define CONFORM_SPARSE_CASE_H

#include "judge.h"
#include "subject.h"

/* Whether a problem has sparse gradients. */
bool sparse_case_is(const vectors *file, size_t problem);

/* Why nobody can judge such a case; NULL where somebody can. */
const char *sparse_case_unjudged(const vectors *file, size_t row);

/* False where memory ran out, or the oracle knows that torch raises an error. */
bool sparse_case_judge_oracle(case_data *data, judgement *out);

judgement sparse_case_judge_subject(case_data *data, const conform_subject *subject);

#endif
