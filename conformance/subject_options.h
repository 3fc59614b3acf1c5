/* subject_options.h - a group's options as the library takes them: numbers, or tensors of one element. */
#ifndef CONFORM_SUBJECT_OPTIONS_H
#define CONFORM_SUBJECT_OPTIONS_H

#include "subject.h"

#define SUBJECT_SCALARS 4

/* `scalars` is the memory of those options that are tensors, and outlives `options`. */
sgd_options subject_options(const case_data *data, size_t group, size_t step, subject_scalar scalars[SUBJECT_SCALARS]);

/* A float32 tensor; NULL for NULL. */
const DLTensor *subject_scale(const float *value, subject_scalar *memory);

DLDataType subject_type(sgd_dtype dtype);

#endif
