/* state.h - the state of an optimizer, state_dict() and load_state_dict().
 *
 * state[p] is a dict, for SGD with the one key "momentum_buffer", live as in PyTorch: the value that lies there is what the
 * next step uses, a removed one makes that step a first one, and any other key is kept.  So a host that owns its buffers lends
 * them by setting the value.
 *
 * A state dict (sgd_state) has param groups with ids in place of tensors, and state entries by id.  Buffers in it are those
 * of the optimizer, not copies, as in PyTorch: a later step shows.  They outlive the optimizer (not the backend).
 *
 * Thread-safety: an optimizer is one thread's at a time, and so is a state; a state whose optimizer steps in another thread
 * must not be read meanwhile.
 */
#ifndef SGD_STATE_H
#define SGD_STATE_H

#include "groups.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- state of an optimizer ------------------------------------------------------------------------------------------- */

/* state[p] of a tensor, counted over all groups: made where there is none, as the defaultdict does.  Live, valid until the
 * state is dropped or loaded.  The same tensor twice has one state. */
SGD_API sgd_status sgd_optimizer_state(sgd_optimizer *optimizer, size_t tensor, sgd_dict **out, sgd_error *error);
SGD_API bool sgd_optimizer_has_state(const sgd_optimizer *optimizer, size_t tensor);
SGD_API void sgd_optimizer_drop_state(sgd_optimizer *optimizer, size_t tensor);

/* State under keys that are no parameter's (an INT, a STRING or an OBJECT), which load_state_dict keeps: the index-th, from 0
 * on; ERROR_ARGUMENT past the end.  `other_state_add` adds one, `..._clear` drops them all. */
SGD_API size_t sgd_optimizer_other_state_count(const sgd_optimizer *optimizer);
SGD_API sgd_status sgd_optimizer_other_state(const sgd_optimizer *optimizer, size_t index, sgd_value *key, sgd_dict **out,
                                             sgd_error *error);
SGD_API sgd_status sgd_optimizer_other_state_add(sgd_optimizer *optimizer, const sgd_value *key, sgd_dict **out,
                                                 sgd_error *error);
SGD_API void sgd_optimizer_other_state_clear(sgd_optimizer *optimizer);

/* ---- a state dict ---------------------------------------------------------------------------------------------------- */

typedef struct sgd_state sgd_state;

SGD_API sgd_status sgd_state_create(sgd_state **out, sgd_error *error);
SGD_API void sgd_state_destroy(sgd_state *state); /* takes NULL */

/* state_dict["param_groups"]: each a dict without "params", and the ids of its params. */
SGD_API size_t sgd_state_group_count(const sgd_state *state);
SGD_API sgd_dict *sgd_state_group(const sgd_state *state, size_t group); /* NULL past the end */
SGD_API const int64_t *sgd_state_group_ids(const sgd_state *state, size_t group, size_t *count);
SGD_API sgd_status sgd_state_add_group(sgd_state *state, const int64_t *ids, size_t count, sgd_dict **out,
                                       sgd_error *error);

/* state_dict["state"]: a dict per key; an INT key that is the id of a param is that param's. */
SGD_API size_t sgd_state_entry_count(const sgd_state *state);
SGD_API sgd_status sgd_state_entry(const sgd_state *state, size_t index, sgd_value *key, sgd_dict **out, sgd_error *error);
SGD_API sgd_status sgd_state_add_entry(sgd_state *state, const sgd_value *key, sgd_dict **out, sgd_error *error);

/* For hosts whose state dicts are objects of theirs: `object` (kind OBJECT) rides along, for their hooks to look at and to
 * replace; `read`, where not NULL, is called by load_state_dict once its pre-hooks have run, to fill the then empty groups and
 * entries from the object. */
SGD_API sgd_status sgd_state_set_host(sgd_state *state, const sgd_value *object,
                                      sgd_status (*read)(void *object, sgd_state *state, sgd_error *error),
                                      sgd_error *error);
SGD_API void *sgd_state_host(const sgd_state *state); /* the object, borrowed; NULL: none */

/* ---- out and in ------------------------------------------------------------------------------------------------------ */

/* state_dict(): ids count the params over all groups (one that is in its group more than once has its last place); state entries in the order of the params, then the others. */
SGD_API sgd_status sgd_optimizer_state_dict(sgd_optimizer *optimizer, sgd_state **out, sgd_error *error);

/* load_state_dict().  Pre-hooks see and change a copy of `state`, which stays as it is.  Loaded options win over the
 * optimizer's, keys that older versions did not have get PyTorch's values (nesterov, maximize, foreach, differentiable,
 * fused), the optimizer's "param_names" stay where the state has none.  Tensors of a param's state are cast to its dtype, if
 * that is floating, and to its device.  Tensors of the library's are copied, so that two optimizers share none; those of a
 * host stay the object they are unless a cast makes a new one.
 * Errors: ERROR_VALUE with PyTorch's texts for another number of groups, or of params in one; ERROR_SHAPE for a momentum
 * buffer of the library's that does not have its param's shape (PyTorch's next step fails on it); whatever a pre-hook, `read`
 * or `convert` answers; ERROR_UNSUPPORTED for a cast that is not on the CPU; ERROR_MEMORY.  The optimizer is then as before.
 * A post-hook that fails comes after the load, as in PyTorch: the load stands. */
SGD_API sgd_status sgd_optimizer_load_state_dict(sgd_optimizer *optimizer, const sgd_state *state, sgd_error *error);

#ifdef __cplusplus
}
#endif
#endif
