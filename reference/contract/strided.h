/* strided.h - eager steps operation by operation, each with rows and segments of its own. */
#ifndef SGD_ORACLE_STRIDED_H
#define SGD_ORACLE_STRIDED_H

#include "oracle.h"

/* One tensor of the for-loop or foreach, of any layout and dtype.  `momentum_path` is the path whose SCALE and MOMENTUM rules
 * hold.  False where memory ran out, or a changed book's rules leave a value unrounded that goes to memory. */
bool strided_step(const sgd_oracle *oracle, const sgd_oracle_options *options, sgd_path momentum_path,
                  const sgd_oracle_tensor *tensor);

#endif
