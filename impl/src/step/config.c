/* config.c - which bits, on what: a config checked, and the backend where it names none. */
#include <stdlib.h>

#include "engine.h"

static sgd_status check_values(const sgd_config *config, sgd_error *error)
{
    if (config->struct_size != sizeof(sgd_config))
        return sgd_error_set(error, SGD_ERROR_ABI, "config: struct_size %zu, this library's is %zu", config->struct_size,
                             sizeof(sgd_config));
    if (!sgd_contract_name(config->contract))
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "config: contract %d does not exist", (int)config->contract);
    if (!sgd_schedule_name(config->schedule))
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "config: schedule %d does not exist", (int)config->schedule);
    if (config->defects != SGD_DEFECTS_FIX && config->defects != SGD_DEFECTS_REPRODUCE)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "config: defects is neither fix nor reproduce");
    if (config->torch_threads < 1)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "config: torch_threads must be at least 1");
    return SGD_OK;
}

static sgd_status check_backend(const sgd_backend *backend, sgd_schedule schedule, sgd_error *error)
{
    if (backend->struct_size < sizeof(sgd_backend) || backend->abi_version != SGD_BACKEND_ABI_VERSION)
        return sgd_error_set(error, SGD_ERROR_ABI, "backend: struct_size %zu and ABI version %u, this library needs %zu and %d",
                             backend->struct_size, backend->abi_version, sizeof(sgd_backend), SGD_BACKEND_ABI_VERSION);
    if (!backend->name || !backend->allocate || !backend->release || !backend->synchronize || !backend->step)
        return sgd_error_set(error, SGD_ERROR_ABI, "backend: name, allocate, release, synchronize and step are required");
    if (!backend->prepare != !backend->run || !backend->prepare != !backend->discard)
        return sgd_error_set(error, SGD_ERROR_ABI, "backend: prepare, run and discard come together");
    if (schedule == SGD_SCHEDULE_BY_OP && (!backend->negate || !backend->copy || !backend->axpy || !backend->scale || !backend->addcmul))
        return sgd_error_set(error, SGD_ERROR_UNSUPPORTED, "backend %s takes whole steps only, not the schedule by_op",
                             backend->name);
    return SGD_OK;
}

/* The CPU where the caller names no backend.  A mistyped SGD_ISA must not silently run something else. */
static sgd_status choose_backend(sgd_config *config, sgd_error *error)
{
    if (config->backend)
        return SGD_OK;
    const char *cap = getenv("SGD_ISA");
    sgd_isa isa;
    if (cap && *cap && !sgd_isa_parse(cap, &isa))
        return sgd_error_set(error, SGD_ERROR_VALUE, "environment variable SGD_ISA: no instruction set is called %.40s", cap);
    config->backend = sgd_backend_cpu(sgd_isa_best());
    return SGD_OK;
}

bool config_same(const sgd_config *x, const sgd_config *y)
{
    return x->contract == y->contract && x->defects == y->defects && x->schedule == y->schedule &&
           x->torch_threads == y->torch_threads && x->threads == y->threads && x->backend == y->backend;
}

sgd_status config_check(sgd_config *config, sgd_error *error)
{
    sgd_status status = check_values(config, error);
    if (!status)
        status = choose_backend(config, error);
    return status ? status : check_backend(config->backend, config->schedule, error);
}
