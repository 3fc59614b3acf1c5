/* state_dict.c - state_dict() and load_state_dict() (torch/optim/optimizer.py, and SGD.__setstate__ in sgd.py). */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

/* ---- out ------------------------------------------------------------------------------------------------------------------- */

/* A param's id is its place over all groups; of one that is there more often the last in its group, as pack_group's dict
 * comprehension has it. */
static sgd_status pack_group(const members *members, const param_group *group, sgd_state *state, sgd_error *error)
{
    sgd_dict *values;
    int64_t *ids = malloc(group->count * sizeof *ids + 1);
    if (!ids)
        return no_memory(error);
    for (size_t i = 0; i < group->count; i++)
        ids[i] = (int64_t)members->params[members->params[group->first + i].first].id;
    sgd_status status = sgd_state_add_group(state, ids, group->count, &values, error);
    free(ids);
    return status ? status : dict_copy(&group->values, values, error);
}

static sgd_status pack_entry(sgd_state *state, const sgd_value *key, const sgd_dict *values, sgd_error *error)
{
    sgd_dict *packed;
    sgd_status status = sgd_state_add_entry(state, key, &packed, error);
    return status ? status : dict_copy(values, packed, error);
}

static sgd_status pack(const sgd_optimizer *optimizer, sgd_state *state, sgd_error *error)
{
    const members *members = &optimizer->members;
    sgd_status status = SGD_OK;
    for (size_t g = 0; g < members->group_count && !status; g++)
        status = pack_group(members, members->groups[g], state, error);
    for (size_t i = 0; i < members->param_count && !status; i++) {
        sgd_value key = {.kind = SGD_VALUE_INT, .integer = (int64_t)members->params[i].id};
        if (members->params[i].has_state && members->params[i].first == i)
            status = pack_entry(state, &key, members->params[i].state, error);
    }
    for (size_t i = 0; i < optimizer->other_count && !status; i++)
        status = pack_entry(state, &optimizer->others[i].key.value, optimizer->others[i].values, error);
    return status;
}

sgd_status sgd_optimizer_state_dict(sgd_optimizer *optimizer, sgd_state **out, sgd_error *error)
{
    if (!optimizer || !out)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "%s is NULL", optimizer ? "out" : "optimizer");
    sgd_hook_call call = {.struct_size = sizeof call, .kind = SGD_HOOK_STATE_PRE, .optimizer = optimizer};
    sgd_status status = call_begin(optimizer, CALL_STATE, error);
    if (status)
        return status;
    status = hooks_run(&call, false, error);
    if (!status)
        status = sgd_state_create(&call.state, error);
    if (!status)
        status = pack(optimizer, call.state, error);
    call.kind = SGD_HOOK_STATE_POST;
    if (!status)
        status = hooks_run(&call, false, error);
    status = call_end(optimizer, CALL_STATE, status, error);
    if (status)
        sgd_state_destroy(call.state);
    else
        *out = call.state;
    return status;
}

/* ---- what becomes of a value ------------------------------------------------------------------------------------------------- */

static bool is_tensor(const sgd_value *value) { return value->kind == SGD_VALUE_TENSOR || value->kind == SGD_VALUE_SPARSE; }
static bool is_hosts(const sgd_value *value) { return value->object && !owned_is(value); }

/* copy.deepcopy of a group's value; `made`: it came with a reference of its own. */
static sgd_status copy_value(const sgd_value *value, sgd_value *out, bool *made, sgd_error *error)
{
    *made = (is_hosts(value) && value->type->copy) || (is_tensor(value) && !is_hosts(value));
    *out = *value;
    if (!*made)
        return SGD_OK;
    if (!is_hosts(value))
        return tensor_cast(value, NULL, out, error);
    sgd_error own = {.status = SGD_OK};
    return callback_status(value->type->copy(value->object, out, &own), &own, "copying an object", error);
}

/* _process_value_according_to_param_policy; a tensor called "step" stays as it is. */
static sgd_status cast_value(const char *key, const sgd_value *value, const DLTensor *param, sgd_value *out, bool *made,
                             sgd_error *error)
{
    bool step = !strcmp(key, "step");
    bool fits = is_tensor(value) &&
                (step || !tensor_needs_cast(value->kind == SGD_VALUE_SPARSE ? &value->sparse->values : value->tensor.tensor, param));
    bool converts = is_hosts(value) && value->type->convert && !step;
    *out = *value;
    *made = converts || (is_tensor(value) && !(is_hosts(value) && fits));
    if (!*made)
        return SGD_OK;
    if (!converts)
        return tensor_cast(value, step ? NULL : param, out, error);
    sgd_error own = {.status = SGD_OK};
    return callback_status(value->type->convert(value->object, param, out, &own), &own, "converting an object", error);
}

static sgd_status set_value(sgd_dict *dict, const char *key, const sgd_value *value, bool made, sgd_error *error)
{
    sgd_status status = sgd_dict_set(dict, key, value, error);
    if (made && value->object && value->type->release)
        value->type->release(value->object);
    return status;
}

static bool same_shape(int32_t ndim, const int64_t *shape, const DLTensor *param)
{
    return ndim == param->ndim && (ndim == 0 || !memcmp(shape, param->shape, (size_t)ndim * sizeof *shape));
}

/* Memory that the library would read as if it had its param's shape. */
static sgd_status check_buffer(const sgd_value *value, const DLTensor *param, size_t index, sgd_error *error)
{
    bool fits = true;
    if (value->kind == SGD_VALUE_TENSOR)
        fits = same_shape(value->tensor.tensor->ndim, value->tensor.tensor->shape, param);
    else if (value->kind == SGD_VALUE_SPARSE)
        fits = same_shape(value->sparse->ndim, value->sparse->shape, param);
    return fits || is_hosts(value) ? SGD_OK
                                   : sgd_error_set(error, SGD_ERROR_SHAPE,
                                                   "loaded momentum buffer of parameter %zu has another shape than the parameter",
                                                   index);
}

/* ---- in: everything new is made first ------------------------------------------------------------------------------------------ */

/* What a load is going to put in place. */
typedef struct loaded {
    sgd_dict *groups;  /* one per group */
    sgd_dict **states; /* one per param, NULL: none */
    other_state *others;
    size_t other_count;
} loaded;

static void loaded_clear(loaded *loaded, const members *members)
{
    for (size_t g = 0; g < members->group_count && loaded->groups; g++)
        dict_clear(&loaded->groups[g]);
    for (size_t i = 0; i < members->param_count && loaded->states; i++)
        sgd_dict_destroy(loaded->states[i]);
    others_clear(&loaded->others, &loaded->other_count);
    free(loaded->groups);
    free(loaded->states);
}

/* What SGD.__setstate__ gives to groups of older versions. */
static sgd_status set_older_defaults(sgd_dict *group, sgd_error *error)
{
    static const struct {
        const char *key;
        sgd_value_kind kind;
    } missing[] = {{"nesterov", SGD_VALUE_BOOL},       {"maximize", SGD_VALUE_BOOL}, {"foreach", SGD_VALUE_NONE},
                   {"differentiable", SGD_VALUE_BOOL}, {"fused", SGD_VALUE_BOOL}};
    sgd_status status = SGD_OK;
    for (size_t i = 0; i < sizeof missing / sizeof missing[0] && !status; i++)
        if (!dict_find(group, missing[i].key, 0))
            status = sgd_dict_set(group, missing[i].key, &(sgd_value){.kind = missing[i].kind, .boolean = false}, error);
    return status;
}

static sgd_status load_group(const sgd_dict *own, const sgd_dict *saved, sgd_dict *out, sgd_error *error)
{
    sgd_status status = SGD_OK;
    for (size_t i = 0; i < saved->count && !status; i++) {
        sgd_value value;
        bool made;
        status = copy_value(&saved->entries[i].stored.value, &value, &made, error);
        if (!status)
            status = set_value(out, saved->entries[i].key, &value, made, error);
    }
    const stored *names = dict_find(own, "param_names", 0);
    if (!status && names && !dict_find(out, "param_names", 0))
        status = sgd_dict_set(out, "param_names", &names->value, error);
    return status ? status : set_older_defaults(out, error);
}

/* Which param an id stands for. */
typedef struct id_place {
    int64_t id;
    size_t param;
} id_place;

static int by_id(const void *x, const void *y)
{
    const id_place *one = x, *other = y;
    if (one->id != other->id)
        return one->id < other->id ? -1 : 1;
    return one->param < other->param ? -1 : one->param > other->param;
}

/* The last one of an id wins, as in a Python dict. */
static size_t param_of(const id_place *map, size_t count, const sgd_value *key)
{
    size_t low = 0, high = count;
    if (key->kind != SGD_VALUE_INT)
        return NO_INDEX;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (map[middle].id <= key->integer)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 && map[low - 1].id == key->integer ? map[low - 1].param : NO_INDEX;
}

static sgd_status load_entry(const members *members, const other_state *entry, size_t param, loaded *loaded, sgd_error *error)
{
    size_t first = members->params[param].first;
    const DLTensor *tensor = &members->params[param].descriptor;
    sgd_dict *state;
    sgd_status status = sgd_dict_create(&state, error);
    if (status)
        return status;
    sgd_dict_destroy(loaded->states[first]);
    loaded->states[first] = state;
    for (size_t i = 0; i < entry->values->count && !status; i++) {
        const char *key = entry->values->entries[i].key;
        const sgd_value *saved = &entry->values->entries[i].stored.value;
        sgd_value value;
        bool made;
        if (!strcmp(key, BUFFER_KEY))
            status = check_buffer(saved, tensor, param, error);
        if (!status)
            status = cast_value(key, saved, tensor, &value, &made, error);
        if (!status)
            status = set_value(state, key, &value, made, error);
    }
    return status;
}

static sgd_status load_entries(const sgd_optimizer *optimizer, const sgd_state *state, loaded *loaded, sgd_error *error)
{
    const members *members = &optimizer->members;
    id_place *map = malloc(members->param_count * sizeof *map + 1);
    sgd_status status = map ? SGD_OK : no_memory(error);
    for (size_t g = 0, at = 0; g < state->group_count && map; g++)
        for (size_t i = 0; i < state->groups[g].count; i++, at++)
            map[at] = (id_place){state->groups[g].ids[i], at};
    if (map)
        qsort(map, members->param_count, sizeof *map, by_id);
    for (size_t i = 0; i < state->entry_count && !status; i++) {
        const other_state *entry = &state->entries[i];
        size_t param = param_of(map, members->param_count, &entry->key.value);
        sgd_dict *values;
        if (param != NO_INDEX) {
            status = load_entry(members, entry, param, loaded, error);
            continue;
        }
        status = others_add(&loaded->others, &loaded->other_count, &entry->key.value, &values, error);
        if (!status)
            status = dict_copy(entry->values, values, error);
    }
    free(map);
    return status;
}

static sgd_status check_sizes(const members *members, const sgd_state *state, sgd_error *error)
{
    if (state->group_count != members->group_count)
        return sgd_refuse(SGD_REFUSAL_GROUP_COUNT, NULL, NULL, error);
    for (size_t g = 0; g < state->group_count; g++)
        if (state->groups[g].count != members->groups[g]->count)
            return sgd_refuse(SGD_REFUSAL_GROUP_SIZE, NULL, NULL, error);
    return SGD_OK;
}

/* ---- in ------------------------------------------------------------------------------------------------------------------------ */

/* Nothing can fail any more. */
static void put_in_place(sgd_optimizer *optimizer, loaded *loaded)
{
    members *members = &optimizer->members;
    optimizer->workspace.holds = false;
    for (size_t g = 0; g < members->group_count; g++) {
        sgd_dict old = members->groups[g]->values;
        members->groups[g]->values = loaded->groups[g];
        loaded->groups[g] = old;
    }
    for (size_t i = 0; i < members->param_count; i++) {
        sgd_dict *old = members->params[i].state;
        members->params[i].state = loaded->states[i];
        members->params[i].has_state = loaded->states[i] != NULL;
        if (loaded->states[i])
            loaded->states[i]->holds = &optimizer->workspace.holds;
        loaded->states[i] = old;
    }
    other_state *others = optimizer->others;
    size_t count = optimizer->other_count;
    optimizer->others = loaded->others;
    optimizer->other_count = loaded->other_count;
    loaded->others = others;
    loaded->other_count = count;
}

static sgd_status load(sgd_optimizer *optimizer, sgd_state *state, sgd_error *error)
{
    const members *members = &optimizer->members;
    loaded loaded = {0};
    sgd_status status = SGD_OK;
    if (state->read) {
        sgd_error own = {.status = SGD_OK};
        status = callback_status(state->read(state->host.value.object, state, &own), &own, "reading the state", error);
    }
    if (!status)
        status = check_sizes(members, state, error);
    if (status)
        return status;
    loaded.groups = calloc(members->group_count + 1, sizeof *loaded.groups);
    loaded.states = calloc(members->param_count + 1, sizeof *loaded.states);
    if (!loaded.groups || !loaded.states)
        status = no_memory(error);
    if (!status)
        status = load_entries(optimizer, state, &loaded, error);
    for (size_t g = 0; g < members->group_count && !status; g++)
        status = load_group(&members->groups[g]->values, state->groups[g].values, &loaded.groups[g], error);
    if (!status && !dict_find(&optimizer->defaults, "differentiable", 0))
        status = sgd_dict_set(&optimizer->defaults, "differentiable", &(sgd_value){.kind = SGD_VALUE_BOOL}, error);
    if (!status)
        put_in_place(optimizer, &loaded);
    loaded_clear(&loaded, members);
    return status;
}

sgd_status sgd_optimizer_load_state_dict(sgd_optimizer *optimizer, const sgd_state *state, sgd_error *error)
{
    if (!optimizer || !state)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "%s is NULL", optimizer ? "state" : "optimizer");
    sgd_hook_call call = {.struct_size = sizeof call, .kind = SGD_HOOK_LOAD_PRE, .optimizer = optimizer};
    hook_list after = {0};
    sgd_status status = call_begin(optimizer, CALL_LOAD, error);
    if (status)
        return status;
    status = state_copy(state, &call.state, error);
    if (!status)
        status = hooks_run(&call, false, error);
    if (!status)
        status = hooks_hold(optimizer, SGD_HOOK_LOAD_POST, false, &after, error);
    if (!status)
        status = load(optimizer, call.state, error);
    sgd_state_destroy(call.state);
    call.state = NULL;
    call.kind = SGD_HOOK_LOAD_POST;
    status = hooks_run_held(&call, &after, status, error);
    return call_end(optimizer, CALL_LOAD, status, error);
}
