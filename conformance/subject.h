/* subject.h - steps a case on an implementation through the library's public API.
 *
 * There are two doors.  Cases that version 1 of the format could have said go through sgd_optimizer, which keeps the momentum
 * buffers itself; all others through sgd_step, over buffers that lie where sgd_buffer_strides says, with margins behind them.
 */
#ifndef CONFORM_SUBJECT_H
#define CONFORM_SUBJECT_H

#include <sgd/sgd.h>

#include "case_data.h"

/* What is put to the test: a backend under the library, in one configuration. */
typedef struct conform_subject {
    const char *name; /* of the backend, for reports: "avx2" */
    const sgd_backend *backend;
    sgd_schedule schedule;
    uint32_t threads;
    sgd_defects defects;
} conform_subject;

/* A tensor of one element, as hyper-parameters and scales may be. */
typedef struct subject_scalar {
    DLTensor tensor;
    uint64_t element;
} subject_scalar;

/* What a tensor of the case is to the library. */
typedef struct subject_tensor {
    DLTensor param, grad, buffer;
    case_layout buffer_layout;
    int64_t buffer_strides[VECTORS_MAX_DIMS];
} subject_tensor;

/* A subject in the middle of a case. */
typedef struct subject_run {
    const case_data *data;
    const conform_subject *subject;
    sgd_config config;
    sgd_optimizer *optimizer; /* one door ... */
    sgd_workspace *workspace; /* ... or the other */
    unsigned char *params, *grads, *buffers, *scratch; /* planes */
    subject_tensor *tensors;                           /* [tensors] */
    DLTensor **grad_list;                              /* [tensors] of the latest step */
    sgd_item *items;                                   /* [tensors] */
    const case_layout *grad_layouts;                   /* [tensors] of the latest step */
} subject_run;

/* The library's configuration in a case. */
sgd_config subject_config(const case_data *data, const conform_subject *subject);

/* Close it in either case.  Errors are the library's, SGD_ERROR_MEMORY is also the suite's own. */
sgd_status subject_open(subject_run *run, const case_data *data, const conform_subject *subject, sgd_error *error);
void subject_close(subject_run *run);

sgd_status subject_step(subject_run *run, size_t step, sgd_error *error);

/* An array after the latest step: its elements in row-major order, valid until the next call, NULL where there is none; and
 * how a momentum buffer lies in memory, NULL where that is not known. */
const void *subject_array(const subject_run *run, size_t tensor, case_array which, const int64_t **strides);

/* Whether nothing was written but elements; else which array of which tensor has something beside it. */
bool subject_memory_intact(const subject_run *run, size_t *tensor, case_array *which);

#endif
