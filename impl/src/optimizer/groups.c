/* groups.c - add_param_group: its checks in PyTorch's order (torch/optim/optimizer.py). */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

/* ---- the checks of add_param_group ------------------------------------------------------------------------------------------- */

sgd_status group_check(const sgd_group *group, sgd_error *error)
{
    if (!group || (group->count > 0 && !group->params))
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "%s is NULL", group ? "params" : "group");
    if (group->struct_size != sizeof *group)
        return sgd_error_set(error, SGD_ERROR_ABI, "group: struct_size %zu, this library's is %zu", group->struct_size,
                             sizeof *group);
    size_t named = 0;
    for (size_t i = 0; i < group->count && group->names; i++)
        named += group->names[i] != NULL;
    return named > 0 && named < group->count ? sgd_refuse(SGD_REFUSAL_NAMES_MISSING, NULL, NULL, error) : SGD_OK;
}

static bool is_differentiable(const sgd_dict *defaults)
{
    sgd_value value;
    return sgd_dict_get(defaults, "differentiable", &value) &&
           ((value.kind == SGD_VALUE_BOOL && value.boolean) || (value.kind == SGD_VALUE_INT && value.integer));
}

static sgd_status check_leaves(const sgd_optimizer *optimizer, const sgd_group *group, sgd_error *error)
{
    for (size_t i = 0; i < group->count && group->non_leaf && !is_differentiable(&optimizer->defaults); i++)
        if (group->non_leaf[i])
            return sgd_refuse(SGD_REFUSAL_NON_LEAF, NULL, NULL, error);
    return SGD_OK;
}

sgd_status group_values(const sgd_group *group, const sgd_dict *defaults, sgd_dict *out, sgd_error *error)
{
    sgd_dict values = {0};
    sgd_status status = group->values ? dict_copy(group->values, &values, error) : SGD_OK;
    sgd_value names = {.kind = SGD_VALUE_STRINGS, .strings = {group->names, group->count}};
    if (!status && group->names && group->count > 0 && group->names[0])
        status = sgd_dict_set(&values, "param_names", &names, error);
    for (size_t i = 0; defaults && i < defaults->count && !status; i++)
        if (!dict_find(&values, defaults->entries[i].key, i))
            status = sgd_dict_set(&values, defaults->entries[i].key, &defaults->entries[i].stored.value, error);
    if (status)
        dict_clear(&values);
    else
        *out = values;
    return status;
}

/* What no backend could step; PyTorch does not look at values here, so values of no use are left to the step. */
static sgd_status check_claims(const sgd_optimizer *optimizer, const sgd_dict *values, const parameter *params, size_t count,
                               sgd_error *error)
{
    sgd_options options;
    tensor_view view;
    if (sgd_options_from_dict(values, &options, NULL))
        return SGD_OK;
    sgd_path path = sgd_options_path(&options, optimizer->config.backend);
    sgd_status status = SGD_OK;
    for (size_t i = 0; i < count && !status; i++) {
        status = tensor_view_check(&params[i].descriptor, optimizer->config.backend, "parameter", i, &view, error);
        if (!status)
            status = step_check_claim(&optimizer->config, path, view.dtype, error);
    }
    return status;
}

/* Duplicates, names, overlap; `total` params, of which those from `old` on are new. */
static sgd_status check_membership(const members *members, const sgd_dict *values, size_t total, unsigned *warnings,
                                   sgd_error *error)
{
    size_t old = members->param_count, twice = NO_INDEX;
    bool overlap = false, named = dict_find(values, "param_names", 0) != NULL;
    for (size_t i = old; i < total; i++) {
        overlap |= members->params[i].first < old;
        if (members->params[i].previous != NO_INDEX && members->params[i].previous >= old && twice == NO_INDEX)
            twice = i;
    }
    if (twice != NO_INDEX && !warnings)
        return sgd_error_set(error, SGD_ERROR_VALUE, "parameters %zu and %zu of one group are the same",
                             members->params[twice].previous, twice);
    for (size_t g = 0; g < members->group_count; g++)
        if (named != (dict_find(&members->groups[g]->values, "param_names", 0) != NULL))
            return sgd_refuse(SGD_REFUSAL_NAMES_MIXED, named ? "with names" : "without names", NULL, error);
    if (overlap)
        return sgd_refuse(SGD_REFUSAL_IN_TWO_GROUPS, NULL, NULL, error);
    if (twice != NO_INDEX)
        *warnings |= SGD_WARNING_DUPLICATES;
    return SGD_OK;
}

/* ---- adding ----------------------------------------------------------------------------------------------------------------- */

sgd_status group_add(sgd_optimizer *optimizer, const sgd_group *group, unsigned *warnings, sgd_error *error)
{
    members *members = &optimizer->members;
    sgd_status status = group_check(group, error);
    if (!status)
        status = check_leaves(optimizer, group, error);
    if (!status)
        status = members_append_params(optimizer, members, group, error);
    if (status)
        return status;
    size_t total = members->param_count + group->count;
    optimizer->workspace.holds = false;
    sgd_dict values = {0};
    param_group *added = NULL;
    status = group_values(group, &optimizer->defaults, &values, error);
    if (!status && !group->check_later)
        status = check_claims(optimizer, &values, members->params + members->param_count, group->count, error);
    if (!status)
        status = members_link(members->params, total, error);
    if (!status && !members_reserve_work(optimizer, members->group_count + 1, total))
        status = no_memory(error);
    unsigned found = 0;
    if (!status)
        status = check_membership(members, &values, total, warnings ? &found : NULL, error);
    if (!status && !(added = members_append_group(members, values, group->count)))
        status = no_memory(error);
    if (status) {
        dict_clear(&values);
        members_drop_params(members, total);
        return status;
    }
    members_split(members->params, added);
    if (warnings)
        *warnings |= found;
    return SGD_OK;
}

sgd_status sgd_optimizer_add_param_group(sgd_optimizer *optimizer, const sgd_group *group, unsigned *warnings,
                                         sgd_error *error)
{
    unsigned found = 0;
    if (!optimizer)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "optimizer is NULL");
    sgd_status status = group_add(optimizer, group, warnings ? &found : NULL, error);
    if (!status && warnings)
        *warnings = found;
    return status;
}

const char *sgd_warning_text(sgd_warning warning)
{
    return warning == SGD_WARNING_DUPLICATES
               ? "optimizer contains a parameter group with duplicate parameters; in future, this will cause an error; see "
                 "github.com/pytorch/pytorch/issues/40967 for more information"
               : NULL;
}

/* ---- access -------------------------------------------------------------------------------------------------------------------- */

sgd_dict *sgd_optimizer_group(const sgd_optimizer *optimizer, size_t group)
{
    return optimizer && group < optimizer->members.group_count ? &optimizer->members.groups[group]->values : NULL;
}

size_t sgd_optimizer_group_size(const sgd_optimizer *optimizer, size_t group)
{
    return optimizer && group < optimizer->members.group_count ? optimizer->members.groups[group]->count : 0;
}
