/* sets.h - names for sets of contracts, paths, dtypes and stages: bit i stands for value i of the enum.  The .def files speak in them,
 * so whoever includes one includes this; it is for .c files only. */
#ifndef SGD_CONTRACT_SETS_H
#define SGD_CONTRACT_SETS_H

#include "contract.h"

#define SET_OF(value) (1u << (value))

enum {
    FMA = SET_OF(SGD_TORCH_2_13_CPU_FMA),
    BASE = SET_OF(SGD_TORCH_2_13_CPU_BASE),
    BOTH = FMA | BASE,

    FORLOOP = SET_OF(SGD_FORLOOP),
    FOREACH = SET_OF(SGD_FOREACH),
    EAGER = FORLOOP | FOREACH,
    FUSED = SET_OF(SGD_FUSED),
    EVERY_PATH = EAGER | FUSED,

    F64 = SET_OF(SGD_F64),
    F32 = SET_OF(SGD_F32),
    F16 = SET_OF(SGD_F16),
    BF16 = SET_OF(SGD_BF16),
    C64 = SET_OF(SGD_C64),
    C128 = SET_OF(SGD_C128),
    WIDE = F64 | F32,
    HALF = F16 | BF16,
    ALL = WIDE | HALF, /* all real ones */
    COMPLEX = C64 | C128,

    /* Stages: self + alpha*other, and buf.mul_(momentum) where it is a stage of its own */
    ADDS = SET_OF(SGD_STAGE_DECAY) | SET_OF(SGD_STAGE_MOMENTUM) | SET_OF(SGD_STAGE_NESTEROV) | SET_OF(SGD_STAGE_PARAM),
    ADDS_OF_GRAD = SET_OF(SGD_STAGE_MOMENTUM) | SET_OF(SGD_STAGE_PARAM),
    SCALES = SET_OF(SGD_STAGE_SCALE)
};

#endif
