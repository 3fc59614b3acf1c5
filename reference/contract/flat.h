/* flat.h - steps over memory from a tensor's first element to its last, as fused takes them, and eager ones where no operation
 * has rows of its own. */
#ifndef SGD_ORACLE_FLAT_H
#define SGD_ORACLE_FLAT_H

#include "oracle.h"

/* One tensor of a real dtype; its layout is not looked at.  `momentum_path` is the path whose MOMENTUM rule holds.  False where
 * memory ran out, or a changed book's rules leave a value unrounded that goes to memory. */
bool flat_step(const sgd_oracle *oracle, const sgd_oracle_options *options, sgd_path momentum_path,
               const sgd_oracle_tensor *tensor);

/* Whether the step writes p.grad: foreach adds nesterov's momentum into the list of gradients in place, which with weight decay
 * or maximize is a copy (torch/optim/sgd.py, _multi_tensor_sgd); the for-loop's weight decay as a tensor that requires grad is
 * added in place likewise; fused stores the unscaled gradient. */
bool flat_writes_grad(const sgd_oracle_options *options);

#endif
