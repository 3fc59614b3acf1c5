/* host.h - for bindings: the mistakes that only the host language can see, in PyTorch's words and of its exception types.
 *
 * Thread-safety: any thread.
 */
#ifndef SGD_HOST_H
#define SGD_HOST_H

#include "backend.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum sgd_refusal {
#define REFUSAL(id, status, text) SGD_REFUSAL_##id,
#include "refusals.def"
#undef REFUSAL
    SGD_REFUSAL_COUNT
} sgd_refusal;

/* Fills the error and returns its status; the details (NULL where the text has none) stand for its %s. */
SGD_API sgd_status sgd_refuse(sgd_refusal what, const char *detail, const char *more, sgd_error *error);

#ifdef __cplusplus
}
#endif
#endif
