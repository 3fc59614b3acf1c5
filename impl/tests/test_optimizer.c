/* test_optimizer.c - stepping: misuse that changes nothing, groups, state, backends. */
#include <math.h>
#include <string.h>

#include "fixture.h"

/* ---- step ---------------------------------------------------------------------------------------------------------------- */

static void assert_unchanged(const fixture *f)
{
    static const float start[2][3] = {{1, 2, 3}, {4, 5, 6}};
    assert_memory_equal(f->param, start, sizeof start);
    for (size_t i = 0; i < 2; i++) {
        DLTensor buffer;
        assert_int_equal(sgd_optimizer_momentum_buffer(f->optimizer, i, &buffer, NULL), SGD_OK);
        assert_null(buffer.data);
    }
}

static void a_step_with_a_wrong_gradient_changes_nothing(void **state)
{
    (void)state;
    fixture f = fixture_new();
    f.options.momentum = 0.9;
    fixture_create(&f);
    int64_t longer[1] = {4};
    double wide[3] = {0};

    assert_int_equal(sgd_optimizer_step(NULL, f.grads, 2, NULL), SGD_ERROR_ARGUMENT);
    assert_int_equal(sgd_optimizer_step(f.optimizer, NULL, 2, NULL), SGD_ERROR_ARGUMENT);
    assert_fails(sgd_optimizer_step(f.optimizer, f.grads, 1, &f.error), SGD_ERROR_SHAPE, &f.error,
                 "1 gradients for 2 parameters");
    f.grad_tensors[1] = tensor_of(wide, 64, f.shape);
    assert_fails(sgd_optimizer_step(f.optimizer, f.grads, 2, &f.error), SGD_ERROR_DTYPE, &f.error,
                 "gradient 1 is f64, its parameter is f32");
    f.grad_tensors[1] = tensor_of(f.grad[0], 32, longer);
    assert_fails(sgd_optimizer_step(f.optimizer, f.grads, 2, &f.error), SGD_ERROR_SHAPE, &f.error,
                 "gradient 1 and its parameter differ in shape");
    f.grad_tensors[1] = tensor_of(f.grad[1], 32, f.shape);
    f.grad_tensors[1].device.device_id = 1;
    assert_fails(sgd_optimizer_step(f.optimizer, f.grads, 2, &f.error), SGD_ERROR_DEVICE, &f.error,
                 "gradient 1 is on device 1, its parameter on device 0");
    f.grad_tensors[1].device = (DLDevice){kDLCUDA, 0};
    assert_int_equal(sgd_optimizer_step(f.optimizer, f.grads, 2, &f.error), SGD_ERROR_DEVICE);
    assert_unchanged(&f);
    sgd_optimizer_destroy(f.optimizer);
}

static void a_scalar_that_the_dtype_cannot_hold_is_pytorchs_error(void **state)
{
    (void)state;
    fixture f = fixture_new();
    f.options.lr = 1e39;
    fixture_create(&f);
    assert_fails(sgd_optimizer_step(f.optimizer, f.grads, 2, &f.error), SGD_ERROR_RUNTIME, &f.error,
                 "value cannot be converted to type float without overflow");
    assert_unchanged(&f);
    f.options.lr = INFINITY; /* infinities pass */
    assert_int_equal(sgd_optimizer_set_options(f.optimizer, 0, &f.options, NULL), SGD_OK);
    assert_int_equal(sgd_optimizer_step(f.optimizer, f.grads, 2, NULL), SGD_OK);
    assert_true(isinf(f.param[0][0]));
    sgd_optimizer_destroy(f.optimizer);

    uint16_t half[3] = {0}, half_grad[3] = {0};
    DLTensor param = tensor_of(half, 16, f.shape), grad = tensor_of(half_grad, 16, f.shape), *grads[1] = {&grad};
    f.options.lr = 65519; /* would round to 65504, but is above it */
    assert_int_equal(sgd_optimizer_create(&f.options, NULL, &param, 1, &f.optimizer, NULL), SGD_OK);
    assert_fails(sgd_optimizer_step(f.optimizer, grads, 1, &f.error), SGD_ERROR_RUNTIME, &f.error,
                 "value cannot be converted to type c10::Half without overflow");
    sgd_optimizer_destroy(f.optimizer);
    f.options.fused = SGD_TRUE; /* computes in float and never raises */
    assert_int_equal(sgd_optimizer_create(&f.options, NULL, &param, 1, &f.optimizer, NULL), SGD_OK);
    assert_int_equal(sgd_optimizer_step(f.optimizer, grads, 1, NULL), SGD_OK);
    sgd_optimizer_destroy(f.optimizer);
}

static void fused_wants_all_buffers_or_none(void **state)
{
    (void)state;
    fixture f = fixture_new();
    f.options.momentum = 0.5;
    f.options.fused = SGD_TRUE;
    fixture_create(&f);
    f.grads[1] = NULL;
    assert_int_equal(sgd_optimizer_step(f.optimizer, f.grads, 2, NULL), SGD_OK);
    assert_true(f.param[0][0] == 0.5f && f.param[1][0] == 4);
    f.grads[1] = &f.grad_tensors[1];
    assert_fails(sgd_optimizer_step(f.optimizer, f.grads, 2, &f.error), SGD_ERROR_TYPE, &f.error,
                 "expected Tensor as element 1 in argument 2, but got NoneType");
    assert_true(f.param[0][0] == 0.5f && f.param[1][0] == 4);
    sgd_optimizer_destroy(f.optimizer);
}

static void parameters_without_gradient_are_left_alone(void **state)
{
    (void)state;
    fixture f = fixture_new();
    f.options.momentum = 0.5;
    fixture_create(&f);
    f.grads[0] = NULL;
    assert_int_equal(sgd_optimizer_step(f.optimizer, f.grads, 2, NULL), SGD_OK);
    DLTensor buffer;
    assert_int_equal(sgd_optimizer_momentum_buffer(f.optimizer, 0, &buffer, NULL), SGD_OK);
    assert_null(buffer.data);
    assert_int_equal(sgd_optimizer_momentum_buffer(f.optimizer, 1, &buffer, NULL), SGD_OK);
    assert_non_null(buffer.data);
    assert_int_equal(buffer.shape[0], 3);
    assert_true(((float *)buffer.data)[0] == 2);
    assert_true(f.param[0][0] == 1 && f.param[1][0] == 3);
    sgd_optimizer_destroy(f.optimizer);
}

static void foreach_with_nesterov_leaves_the_direction_in_the_gradient(void **state)
{
    (void)state;
    for (int schedule = 0; schedule < 2; schedule++) {
        fixture f = fixture_new();
        f.options.momentum = 0.5;
        f.options.nesterov = true;
        f.options.foreach = SGD_TRUE;
        f.config.schedule = (sgd_schedule)schedule;
        fixture_create(&f);
        assert_int_equal(sgd_optimizer_step(f.optimizer, f.grads, 2, NULL), SGD_OK);
        assert_true(f.grad[0][0] == 1.5f && f.param[0][0] == 1 - 0.75f);
        sgd_optimizer_destroy(f.optimizer);
    }
}

/* ---- groups ---------------------------------------------------------------------------------------------------------------- */

static void a_group_has_its_own_options(void **state)
{
    (void)state;
    fixture f = fixture_new();
    fixture_link(&f);
    assert_int_equal(sgd_optimizer_create(&f.options, NULL, f.params, 1, &f.optimizer, NULL), SGD_OK);
    sgd_options second = f.options;
    second.lr = 2;
    assert_int_equal(sgd_optimizer_add_group(f.optimizer, &second, &f.params[1], 1, NULL), SGD_OK);
    assert_int_equal(sgd_optimizer_add_group(f.optimizer, NULL, NULL, 0, NULL), SGD_OK); /* {"params": []} */
    assert_int_equal(sgd_optimizer_group_count(f.optimizer), 3);
    assert_int_equal(sgd_optimizer_tensor_count(f.optimizer), 2);
    assert_int_equal(sgd_optimizer_step(f.optimizer, f.grads, 2, NULL), SGD_OK);
    assert_true(f.param[0][0] == 0.5f && f.param[1][0] == 0);

    sgd_options read;
    assert_int_equal(sgd_optimizer_get_options(f.optimizer, 1, &read, NULL), SGD_OK);
    assert_true(read.lr == 2);
    assert_int_equal(sgd_optimizer_get_options(f.optimizer, 3, &read, &f.error), SGD_ERROR_ARGUMENT);
    second.fused = SGD_TRUE;
    assert_int_equal(sgd_optimizer_set_options(f.optimizer, 1, &second, NULL), SGD_ERROR_VALUE);
    sgd_optimizer_destroy(f.optimizer);
}

static void a_parameter_belongs_to_one_group_once(void **state)
{
    (void)state;
    fixture f = fixture_new();
    fixture_create(&f);
    assert_fails(sgd_optimizer_add_group(f.optimizer, NULL, &f.params[1], 1, &f.error), SGD_ERROR_VALUE, &f.error,
                 "some parameters appear in more than one parameter group");
    assert_int_equal(sgd_optimizer_group_count(f.optimizer), 1);
    assert_int_equal(sgd_optimizer_tensor_count(f.optimizer), 2);
    sgd_optimizer_destroy(f.optimizer);
    f.params[1] = f.params[0];
    assert_int_equal(sgd_optimizer_create(&f.options, NULL, f.params, 2, &f.optimizer, NULL), SGD_ERROR_VALUE);
}

/* ---- backends -------------------------------------------------------------------------------------------------------------- */

static int allocations_left;

static sgd_status scarce_allocate(void *context, size_t bytes, void **out)
{
    const sgd_backend *cpu = sgd_backend_cpu(SGD_ISA_SCALAR);
    (void)context;
    return allocations_left-- > 0 ? cpu->allocate(cpu->context, bytes, out) : SGD_ERROR_MEMORY;
}

static void a_step_without_memory_changes_nothing_and_can_be_taken_later(void **state)
{
    (void)state;
    sgd_backend scarce = *sgd_backend_cpu(SGD_ISA_SCALAR);
    scarce.allocate = scarce_allocate;
    fixture f = fixture_new();
    f.options.momentum = 0.5;
    f.config.backend = &scarce;
    f.config.schedule = SGD_SCHEDULE_BY_OP;
    fixture_create(&f);
    for (int most = 0; most < 3; most++) { /* two buffers, one scratch; each try keeps what it got */
        allocations_left = most == 0 ? 0 : 1;
        sgd_status status = sgd_optimizer_step(f.optimizer, f.grads, 2, &f.error);
        assert_int_equal(status, SGD_ERROR_MEMORY);
        assert_unchanged(&f);
    }
    allocations_left = 1;
    assert_int_equal(sgd_optimizer_step(f.optimizer, f.grads, 2, NULL), SGD_OK);
    assert_true(f.param[0][0] == 0.5f);
    assert_int_equal(sgd_optimizer_step(f.optimizer, f.grads, 2, NULL), SGD_OK); /* allocates no more */
    sgd_optimizer_destroy(f.optimizer);
}

static void a_backend_is_used_only_for_what_it_offers(void **state)
{
    (void)state;
    sgd_optimizer *optimizer;
    fixture f = fixture_new();
    fixture_link(&f);
    sgd_backend backend = *sgd_backend_cpu(SGD_ISA_SCALAR);
    f.config.backend = &backend;
    backend.claim_count = 0;
    assert_fails(sgd_optimizer_create(&f.options, &f.config, f.params, 2, &optimizer, &f.error), SGD_ERROR_UNSUPPORTED,
                 &f.error, "backend cpu-scalar does not claim torch-2.13/cpu-fma/forloop/f32");
    backend = *sgd_backend_cpu(SGD_ISA_SCALAR);
    backend.axpy = NULL;
    f.config.schedule = SGD_SCHEDULE_BY_OP;
    assert_fails(sgd_optimizer_create(&f.options, &f.config, f.params, 2, &optimizer, &f.error), SGD_ERROR_UNSUPPORTED,
                 &f.error, "backend cpu-scalar takes whole steps only, not the schedule by_op");
    backend.abi_version = 2;
    assert_int_equal(sgd_optimizer_create(&f.options, &f.config, f.params, 2, &optimizer, NULL), SGD_ERROR_ABI);
    backend = *sgd_backend_cpu(SGD_ISA_SCALAR);
    backend.step = NULL;
    assert_int_equal(sgd_optimizer_create(&f.options, &f.config, f.params, 2, &optimizer, NULL), SGD_ERROR_ABI);
}

static void names_of_what_does_not_exist_are_null(void **state)
{
    (void)state;
    sgd_isa isa = SGD_ISA_SCALAR;
    sgd_schedule schedule = SGD_SCHEDULE_BY_OP;
    assert_null(sgd_isa_name((sgd_isa)99));
    assert_null(sgd_backend_cpu((sgd_isa)99));
    assert_false(sgd_isa_available((sgd_isa)99));
    assert_false(sgd_isa_parse("mmx", &isa));
    assert_false(sgd_schedule_parse("backwards", &schedule));
    assert_int_equal(schedule, SGD_SCHEDULE_BY_OP);
    assert_string_equal(sgd_status_name(SGD_ERROR_SHAPE), "SGD_ERROR_SHAPE");
    assert_string_equal(sgd_status_text((sgd_status)999), "unknown status");
    sgd_optimizer_destroy(NULL);
    assert_int_equal(sgd_optimizer_tensor_count(NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_step_with_a_wrong_gradient_changes_nothing),
        cmocka_unit_test(a_scalar_that_the_dtype_cannot_hold_is_pytorchs_error),
        cmocka_unit_test(fused_wants_all_buffers_or_none),
        cmocka_unit_test(parameters_without_gradient_are_left_alone),
        cmocka_unit_test(foreach_with_nesterov_leaves_the_direction_in_the_gradient),
        cmocka_unit_test(a_group_has_its_own_options),
        cmocka_unit_test(a_parameter_belongs_to_one_group_once),
        cmocka_unit_test(a_step_without_memory_changes_nothing_and_can_be_taken_later),
        cmocka_unit_test(a_backend_is_used_only_for_what_it_offers),
        cmocka_unit_test(names_of_what_does_not_exist_are_null),
    };
    return cmocka_run_group_tests_name("optimizer", tests, NULL, NULL);
}
