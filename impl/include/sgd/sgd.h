/* sgd.h - torch.optim.SGD in C, with PyTorch's bits.
 *
 * Read in this order:
 *   contract.h    which bits: contract, path, dtype, and the rules behind them
 *   status.h      what a function answers
 *   backend.h     what a device offers (only to write one)
 *   options.h     lr, momentum, ...; schedule, threads, backend
 *   sparse.h      COO gradients
 *   functional.h  one step over tensors whose state the caller keeps
 *   vjp.h         the derivative of a step: differentiable=True
 *   optimizer.h   create, step, momentum buffers: all that a training loop needs
 *   value.h       dicts of small values
 *   groups.h      param groups in full: defaults, names, foreign keys, warnings
 *   stepping.h    closures, sparse gradients, gradient scaling; zero_grad
 *   state.h       state, state_dict, load_state_dict
 *   hooks.h       before and after a step, a save, a load
 *   state_file.h  state dicts in HDF5 files (a library of its own: sgd_state_file)
 *   host.h        PyTorch's words for what only a binding can see
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

#include "hooks.h"
#include "host.h"
#include "vjp.h"

#define SGD_VERSION "0.1.0"

#endif
