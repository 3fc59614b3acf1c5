/* options.c - defaults and checks of SGD.__init__ (torch/optim/sgd.py), and the choice of the path. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dict.h"

#define DL_CUDA 2 /* DLPack's kDLCUDA */

sgd_options sgd_options_default(void)
{
    return (sgd_options){.struct_size = sizeof(sgd_options), .lr = 1e-3, .foreach = SGD_NONE, .fused = SGD_NONE};
}

sgd_config sgd_config_default(void)
{
    return (sgd_config){.struct_size = sizeof(sgd_config), .contract = SGD_TORCH_2_13_CPU_FMA, .torch_threads = 1};
}

static const char *const schedule_names[] = {"single_pass", "by_op"};

const char *sgd_schedule_name(sgd_schedule schedule)
{
    return (size_t)schedule < sizeof schedule_names / sizeof schedule_names[0] ? schedule_names[schedule] : NULL;
}

bool sgd_schedule_parse(const char *name, sgd_schedule *out)
{
    for (int i = SGD_SCHEDULE_SINGLE_PASS; name && i <= SGD_SCHEDULE_BY_OP; i++)
        if (!strcmp(schedule_names[i], name)) {
            *out = (sgd_schedule)i;
            return true;
        }
    return false;
}

/* Python's repr of a float: the fewest digits that read back the same, exponents below -4 and from 16 on. */
static const char *python_float(double value, char text[FLOAT_TEXT_SIZE])
{
    if (!isfinite(value)) {
        snprintf(text, FLOAT_TEXT_SIZE, "%s", isnan(value) ? "nan" : value < 0 ? "-inf" : "inf");
        return text;
    }
    int digits = 0;
    do
        snprintf(text, FLOAT_TEXT_SIZE, "%.*e", digits, value);
    while (strtod(text, NULL) != value && ++digits < 17);
    int exponent = atoi(strchr(text, 'e') + 1);
    if (exponent < -4 || exponent >= 16)
        return text;
    int decimals = digits - exponent > 1 ? digits - exponent : 1;
    snprintf(text, FLOAT_TEXT_SIZE, "%.*f", decimals, value);
    return text;
}

/* The locale's decimal point, which printf takes, becomes Python's. */
const char *python_text(double value, char text[FLOAT_TEXT_SIZE])
{
    python_float(value, text);
    if (isfinite(value))
        for (char *c = text; *c; c++)
            if (!strchr("+-0123456789e", *c))
                *c = '.';
    return text;
}

sgd_status options_check_values(const sgd_options *options, sgd_error *error)
{
    char text[FLOAT_TEXT_SIZE];
    if (!options)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "options is NULL");
    if (options->struct_size != sizeof(sgd_options))
        return sgd_error_set(error, SGD_ERROR_ABI, "options: struct_size %zu, this library's is %zu",
                             options->struct_size, sizeof(sgd_options));
    if (options->lr < 0.0)
        return sgd_error_set(error, SGD_ERROR_VALUE, "Invalid learning rate: %s", python_text(options->lr, text));
    if (options->momentum < 0.0)
        return sgd_error_set(error, SGD_ERROR_VALUE, "Invalid momentum value: %s",
                             python_text(options->momentum, text));
    if (options->weight_decay < 0.0)
        return sgd_error_set(error, SGD_ERROR_VALUE, "Invalid weight_decay value: %s",
                             python_text(options->weight_decay, text));
    if (options->nesterov && (options->momentum <= 0 || options->dampening != 0))
        return sgd_error_set(error, SGD_ERROR_VALUE, "Nesterov momentum requires a momentum and zero dampening");
    return SGD_OK;
}

sgd_status options_check_path(const sgd_options *options, sgd_error *error)
{
    if (options->fused == SGD_TRUE && options->differentiable)
        return sgd_error_set(error, SGD_ERROR_RUNTIME, "`fused` does not support `differentiable`");
    if (options->fused == SGD_TRUE && options->foreach == SGD_TRUE)
        return sgd_error_set(error, SGD_ERROR_RUNTIME, "`fused` and `foreach` cannot be `True` together.");
    return SGD_OK;
}

sgd_status sgd_options_check(const sgd_options *options, sgd_error *error)
{
    sgd_status status = options_check_values(options, error);
    return status ? status : options_check_path(options, error);
}

/* _default_to_fused_or_foreach is called by sgd() with differentiable=False and use_fused=False. */
sgd_path sgd_options_path(const sgd_options *options, const sgd_backend *backend)
{
    bool foreach = options->foreach == SGD_TRUE;
    if (options->foreach == SGD_NONE && options->fused == SGD_NONE)
        foreach = backend->dl_device == DL_CUDA;
    if (foreach)
        return SGD_FOREACH;
    return options->fused == SGD_TRUE ? SGD_FUSED : SGD_FORLOOP;
}
