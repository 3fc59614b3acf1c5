/* test_hooks.c - hooks, closures and zero_grad: their order, what they may change, and what they may do to their optimizer. */
#include <pthread.h>
#include <string.h>

#include "fixture.h"

/* ---- order --------------------------------------------------------------------------------------------------------------------- */

static char trail[64]; /* who was called */

static void leave(const char *who) { strncat(trail, who, sizeof trail - strlen(trail) - 1); }

static sgd_status note(sgd_hook_call *call, void *context, sgd_error *error)
{
    (void)call, (void)error;
    leave(context);
    return SGD_OK;
}

static sgd_status note_closure(void *context, sgd_value *loss, sgd_error *error)
{
    (void)error;
    leave(context);
    *loss = (sgd_value){.kind = SGD_VALUE_DOUBLE, .number = 0.25};
    return SGD_OK;
}

static sgd_status note_collect(sgd_optimizer *optimizer, sgd_step_arguments *arguments, void *context, sgd_error *error)
{
    (void)optimizer, (void)arguments, (void)error;
    leave(context);
    return SGD_OK;
}

static sgd_hook_handle add(sgd_optimizer *optimizer, sgd_hook_kind kind, sgd_hook hook, void *context)
{
    sgd_hook_handle handle;
    assert_int_equal(sgd_optimizer_add_hook(optimizer, kind, hook, context, NULL, false, &handle, NULL), SGD_OK);
    assert_true(handle != 0);
    return handle;
}

static sgd_step_arguments arguments_of(fixture *f, sgd_gradient grads[2])
{
    for (int i = 0; i < 2; i++)
        grads[i] = (sgd_gradient){.dense = f->grads[i]};
    return (sgd_step_arguments){.struct_size = sizeof(sgd_step_arguments), .grads = grads, .count = 2};
}

static void a_step_runs_global_own_closure_step_own_global(void **state)
{
    (void)state;
    fixture f = fixture_new();
    fixture_create(&f);
    sgd_hook_handle before, after;
    assert_int_equal(sgd_global_hook_add(SGD_HOOK_STEP_PRE, note, "G", NULL, &before, NULL), SGD_OK);
    assert_int_equal(sgd_global_hook_add(SGD_HOOK_STEP_POST, note, "g", NULL, &after, NULL), SGD_OK);
    add(f.optimizer, SGD_HOOK_STEP_PRE, note, "1");
    sgd_hook_handle second = add(f.optimizer, SGD_HOOK_STEP_PRE, note, "2");
    add(f.optimizer, SGD_HOOK_STEP_POST, note, "3");
    sgd_gradient grads[2];
    sgd_step_arguments arguments = arguments_of(&f, grads);
    arguments.closure = note_closure;
    arguments.closure_context = "c";
    arguments.collect = note_collect;
    arguments.collect_context = "C";
    sgd_value loss;
    trail[0] = '\0';
    assert_int_equal(sgd_optimizer_step_with(f.optimizer, &arguments, &loss, NULL), SGD_OK);
    assert_string_equal(trail, "G12cC3g");
    assert_true(loss.kind == SGD_VALUE_DOUBLE && loss.number == 0.25 && f.param[0][0] == 0.5f);
    sgd_optimizer_remove_hook(f.optimizer, second);
    sgd_optimizer_remove_hook(f.optimizer, second);
    sgd_global_hook_remove(before);
    sgd_global_hook_remove(after);
    trail[0] = '\0';
    assert_int_equal(sgd_optimizer_step(f.optimizer, f.grads, 2, NULL), SGD_OK);
    assert_string_equal(trail, "13");
    sgd_optimizer_destroy(f.optimizer);
}

static void prepend_is_for_state_hooks_alone(void **state)
{
    (void)state;
    fixture f = fixture_new();
    fixture_create(&f);
    sgd_hook_handle handle;
    for (int kind = 0; kind < SGD_HOOK_KIND_COUNT; kind++) {
        bool step = kind == SGD_HOOK_STEP_PRE || kind == SGD_HOOK_STEP_POST;
        add(f.optimizer, (sgd_hook_kind)kind, note, "2");
        assert_int_equal(sgd_optimizer_add_hook(f.optimizer, (sgd_hook_kind)kind, note, "1", NULL, true, &handle, NULL),
                         step ? SGD_ERROR_ARGUMENT : SGD_OK);
        assert_int_equal(sgd_global_hook_add((sgd_hook_kind)kind, note, "g", NULL, &handle, NULL),
                         step ? SGD_OK : SGD_ERROR_ARGUMENT);
        if (step)
            sgd_global_hook_remove(handle);
    }
    sgd_state *saved;
    trail[0] = '\0';
    assert_int_equal(sgd_optimizer_state_dict(f.optimizer, &saved, NULL), SGD_OK);
    assert_string_equal(trail, "1212");
    assert_int_equal(sgd_optimizer_load_state_dict(f.optimizer, saved, NULL), SGD_OK);
    assert_string_equal(trail, "12121212");
    assert_int_equal(sgd_optimizer_add_hook(f.optimizer, SGD_HOOK_KIND_COUNT, note, "", NULL, false, &handle, NULL),
                     SGD_ERROR_ARGUMENT);
    assert_int_equal(sgd_optimizer_add_hook(f.optimizer, SGD_HOOK_STEP_PRE, NULL, "", NULL, false, &handle, NULL),
                     SGD_ERROR_ARGUMENT);
    sgd_state_destroy(saved);
    sgd_optimizer_destroy(f.optimizer);
}

/* ---- what they change ------------------------------------------------------------------------------------------------------------ */

static sgd_status replace_grads(sgd_hook_call *call, void *context, sgd_error *error)
{
    (void)error;
    call->arguments->grads = context;
    return SGD_OK;
}

static void a_pre_hook_may_replace_the_gradients(void **state)
{
    (void)state;
    fixture f = fixture_new();
    fixture_create(&f);
    sgd_gradient swapped[2] = {{.dense = f.grads[1]}, {.dense = NULL}};
    add(f.optimizer, SGD_HOOK_STEP_PRE, replace_grads, swapped);
    assert_int_equal(sgd_optimizer_step(f.optimizer, f.grads, 2, NULL), SGD_OK);
    assert_true(f.param[0][0] == 0 && f.param[1][0] == 4);
    sgd_optimizer_destroy(f.optimizer);
}

static sgd_status replace_state(sgd_hook_call *call, void *context, sgd_error *error)
{
    sgd_dict *dict;
    const int64_t ids[2] = {0, 1};
    sgd_options options = sgd_options_default();
    options.lr = *(double *)context;
    sgd_status status = sgd_state_create(&call->replacement, error);
    if (!status)
        status = sgd_state_add_group(call->replacement, ids, 2, &dict, error);
    return status ? status : sgd_options_to_dict(&options, dict, error);
}

static sgd_status change_lr(sgd_hook_call *call, void *context, sgd_error *error)
{
    sgd_value lr = {.kind = SGD_VALUE_DOUBLE, .number = *(double *)context};
    return sgd_dict_set(sgd_state_group(call->state, 0), "lr", &lr, error);
}

static void state_hooks_may_change_or_replace_the_state(void **state)
{
    (void)state;
    fixture f = fixture_new();
    fixture_create(&f);
    double seven = 7, eight = 8;
    sgd_value lr;
    sgd_options options;
    sgd_state *saved;
    sgd_hook_handle hooks[2] = {add(f.optimizer, SGD_HOOK_STATE_POST, change_lr, &eight),
                                add(f.optimizer, SGD_HOOK_STATE_POST, replace_state, &seven)};
    assert_int_equal(sgd_optimizer_state_dict(f.optimizer, &saved, NULL), SGD_OK);
    assert_true(sgd_dict_get(sgd_state_group(saved, 0), "lr", &lr) && lr.number == 7);
    add(f.optimizer, SGD_HOOK_LOAD_PRE, change_lr, &eight); /* of a copy */
    assert_int_equal(sgd_optimizer_load_state_dict(f.optimizer, saved, NULL), SGD_OK);
    assert_int_equal(sgd_optimizer_get_options(f.optimizer, 0, &options, NULL), SGD_OK);
    assert_true(options.lr == 8);
    assert_true(sgd_dict_get(sgd_state_group(saved, 0), "lr", &lr) && lr.number == 7);
    add(f.optimizer, SGD_HOOK_LOAD_PRE, replace_state, &seven);
    assert_int_equal(sgd_optimizer_load_state_dict(f.optimizer, saved, NULL), SGD_OK);
    assert_int_equal(sgd_optimizer_get_options(f.optimizer, 0, &options, NULL), SGD_OK);
    assert_true(options.lr == 7);
    sgd_state_destroy(saved);
    sgd_optimizer_remove_hook(f.optimizer, hooks[1]);
    assert_int_equal(sgd_optimizer_state_dict(f.optimizer, &saved, NULL), SGD_OK);
    assert_true(sgd_dict_get(sgd_state_group(saved, 0), "lr", &lr) && lr.number == 8);
    sgd_state_destroy(saved);
    sgd_optimizer_destroy(f.optimizer);
}

/* ---- failing ----------------------------------------------------------------------------------------------------------------------- */

static sgd_status failing(sgd_hook_call *call, void *context, sgd_error *error)
{
    (void)call;
    if (context) {
        error->status = SGD_ERROR_VALUE;
        strcpy(error->message, context);
        return SGD_ERROR_VALUE;
    }
    return SGD_ERROR_CALLBACK;
}

static void a_failing_pre_hook_leaves_all_as_it_was(void **state)
{
    (void)state;
    fixture f = fixture_new();
    f.options.momentum = 0.5;
    fixture_create(&f);
    sgd_state *saved, *other = NULL;
    assert_int_equal(sgd_optimizer_state_dict(f.optimizer, &saved, NULL), SGD_OK);
    sgd_value lr = {.kind = SGD_VALUE_DOUBLE, .number = 9};
    sgd_dict_set(sgd_state_group(saved, 0), "lr", &lr, NULL);
    add(f.optimizer, SGD_HOOK_STEP_PRE, failing, "boom");
    add(f.optimizer, SGD_HOOK_STEP_PRE, note, "never");
    add(f.optimizer, SGD_HOOK_STATE_PRE, failing, NULL);
    add(f.optimizer, SGD_HOOK_LOAD_PRE, failing, "no");
    trail[0] = '\0';
    assert_fails(sgd_optimizer_step(f.optimizer, f.grads, 2, &f.error), SGD_ERROR_VALUE, &f.error, "boom");
    assert_fails(sgd_optimizer_state_dict(f.optimizer, &other, &f.error), SGD_ERROR_CALLBACK, &f.error,
                 "a hook failed: a hook or a closure failed");
    assert_fails(sgd_optimizer_load_state_dict(f.optimizer, saved, &f.error), SGD_ERROR_VALUE, &f.error, "no");
    sgd_options options;
    assert_int_equal(sgd_optimizer_get_options(f.optimizer, 0, &options, NULL), SGD_OK);
    assert_true(options.lr == 0.5 && f.param[0][0] == 1 && !sgd_optimizer_has_state(f.optimizer, 0) && !other);
    assert_string_equal(trail, "");
    sgd_state_destroy(saved);
    sgd_optimizer_destroy(f.optimizer);
}

static int released;
static void count_release(void *object) { (void)object, released++; }
static const sgd_object_type loss_type = {.struct_size = sizeof loss_type, .release = count_release};

static sgd_status object_closure(void *context, sgd_value *loss, sgd_error *error)
{
    (void)error;
    *loss = (sgd_value){.kind = SGD_VALUE_OBJECT, .object = context, .type = &loss_type};
    return SGD_OK;
}

static sgd_status failing_closure(void *context, sgd_value *loss, sgd_error *error)
{
    (void)context, (void)loss, (void)error;
    return SGD_ERROR_CALLBACK;
}

static void a_failing_post_hook_comes_after_the_step(void **state)
{
    (void)state;
    fixture f = fixture_new();
    fixture_create(&f);
    sgd_gradient grads[2];
    sgd_step_arguments arguments = arguments_of(&f, grads);
    sgd_value loss = {.kind = SGD_VALUE_INT};
    int object;
    arguments.closure = object_closure;
    arguments.closure_context = &object;
    released = 0;
    assert_int_equal(sgd_optimizer_step_with(f.optimizer, &arguments, &loss, NULL), SGD_OK);
    assert_true(loss.kind == SGD_VALUE_OBJECT && loss.object == &object && released == 0);
    assert_int_equal(sgd_optimizer_step_with(f.optimizer, &arguments, NULL, NULL), SGD_OK);
    assert_int_equal(released, 1); /* nobody wants it */
    loss.kind = SGD_VALUE_INT;
    add(f.optimizer, SGD_HOOK_STEP_POST, failing, "late");
    assert_fails(sgd_optimizer_step_with(f.optimizer, &arguments, &loss, &f.error), SGD_ERROR_VALUE, &f.error, "late");
    assert_true(f.param[0][0] == 1 - 1.5f && loss.kind == SGD_VALUE_INT && released == 2);
    arguments.closure = failing_closure;
    assert_fails(sgd_optimizer_step_with(f.optimizer, &arguments, &loss, &f.error), SGD_ERROR_CALLBACK, &f.error,
                 "the closure failed: a hook or a closure failed");
    assert_true(f.param[0][0] == 1 - 1.5f);
    sgd_optimizer_destroy(f.optimizer);
}

/* ---- calling back -------------------------------------------------------------------------------------------------------------------- */

static sgd_status step_again(sgd_hook_call *call, void *context, sgd_error *error)
{
    fixture *f = context;
    return sgd_optimizer_step(call->optimizer, f->grads, 2, error);
}

static sgd_status save_again(sgd_hook_call *call, void *context, sgd_error *error)
{
    return sgd_optimizer_state_dict(call->optimizer, context, error);
}

static sgd_status load_again(sgd_hook_call *call, void *context, sgd_error *error)
{
    return sgd_optimizer_load_state_dict(call->optimizer, *(sgd_state **)context, error);
}

static void a_call_within_itself_is_refused(void **state)
{
    (void)state;
    fixture f = fixture_new();
    fixture_create(&f);
    sgd_state *saved, *again = NULL;
    assert_int_equal(sgd_optimizer_state_dict(f.optimizer, &saved, NULL), SGD_OK);
    sgd_hook_handle step = add(f.optimizer, SGD_HOOK_STEP_PRE, step_again, &f);
    add(f.optimizer, SGD_HOOK_STATE_PRE, save_again, &again);
    add(f.optimizer, SGD_HOOK_LOAD_POST, load_again, &saved);
    assert_fails(sgd_optimizer_step(f.optimizer, f.grads, 2, &f.error), SGD_ERROR_RUNTIME, &f.error,
                 "step called from one of its own hooks or its closure");
    assert_fails(sgd_optimizer_state_dict(f.optimizer, &again, &f.error), SGD_ERROR_RUNTIME, &f.error,
                 "state_dict called from one of its own hooks or its closure");
    assert_fails(sgd_optimizer_load_state_dict(f.optimizer, saved, &f.error), SGD_ERROR_RUNTIME, &f.error,
                 "load_state_dict called from one of its own hooks or its closure");
    assert_true(f.param[0][0] == 1);
    sgd_optimizer_remove_hook(f.optimizer, step);
    assert_int_equal(sgd_optimizer_step(f.optimizer, f.grads, 2, NULL), SGD_OK); /* and not for ever */
    sgd_state_destroy(saved);
    sgd_optimizer_destroy(f.optimizer);
}

/* All that a training script does from a hook: checkpoints, other learning rates, another group, zero_grad. */
static sgd_status busy_hook(sgd_hook_call *call, void *context, sgd_error *error)
{
    fixture *f = context;
    static sgd_gradient grads[3];
    sgd_state *saved;
    sgd_status status = sgd_optimizer_state_dict(call->optimizer, &saved, error);
    if (status)
        return status;
    status = sgd_optimizer_load_state_dict(call->optimizer, saved, error);
    sgd_state_destroy(saved);
    f->options.lr = 1;
    if (!status)
        status = sgd_optimizer_set_options(call->optimizer, 0, &f->options, error);
    if (!status)
        status = sgd_optimizer_zero_grad(call->optimizer, call->arguments->grads, 1, false, error);
    if (!status)
        status = sgd_optimizer_add_group(call->optimizer, NULL, &f->params[1], 1, error);
    grads[0] = call->arguments->grads[0];
    grads[1] = (sgd_gradient){.dense = f->grads[1]};
    call->arguments->grads = grads;
    call->arguments->count = 2;
    return status;
}

static void a_pre_hook_may_use_its_optimizer(void **state)
{
    (void)state;
    fixture f = fixture_new();
    fixture_link(&f);
    assert_int_equal(sgd_optimizer_create(&f.options, NULL, f.params, 1, &f.optimizer, NULL), SGD_OK);
    sgd_hook_handle handle = add(f.optimizer, SGD_HOOK_STEP_PRE, busy_hook, &f);
    if (sgd_optimizer_step(f.optimizer, f.grads, 1, &f.error))
        fail_msg("%s", f.error.message);
    assert_true(f.param[0][0] == 1 && f.grad[0][0] == 0 && f.param[1][0] == 4 - 0.5f * 2);
    sgd_optimizer_remove_hook(f.optimizer, handle);
    sgd_optimizer_destroy(f.optimizer);
}

/* ---- removing ------------------------------------------------------------------------------------------------------------------------- */

typedef struct remover {
    sgd_hook_handle victims[2];
    const char *name;
} remover;

static sgd_status remove_hooks(sgd_hook_call *call, void *context, sgd_error *error)
{
    remover *self = context;
    sgd_hook_handle added;
    leave(self->name);
    for (int i = 0; i < 2; i++) {
        sgd_optimizer_remove_hook(call->optimizer, self->victims[i]);
        sgd_global_hook_remove(self->victims[i]);
    }
    leave(self->name); /* the context is still there */
    return sgd_optimizer_add_hook(call->optimizer, SGD_HOOK_STEP_PRE, note, "n", NULL, false, &added, error);
}

static void forget(void *context) { ((remover *)context)->name = "gone"; }

static void hooks_may_remove_themselves_and_others(void **state)
{
    (void)state;
    fixture f = fixture_new();
    fixture_create(&f);
    remover self = {.name = "r"}, everywhere = {.name = "R"};
    assert_int_equal(sgd_optimizer_add_hook(f.optimizer, SGD_HOOK_STEP_PRE, remove_hooks, &self, forget, false,
                                            &self.victims[0], NULL), SGD_OK);
    self.victims[1] = add(f.optimizer, SGD_HOOK_STEP_PRE, note, "victim");
    assert_int_equal(sgd_global_hook_add(SGD_HOOK_STEP_PRE, remove_hooks, &everywhere, forget, &everywhere.victims[0], NULL),
                     SGD_OK);
    trail[0] = '\0';
    assert_int_equal(sgd_optimizer_step(f.optimizer, f.grads, 2, NULL), SGD_OK);
    assert_string_equal(trail, "RRrrn"); /* what the global one added was there when the own ones ran */
    assert_string_equal(self.name, "gone");
    assert_string_equal(everywhere.name, "gone");
    trail[0] = '\0';
    assert_int_equal(sgd_optimizer_step(f.optimizer, f.grads, 2, NULL), SGD_OK);
    assert_string_equal(trail, "nn");
    sgd_optimizer_destroy(f.optimizer);
}

/* ---- destroying ------------------------------------------------------------------------------------------------------------------------ */

static sgd_status destroy(sgd_hook_call *call, void *context, sgd_error *error)
{
    (void)context, (void)error;
    sgd_optimizer_destroy(call->optimizer);
    sgd_optimizer_destroy(call->optimizer); /* it is still there */
    return SGD_OK;
}

static sgd_status save_and_destroy(sgd_hook_call *call, void *context, sgd_error *error)
{
    sgd_state *saved;
    (void)context;
    sgd_status status = sgd_optimizer_state_dict(call->optimizer, &saved, error); /* whose hook destroys it */
    assert_int_equal(status, SGD_ERROR_RUNTIME);
    return status;
}

static sgd_status destroying_closure(void *context, sgd_value *loss, sgd_error *error)
{
    (void)error;
    sgd_optimizer_destroy(context);
    *loss = (sgd_value){.kind = SGD_VALUE_OBJECT, .object = loss, .type = &loss_type};
    return SGD_OK;
}

static void an_optimizer_that_a_hook_destroys_goes_when_the_call_ends(void **state)
{
    (void)state;
    for (int kind = 0; kind < SGD_HOOK_KIND_COUNT; kind++) {
        fixture f = fixture_new();
        f.options.momentum = 0.5;
        fixture_create(&f);
        sgd_state *saved, *none = NULL;
        assert_int_equal(sgd_optimizer_state_dict(f.optimizer, &saved, NULL), SGD_OK);
        add(f.optimizer, (sgd_hook_kind)kind, destroy, NULL);
        add(f.optimizer, (sgd_hook_kind)kind, note, "never");
        trail[0] = '\0';
        sgd_status status = kind <= SGD_HOOK_STEP_POST    ? sgd_optimizer_step(f.optimizer, f.grads, 2, &f.error)
                            : kind <= SGD_HOOK_STATE_POST ? sgd_optimizer_state_dict(f.optimizer, &none, &f.error)
                                                          : sgd_optimizer_load_state_dict(f.optimizer, saved, &f.error);
        assert_fails(status, SGD_ERROR_RUNTIME, &f.error, "the optimizer was destroyed by a hook");
        assert_string_equal(trail, "");
        assert_true(f.param[0][0] == (kind == SGD_HOOK_STEP_POST ? 0.5f : 1) && !none);
        sgd_state_destroy(saved);
    }
    fixture f = fixture_new();
    fixture_create(&f);
    add(f.optimizer, SGD_HOOK_STEP_PRE, save_and_destroy, NULL);
    add(f.optimizer, SGD_HOOK_STATE_PRE, destroy, NULL);
    assert_int_equal(sgd_optimizer_step(f.optimizer, f.grads, 2, NULL), SGD_ERROR_RUNTIME);
    fixture_create(&f);
    sgd_gradient grads[2];
    sgd_step_arguments arguments = arguments_of(&f, grads);
    arguments.closure = destroying_closure;
    arguments.closure_context = f.optimizer;
    released = 0;
    assert_fails(sgd_optimizer_step_with(f.optimizer, &arguments, NULL, &f.error), SGD_ERROR_RUNTIME, &f.error,
                 "the optimizer was destroyed by the closure");
    assert_true(f.param[0][0] == 1 && released == 1);
}

/* ---- threads --------------------------------------------------------------------------------------------------------------------------- */

static sgd_status nothing(sgd_hook_call *call, void *context, sgd_error *error)
{
    (void)call, (void)context, (void)error;
    return SGD_OK;
}

static void *come_and_go(void *unused)
{
    for (int i = 0; i < 500; i++) {
        sgd_hook_handle handle;
        if (!sgd_global_hook_add(SGD_HOOK_STEP_PRE, nothing, NULL, NULL, &handle, NULL))
            sgd_global_hook_remove(handle);
    }
    return unused;
}

static void global_hooks_come_and_go_while_others_step(void **state)
{
    (void)state;
    fixture f = fixture_new();
    fixture_create(&f);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, come_and_go, NULL), 0);
    for (int i = 0; i < 500; i++)
        assert_int_equal(sgd_optimizer_step(f.optimizer, f.grads, 2, NULL), SGD_OK);
    pthread_join(thread, NULL);
    sgd_optimizer_destroy(f.optimizer);
}

/* ---- zero_grad --------------------------------------------------------------------------------------------------------------------------- */

static void zero_grad_empties_slots_or_writes_zeros_through_them(void **state)
{
    (void)state;
    fixture f = fixture_new();
    fixture_create(&f);
    float spread[6] = {1, 2, 3, 4, 5, 6};
    int64_t strides[1] = {2}, at[2] = {1, 2}, nnz[1] = {2};
    f.grad_tensors[0] = tensor_of(spread, 32, f.shape);
    f.grad_tensors[0].strides = strides;
    sgd_sparse sparse = {.indices = {.ndim = 2, .shape = at}, .values = {.ndim = 1, .shape = nnz}, .ndim = 1, .shape = f.shape};
    sgd_gradient slots[2] = {{.dense = &f.grad_tensors[0]}, {.sparse = &sparse}};
    assert_int_equal(sgd_optimizer_zero_grad(f.optimizer, slots, 2, false, NULL), SGD_OK);
    const float expected[6] = {0, 2, 0, 4, 0, 6};
    assert_memory_equal(spread, expected, sizeof expected);
    assert_true(at[1] == 0 && nnz[0] == 0 && sparse.coalesced && slots[0].dense && slots[1].sparse);
    assert_int_equal(sgd_optimizer_zero_grad(f.optimizer, slots, 2, true, NULL), SGD_OK);
    assert_true(!slots[0].dense && !slots[1].sparse);
    assert_int_equal(sgd_optimizer_zero_grad(f.optimizer, slots, 2, false, NULL), SGD_OK);
    slots[0].dense = &f.grad_tensors[0];
    slots[1].dense = &f.grad_tensors[1];
    spread[0] = 1;
    f.grad_tensors[1].device.device_type = kDLCUDA; /* nothing is written where one can't be */
    assert_int_equal(sgd_optimizer_zero_grad(f.optimizer, slots, 2, false, NULL), SGD_ERROR_DEVICE);
    assert_true(spread[0] == 1);
    assert_int_equal(sgd_optimizer_zero_grad(f.optimizer, slots, 1, false, NULL), SGD_ERROR_SHAPE);
    sgd_optimizer_destroy(f.optimizer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_step_runs_global_own_closure_step_own_global),
        cmocka_unit_test(prepend_is_for_state_hooks_alone),
        cmocka_unit_test(a_pre_hook_may_replace_the_gradients),
        cmocka_unit_test(state_hooks_may_change_or_replace_the_state),
        cmocka_unit_test(a_failing_pre_hook_leaves_all_as_it_was),
        cmocka_unit_test(a_failing_post_hook_comes_after_the_step),
        cmocka_unit_test(a_call_within_itself_is_refused),
        cmocka_unit_test(a_pre_hook_may_use_its_optimizer),
        cmocka_unit_test(hooks_may_remove_themselves_and_others),
        cmocka_unit_test(an_optimizer_that_a_hook_destroys_goes_when_the_call_ends),
        cmocka_unit_test(global_hooks_come_and_go_while_others_step),
        cmocka_unit_test(zero_grad_empties_slots_or_writes_zeros_through_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
