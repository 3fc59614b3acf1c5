/* status.h - the answer of every function that can fail.
 *
 * Functions return sgd_status and take an sgd_error as their last argument, which may be NULL.  On any answer but SGD_OK
 * out-parameters are untouched, the library's state is unchanged (but for SGD_ERROR_BACKEND, see sgd_optimizer_step), and
 * the error holds one line: PyTorch's own text where PyTorch has one.  On SGD_OK the error is untouched.  Nothing prints,
 * exits or aborts.
 */
#ifndef SGD_STATUS_H
#define SGD_STATUS_H

#include "contract.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum sgd_status {
#define STATUS(id, number, text) SGD_##id = number,
#include "status.def"
#undef STATUS
} sgd_status;

#define SGD_ERROR_MESSAGE_SIZE 512

/* Owned by the caller; one per thread. */
typedef struct sgd_error {
    sgd_status status;
    char message[SGD_ERROR_MESSAGE_SIZE];
} sgd_error;

/* "SGD_ERROR_SHAPE" and "shapes do not match"; never NULL. */
SGD_API const char *sgd_status_name(sgd_status status);
SGD_API const char *sgd_status_text(sgd_status status);

#ifdef __cplusplus
}
#endif
#endif
