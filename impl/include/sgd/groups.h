/* groups.h - param groups in full: defaults, names, keys of anybody's, warnings (torch.optim.Optimizer.add_param_group).
 *
 * A group is a list of tensors and a dict of everything else, alive as in PyTorch: what is written into the dict holds from
 * the next step on, unchecked, and a key that is missing or of no use is that step's error.
 *
 * Thread-safety: an optimizer with its dicts is one thread's at a time.
 */
#ifndef SGD_GROUPS_H
#define SGD_GROUPS_H

#include "optimizer.h"
#include "value.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What add_param_group takes; start from zeros and struct_size.  All of it is borrowed for the call, the tensors' memory for
 * as long as the optimizer lives. */
typedef struct sgd_group {
    size_t struct_size;
    const DLTensor *params;
    size_t count;
    const char *const *names; /* one a param, all or none (entries may be NULL); becomes "param_names" */
    const sgd_dict *values;   /* options of its own and foreign keys; NULL: none.  What is missing comes from the defaults */
    /* For hosts whose tensors are objects: */
    const void *const *identities; /* which object each param is; NULL: the same memory and size is the same tensor */
    const bool *non_leaf;          /* computed from others and not retaining its gradient; NULL: none is */
    bool check_later;              /* any dtype, device and layout is taken now, as PyTorch does; a step looks at them */
} sgd_group;

/* What PyTorch warns of and goes on, as bits. */
typedef enum sgd_warning {
    SGD_WARNING_DUPLICATES = 1 /* a tensor twice in one group: steps take it twice (foreach: refused by the step) */
} sgd_warning;
SGD_API const char *sgd_warning_text(sgd_warning warning);

/* SGD(groups, **defaults).  `warnings` gets the bits of all groups; where it is NULL, what would be a warning is an error
 * (ERROR_VALUE), since nobody could see it.
 * Errors in PyTorch's order: those of sgd_options_check up to nesterov; of `config`; "optimizer got an empty parameter
 * list" for no groups (a group without params is fine); of each group, see below; of sgd_options_check from fused on. */
SGD_API sgd_status sgd_optimizer_create_groups(const sgd_dict *defaults, const sgd_config *config, const sgd_group *groups,
                                               size_t count, sgd_optimizer **out, unsigned *warnings, sgd_error *error);

/* add_param_group.  Errors in PyTorch's order, with its texts: some names missing; a non-leaf tensor (unless the defaults are
 * differentiable); tensors (see sgd_optimizer_create); groups with and without names; a tensor that is in another group. */
SGD_API sgd_status sgd_optimizer_add_param_group(sgd_optimizer *optimizer, const sgd_group *group, unsigned *warnings,
                                                 sgd_error *error);

/* param_groups = [...]: replaces all groups, each with exactly its own `values`: no defaults, none of the checks of
 * add_param_group.  State goes with the tensors that stay. */
SGD_API sgd_status sgd_optimizer_set_groups(sgd_optimizer *optimizer, const sgd_group *groups, size_t count,
                                            sgd_error *error);

/* Where tensors may have moved (p.data = ...): descriptors of all params, over all groups in order, as in check_later. */
SGD_API sgd_status sgd_optimizer_set_params(sgd_optimizer *optimizer, const DLTensor *params, size_t count,
                                            sgd_error *error);

/* param_groups[group] without "params", and how many those are; live, never freed by the caller, valid until groups are set
 * or loaded.  NULL past the end. */
SGD_API sgd_dict *sgd_optimizer_group(const sgd_optimizer *optimizer, size_t group);
SGD_API size_t sgd_optimizer_group_size(const sgd_optimizer *optimizer, size_t group);

/* optimizer.defaults, live. */
SGD_API sgd_dict *sgd_optimizer_defaults(const sgd_optimizer *optimizer);

/* repr(optimizer), "SGD (\nParameter Group 0\n    dampening: 0\n...)", for a class of this name (NULL: "SGD").  Writes at most
 * `size` bytes with the final 0 and returns the length of all of it, as snprintf does. */
SGD_API size_t sgd_optimizer_text(const sgd_optimizer *optimizer, const char *class_name, char *out, size_t size);

#ifdef __cplusplus
}
#endif
#endif
