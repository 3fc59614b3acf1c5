/* contract.h - the names of PyTorch's numerics, and the rules behind them as data.
 *
 * A *contract* is one set of bits: a PyTorch version on a kind of device ("torch-2.13/cpu-fma").  Within it a *path*
 * (for-loop, foreach, fused) and a *dtype* pick the rules of rules.def.  Everything here is constant and thread-safe;
 * nothing allocates.
 */
#ifndef SGD_CONTRACT_H
#define SGD_CONTRACT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef SGD_API
#define SGD_API __attribute__((visibility("default")))
#endif

/* ---- names ------------------------------------------------------------------------------------------------------- */

typedef enum sgd_dtype {
#define DTYPE(id, name, bytes, torch) SGD_##id,
#include "names.def"
    SGD_DTYPE_COUNT
} sgd_dtype;

typedef enum sgd_path {
#define PATH(id, name, what) SGD_##id,
#include "names.def"
    SGD_PATH_COUNT
} sgd_path;

typedef enum sgd_contract {
#define CONTRACT(id, name, what) SGD_##id,
#include "names.def"
    SGD_CONTRACT_COUNT
} sgd_contract;

/* What to do where PyTorch has a known defect (reference/vectors/defects.json): what SGD should give, or PyTorch's bits. */
typedef enum sgd_defects { SGD_DEFECTS_FIX, SGD_DEFECTS_REPRODUCE } sgd_defects;

/* Names are those of names.def; NULL for a value outside the enum. */
SGD_API const char *sgd_dtype_name(sgd_dtype dtype);
SGD_API const char *sgd_path_name(sgd_path path);
SGD_API const char *sgd_path_description(sgd_path path);
SGD_API const char *sgd_contract_name(sgd_contract contract);
SGD_API const char *sgd_contract_description(sgd_contract contract);

/* Bytes of one element; 0 for a value outside the enum. */
SGD_API size_t sgd_dtype_size(sgd_dtype dtype);

/* From name to value; false, with *out untouched, for an unknown name. */
SGD_API bool sgd_dtype_parse(const char *name, sgd_dtype *out);
SGD_API bool sgd_path_parse(const char *name, sgd_path *out);
SGD_API bool sgd_contract_parse(const char *name, sgd_contract *out);

/* ---- rules ------------------------------------------------------------------------------------------------------- */

/* The stages of a step in the order of torch/optim/sgd.py.  NEGATE_DECAY, where a rule has it, stands for NEGATE and
 * DECAY together unless the gradient was unscaled; FIRST runs instead of SCALE and MOMENTUM where there is no buffer yet;
 * DECAY_ADDCMUL and PARAM_ADDCMUL run instead of DECAY and PARAM where weight decay or lr is a tensor that requires grad. */
typedef enum sgd_stage {
    SGD_STAGE_UNSCALE,       /* grad_scale                                                                      */
    SGD_STAGE_STORE_GRAD,    /* grad_scale: what goes to p.grad; the step goes on with the value before         */
    SGD_STAGE_NEGATE,        /* maximize                                                                        */
    SGD_STAGE_DECAY,         /* weight_decay != 0                                                               */
    SGD_STAGE_NEGATE_DECAY,  /* maximize and weight_decay != 0                                                  */
    SGD_STAGE_DECAY_ADDCMUL, /* weight_decay != 0, a tensor that requires grad                                  */
    SGD_STAGE_FIRST,         /* momentum != 0, no buffer yet                                                    */
    SGD_STAGE_SCALE,         /* momentum != 0: buf.mul_(momentum), where MOMENTUM does not hold it already      */
    SGD_STAGE_MOMENTUM,      /* momentum != 0                                                                   */
    SGD_STAGE_NESTEROV,      /* nesterov; without it g = b                                                      */
    SGD_STAGE_PARAM,         /* always                                                                          */
    SGD_STAGE_PARAM_ADDCMUL, /* lr is a tensor that requires grad                                               */
    SGD_STAGE_STORE,         /* momentum != 0: the buffer goes to memory                                        */
    SGD_STAGE_COUNT
} sgd_stage;

/* Where in a row of elements a rule holds: a vectorised body and the rest, of which some elements are a group of their own. */
typedef enum sgd_segment {
    SGD_SEGMENT_ANY,
    SGD_SEGMENT_BODY,
    SGD_SEGMENT_TAIL,
    SGD_SEGMENT_GROUP,
    SGD_SEGMENT_COUNT
} sgd_segment;

/* How TensorIterator sees the innermost dimension of an operation (ATen/native/cpu/Loops.h). */
typedef enum sgd_inner {
    SGD_INNER_CONTIGUOUS,       /* all strides 1: a vectorised body and a tail                                      */
    SGD_INNER_BROADCAST,        /* one input, or a scalar, has stride 0, all else 1: vectorised too ...             */
    SGD_INNER_BROADCAST_OTHER,  /* ... and it is the tensor that is multiplied by alpha                             */
    SGD_INNER_STRIDED,          /* anything else: the scalar loop takes every element; the output is a new tensor,  */
    SGD_INNER_STRIDED_IN_PLACE, /* ... or one of the inputs                                                         */
    SGD_INNER_COUNT
} sgd_inner;

/* How golden NaNs compare: bit for bit, or any NaN equal to any NaN. */
typedef enum sgd_nan { SGD_NAN_EXACT, SGD_NAN_CLASS } sgd_nan;

/* What rounding to 16 bits makes of a NaN. */
typedef enum sgd_narrow {
    SGD_NARROW_KEEP_TOP,  /* sign and top payload bits, quieted */
    SGD_NARROW_SIGN_7E00, /* sign | 0x7E00                      */
    SGD_NARROW_ALL_ONES,  /* 0xFFFF                             */
    SGD_NARROW_X_7FC0,    /* 0x7FC0                             */
    SGD_NARROW_COUNT
} sgd_narrow;

/* One line of rules.def.  The first three members are sets: bit i stands for value i of the enum. */
typedef struct sgd_rule {
    uint32_t contracts, paths, dtypes;
    sgd_segment segment;
    sgd_stage stage;
    sgd_nan nan;
    const char *text;
} sgd_rule;

typedef struct sgd_width {
    uint32_t paths, dtypes;
    uint32_t lanes;
    uint32_t chunk;
    const char *defect;  /* id of the defect that the body has in PyTorch, or NULL */
    const char *storage; /* id of the defect by which PyTorch walks memory and knows nothing of strides, or NULL */
    int32_t shift;       /* moves the boundary between body and tail: 0 but in books of mistakes */
} sgd_width;

/* In a tail, the whole blocks of `block` elements from element `begin` on are the segment GROUP. */
typedef struct sgd_tail_group {
    uint32_t contracts, dtypes, stages;
    sgd_inner inner;
    uint32_t begin, block;
} sgd_tail_group;

/* A product of two complex values x and y: the texts of its real and its imaginary part. */
typedef struct sgd_product {
    const char *name;
    const char *parts[2];
} sgd_product;

typedef struct sgd_narrowing {
    uint32_t contracts, dtypes;
    sgd_segment segment;
    sgd_narrow narrow;
} sgd_narrowing;

/* All rules together.  A changed copy is how a known-bad implementation, or a diagnosis candidate, is written down. */
typedef struct sgd_rulebook {
    const sgd_rule *rules;
    size_t rule_count;
    const sgd_width *widths;
    size_t width_count;
    const sgd_narrowing *narrowings;
    size_t narrowing_count;
    const sgd_tail_group *groups;
    size_t group_count;
    const sgd_product *products;
    size_t product_count;
} sgd_rulebook;

/* The rules as PyTorch has them; lives as long as the program. */
SGD_API const sgd_rulebook *sgd_rulebook_torch(void);

/* Whether PyTorch has this path for this dtype at all: fused has no complex rules, for torch._fused_sgd_ refuses them. */
SGD_API bool sgd_rulebook_has(const sgd_rulebook *book, sgd_contract contract, sgd_path path, sgd_dtype dtype);

/* The line that holds for one cell, NULL where there is none (that stage then does not exist there).  `segment` is BODY,
 * TAIL or GROUP. */
SGD_API const sgd_rule *sgd_rulebook_rule(const sgd_rulebook *book, sgd_contract contract, sgd_path path, sgd_dtype dtype,
                                          sgd_segment segment, sgd_stage stage);
SGD_API const sgd_width *sgd_rulebook_width(const sgd_rulebook *book, sgd_path path, sgd_dtype dtype);
SGD_API const sgd_narrowing *sgd_rulebook_narrowing(const sgd_rulebook *book, sgd_contract contract, sgd_dtype dtype,
                                                    sgd_segment segment);

/* NULL where a tail of this operation has no group. */
SGD_API const sgd_tail_group *sgd_rulebook_group(const sgd_rulebook *book, sgd_contract contract, sgd_dtype dtype, sgd_stage stage,
                                            sgd_inner inner);
/* The place in a tail of `length` elements behind the group's last element; group->begin where it is empty. */
SGD_API size_t sgd_tail_group_end(const sgd_tail_group *group, size_t length);

/* How NaNs of a path and dtype compare under finite or infinite hyper-parameters. */
SGD_API sgd_nan sgd_rulebook_nan(const sgd_rulebook *book, sgd_contract contract, sgd_path path, sgd_dtype dtype);

SGD_API const char *sgd_stage_name(sgd_stage stage);
SGD_API const char *sgd_segment_name(sgd_segment segment);
SGD_API const char *sgd_narrow_name(sgd_narrow narrow);
SGD_API const char *sgd_inner_name(sgd_inner inner);

#ifdef __cplusplus
}
#endif
#endif
