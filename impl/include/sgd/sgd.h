/* sgd.h - torch.optim.SGD in C, with PyTorch's bits.
 *
 * Read in this order:
 *   contract.h    which bits: contract, path, dtype, and the rules behind them
 *   status.h      what a function answers
 *   backend.h     what a device offers (only to write one)
 *   options.h     lr, momentum, ...; schedule, threads, backend
 *   sparse.h      COO gradients
 *   functional.h  one step over tensors whose state the caller keeps
 *   optimizer.h   create, step, state
 *
 *     sgd_options options = sgd_options_default();
 *     options.lr = 0.1;
 *     options.momentum = 0.9;
 *     sgd_optimizer *optimizer;
 *     sgd_error error;
 *     if (sgd_optimizer_create(&options, NULL, params, count, &optimizer, &error)) { puts(error.message); ... }
 *     sgd_optimizer_step(optimizer, grads, count, &error);
 *     sgd_optimizer_destroy(optimizer);
 */
#ifndef SGD_SGD_H
#define SGD_SGD_H

#include "functional.h"
#include "optimizer.h"

#define SGD_VERSION "0.1.0"

#endif
