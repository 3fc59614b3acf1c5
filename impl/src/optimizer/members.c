/* members.c - the tensors of an optimizer: which are the same, and whose state is whose.
 *
 * PyTorch tells tensors by the Python object (torch/optim/optimizer.py: sets of params, state keyed by them).
 */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

bool reserve(void *array, size_t bytes)
{
    void *memory;
    memcpy(&memory, array, sizeof memory);
    memory = realloc(memory, bytes + 1);
    if (memory)
        memcpy(array, &memory, sizeof memory);
    return memory != NULL;
}

/* ---- parameters ------------------------------------------------------------------------------------------------------------ */

sgd_status descriptor_copy(const DLTensor *tensor, DLTensor *out, sgd_error *error)
{
    size_t ndim = (size_t)tensor->ndim, bytes = ndim * sizeof(int64_t);
    DLTensor copy = *tensor;
    copy.shape = malloc(2 * bytes + 1);
    if (!copy.shape)
        return no_memory(error);
    copy.strides = tensor->strides ? copy.shape + ndim : NULL;
    if (bytes)
        memcpy(copy.shape, tensor->shape, bytes);
    if (bytes && tensor->strides)
        memcpy(copy.strides, tensor->strides, bytes);
    *out = copy;
    return SGD_OK;
}

static void parameter_clear(parameter *param)
{
    free(param->descriptor.shape);
    sgd_dict_destroy(param->state);
    stored_clear(&param->pending);
    free(param->pending_key);
}

static sgd_status parameter_init(const sgd_optimizer *optimizer, const sgd_group *group, size_t i, size_t index,
                                 parameter *out, sgd_error *error)
{
    const DLTensor *tensor = &group->params[i];
    tensor_view view;
    size_t numel;
    sgd_status status = group->check_later ? tensor_numel(tensor, &numel, error)
                                           : tensor_view_check(tensor, optimizer->config.backend, "parameter", index, &view, error);
    parameter param = {.identity = group->identities ? group->identities[i] : NULL, .first = index, .previous = NO_INDEX};
    if (!status)
        status = descriptor_copy(tensor, &param.descriptor, error);
    if (!status)
        *out = param;
    return status;
}

void members_clear(members *members)
{
    for (size_t i = 0; i < members->param_count; i++)
        parameter_clear(&members->params[i]);
    for (size_t g = 0; g < members->group_count; g++) {
        dict_clear(&members->groups[g]->values);
        free(members->groups[g]);
    }
    free(members->params);
    free(members->groups);
    *members = (struct members){0};
}

/* ---- which params are the same --------------------------------------------------------------------------------------------- */

/* What tells a tensor, and its place. */
typedef struct place {
    uintptr_t identity, memory;
    size_t numel, index;
} place;

static int compare(uintptr_t x, uintptr_t y) { return x < y ? -1 : x > y; }

static int by_tensor(const void *x, const void *y)
{
    const place *one = x, *other = y;
    int order = compare(one->identity, other->identity);
    order = order ? order : compare(one->memory, other->memory);
    order = order ? order : compare(one->numel, other->numel);
    return order ? order : compare(one->index, other->index);
}

static bool same_tensor(const place *x, const place *y)
{
    return x->identity == y->identity && x->memory == y->memory && x->numel == y->numel;
}

/* A tensor is the host's object or, without one, its memory, all of it; views that only share memory are others, as in
 * PyTorch, and so are empty tensors. */
static bool place_of(const parameter *param, size_t index, place *out)
{
    const DLTensor *tensor = &param->descriptor;
    size_t numel = 1;
    for (int32_t d = 0; d < tensor->ndim; d++)
        numel *= (size_t)tensor->shape[d];
    if (param->identity)
        *out = (place){.identity = (uintptr_t)param->identity, .index = index};
    else
        *out = (place){.memory = (uintptr_t)tensor->data + tensor->byte_offset, .numel = numel, .index = index};
    return param->identity || (tensor->data && numel > 0);
}

sgd_status members_link(parameter *params, size_t count, sgd_error *error)
{
    place *places = malloc(count * sizeof *places + 1);
    if (!places)
        return no_memory(error);
    size_t known = 0;
    for (size_t i = 0; i < count; i++) {
        params[i].first = i;
        params[i].previous = NO_INDEX;
        known += place_of(&params[i], i, &places[known]);
    }
    qsort(places, known, sizeof *places, by_tensor);
    for (size_t i = 1; i < known; i++)
        if (same_tensor(&places[i - 1], &places[i])) {
            params[places[i].index].previous = places[i - 1].index;
            params[places[i].index].first = params[places[i - 1].index].first;
        }
    free(places);
    return SGD_OK;
}

void members_split(parameter *params, const param_group *group)
{
    size_t begin = group->first;
    for (size_t i = group->first; i < group->first + group->count; i++) {
        params[i].splits = params[i].previous != NO_INDEX && params[i].previous >= begin;
        if (params[i].splits)
            begin = i;
        if (params[i].first >= group->first)
            params[params[i].first].id = i;
    }
}

bool members_reserve_work(sgd_optimizer *optimizer, size_t groups, size_t params)
{
    return RESERVE(optimizer->items, params) && RESERVE(optimizer->prepared, params) &&
           RESERVE(optimizer->steps, groups + params) && RESERVE(optimizer->options, groups);
}

/* ---- groups of them ------------------------------------------------------------------------------------------------------------------- */

sgd_status members_append_params(const sgd_optimizer *optimizer, members *members, const sgd_group *group, sgd_error *error)
{
    size_t old = members->param_count, made = 0;
    sgd_status status = SGD_OK;
    if (!RESERVE(members->params, old + group->count))
        return no_memory(error);
    while (made < group->count && !status) {
        status = parameter_init(optimizer, group, made, old + made, &members->params[old + made], error);
        made += !status;
    }
    while (status && made > 0)
        parameter_clear(&members->params[old + --made]);
    return status;
}

void members_drop_params(members *members, size_t total)
{
    for (size_t i = members->param_count; i < total; i++)
        parameter_clear(&members->params[i]);
}

param_group *members_append_group(members *members, sgd_dict values, size_t count)
{
    param_group *group = RESERVE(members->groups, members->group_count + 1) ? malloc(sizeof *group) : NULL;
    if (!group)
        return NULL;
    *group = (param_group){values, members->param_count, count};
    members->groups[members->group_count++] = group;
    members->param_count += count;
    return group;
}

/* ---- replacing ---------------------------------------------------------------------------------------------------------------- */

static sgd_status make_members(const sgd_optimizer *optimizer, const sgd_group *groups, size_t count, members *out,
                               sgd_error *error)
{
    members members = {0};
    sgd_status status = SGD_OK;
    for (size_t g = 0; g < count && !status; g++) {
        sgd_dict values = {0};
        status = group_check(&groups[g], error);
        if (!status)
            status = group_values(&groups[g], NULL, &values, error);
        if (!status)
            status = members_append_params(optimizer, &members, &groups[g], error);
        if (!status && !members_append_group(&members, values, groups[g].count)) {
            members_drop_params(&members, members.param_count + groups[g].count);
            status = no_memory(error);
        }
        if (status)
            dict_clear(&values);
    }
    if (status)
        members_clear(&members);
    else
        *out = members;
    return status;
}

/* For each new param the old one that is the same tensor, or NO_INDEX. */
static sgd_status match_params(const members *old, const members *new, size_t **out, sgd_error *error)
{
    size_t total = old->param_count + new->param_count;
    parameter *both = malloc(total * sizeof *both + 1);
    size_t *match = malloc(new->param_count * sizeof *match + 1);
    sgd_status status = both && match ? SGD_OK : no_memory(error);
    for (size_t i = 0; i < total && !status; i++)
        both[i] = i < old->param_count ? old->params[i] : new->params[i - old->param_count];
    if (!status)
        status = members_link(both, total, error);
    for (size_t i = 0; i < new->param_count && !status; i++) {
        size_t first = both[old->param_count + i].first;
        match[i] = first < old->param_count ? first : NO_INDEX;
    }
    free(both);
    if (status)
        free(match);
    else
        *out = match;
    return status;
}

sgd_status sgd_optimizer_set_groups(sgd_optimizer *optimizer, const sgd_group *groups, size_t count, sgd_error *error)
{
    if (!optimizer || (count > 0 && !groups))
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "%s is NULL", optimizer ? "groups" : "optimizer");
    members members = {0};
    size_t *match = NULL;
    sgd_status status = make_members(optimizer, groups, count, &members, error);
    if (!status)
        status = members_link(members.params, members.param_count, error);
    if (!status)
        status = match_params(&optimizer->members, &members, &match, error);
    optimizer->workspace.holds = false;
    if (!status && !members_reserve_work(optimizer, members.group_count, members.param_count))
        status = no_memory(error);
    if (status) {
        free(match);
        members_clear(&members);
        return status;
    }
    for (size_t i = 0; i < members.param_count; i++)
        if (match[i] != NO_INDEX && members.params[i].first == i) {
            parameter *from = &optimizer->members.params[match[i]];
            members.params[i].state = from->state;
            members.params[i].has_state = from->has_state;
            from->state = NULL;
        }
    for (size_t g = 0; g < members.group_count; g++)
        members_split(members.params, members.groups[g]);
    struct members old = optimizer->members;
    optimizer->members = members;
    members_clear(&old);
    free(match);
    return SGD_OK;
}

sgd_status sgd_optimizer_set_params(sgd_optimizer *optimizer, const DLTensor *params, size_t count, sgd_error *error)
{
    if (!optimizer || (count > 0 && !params))
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "%s is NULL", optimizer ? "params" : "optimizer");
    members *members = &optimizer->members;
    if (count != members->param_count)
        return sgd_error_set(error, SGD_ERROR_SHAPE, "%zu tensors for %zu parameters", count, members->param_count);
    DLTensor *copies = malloc(count * sizeof *copies + 1);
    size_t made = 0, numel;
    sgd_status status = copies ? SGD_OK : no_memory(error);
    while (made < count && !status) {
        status = tensor_numel(&params[made], &numel, error);
        if (!status)
            status = descriptor_copy(&params[made], &copies[made], error);
        made += !status;
    }
    optimizer->workspace.holds = false;
    for (size_t i = 0; i < made; i++) {
        DLTensor old = members->params[i].descriptor;
        if (!status)
            members->params[i].descriptor = copies[i];
        free(status ? copies[i].shape : old.shape);
    }
    free(copies);
    return status;
}
