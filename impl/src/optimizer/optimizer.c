/* optimizer.c - life of an optimizer, and the simple way to its groups and buffers (torch/optim/sgd.py SGD.__init__). */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

/* ---- life ------------------------------------------------------------------------------------------------------------ */

static sgd_status add_groups(sgd_optimizer *optimizer, const sgd_group *groups, size_t count, unsigned *warnings,
                             sgd_error *error)
{
    sgd_status status = SGD_OK;
    for (size_t g = 0; g < count && !status; g++)
        status = group_add(optimizer, &groups[g], warnings, error);
    return status;
}

sgd_status sgd_optimizer_create_groups(const sgd_dict *defaults, const sgd_config *config, const sgd_group *groups,
                                       size_t count, sgd_optimizer **out, unsigned *warnings, sgd_error *error)
{
    sgd_config settings = config ? *config : sgd_config_default();
    sgd_options options;
    unsigned found = 0;
    if (!out || !defaults || (count > 0 && !groups))
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "%s is NULL", !out ? "out" : !defaults ? "defaults" : "groups");
    sgd_status status = options_check_defaults(defaults, &options, error);
    if (!status)
        status = config_check(&settings, error);
    if (status)
        return status;
    if (count == 0)
        return sgd_refuse(SGD_REFUSAL_NO_PARAMS, NULL, NULL, error);
    sgd_optimizer *optimizer = calloc(1, sizeof *optimizer);
    if (!optimizer)
        return no_memory(error);
    optimizer->config = settings;
    status = dict_copy(defaults, &optimizer->defaults, error);
    if (!status)
        status = add_groups(optimizer, groups, count, warnings ? &found : NULL, error);
    if (!status)
        status = options_check_path(&options, error);
    if (status) {
        optimizer_free(optimizer);
        return status;
    }
    if (warnings)
        *warnings = found;
    *out = optimizer;
    return SGD_OK;
}

sgd_status sgd_optimizer_create(const sgd_options *options, const sgd_config *config, const DLTensor *params, size_t count,
                                sgd_optimizer **out, sgd_error *error)
{
    sgd_group group = {.struct_size = sizeof group, .params = params, .count = count};
    sgd_dict defaults = {0};
    if (!options || options->struct_size != sizeof *options)
        return sgd_options_check(options, error);
    if (count > 0 && !params)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "params is NULL");
    sgd_status status = options_write(options, &defaults, error);
    if (!status)
        status = sgd_optimizer_create_groups(&defaults, config, &group, count > 0, out, NULL, error);
    dict_clear(&defaults);
    return status;
}

void optimizer_free(sgd_optimizer *optimizer)
{
    members_clear(&optimizer->members);
    others_clear(&optimizer->others, &optimizer->other_count);
    hooks_clear(optimizer);
    dict_clear(&optimizer->defaults);
    workspace_clear(&optimizer->workspace);
    free(optimizer->slots);
    free(optimizer->options);
    free(optimizer->steps);
    free(optimizer->prepared);
    free(optimizer->items);
    free(optimizer);
}

void sgd_optimizer_destroy(sgd_optimizer *optimizer)
{
    if (!optimizer)
        return;
    optimizer->destroyed = true;
    if (optimizer->depth == 0)
        optimizer_free(optimizer);
}

/* ---- groups, the simple way -------------------------------------------------------------------------------------------- */

sgd_status sgd_optimizer_add_group(sgd_optimizer *optimizer, const sgd_options *options, const DLTensor *params,
                                   size_t count, sgd_error *error)
{
    sgd_group group = {.struct_size = sizeof group, .params = params, .count = count};
    sgd_dict values = {0};
    if (!optimizer || (count > 0 && !params))
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "%s is NULL", optimizer ? "params" : "optimizer");
    sgd_status status = options ? sgd_options_to_dict(options, &values, error) : SGD_OK;
    group.values = options ? &values : NULL;
    if (!status)
        status = group_add(optimizer, &group, NULL, error);
    dict_clear(&values);
    return status;
}

size_t sgd_optimizer_group_count(const sgd_optimizer *optimizer) { return optimizer ? optimizer->members.group_count : 0; }
size_t sgd_optimizer_tensor_count(const sgd_optimizer *optimizer) { return optimizer ? optimizer->members.param_count : 0; }
sgd_dict *sgd_optimizer_defaults(const sgd_optimizer *optimizer) { return optimizer ? (sgd_dict *)&optimizer->defaults : NULL; }

static sgd_status check_group(const sgd_optimizer *optimizer, size_t group, const void *argument, sgd_error *error)
{
    if (!optimizer || !argument)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "%s is NULL", optimizer ? "argument" : "optimizer");
    if (group >= optimizer->members.group_count)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "group %zu of %zu", group, optimizer->members.group_count);
    return SGD_OK;
}

sgd_status sgd_optimizer_get_options(const sgd_optimizer *optimizer, size_t group, sgd_options *out, sgd_error *error)
{
    sgd_status status = check_group(optimizer, group, out, error);
    return status ? status : sgd_options_from_dict(sgd_optimizer_group(optimizer, group), out, error);
}

sgd_status sgd_optimizer_set_options(sgd_optimizer *optimizer, size_t group, const sgd_options *options,
                                     sgd_error *error)
{
    sgd_status status = check_group(optimizer, group, options, error);
    return status ? status : sgd_options_to_dict(options, sgd_optimizer_group(optimizer, group), error);
}

sgd_status sgd_optimizer_path(const sgd_optimizer *optimizer, size_t group, sgd_path *out, sgd_error *error)
{
    sgd_options options;
    sgd_status status = check_group(optimizer, group, out, error);
    if (!status)
        status = sgd_options_from_dict(sgd_optimizer_group(optimizer, group), &options, error);
    if (!status)
        *out = sgd_options_path(&options, optimizer->config.backend);
    return status;
}

sgd_status sgd_optimizer_momentum_buffer(const sgd_optimizer *optimizer, size_t tensor, DLTensor *out, sgd_error *error)
{
    sgd_status status = check_tensor_index(optimizer, tensor, out, error);
    if (status)
        return status;
    const parameter *param = &optimizer->members.params[tensor];
    sgd_value buffer;
    param = &optimizer->members.params[param->first];
    if (sgd_dict_get(param->state, BUFFER_KEY, &buffer) && buffer.kind == SGD_VALUE_TENSOR) {
        *out = *buffer.tensor.tensor;
    } else {
        *out = param->descriptor;
        out->data = NULL;
        out->byte_offset = 0;
    }
    return SGD_OK;
}
