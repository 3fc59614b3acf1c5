/* bench_host.c - a host of sgd_bench_main (session.h) whose implementations are the library with one twist each, to see what
 * the harness makes of it.
 *
 *   same       none                            defective  PyTorch's defects reproduced, and said so
 *   wrong      flips the last bit of the       loose      does that too, but promises no bits
 *              param element that the          breaks     its second step fails
 *              environment's BENCH_HOST_WRONG  broken     cannot be opened
 *              names                           absent     does not have the case
 *   forgetful  shows no momentum buffers
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sgd/sgd.h>

#include "session.h"

static const char *const IMPLEMENTATIONS[] = {"same",   "wrong",  "forgetful", "defective",
                                              "loose",  "breaks", "broken",    "absent"};

typedef struct contestant {
    char implementation[16];
    sgd_optimizer *optimizer;
    DLTensor *params, **grads;
    size_t count;
    unsigned steps;
    sgd_error error;
} contestant;

static bool is(const contestant *self, const char *name) { return strcmp(self->implementation, name) == 0; }

static bool create(contestant *self, const sgd_bench_case *which)
{
    sgd_options options = sgd_options_default();
    options.lr = which->lr;
    options.momentum = which->momentum;
    options.dampening = which->dampening;
    options.weight_decay = which->weight_decay;
    options.nesterov = which->nesterov;
    options.foreach = strcmp(which->path, "foreach") == 0 ? SGD_TRUE : SGD_FALSE;
    options.fused = strcmp(which->path, "fused") == 0 ? SGD_TRUE : SGD_FALSE;
    sgd_config config = sgd_config_default();
    char contract[64];
    snprintf(contract, sizeof contract, "torch-2.13/%s", which->contract);
    config.defects = is(self, "defective") ? SGD_DEFECTS_REPRODUCE : SGD_DEFECTS_FIX;
    config.threads = config.torch_threads = which->threads;
    return sgd_contract_parse(contract, &config.contract) &&
           sgd_optimizer_create(&options, &config, self->params, self->count, &self->optimizer, &self->error) == SGD_OK;
}

static int open_contestant(void *context, const char *implementation, const sgd_bench_tensors *tensors, contestant **out)
{
    (void)context;
    contestant *self = calloc(1, sizeof *self);
    if (!self)
        return 1;
    *out = self;
    snprintf(self->implementation, sizeof self->implementation, "%s", implementation);
    self->count = tensors->count;
    self->params = tensors->params;
    self->grads = calloc(tensors->count, sizeof *self->grads);
    for (size_t i = 0; self->grads && i < tensors->count; i++)
        self->grads[i] = &tensors->grads[i];
    return self->grads == NULL;
}

static int host_open(void *context, const sgd_bench_case *which, const sgd_bench_tensors *tensors, sgd_bench_contestant *out)
{
    if (strcmp(which->implementation, "absent") == 0) {
        out->why = "nobody wrote it";
        return 0;
    }
    if (strcmp(which->implementation, "broken") == 0) {
        out->why = "it does not open";
        return 1;
    }
    contestant *self;
    if (open_contestant(context, which->implementation, tensors, &self) || !create(self, which)) {
        out->why = "the library refuses";
        return 1;
    }
    out->callable = self;
    out->checked = !is(self, "loose");
    out->why = "it promises nothing";
    out->has_defects = is(self, "defective");
    return 0;
}

/* Flips a bit of the element, counted over all tensors. */
static void go_wrong(contestant *self)
{
    const char *chosen = getenv("BENCH_HOST_WRONG");
    size_t element = chosen ? strtoull(chosen, NULL, 10) : 0;
    for (size_t i = 0; i < self->count; i++) {
        size_t elements = 1;
        for (int32_t d = 0; d < self->params[i].ndim; d++)
            elements *= (size_t)self->params[i].shape[d];
        if (element < elements) {
            ((unsigned char *)self->params[i].data)[element * self->params[i].dtype.bits / 8] ^= 1;
            return;
        }
        element -= elements;
    }
}

static void *host_step(void *callable)
{
    contestant *self = callable;
    if (is(self, "breaks") && ++self->steps == 2)
        return NULL;
    if (sgd_optimizer_step(self->optimizer, self->grads, self->count, &self->error) != SGD_OK)
        return NULL;
    if (is(self, "wrong") || is(self, "loose"))
        go_wrong(self);
    return self;
}

static void host_drop(void *result) { (void)result; }

static const char *host_failure(void *context, void *callable)
{
    (void)context;
    (void)callable;
    return "it broke";
}

static int host_buffers(void *context, void *callable, DLTensor *out)
{
    (void)context;
    contestant *self = callable;
    if (is(self, "forgetful"))
        return 1;
    for (size_t i = 0; i < self->count; i++)
        if (sgd_optimizer_momentum_buffer(self->optimizer, i, &out[i], &self->error) != SGD_OK)
            return 1;
    return 0;
}

static long long host_peak_memory(void *context, void *callable)
{
    (void)context;
    return host_step(callable) ? 12345 : -1;
}

static void host_close(void *context, void *callable)
{
    (void)context;
    contestant *self = callable;
    sgd_optimizer_destroy(self->optimizer);
    free(self->grads);
    free(self);
}

int main(int argc, char **argv)
{
    const sgd_bench_host host = {.struct_size = sizeof host,
                                 .versions = "bench host 1.0, twist 2.5+x",
                                 .implementation_count = sizeof IMPLEMENTATIONS / sizeof IMPLEMENTATIONS[0],
                                 .implementations = IMPLEMENTATIONS,
                                 .open = host_open,
                                 .step = host_step,
                                 .drop = host_drop,
                                 .failure = host_failure,
                                 .buffers = host_buffers,
                                 .peak_memory = host_peak_memory,
                                 .close = host_close};
    static char name[] = "sgd-bench";
    argv[0] = name;
    return sgd_bench_main(argc, argv, &host);
}
