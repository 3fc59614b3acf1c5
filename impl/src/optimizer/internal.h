/* internal.h - an optimizer as its own files see it. */
#ifndef SGD_INTERNAL_H
#define SGD_INTERNAL_H

#include <sgd/sgd.h>

#include "dict.h"

#define NO_INDEX SIZE_MAX
#define BUFFER_KEY "momentum_buffer"

typedef struct parameter {
    DLTensor descriptor;  /* shape is owned, strides follow it in the same memory */
    const void *identity; /* the host's object; NULL: memory and size tell */
    size_t first;         /* the same tensor's first place among all params: this one's, if it is there once */
    size_t id;            /* of a tensor at its first place: its last place in the group of that, what state_dict calls it */
    size_t previous;      /* its place before this one, or NO_INDEX */
    bool splits;          /* the same tensor has been in this part of the group: a new part begins */
    sgd_dict *state;      /* kept at the first place; NULL: there has never been any */
    bool has_state;       /* state[p] exists, be it empty */
    stored pending;       /* the momentum buffer that a step is about to make */
    char *pending_key;    /* NULL: none */
} parameter;

typedef struct param_group {
    sgd_dict values;     /* all but "params" */
    size_t first, count; /* its parameters: params[first .. first + count) */
} param_group;

/* The tensors of an optimizer. */
typedef struct members {
    param_group **groups;
    size_t group_count;
    parameter *params;
    size_t param_count;
} members;

/* State under a key that is no parameter's. */
typedef struct other_state {
    stored key;
    sgd_dict *values;
} other_state;

typedef struct hook hook;

typedef struct hook_list {
    hook **hooks;
    size_t count;
} hook_list;

/* What runs callbacks and must not run inside itself. */
typedef enum call { CALL_STEP, CALL_STATE, CALL_LOAD, CALL_COUNT } call;

struct sgd_optimizer {
    sgd_config config;
    sgd_dict defaults;
    members members;
    other_state *others;
    size_t other_count;
    hook_list hooks[SGD_HOOK_KIND_COUNT];
    unsigned depth; /* of calls that run callbacks */
    bool busy[CALL_COUNT];
    bool destroyed; /* by a callback; gone when the outermost call returns */
    /* Work space of a step, made when parameters are added, so that a step allocates none.  Where the workspace holds a step,
     * that is made of `steps` and `prepared`; every call that changes params or state ends it. */
    sgd_item *items;
    step_item *prepared;
    step_group *steps; /* one per part of a group, `part_count` of them in the last step */
    size_t part_count;
    sgd_options *options;
    sgd_gradient *slots; /* of sgd_optimizer_step */
    size_t slot_count;
    sgd_workspace workspace;
};

/* Gives the array that *array points to room for `count` elements; where memory runs out it stays as it was. */
#define RESERVE(array, count) reserve((void *)&(array), (count) * sizeof *(array))
bool reserve(void *array, size_t bytes);

/* ---- members.c ------------------------------------------------------------------------------------------------------- */

sgd_status descriptor_copy(const DLTensor *tensor, DLTensor *out, sgd_error *error); /* free(out->shape) frees it */
void members_clear(members *members);

/* Finds where each tensor is for the first time and where it was before. */
sgd_status members_link(parameter *params, size_t count, sgd_error *error);

/* A group with a tensor twice is stepped in parts, each with different ones; and gives its tensors their ids. */
void members_split(parameter *params, const param_group *group);

bool members_reserve_work(sgd_optimizer *optimizer, size_t groups, size_t params);

/* Parameters of a group at the end of the list, not yet counted there; none of them where one fails. */
sgd_status members_append_params(const sgd_optimizer *optimizer, members *members, const sgd_group *group, sgd_error *error);
void members_drop_params(members *members, size_t total);

/* Takes over the values and counts the params.  NULL: out of memory. */
param_group *members_append_group(members *members, sgd_dict values, size_t count);

/* ---- groups.c -------------------------------------------------------------------------------------------------------- */

sgd_status group_check(const sgd_group *group, sgd_error *error);

/* The dict of a new group: its own values, names, then `defaults` (NULL: none) for what is missing. */
sgd_status group_values(const sgd_group *group, const sgd_dict *defaults, sgd_dict *out, sgd_error *error);

sgd_status group_add(sgd_optimizer *optimizer, const sgd_group *group, unsigned *warnings, sgd_error *error);

/* ---- options_dict.c -------------------------------------------------------------------------------------------------- */

/* Sets what differs; the dict is as before where that fails. */
sgd_status options_write(const sgd_options *options, sgd_dict *dict, sgd_error *error);

/* The checks of SGD.__init__ up to nesterov, in its order and words. */
sgd_status options_check_defaults(const sgd_dict *defaults, sgd_options *out, sgd_error *error);

/* ---- state.c --------------------------------------------------------------------------------------------------------- */

sgd_status check_tensor_index(const sgd_optimizer *optimizer, size_t tensor, const void *out, sgd_error *error);

/* Sees to it that a parameter at its first place has a state. */
sgd_status parameter_state(sgd_optimizer *optimizer, parameter *param, sgd_error *error);
sgd_status others_add(other_state **others, size_t *count, const sgd_value *key, sgd_dict **out, sgd_error *error);
void others_clear(other_state **others, size_t *count);

typedef struct state_group {
    sgd_dict *values;
    int64_t *ids;
    size_t count;
} state_group;

struct sgd_state {
    state_group *groups;
    size_t group_count;
    other_state *entries;
    size_t entry_count;
    stored host;
    sgd_status (*read)(void *object, sgd_state *state, sgd_error *error);
};

sgd_status state_copy(const sgd_state *state, sgd_state **out, sgd_error *error);

/* ---- hooks.c --------------------------------------------------------------------------------------------------------- */

/* Every call that runs callbacks stands between these two; the optimizer may be gone after call_end, whose answer is the
 * call's: `status`, or ERROR_RUNTIME where a callback destroyed it. */
sgd_status call_begin(sgd_optimizer *optimizer, call which, sgd_error *error);
sgd_status call_end(sgd_optimizer *optimizer, call which, sgd_status status, sgd_error *error);

/* The answer of a callback, as the caller gets it. */
sgd_status callback_status(sgd_status status, const sgd_error *from, const char *what, sgd_error *error);

/* The same for one that might have destroyed the optimizer. */
sgd_status callback_end(const sgd_optimizer *optimizer, sgd_status status, const sgd_error *from, const char *what,
                        sgd_error *error);

/* The hooks of a kind as they are now, `global`: of all optimizers.  They must be run, be it with a status that says not to. */
sgd_status hooks_hold(const sgd_optimizer *optimizer, sgd_hook_kind kind, bool global, hook_list *out, sgd_error *error);

/* Runs them in order until one fails, none where `status` is an error already; lets them go. */
sgd_status hooks_run_held(sgd_hook_call *call, hook_list *held, sgd_status status, sgd_error *error);

/* The two in a row, for the kind of the call. */
sgd_status hooks_run(sgd_hook_call *call, bool global, sgd_error *error);
void hooks_clear(sgd_optimizer *optimizer);

void optimizer_free(sgd_optimizer *optimizer);

#endif
