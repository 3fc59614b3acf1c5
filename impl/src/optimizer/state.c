/* state.c - state of an optimizer, and state dicts as data. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

/* ---- state[p] -------------------------------------------------------------------------------------------------------------- */

sgd_status check_tensor_index(const sgd_optimizer *optimizer, size_t tensor, const void *out, sgd_error *error)
{
    if (!optimizer || !out)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "%s is NULL", optimizer ? "out" : "optimizer");
    if (tensor >= optimizer->members.param_count)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "tensor %zu of %zu", tensor, optimizer->members.param_count);
    return SGD_OK;
}

sgd_status parameter_state(sgd_optimizer *optimizer, parameter *param, sgd_error *error)
{
    sgd_status status = param->state ? SGD_OK : sgd_dict_create(&param->state, error);
    if (!status)
        param->state->holds = &optimizer->workspace.holds;
    return status;
}

sgd_status sgd_optimizer_state(sgd_optimizer *optimizer, size_t tensor, sgd_dict **out, sgd_error *error)
{
    sgd_status status = check_tensor_index(optimizer, tensor, out, error);
    if (status)
        return status;
    parameter *param = &optimizer->members.params[optimizer->members.params[tensor].first];
    status = parameter_state(optimizer, param, error);
    if (status)
        return status;
    param->has_state = true;
    *out = param->state;
    return SGD_OK;
}

bool sgd_optimizer_has_state(const sgd_optimizer *optimizer, size_t tensor)
{
    return optimizer && tensor < optimizer->members.param_count &&
           optimizer->members.params[optimizer->members.params[tensor].first].has_state;
}

void sgd_optimizer_drop_state(sgd_optimizer *optimizer, size_t tensor)
{
    if (!optimizer || tensor >= optimizer->members.param_count)
        return;
    parameter *param = &optimizer->members.params[optimizer->members.params[tensor].first];
    sgd_dict *old = param->state;
    param->state = NULL;
    param->has_state = false;
    optimizer->workspace.holds = false;
    sgd_dict_destroy(old);
}

/* ---- state under other keys ------------------------------------------------------------------------------------------------ */

sgd_status others_add(other_state **others, size_t *count, const sgd_value *key, sgd_dict **out, sgd_error *error)
{
    other_state added = {.values = NULL};
    if (!key || !out)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "%s is NULL", key ? "out" : "key");
    if (key->kind != SGD_VALUE_INT && key->kind != SGD_VALUE_STRING && key->kind != SGD_VALUE_OBJECT)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "a key must be an int, a string or an object");
    sgd_status status = RESERVE(*others, *count + 1) ? sgd_dict_create(&added.values, error) : no_memory(error);
    if (!status)
        status = stored_copy(key, &added.key, error);
    if (status) {
        sgd_dict_destroy(added.values);
        return status;
    }
    (*others)[(*count)++] = added;
    *out = added.values;
    return SGD_OK;
}

void others_clear(other_state **others, size_t *count)
{
    for (size_t i = 0; i < *count; i++) {
        stored_clear(&(*others)[i].key);
        sgd_dict_destroy((*others)[i].values);
    }
    free(*others);
    *others = NULL;
    *count = 0;
}

static sgd_status others_get(const other_state *others, size_t count, size_t index, sgd_value *key, sgd_dict **out,
                             sgd_error *error)
{
    if (!key || !out)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "%s is NULL", key ? "out" : "key");
    if (index >= count)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "entry %zu of %zu", index, count);
    *key = others[index].key.value;
    *out = others[index].values;
    return SGD_OK;
}

size_t sgd_optimizer_other_state_count(const sgd_optimizer *optimizer) { return optimizer ? optimizer->other_count : 0; }

sgd_status sgd_optimizer_other_state(const sgd_optimizer *optimizer, size_t index, sgd_value *key, sgd_dict **out,
                                     sgd_error *error)
{
    if (!optimizer)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "optimizer is NULL");
    return others_get(optimizer->others, optimizer->other_count, index, key, out, error);
}

sgd_status sgd_optimizer_other_state_add(sgd_optimizer *optimizer, const sgd_value *key, sgd_dict **out, sgd_error *error)
{
    if (!optimizer)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "optimizer is NULL");
    return others_add(&optimizer->others, &optimizer->other_count, key, out, error);
}

void sgd_optimizer_other_state_clear(sgd_optimizer *optimizer)
{
    if (optimizer)
        others_clear(&optimizer->others, &optimizer->other_count);
}

/* ---- state dicts ----------------------------------------------------------------------------------------------------------- */

sgd_status sgd_state_create(sgd_state **out, sgd_error *error)
{
    if (!out)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "out is NULL");
    sgd_state *state = calloc(1, sizeof *state);
    if (!state)
        return no_memory(error);
    *out = state;
    return SGD_OK;
}

void sgd_state_destroy(sgd_state *state)
{
    if (!state)
        return;
    for (size_t g = 0; g < state->group_count; g++) {
        sgd_dict_destroy(state->groups[g].values);
        free(state->groups[g].ids);
    }
    free(state->groups);
    others_clear(&state->entries, &state->entry_count);
    stored_clear(&state->host);
    free(state);
}

size_t sgd_state_group_count(const sgd_state *state) { return state ? state->group_count : 0; }

sgd_dict *sgd_state_group(const sgd_state *state, size_t group)
{
    return state && group < state->group_count ? state->groups[group].values : NULL;
}

const int64_t *sgd_state_group_ids(const sgd_state *state, size_t group, size_t *count)
{
    bool found = state && group < state->group_count;
    if (count)
        *count = found ? state->groups[group].count : 0;
    return found ? state->groups[group].ids : NULL;
}

sgd_status sgd_state_add_group(sgd_state *state, const int64_t *ids, size_t count, sgd_dict **out, sgd_error *error)
{
    if (!state || !out || (count > 0 && !ids))
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "%s is NULL", !state ? "state" : !out ? "out" : "ids");
    state_group added = {.ids = malloc(count * sizeof *ids + 1), .count = count};
    sgd_status status = added.ids && RESERVE(state->groups, state->group_count + 1) ? sgd_dict_create(&added.values, error)
                                                                                   : no_memory(error);
    if (status) {
        free(added.ids);
        return status;
    }
    if (count)
        memcpy(added.ids, ids, count * sizeof *ids);
    state->groups[state->group_count++] = added;
    *out = added.values;
    return SGD_OK;
}

size_t sgd_state_entry_count(const sgd_state *state) { return state ? state->entry_count : 0; }

sgd_status sgd_state_entry(const sgd_state *state, size_t index, sgd_value *key, sgd_dict **out, sgd_error *error)
{
    if (!state)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "state is NULL");
    return others_get(state->entries, state->entry_count, index, key, out, error);
}

sgd_status sgd_state_add_entry(sgd_state *state, const sgd_value *key, sgd_dict **out, sgd_error *error)
{
    if (!state)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "state is NULL");
    return others_add(&state->entries, &state->entry_count, key, out, error);
}

sgd_status sgd_state_set_host(sgd_state *state, const sgd_value *object,
                              sgd_status (*read)(void *object, sgd_state *state, sgd_error *error), sgd_error *error)
{
    stored copy;
    if (!state || !object || object->kind != SGD_VALUE_OBJECT)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "%s", state ? "object is NULL or none" : "state is NULL");
    sgd_status status = stored_copy(object, &copy, error);
    if (status)
        return status;
    stored old = state->host;
    state->host = copy;
    state->read = read;
    stored_clear(&old);
    return SGD_OK;
}

void *sgd_state_host(const sgd_state *state) { return state ? state->host.value.object : NULL; }

sgd_status state_copy(const sgd_state *state, sgd_state **out, sgd_error *error)
{
    sgd_state *copy = NULL;
    sgd_dict *dict;
    sgd_status status = sgd_state_create(&copy, error);
    if (status)
        return status;
    for (size_t g = 0; g < state->group_count && !status; g++) {
        const state_group *group = &state->groups[g];
        status = sgd_state_add_group(copy, group->ids, group->count, &dict, error);
        if (!status)
            status = dict_copy(group->values, dict, error);
    }
    for (size_t i = 0; i < state->entry_count && !status; i++) {
        status = sgd_state_add_entry(copy, &state->entries[i].key.value, &dict, error);
        if (!status)
            status = dict_copy(state->entries[i].values, dict, error);
    }
    if (!status && state->host.value.kind == SGD_VALUE_OBJECT)
        status = sgd_state_set_host(copy, &state->host.value, state->read, error);
    if (status)
        sgd_state_destroy(copy);
    else
        *out = copy;
    return status;
}
