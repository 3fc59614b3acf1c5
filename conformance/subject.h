/* subject.h - steps a case on an implementation through the library's public API. */
#ifndef CONFORM_SUBJECT_H
#define CONFORM_SUBJECT_H

#include <sgd/sgd.h>

#include "case_data.h"

/* What is put to the test: a backend under the library's optimizer, in one configuration. */
typedef struct conform_subject {
    const char *name; /* of the backend, for reports: "avx2" */
    const sgd_backend *backend;
    sgd_schedule schedule;
    uint32_t threads;
    sgd_defects defects;
} conform_subject;

/* A subject in the middle of a case. */
typedef struct subject_run {
    const case_data *data;
    sgd_optimizer *optimizer;
    unsigned char *params, *grads; /* planes */
    DLTensor *views;               /* [2 * tensors]: params, then grads */
    DLTensor **grad_list;          /* [tensors] */
} subject_run;

/* Close it in either case.  Errors are the library's, SGD_ERROR_MEMORY is also the suite's own. */
sgd_status subject_open(subject_run *run, const case_data *data, const conform_subject *subject, sgd_error *error);
void subject_close(subject_run *run);

sgd_status subject_step(subject_run *run, size_t step, sgd_error *error);

/* An array after the latest step; NULL where there is none. */
const void *subject_array(const subject_run *run, size_t tensor, case_array which);

#endif
