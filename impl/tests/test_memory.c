/* test_memory.c - every allocation of every public function fails once: the answer is ERROR_MEMORY, everything is as before,
 * and nothing leaks.  And a step that has been taken once allocates nothing any more.
 *
 * The library's own sources are linked here, with malloc and its kin replaced by ones that count.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fixture.h"
#ifdef WITH_STATE_FILES
#include <sgd/state_file.h>
#endif

/* ---- memory that runs out ------------------------------------------------------------------------------------------------------- */

static atomic_long until_failure = -1; /* allocations that still succeed; negative: all do */
static atomic_long live, made;

static bool fails(void) { return atomic_load(&until_failure) >= 0 && atomic_fetch_sub(&until_failure, 1) <= 0; }

static void *counted(void *memory)
{
    live += memory != NULL;
    made++;
    return memory;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void __real_free(void *memory);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
void __wrap_free(void *memory);

/* One fails, and those after it succeed again. */
void *__wrap_malloc(size_t size) { return fails() ? NULL : counted(__real_malloc(size)); }
void *__wrap_calloc(size_t count, size_t size) { return fails() ? NULL : counted(__real_calloc(count, size)); }

void *__wrap_realloc(void *memory, size_t size)
{
    if (fails())
        return NULL;
    live -= memory != NULL;
    return counted(__real_realloc(memory, size));
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return fails() ? NULL : counted(__real_aligned_alloc(alignment, size));
}

void __wrap_free(void *memory)
{
    live -= memory != NULL;
    __real_free(memory);
}

/* ---- what the calls work on ------------------------------------------------------------------------------------------------------ */

typedef struct world {
    fixture f;
    sgd_dict *dict, *more;
    sgd_state *state, *made_state;
    sgd_optimizer *made;
    sgd_workspace *workspace;
    sgd_value value;
    sgd_sparse sparse, sparse_grad;
    int64_t at[2], nnz[1], rows[2];
    char path[64];
} world;

static sgd_status ok_hook(sgd_hook_call *call, void *context, sgd_error *error)
{
    (void)call, (void)context, (void)error;
    return SGD_OK;
}

static void add_hooks(sgd_optimizer *optimizer)
{
    sgd_hook_handle handle;
    for (int kind = 0; kind < SGD_HOOK_KIND_COUNT; kind++)
        assert_int_equal(sgd_optimizer_add_hook(optimizer, (sgd_hook_kind)kind, ok_hook, NULL, NULL, false, &handle, NULL),
                         SGD_OK);
}

static sgd_group group_of(world *w, size_t first, size_t count)
{
    static const char *const names[2] = {"weight", "bias"};
    return (sgd_group){.struct_size = sizeof(sgd_group), .params = w->f.params + first, .count = count, .names = names,
                       .values = w->more};
}

/* An optimizer over one named param, with hooks; a state dict of another dtype that it could load; small things. */
static void world_make(world *w)
{
    static const sgd_value key = {.kind = SGD_VALUE_STRING, .string = "other"}, zero = {.kind = SGD_VALUE_INT};
    static double wide[3] = {1, 2, 3};
    sgd_dict *entry;
    *w = (world){.f = fixture_new()};
    fixture_link(&w->f);
    w->f.options.momentum = 0.5;
    w->f.config.schedule = SGD_SCHEDULE_BY_OP;
    assert_int_equal(sgd_dict_create(&w->dict, NULL), SGD_OK);
    assert_int_equal(sgd_dict_create(&w->more, NULL), SGD_OK);
    assert_int_equal(sgd_options_to_dict(&w->f.options, w->dict, NULL), SGD_OK);
    assert_int_equal(sgd_dict_set(w->more, "note", &key, NULL), SGD_OK);
    sgd_group group = group_of(w, 0, 1);
    assert_int_equal(sgd_optimizer_create_groups(w->dict, &w->f.config, &group, 1, &w->f.optimizer, NULL, NULL), SGD_OK);
    add_hooks(w->f.optimizer);
    assert_int_equal(sgd_optimizer_state_dict(w->f.optimizer, &w->state, NULL), SGD_OK);
    DLTensor buffer = tensor_of(wide, 64, w->f.shape);
    w->value = (sgd_value){.kind = SGD_VALUE_TENSOR, .tensor = {.tensor = &buffer}};
    assert_int_equal(sgd_state_add_entry(w->state, &zero, &entry, NULL), SGD_OK);
    assert_int_equal(sgd_dict_set(entry, "momentum_buffer", &w->value, NULL), SGD_OK);
    assert_int_equal(sgd_state_add_entry(w->state, &key, &entry, NULL), SGD_OK);
    assert_int_equal(sgd_dict_set(entry, "note", &key, NULL), SGD_OK);
    assert_int_equal(sgd_tensor_create(&buffer, &w->value, NULL), SGD_OK);
    w->rows[0] = w->rows[1] = 1;
    w->at[0] = 1;
    w->at[1] = w->nnz[0] = 2;
    w->sparse_grad = (sgd_sparse){.indices = tensor_of(w->rows, 64, w->at), .values = tensor_of(w->f.grad[0], 32, w->nnz),
                                  .ndim = 1, .shape = w->f.shape};
    w->sparse_grad.indices.ndim = 2;
    w->sparse_grad.indices.dtype.code = kDLInt;
    snprintf(w->path, sizeof w->path, "/tmp/sgd-memory-%ld.h5", (long)getpid());
}

static void world_drop(world *w)
{
    sgd_optimizer_destroy(w->f.optimizer);
    sgd_optimizer_destroy(w->made);
    sgd_dict_destroy(w->dict);
    sgd_dict_destroy(w->more);
    sgd_state_destroy(w->state);
    sgd_state_destroy(w->made_state);
    sgd_workspace_destroy(w->workspace);
    sgd_sparse_destroy(&w->sparse);
    if (w->value.object)
        w->value.type->release(w->value.object);
    unlink(w->path);
}

/* All that a call could have changed, as text. */
static void describe(const world *w, char *out, size_t size)
{
    const sgd_optimizer *optimizer = w->f.optimizer;
    DLTensor buffer = {.data = NULL};
    size_t at = sgd_optimizer_text(optimizer, NULL, out, size);
    sgd_optimizer_momentum_buffer(optimizer, 0, &buffer, NULL);
    snprintf(out + at, size - at, " %zu groups %zu tensors %d %p %a %a %zu others; %zu %zu keys; %zu groups %zu entries; %p %p %p %p",
             sgd_optimizer_group_count(optimizer), sgd_optimizer_tensor_count(optimizer),
             sgd_optimizer_has_state(optimizer, 0), buffer.data, w->f.param[0][0], w->f.param[1][0],
             sgd_optimizer_other_state_count(optimizer), sgd_dict_count(w->dict), sgd_dict_count(w->more),
             sgd_state_group_count(w->state), sgd_state_entry_count(w->state), (void *)w->made, (void *)w->made_state,
             (void *)w->workspace, w->value.object);
}

/* ---- the calls --------------------------------------------------------------------------------------------------------------------- */

static sgd_status dict_create(world *w, sgd_error *error)
{
    sgd_dict *made;
    sgd_status status = sgd_dict_create(&made, error);
    (void)w;
    if (!status)
        sgd_dict_destroy(made);
    return status;
}

static sgd_status set_string(world *w, sgd_error *error)
{
    return sgd_dict_set(w->more, "note", &(sgd_value){.kind = SGD_VALUE_STRING, .string = "else"}, error);
}

static sgd_status set_strings(world *w, sgd_error *error)
{
    const char *texts[] = {"a", "b"};
    return sgd_dict_set(w->more, "new", &(sgd_value){.kind = SGD_VALUE_STRINGS, .strings = {texts, 2}}, error);
}

static sgd_status set_tensor(world *w, sgd_error *error) { return sgd_dict_set(w->more, "tensor", &w->value, error); }

static sgd_status set_sparse(world *w, sgd_error *error)
{
    return sgd_dict_set(w->more, "sparse", &(sgd_value){.kind = SGD_VALUE_SPARSE, .sparse = &w->sparse_grad}, error);
}

static sgd_status options_to_dict(world *w, sgd_error *error) { return sgd_options_to_dict(&w->f.options, w->more, error); }

static sgd_status tensor_create(world *w, sgd_error *error)
{
    sgd_value made;
    sgd_status status = sgd_tensor_create(&w->f.params[0], &made, error);
    if (!status)
        made.type->release(made.object);
    return status;
}

static sgd_status sparse_create(world *w, sgd_error *error)
{
    sgd_value made;
    sgd_status status = sgd_sparse_create(&w->value, &w->value, 1, w->f.shape, true, &made, error);
    if (!status)
        made.type->release(made.object);
    return status;
}

static sgd_status create(world *w, sgd_error *error)
{
    return sgd_optimizer_create(&w->f.options, &w->f.config, w->f.params, 2, &w->made, error);
}

static sgd_status create_groups(world *w, sgd_error *error)
{
    sgd_group groups[2] = {group_of(w, 0, 1), group_of(w, 1, 1)};
    unsigned warnings;
    return sgd_optimizer_create_groups(w->dict, NULL, groups, 2, &w->made, &warnings, error);
}

static sgd_status add_param_group(world *w, sgd_error *error)
{
    sgd_group group = group_of(w, 1, 1);
    return sgd_optimizer_add_param_group(w->f.optimizer, &group, NULL, error);
}

static sgd_status set_groups(world *w, sgd_error *error)
{
    sgd_group groups[2] = {group_of(w, 0, 1), group_of(w, 1, 1)};
    return sgd_optimizer_set_groups(w->f.optimizer, groups, 2, error);
}

static sgd_status set_params(world *w, sgd_error *error) { return sgd_optimizer_set_params(w->f.optimizer, w->f.params, 1, error); }

static sgd_status set_options(world *w, sgd_error *error)
{
    w->f.options.lr = 3;
    return sgd_optimizer_set_options(w->f.optimizer, 0, &w->f.options, error);
}

static sgd_status optimizer_state(world *w, sgd_error *error)
{
    sgd_dict *dict;
    return sgd_optimizer_state(w->f.optimizer, 0, &dict, error);
}

static sgd_status other_state_add(world *w, sgd_error *error)
{
    sgd_dict *dict;
    return sgd_optimizer_other_state_add(w->f.optimizer, &(sgd_value){.kind = SGD_VALUE_STRING, .string = "x"}, &dict, error);
}

static sgd_status state_create(world *w, sgd_error *error) { return sgd_state_create(&w->made_state, error); }

static sgd_status state_add_group(world *w, sgd_error *error)
{
    sgd_dict *dict;
    return sgd_state_add_group(w->state, w->rows, 2, &dict, error);
}

static sgd_status state_add_entry(world *w, sgd_error *error)
{
    sgd_dict *dict;
    return sgd_state_add_entry(w->state, &(sgd_value){.kind = SGD_VALUE_STRING, .string = "x"}, &dict, error);
}

static sgd_status state_dict(world *w, sgd_error *error)
{
    return sgd_optimizer_state_dict(w->f.optimizer, &w->made_state, error);
}

static sgd_status load_state_dict(world *w, sgd_error *error)
{
    return sgd_optimizer_load_state_dict(w->f.optimizer, w->state, error);
}

static sgd_status step(world *w, sgd_error *error) { return sgd_optimizer_step(w->f.optimizer, w->f.grads, 1, error); }

/* The world's is by_op: this one has a plan to make. */
static sgd_status planned_step(world *w, sgd_error *error)
{
    float param[2][3] = {{1, 2, 3}, {4, 5, 6}};
    DLTensor params[2] = {tensor_of(param[0], 32, w->f.shape), tensor_of(param[1], 32, w->f.shape)};
    sgd_optimizer *optimizer;
    long before = atomic_exchange(&until_failure, -1);
    w->f.config.schedule = SGD_SCHEDULE_SINGLE_PASS;
    assert_int_equal(sgd_optimizer_create(&w->f.options, &w->f.config, params, 2, &optimizer, NULL), SGD_OK);
    atomic_store(&until_failure, before);
    sgd_status status = sgd_optimizer_step(optimizer, w->f.grads, 2, error);
    if (status)
        assert_true(param[0][0] == 1 && param[1][2] == 6 && !sgd_optimizer_has_state(optimizer, 0));
    sgd_optimizer_destroy(optimizer);
    return status;
}

static sgd_status sparse_step(world *w, sgd_error *error)
{
    sgd_gradient grad = {.sparse = &w->sparse_grad};
    sgd_step_arguments arguments = {.struct_size = sizeof arguments, .grads = &grad, .count = 1};
    return sgd_optimizer_step_with(w->f.optimizer, &arguments, NULL, error);
}

static sgd_status add_hook(world *w, sgd_error *error)
{
    sgd_hook_handle handle;
    return sgd_optimizer_add_hook(w->f.optimizer, SGD_HOOK_LOAD_PRE, ok_hook, NULL, NULL, true, &handle, error);
}

static sgd_status add_global_hook(world *w, sgd_error *error)
{
    sgd_hook_handle handle;
    sgd_status status = sgd_global_hook_add(SGD_HOOK_STEP_PRE, ok_hook, NULL, NULL, &handle, error);
    if (!status) {
        status = step(w, error); /* holds it */
        sgd_global_hook_remove(handle);
    }
    return status;
}

static sgd_status workspace_create(world *w, sgd_error *error) { return sgd_workspace_create(&w->workspace, error); }

static sgd_status functional_step(world *w, sgd_error *error)
{
    static float buffer[3];
    DLTensor memory = tensor_of(buffer, 32, w->f.shape);
    sgd_item item = {.param = &w->f.params[0], .grad = w->f.grads[0], .buffer = &memory};
    return sgd_step(&w->f.config, &w->f.options, &item, 1, NULL, w->workspace, error);
}

static sgd_status sparse_clone(world *w, sgd_error *error) { return sgd_sparse_clone(&w->sparse_grad, &w->sparse, error); }

#ifdef WITH_STATE_FILES
static sgd_status state_write(world *w, sgd_error *error)
{
    w->sparse_grad.values.data = w->f.grad[1];
    return sgd_state_write(w->state, w->path, error);
}

static sgd_status state_read(world *w, sgd_error *error)
{
    long before = atomic_exchange(&until_failure, -1);
    sgd_state_write(w->state, w->path, NULL);
    atomic_store(&until_failure, before);
    return sgd_state_read(w->path, &w->made_state, error);
}
#endif

typedef struct call {
    const char *name;
    sgd_status (*run)(world *w, sgd_error *error);
    long least; /* allocations, so that the test can't go silent */
} call;

static const call calls[] = {{"sgd_dict_create", dict_create, 1},
                             {"sgd_dict_set, a string", set_string, 1},
                             {"sgd_dict_set, strings", set_strings, 3},
                             {"sgd_dict_set, a tensor", set_tensor, 3},
                             {"sgd_dict_set, a sparse one", set_sparse, 3},
                             {"sgd_options_to_dict", options_to_dict, 9},
                             {"sgd_tensor_create", tensor_create, 2},
                             {"sgd_sparse_create", sparse_create, 3},
                             {"sgd_sparse_clone", sparse_clone, 1},
                             {"sgd_optimizer_create", create, 20},
                             {"sgd_optimizer_create_groups", create_groups, 30},
                             {"sgd_optimizer_add_param_group", add_param_group, 15},
                             {"sgd_optimizer_set_groups", set_groups, 10},
                             {"sgd_optimizer_set_params", set_params, 2},
                             {"sgd_optimizer_set_options", set_options, 10},
                             {"sgd_optimizer_state", optimizer_state, 1},
                             {"sgd_optimizer_other_state_add", other_state_add, 3},
                             {"sgd_state_create", state_create, 1},
                             {"sgd_state_add_group", state_add_group, 3},
                             {"sgd_state_add_entry", state_add_entry, 3},
                             {"sgd_optimizer_state_dict", state_dict, 15},
                             {"sgd_optimizer_load_state_dict", load_state_dict, 30},
                             {"sgd_optimizer_step", step, 8},
                             {"sgd_optimizer_step, with a plan", planned_step, 16},
                             {"sgd_optimizer_step_with, sparse", sparse_step, 8},
                             {"sgd_optimizer_add_hook", add_hook, 2},
                             {"sgd_global_hook_add", add_global_hook, 2},
                             {"sgd_workspace_create", workspace_create, 1},
                             {"sgd_step", functional_step, 4},
#ifdef WITH_STATE_FILES
                             {"sgd_state_write", state_write, 3},
                             {"sgd_state_read", state_read, 10},
#endif
};

static void try_each_allocation(const call *call)
{
    long n = 0, at_start = live;
    for (bool done = false; !done; n++) {
        world w;
        sgd_error error = {.status = SGD_OK};
        char before[1024], after[1024];
        world_make(&w);
        describe(&w, before, sizeof before);
        atomic_store(&until_failure, n);
        sgd_status status = call->run(&w, &error);
        bool failed = atomic_exchange(&until_failure, -1) < 0;
        describe(&w, after, sizeof after);
        done = status == SGD_OK;
        if (done == failed || (failed && status != SGD_ERROR_MEMORY))
            fail_msg("%s, allocation %ld fails: %d, %s", call->name, n, (int)status, error.message);
        if (!done && (error.status != status || strcmp(before, after)))
            fail_msg("%s, allocation %ld fails: before\n%s\nafter\n%s", call->name, n, before, after);
        world_drop(&w);
        if (live != at_start)
            fail_msg("%s, allocation %ld fails: %ld leaks", call->name, n, live - at_start);
    }
    if (n - 1 < call->least)
        fail_msg("%s has %ld allocations, not %ld", call->name, n - 1, call->least);
}

static void any_allocation_may_fail(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
        try_each_allocation(&calls[i]);
}

/* ---- steps that allocate nothing -------------------------------------------------------------------------------------------------- */

#define SIDE 6
#define TENSORS 4

typedef struct model {
    double memory[3][TENSORS][2 * SIDE * SIDE]; /* params, and gradients in two places; room for complex128 */
    int64_t shape[2], strides[2];
    DLTensor params[TENSORS], grads[2][TENSORS];
} model;

/* Matrices, some of them with gradients that lie otherwise. */
static void model_make(model *m, DLDataType type, bool strided)
{
    *m = (model){.shape = {SIDE, SIDE}, .strides = {1, SIDE}};
    for (int i = 0; i < TENSORS; i++)
        for (int place = 0; place < 3; place++) {
            DLTensor *tensor = place ? &m->grads[place - 1][i] : &m->params[i];
            *tensor = tensor_of(m->memory[place][i], 32, m->shape);
            tensor->ndim = 2;
            tensor->dtype = type;
            tensor->strides = strided && place && i % 2 ? m->strides : NULL;
        }
}

static size_t backend_bytes;

static sgd_status measured_allocate(void *context, size_t bytes, void **out)
{
    backend_bytes += bytes;
    return sgd_backend_cpu(SGD_ISA_SCALAR)->allocate(context, bytes, out);
}

/* Allocations of the host's in steps after the first, under a changing lr and gradients that move. */
static long allocations_of_later_steps(model *m, const sgd_options *options, const sgd_config *config)
{
    sgd_optimizer *optimizer;
    sgd_options changed = *options;
    DLTensor *grads[2][TENSORS];
    sgd_error error;
    long during = 0;
    for (int i = 0; i < 2 * TENSORS; i++)
        grads[i % 2][i / 2] = &m->grads[i % 2][i / 2];
    if (sgd_optimizer_create(options, config, m->params, 2, &optimizer, &error) ||
        sgd_optimizer_add_group(optimizer, options, m->params + 2, TENSORS - 2, &error))
        fail_msg("%s", error.message);
    for (int i = 0; i < 8; i++) {
        changed.lr = i < 4 ? options->lr : 1.0 / i;
        sgd_optimizer_set_options(optimizer, 1, &changed, NULL);
        long before = made;
        if (sgd_optimizer_step(optimizer, grads[i / 2 % 2], TENSORS, &error))
            fail_msg("%s", error.message);
        during += i > 0 ? made - before : 0;
    }
    sgd_optimizer_destroy(optimizer);
    return during;
}

static void a_step_taken_before_allocates_nothing(void **state)
{
    (void)state;
    static const DLDataType types[] = {{kDLFloat, 64, 1}, {kDLFloat, 32, 1},   {kDLFloat, 16, 1},
                                       {kDLBfloat, 16, 1}, {kDLComplex, 64, 1}, {kDLComplex, 128, 1}};
    sgd_backend backend = *sgd_backend_cpu(SGD_ISA_SCALAR);
    backend.allocate = measured_allocate;
    for (unsigned i = 0; i < 6 * 3 * 2 * 2 * 2; i++) {
        unsigned path = i / 6 % 3, schedule = i / 18 % 2, strided = i / 36 % 2, momentum = i / 72;
        DLDataType type = types[i % 6];
        model m;
        sgd_options options = sgd_options_default();
        sgd_config config = sgd_config_default();
        config.backend = &backend;
        config.schedule = (sgd_schedule)schedule;
        options.weight_decay = 0.1;
        options.momentum = momentum ? 0.9 : 0;
        options.foreach = path == SGD_FOREACH;
        options.fused = path == SGD_FUSED;
        if (type.code == kDLComplex && path == SGD_FUSED)
            continue;
        model_make(&m, type, strided);
        backend_bytes = 0;
        if (allocations_of_later_steps(&m, &options, &config))
            fail_msg("path %u, schedule %u, dtype %u, strided %u, momentum %u: a later step allocates", path, schedule, i % 6, strided,
                     momentum);
        size_t buffers = momentum ? TENSORS * SIDE * SIDE * type.bits / 8u : 0;
        if (!strided && (schedule == SGD_SCHEDULE_SINGLE_PASS || path == SGD_FUSED))
            assert_int_equal(backend_bytes, buffers); /* no memory beyond the state */
    }
}

static void a_workspace_allocates_once(void **state)
{
    (void)state;
    fixture f = fixture_new();
    fixture_link(&f);
    f.options.momentum = 0.5;
    float memory[2][3] = {{0}}, elsewhere[3] = {1, 2, 3};
    sgd_workspace *workspace;
    DLTensor buffers[2] = {tensor_of(memory[0], 32, f.shape), tensor_of(memory[1], 32, f.shape)};
    sgd_item items[2] = {{.param = &f.params[0], .grad = f.grads[0], .buffer = &buffers[0]},
                         {.param = &f.params[1], .grad = f.grads[1], .buffer = &buffers[1]}};
    assert_int_equal(sgd_workspace_create(&workspace, NULL), SGD_OK);
    assert_int_equal(sgd_step(NULL, &f.options, items, 2, NULL, workspace, NULL), SGD_OK);
    long before = made;
    for (int i = 0; i < 6; i++) {
        f.options.lr /= 2;
        f.grad_tensors[0].data = i % 2 ? elsewhere : f.grad[0];
        assert_int_equal(sgd_step(NULL, &f.options, items, 2, NULL, workspace, NULL), SGD_OK);
    }
    assert_int_equal(made, before);
    sgd_workspace_destroy(workspace);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(any_allocation_may_fail),
                                       cmocka_unit_test(a_step_taken_before_allocates_nothing),
                                       cmocka_unit_test(a_workspace_allocates_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
