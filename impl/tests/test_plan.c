/* test_plan.c - what one step leaves to the next: an optimizer that steps again and again, and sgd_step with a workspace, give the
 * bits of steps that remember nothing, whatever happens in between.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"

#define TENSORS 5
#define MOST 3000
static const int64_t sizes[TENSORS] = {3, 64, 1000, MOST, 1};
#define FIRST_OF_SECOND 3 /* group 0 has tensors 0 to 2, group 1 the others */

/* An optimizer, and beside it the same tensors in steps without a workspace. */
typedef struct twins {
    float param[2][TENSORS][MOST], buffer[2][TENSORS][MOST], grad[2][2][TENSORS][MOST]; /* [twin], gradients in two places */
    bool has_buffer[TENSORS];
    int64_t shape[TENSORS][1];
    DLTensor params[2][TENSORS], buffers[2][TENSORS], grads[2][TENSORS];
    bool has_grad[TENSORS];
    int place;
    size_t count; /* of tensors that the optimizer has */
    sgd_options options[2];
    sgd_config config;
    sgd_optimizer *optimizer;
    uint64_t random;
} twins;

static uint64_t draw(twins *t, uint64_t below)
{
    t->random ^= t->random << 13;
    t->random ^= t->random >> 7;
    t->random ^= t->random << 17;
    return t->random % below;
}

static twins *twins_new(uint64_t seed, sgd_path path, sgd_schedule schedule)
{
    twins *t = calloc(1, sizeof *t);
    t->random = seed * 0x9E3779B97F4A7C15u + 1;
    for (int i = 0; i < TENSORS; i++) {
        t->shape[i][0] = sizes[i];
        t->has_grad[i] = true;
        for (int twin = 0; twin < 2; twin++) {
            t->params[twin][i] = tensor_of(t->param[twin][i], 32, t->shape[i]);
            t->buffers[twin][i] = tensor_of(t->buffer[twin][i], 32, t->shape[i]);
            t->grads[twin][i] = tensor_of(t->grad[twin][0][i], 32, t->shape[i]);
        }
        for (int64_t k = 0; k < sizes[i]; k++)
            t->param[0][i][k] = t->param[1][i][k] = (float)draw(t, 1000) / 997;
    }
    t->options[0] = sgd_options_default();
    t->options[0].momentum = 0.9;
    t->options[0].weight_decay = 0.01;
    t->options[0].foreach = path == SGD_FOREACH;
    t->options[0].fused = path == SGD_FUSED;
    t->options[1] = t->options[0];
    t->options[1].nesterov = true;
    t->config = sgd_config_default();
    t->config.schedule = schedule;
    t->config.threads = 2;
    t->count = FIRST_OF_SECOND;
    assert_int_equal(sgd_optimizer_create(&t->options[0], &t->config, t->params[0], t->count, &t->optimizer, NULL), SGD_OK);
    return t;
}

static void twins_free(twins *t)
{
    sgd_optimizer_destroy(t->optimizer);
    free(t);
}

static void add_second_group(twins *t)
{
    if (t->count == TENSORS)
        return;
    t->count = TENSORS;
    assert_int_equal(sgd_optimizer_add_group(t->optimizer, &t->options[1], t->params[0] + FIRST_OF_SECOND,
                                             TENSORS - FIRST_OF_SECOND, NULL), SGD_OK);
}

static void fill_gradients(twins *t)
{
    for (size_t i = 0; i < t->count; i++)
        for (int64_t k = 0; k < sizes[i]; k++)
            t->grad[0][t->place][i][k] = t->grad[1][t->place][i][k] = (float)draw(t, 1000) / 499 - 1;
}

/* Gradients lie elsewhere from now on, and where they were is nothing of use. */
static void move_gradients(twins *t)
{
    t->place = !t->place;
    for (size_t i = 0; i < TENSORS; i++)
        for (int twin = 0; twin < 2; twin++) {
            t->grads[twin][i].data = t->grad[twin][t->place][i];
            for (int64_t k = 0; k < sizes[i]; k++)
                t->grad[twin][!t->place][i][k] = NAN;
        }
}

static sgd_status step_optimizer(twins *t, sgd_error *error)
{
    DLTensor *grads[TENSORS];
    for (size_t i = 0; i < t->count; i++)
        grads[i] = t->has_grad[i] ? &t->grads[0][i] : NULL;
    return sgd_optimizer_step(t->optimizer, grads, t->count, error);
}

static sgd_status step_model(twins *t, size_t group, sgd_error *error)
{
    size_t first = group ? FIRST_OF_SECOND : 0, count = group ? TENSORS - FIRST_OF_SECOND : FIRST_OF_SECOND;
    sgd_item items[TENSORS];
    for (size_t i = first; i < first + count; i++)
        items[i - first] = (sgd_item){.param = &t->params[1][i], .grad = t->has_grad[i] ? &t->grads[1][i] : NULL,
                                      .buffer = &t->buffers[1][i], .has_buffer = t->has_buffer[i]};
    sgd_status status = sgd_step(&t->config, &t->options[group], items, count, NULL, NULL, error);
    for (size_t i = first; i < first + count; i++)
        t->has_buffer[i] = items[i - first].has_buffer;
    return status;
}

static void assert_twins(const twins *t)
{
    for (size_t i = 0; i < t->count; i++) {
        DLTensor buffer;
        size_t bytes = (size_t)sizes[i] * sizeof(float);
        assert_memory_equal(t->param[0][i], t->param[1][i], bytes);
        assert_int_equal(sgd_optimizer_momentum_buffer(t->optimizer, i, &buffer, NULL), SGD_OK);
        assert_int_equal(buffer.data != NULL, t->has_buffer[i]);
        if (buffer.data)
            assert_memory_equal((char *)buffer.data + buffer.byte_offset, t->buffer[1][i], bytes);
    }
}

/* One step of both; neither may fail. */
static void step(twins *t)
{
    sgd_error error;
    fill_gradients(t);
    if (step_optimizer(t, &error) || step_model(t, 0, &error) || (t->count == TENSORS && step_model(t, 1, &error)))
        fail_msg("%s", error.message);
    assert_twins(t);
}

static void step_often(twins *t)
{
    for (int i = 0; i < 4; i++)
        step(t);
}

static void set_options(twins *t, size_t group)
{
    if (group == 0 || t->count == TENSORS)
        assert_int_equal(sgd_optimizer_set_options(t->optimizer, group, &t->options[group], NULL), SGD_OK);
}

/* A buffer of the host's in place of the one that is there. */
static void replace_buffer(twins *t, size_t i)
{
    sgd_dict *state;
    for (int64_t k = 0; k < sizes[i]; k++)
        t->buffer[0][i][k] = t->buffer[1][i][k] = (float)draw(t, 1000) / 7;
    t->has_buffer[i] = true;
    assert_int_equal(sgd_optimizer_state(t->optimizer, i, &state, NULL), SGD_OK);
    assert_int_equal(sgd_dict_set(state, "momentum_buffer",
                                  &(sgd_value){.kind = SGD_VALUE_TENSOR, .tensor = {.tensor = &t->buffers[0][i]}}, NULL), SGD_OK);
}

static void remove_buffer(twins *t, size_t i, bool drop)
{
    sgd_dict *state;
    if (drop) {
        sgd_optimizer_drop_state(t->optimizer, i);
    } else {
        assert_int_equal(sgd_optimizer_state(t->optimizer, i, &state, NULL), SGD_OK);
        sgd_dict_remove(state, "momentum_buffer");
    }
    t->has_buffer[i] = false;
}

static void reload_state(twins *t)
{
    sgd_state *state;
    assert_int_equal(sgd_optimizer_state_dict(t->optimizer, &state, NULL), SGD_OK);
    assert_int_equal(sgd_optimizer_load_state_dict(t->optimizer, state, NULL), SGD_OK);
    sgd_state_destroy(state);
}

/* Params elsewhere. */
static void move_params(twins *t)
{
    static float elsewhere[TENSORS][MOST];
    for (size_t i = 0; i < t->count; i++) {
        bool home = t->params[0][i].data == t->param[0][i];
        memcpy(home ? elsewhere[i] : t->param[0][i], t->params[0][i].data, sizeof elsewhere[i]);
        t->params[0][i].data = home ? elsewhere[i] : t->param[0][i];
    }
    assert_int_equal(sgd_optimizer_set_params(t->optimizer, t->params[0], t->count, NULL), SGD_OK);
}

static void change_option(twins *t, size_t group)
{
    sgd_options *options = &t->options[group];
    switch (draw(t, 5)) {
    case 0: options->lr = (double)draw(t, 100) / 1000; break;
    case 1: options->momentum = group == 0 && draw(t, 2) ? 0 : 0.5; break;
    case 2: options->weight_decay = draw(t, 2) ? 0 : 0.1; break;
    case 3: options->maximize = !options->maximize; break;
    default: options->dampening = group == 0 && draw(t, 2) ? 0.25 : 0; break;
    }
    set_options(t, group);
}

static void something_happens(twins *t)
{
    size_t i = draw(t, t->count);
    bool fused = t->options[0].fused == SGD_TRUE;
    switch (draw(t, 9)) {
    case 0:
    case 1: change_option(t, draw(t, 2)); break;
    case 2: move_gradients(t); break;
    case 3: t->has_grad[i] = fused || !t->has_grad[i]; break;
    case 4: add_second_group(t); break;
    case 5: replace_buffer(t, i); break;
    case 6: fused ? reload_state(t) : remove_buffer(t, i, draw(t, 2)); break;
    case 7: reload_state(t); break;
    default: break;
    }
}

/* Fused wants all buffers or none. */
static void even_out_buffers(twins *t)
{
    for (size_t i = 0; i < t->count && t->options[0].fused == SGD_TRUE; i++)
        if (!t->has_buffer[i])
            replace_buffer(t, i);
}

static void whatever_happens_between_steps_they_are_those_that_remember_nothing(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 120; seed++) {
        twins *t = twins_new(seed, (sgd_path)(seed % 3), (sgd_schedule)(seed / 3 % 2));
        for (int i = 0; i < 30; i++) {
            if (draw(t, 3) > 0)
                something_happens(t);
            even_out_buffers(t);
            step(t);
        }
        twins_free(t);
    }
}

static void lr_changed_between_steps_takes_effect(void **state)
{
    (void)state;
    twins *t = twins_new(1, SGD_FORLOOP, SGD_SCHEDULE_SINGLE_PASS);
    step_often(t);
    for (int i = 1; i < 5; i++) {
        t->options[0].lr = 1.0 / i;
        set_options(t, 0);
        step(t);
    }
    twins_free(t);
}

static void a_gradient_that_moved_is_read_where_it_is(void **state)
{
    (void)state;
    twins *t = twins_new(2, SGD_FUSED, SGD_SCHEDULE_SINGLE_PASS);
    for (int i = 0; i < 6; i++) {
        step(t);
        move_gradients(t);
    }
    twins_free(t);
}

static void params_that_moved_are_stepped_where_they_are(void **state)
{
    (void)state;
    twins *t = twins_new(2, SGD_FORLOOP, SGD_SCHEDULE_SINGLE_PASS);
    step_often(t);
    move_params(t);
    fill_gradients(t);
    assert_int_equal(step_optimizer(t, NULL), SGD_OK);
    assert_int_equal(step_model(t, 0, NULL), SGD_OK);
    for (size_t i = 0; i < t->count; i++)
        assert_memory_equal(t->params[0][i].data, t->param[1][i], (size_t)sizes[i] * sizeof(float));
    twins_free(t);
}

static void a_group_added_after_steps_is_stepped(void **state)
{
    (void)state;
    twins *t = twins_new(3, SGD_FOREACH, SGD_SCHEDULE_SINGLE_PASS);
    step_often(t);
    add_second_group(t);
    step_often(t);
    twins_free(t);
}

static void a_buffer_that_was_replaced_removed_or_loaded_is_the_next_steps(void **state)
{
    (void)state;
    twins *t = twins_new(4, SGD_FORLOOP, SGD_SCHEDULE_SINGLE_PASS);
    sgd_dict *before;
    step_often(t);
    replace_buffer(t, 1);
    step_often(t);
    assert_int_equal(sgd_optimizer_state(t->optimizer, 2, &before, NULL), SGD_OK);
    step_often(t);
    sgd_dict_remove(before, "momentum_buffer"); /* through a dict that was there all the time */
    t->has_buffer[2] = false;
    step_often(t);
    remove_buffer(t, 0, true);
    step_often(t);
    reload_state(t);
    step_often(t);
    twins_free(t);
}

static void an_option_tensor_changed_in_place_is_read_by_each_step(void **state)
{
    (void)state;
    twins *t = twins_new(5, SGD_FORLOOP, SGD_SCHEDULE_SINGLE_PASS);
    float lr = 0.5f;
    DLTensor tensor = tensor_of(&lr, 32, NULL);
    tensor.ndim = 0;
    t->options[0].lr_tensor.tensor = &tensor;
    set_options(t, 0);
    for (int i = 0; i < 5; i++) {
        step(t);
        lr /= 2;
    }
    twins_free(t);
}

/* The same refusal in both, nothing changed by it, and the next step as if nothing had been. */
static void refused(twins *t)
{
    sgd_error by_optimizer = {0}, by_model = {0};
    fill_gradients(t);
    assert_int_not_equal(step_model(t, 0, &by_model), SGD_OK);
    assert_int_equal(step_optimizer(t, &by_optimizer), by_model.status);
    assert_string_equal(by_optimizer.message, by_model.message);
    assert_twins(t);
}

static void what_is_wrong_is_refused_as_by_a_first_step(void **state)
{
    (void)state;
    twins *t = twins_new(6, SGD_FORLOOP, SGD_SCHEDULE_SINGLE_PASS);
    int64_t other[1] = {63};
    step_often(t);
    for (int twin = 0; twin < 2; twin++)
        t->grads[twin][1].shape = other;
    refused(t);
    t->grads[0][1].shape = t->grads[1][1].shape = t->shape[1];
    step_often(t);
    t->grads[0][2].dtype.bits = t->grads[1][2].dtype.bits = 64;
    refused(t);
    t->grads[0][2].dtype.bits = t->grads[1][2].dtype.bits = 32;
    step_often(t);
    for (int twin = 0; twin < 2; twin++)
        t->grads[twin][0].data = (char *)t->grads[twin][0].data + 1;
    refused(t);
    for (int twin = 0; twin < 2; twin++)
        t->grads[twin][0].data = (char *)t->grads[twin][0].data - 1;
    step_often(t);
    t->options[0].lr = 1e300;
    set_options(t, 0);
    refused(t);
    t->options[0].lr = 1;
    set_options(t, 0);
    step_often(t);
    twins_free(t);
}

/* ---- sgd_step with a workspace ------------------------------------------------------------------------------------------- */

/* One step of tensor 1 of both twins, with the workspace and without. */
static void step_in(twins *t, sgd_workspace *workspace)
{
    fill_gradients(t);
    for (int twin = 0; twin < 2; twin++) {
        sgd_error error;
        sgd_item item = {.param = &t->params[twin][1], .grad = &t->grads[twin][1], .buffer = &t->buffers[twin][1],
                         .has_buffer = t->has_buffer[1]};
        if (sgd_step(&t->config, &t->options[0], &item, 1, NULL, twin ? NULL : workspace, &error))
            fail_msg("%s", error.message);
        assert_true(item.has_buffer);
    }
    t->has_buffer[1] = true;
    assert_memory_equal(t->param[0], t->param[1], sizeof t->param[0]);
    assert_memory_equal(t->buffer[0], t->buffer[1], sizeof t->buffer[0]);
}

static void a_workspace_is_no_stranger_to_change_behind_the_same_pointers(void **state)
{
    (void)state;
    twins *t = twins_new(7, SGD_FORLOOP, SGD_SCHEDULE_SINGLE_PASS);
    sgd_workspace *workspace;
    int64_t square[2] = {8, 8}, transposed[2] = {1, 8}, straight[2] = {8, 1};
    assert_int_equal(sgd_workspace_create(&workspace, NULL), SGD_OK);
    for (int i = 0; i < 3; i++)
        step_in(t, workspace);
    for (int round = 0; round < 12; round++) {
        if (round == 2)
            t->shape[1][0] = 60; /* the shape of all three */
        for (int twin = 0; round == 4 && twin < 2; twin++) {
            t->params[twin][1].ndim = t->grads[twin][1].ndim = t->buffers[twin][1].ndim = 2;
            t->params[twin][1].shape = t->grads[twin][1].shape = t->buffers[twin][1].shape = square;
            t->grads[twin][1].strides = straight;
        }
        if (round == 6)
            memcpy(straight, transposed, sizeof straight); /* the same strides, they say */
        if (round == 8)
            t->config.backend = sgd_backend_cpu(SGD_ISA_SCALAR);
        if (round == 9)
            t->config.schedule = SGD_SCHEDULE_BY_OP;
        if (round == 10)
            move_gradients(t);
        step_in(t, workspace);
    }
    sgd_workspace_destroy(workspace);
    twins_free(t);
}

/* ---- backends ------------------------------------------------------------------------------------------------------------ */

static size_t prepared, ran, live_plans;
static sgd_status prepare_answer;

static sgd_status counting_prepare(void *context, const sgd_arithmetic *arithmetic, size_t count, const sgd_list *lists, void **plan)
{
    const sgd_backend *cpu = sgd_backend_cpu(SGD_ISA_SCALAR);
    live_plans += !*plan;
    prepared++;
    sgd_status status = cpu->prepare(context, arithmetic, count, lists, plan);
    return prepare_answer ? prepare_answer : status;
}

static sgd_status counting_run(void *context, void *plan, const sgd_hyper *const *hypers)
{
    ran++;
    return sgd_backend_cpu(SGD_ISA_SCALAR)->run(context, plan, hypers);
}

static void counting_discard(void *context, void *plan)
{
    live_plans -= plan != NULL;
    sgd_backend_cpu(SGD_ISA_SCALAR)->discard(context, plan);
}

static sgd_backend counting_backend(void)
{
    sgd_backend backend = *sgd_backend_cpu(SGD_ISA_SCALAR);
    backend.prepare = counting_prepare;
    backend.run = counting_run;
    backend.discard = counting_discard;
    prepared = ran = live_plans = 0;
    return backend;
}

static sgd_optimizer *optimizer_on(twins *t, const sgd_backend *backend)
{
    sgd_optimizer *optimizer;
    t->config.backend = backend;
    assert_int_equal(sgd_optimizer_create(&t->options[0], &t->config, t->params[0], FIRST_OF_SECOND, &optimizer, NULL), SGD_OK);
    assert_int_equal(sgd_optimizer_add_group(optimizer, &t->options[1], t->params[0] + FIRST_OF_SECOND, TENSORS - FIRST_OF_SECOND,
                                             NULL), SGD_OK);
    return optimizer;
}

static void a_plan_is_of_all_groups_and_made_again_only_where_it_must_be(void **state)
{
    (void)state;
    sgd_backend backend = counting_backend();
    twins *t = twins_new(8, SGD_FORLOOP, SGD_SCHEDULE_SINGLE_PASS);
    sgd_optimizer_destroy(t->optimizer);
    t->optimizer = optimizer_on(t, &backend);
    t->count = TENSORS;
    step_often(t);
    assert_int_equal(prepared, 2); /* the first step makes buffers */
    assert_int_equal(ran, 4);
    t->options[1].lr = 2;
    set_options(t, 1);
    step(t);
    assert_int_equal(prepared, 2);
    move_gradients(t);
    step(t);
    assert_int_equal(prepared, 3);
    assert_int_equal(live_plans, 1);
    twins_free(t);
    assert_int_equal(live_plans, 0);
}

static void a_plan_of_one_backend_is_not_run_by_another(void **state)
{
    (void)state;
    sgd_backend backend = counting_backend(), plain = *sgd_backend_cpu(SGD_ISA_SCALAR);
    twins *t = twins_new(9, SGD_FORLOOP, SGD_SCHEDULE_SINGLE_PASS);
    sgd_workspace *workspace;
    plain.prepare = NULL, plain.run = NULL, plain.discard = NULL;
    const sgd_backend *backends[] = {&backend, sgd_backend_cpu(SGD_ISA_SCALAR), &plain};
    assert_int_equal(sgd_workspace_create(&workspace, NULL), SGD_OK);
    for (size_t i = 0; i < 30; i++) {
        t->config.backend = backends[i / 3 % 3];
        step_in(t, workspace);
    }
    sgd_workspace_destroy(workspace);
    assert_int_equal(live_plans, 0);
    twins_free(t);
}

static void a_plan_that_cannot_be_made_leaves_everything_as_it_was(void **state)
{
    (void)state;
    sgd_backend backend = counting_backend();
    twins *t = twins_new(10, SGD_FORLOOP, SGD_SCHEDULE_SINGLE_PASS);
    sgd_error error;
    sgd_optimizer_destroy(t->optimizer);
    t->optimizer = optimizer_on(t, &backend);
    t->count = TENSORS;
    for (int i = 0; i < 4; i++) {
        prepare_answer = i % 2 ? SGD_ERROR_MEMORY : SGD_ERROR_UNSUPPORTED;
        fill_gradients(t);
        assert_int_equal(step_optimizer(t, &error), i % 2 ? SGD_ERROR_MEMORY : SGD_ERROR_BACKEND);
        assert_twins(t);
        prepare_answer = SGD_OK;
        step_often(t);
        move_gradients(t);
    }
    twins_free(t);
    assert_int_equal(live_plans, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_happens_between_steps_they_are_those_that_remember_nothing),
        cmocka_unit_test(lr_changed_between_steps_takes_effect),
        cmocka_unit_test(a_gradient_that_moved_is_read_where_it_is),
        cmocka_unit_test(params_that_moved_are_stepped_where_they_are),
        cmocka_unit_test(a_group_added_after_steps_is_stepped),
        cmocka_unit_test(a_buffer_that_was_replaced_removed_or_loaded_is_the_next_steps),
        cmocka_unit_test(an_option_tensor_changed_in_place_is_read_by_each_step),
        cmocka_unit_test(what_is_wrong_is_refused_as_by_a_first_step),
        cmocka_unit_test(a_workspace_is_no_stranger_to_change_behind_the_same_pointers),
        cmocka_unit_test(a_plan_is_of_all_groups_and_made_again_only_where_it_must_be),
        cmocka_unit_test(a_plan_of_one_backend_is_not_run_by_another),
        cmocka_unit_test(a_plan_that_cannot_be_made_leaves_everything_as_it_was)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
