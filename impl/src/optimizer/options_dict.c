/* options_dict.c - SGD's nine options as a group's dict has them, and what PyTorch's checks make of them. */
#include <string.h>

#include "internal.h"

/* In the order of the dict that SGD.__init__ makes (torch/optim/sgd.py); groups mostly keep it. */
enum { LR, MOMENTUM, DAMPENING, WEIGHT_DECAY, NESTEROV, MAXIMIZE, FOREACH, DIFFERENTIABLE, FUSED, OPTION_COUNT };

static const char *const option_keys[OPTION_COUNT] = {"lr",       "momentum", "dampening",      "weight_decay", "nesterov",
                                                      "maximize", "foreach",  "differentiable", "fused"};

/* ---- out --------------------------------------------------------------------------------------------------------------------- */

static sgd_value number_value(double number, sgd_tensor_option option)
{
    return option.tensor ? (sgd_value){.kind = SGD_VALUE_TENSOR, .tensor = option}
                         : (sgd_value){.kind = SGD_VALUE_DOUBLE, .number = number};
}

static sgd_value bool_value(bool value) { return (sgd_value){.kind = SGD_VALUE_BOOL, .boolean = value}; }

static sgd_value tristate_value(sgd_tristate value)
{
    return value == SGD_NONE ? (sgd_value){.kind = SGD_VALUE_NONE} : bool_value(value == SGD_TRUE);
}

static void option_values(const sgd_options *options, sgd_value values[OPTION_COUNT])
{
    values[LR] = number_value(options->lr, options->lr_tensor);
    values[MOMENTUM] = number_value(options->momentum, options->momentum_tensor);
    values[DAMPENING] = number_value(options->dampening, options->dampening_tensor);
    values[WEIGHT_DECAY] = number_value(options->weight_decay, options->weight_decay_tensor);
    values[NESTEROV] = bool_value(options->nesterov);
    values[MAXIMIZE] = bool_value(options->maximize);
    values[FOREACH] = tristate_value(options->foreach);
    values[DIFFERENTIABLE] = bool_value(options->differentiable);
    values[FUSED] = tristate_value(options->fused);
}

/* Whether a step could not tell the two apart; an int that says the same as a float stays what it is. */
static bool says_the_same(const sgd_value *x, const sgd_value *y)
{
    if (x->kind == SGD_VALUE_INT && y->kind == SGD_VALUE_DOUBLE)
        return (double)x->integer == y->number;
    if (x->kind != y->kind)
        return false;
    switch (x->kind) {
    case SGD_VALUE_NONE: return true;
    case SGD_VALUE_BOOL: return x->boolean == y->boolean;
    case SGD_VALUE_DOUBLE: return !memcmp(&x->number, &y->number, sizeof x->number);
    case SGD_VALUE_TENSOR: return x->tensor.tensor == y->tensor.tensor && x->tensor.requires_grad == y->tensor.requires_grad;
    default: return false;
    }
}

sgd_status options_write(const sgd_options *options, sgd_dict *dict, sgd_error *error)
{
    sgd_dict changed = {0};
    sgd_value values[OPTION_COUNT];
    option_values(options, values);
    sgd_status status = dict_copy(dict, &changed, error);
    for (size_t i = 0; i < OPTION_COUNT && !status; i++) {
        const stored *old = dict_find(dict, option_keys[i], i);
        if (!old || !says_the_same(&old->value, &values[i]))
            status = sgd_dict_set(&changed, option_keys[i], &values[i], error);
    }
    if (!status) {
        sgd_dict old = *dict;
        *dict = changed;
        changed = old;
    }
    dict_clear(&changed);
    return status;
}

sgd_status sgd_options_to_dict(const sgd_options *options, sgd_dict *out, sgd_error *error)
{
    if (!options || !out)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "%s is NULL", options ? "out" : "options");
    if (options->struct_size != sizeof(sgd_options))
        return sgd_options_check(options, error);
    return options_write(options, out, error);
}

/* ---- in ---------------------------------------------------------------------------------------------------------------------- */

static sgd_status no_fit(const char *key, sgd_error *error)
{
    return sgd_error_set(error, SGD_ERROR_TYPE, "option %s is of no type that a step can use", key);
}

static sgd_status read_number(const sgd_value *value, const char *key, double *number, sgd_tensor_option *tensor,
                              sgd_error *error)
{
    switch (value->kind) {
    case SGD_VALUE_BOOL: *number = value->boolean; return SGD_OK;
    case SGD_VALUE_INT: *number = (double)value->integer; return SGD_OK;
    case SGD_VALUE_DOUBLE: *number = value->number; return SGD_OK;
    case SGD_VALUE_TENSOR: *tensor = value->tensor; return SGD_OK;
    default: return no_fit(key, error);
    }
}

/* Python's truth. */
static sgd_status read_truth(const sgd_value *value, const char *key, bool *out, sgd_error *error)
{
    switch (value->kind) {
    case SGD_VALUE_NONE: *out = false; return SGD_OK;
    case SGD_VALUE_BOOL: *out = value->boolean; return SGD_OK;
    case SGD_VALUE_INT: *out = value->integer != 0; return SGD_OK;
    case SGD_VALUE_DOUBLE: *out = value->number != 0; return SGD_OK;
    case SGD_VALUE_STRING: *out = *value->string != 0; return SGD_OK;
    default: return no_fit(key, error);
    }
}

static sgd_status read_tristate(const sgd_value *value, const char *key, sgd_tristate *out, sgd_error *error)
{
    bool truth = false;
    sgd_status status = read_truth(value, key, &truth, error);
    if (!status)
        *out = value->kind == SGD_VALUE_NONE ? SGD_NONE : truth ? SGD_TRUE : SGD_FALSE;
    return status;
}

static sgd_status read_option(int option, const sgd_value *value, sgd_options *out, sgd_error *error)
{
    const char *key = option_keys[option];
    switch (option) {
    case LR: return read_number(value, key, &out->lr, &out->lr_tensor, error);
    case MOMENTUM: return read_number(value, key, &out->momentum, &out->momentum_tensor, error);
    case DAMPENING: return read_number(value, key, &out->dampening, &out->dampening_tensor, error);
    case WEIGHT_DECAY: return read_number(value, key, &out->weight_decay, &out->weight_decay_tensor, error);
    case NESTEROV: return read_truth(value, key, &out->nesterov, error);
    case MAXIMIZE: return read_truth(value, key, &out->maximize, error);
    case FOREACH: return read_tristate(value, key, &out->foreach, error);
    case DIFFERENTIABLE: return read_truth(value, key, &out->differentiable, error);
    default: return read_tristate(value, key, &out->fused, error);
    }
}

sgd_status sgd_options_from_dict(const sgd_dict *dict, sgd_options *out, sgd_error *error)
{
    sgd_options options = sgd_options_default();
    sgd_status status = SGD_OK;
    if (!dict || !out)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "%s is NULL", dict ? "out" : "dict");
    for (int i = 0; i < OPTION_COUNT && !status; i++) {
        const stored *found = dict_find(dict, option_keys[i], (size_t)i);
        status = found ? read_option(i, &found->value, &options, error)
                       : sgd_error_set(error, SGD_ERROR_KEY, "'%s'", option_keys[i]);
    }
    if (!status)
        *out = options;
    return status;
}

/* ---- the checks of SGD.__init__ ------------------------------------------------------------------------------------------------ */

/* Python prints a negative int without a point. */
static sgd_status check_integer(const sgd_dict *defaults, int option, const char *format, sgd_error *error)
{
    const stored *found = dict_find(defaults, option_keys[option], (size_t)option);
    if (found && found->value.kind == SGD_VALUE_INT && found->value.integer < 0)
        return sgd_error_set(error, SGD_ERROR_VALUE, "%s: %lld", format, (long long)found->value.integer);
    return SGD_OK;
}

/* A tensor stands for its element, which must be one for lr. */
static sgd_status read_tensors(sgd_options *options, sgd_error *error)
{
    struct {
        sgd_tensor_option *option;
        double *number;
    } pairs[] = {{&options->lr_tensor, &options->lr},
                 {&options->momentum_tensor, &options->momentum},
                 {&options->dampening_tensor, &options->dampening},
                 {&options->weight_decay_tensor, &options->weight_decay}};
    size_t numel = 1;
    sgd_status status = options->lr_tensor.tensor ? tensor_numel(options->lr_tensor.tensor, &numel, error) : SGD_OK;
    if (!status && numel != 1)
        return sgd_error_set(error, SGD_ERROR_VALUE, "Tensor lr must be 1-element");
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0] && !status; i++)
        if (pairs[i].option->tensor)
            status = number_read(pairs[i].option, pairs[i].number, error);
    return status;
}

sgd_status options_check_defaults(const sgd_dict *defaults, sgd_options *out, sgd_error *error)
{
    sgd_options options, values;
    sgd_status status = sgd_options_from_dict(defaults, &options, error);
    values = options;
    if (!status)
        status = read_tensors(&values, error);
    if (!status)
        status = check_integer(defaults, LR, "Invalid learning rate", error);
    if (!status && !(values.lr < 0))
        status = check_integer(defaults, MOMENTUM, "Invalid momentum value", error);
    if (!status && !(values.lr < 0) && !(values.momentum < 0))
        status = check_integer(defaults, WEIGHT_DECAY, "Invalid weight_decay value", error);
    if (!status)
        status = options_check_values(&values, error);
    if (!status)
        *out = options;
    return status;
}
