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
    second.fused = SGD_TRUE; /* as group["fused"] = True: the next step looks at it */
    sgd_path path;
    assert_int_equal(sgd_optimizer_set_options(f.optimizer, 1, &second, NULL), SGD_OK);
    assert_int_equal(sgd_optimizer_path(f.optimizer, 1, &path, NULL), SGD_OK);
    assert_int_equal(path, SGD_FUSED);
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
    assert_fails(sgd_optimizer_create(&f.options, NULL, f.params, 2, &f.optimizer, &f.error), SGD_ERROR_VALUE, &f.error,
                 "parameters 0 and 1 of one group are the same");
    int64_t shorter[1] = {2}; /* a view of the same memory is another tensor */
    f.params[1].shape = shorter;
    assert_int_equal(sgd_optimizer_create(&f.options, NULL, f.params, 2, &f.optimizer, NULL), SGD_OK);
    sgd_optimizer_destroy(f.optimizer);
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
    for (int most = 0; most < 3; most++) { /* two buffers, one scratch */
        allocations_left = most;
        sgd_status status = sgd_optimizer_step(f.optimizer, f.grads, 2, &f.error);
        assert_int_equal(status, SGD_ERROR_MEMORY);
        assert_unchanged(&f);
    }
    allocations_left = 3;
    assert_int_equal(sgd_optimizer_step(f.optimizer, f.grads, 2, NULL), SGD_OK);
    assert_true(f.param[0][0] == 0.5f);
    assert_int_equal(sgd_optimizer_step(f.optimizer, f.grads, 2, NULL), SGD_OK); /* allocates no more */
    sgd_optimizer_destroy(f.optimizer);
}

static int axpys_left;

static sgd_status failing_axpy(void *context, const sgd_arithmetic *arithmetic, double alpha, size_t count,
                               const sgd_operand *operands)
{
    const sgd_backend *cpu = sgd_backend_cpu(SGD_ISA_SCALAR);
    return axpys_left-- > 0 ? cpu->axpy(context, arithmetic, alpha, count, operands) : SGD_ERROR_MEMORY;
}

static void a_backend_that_fails_in_the_middle_is_told_from_an_error_that_changes_nothing(void **state)
{
    (void)state;
    sgd_backend failing = *sgd_backend_cpu(SGD_ISA_SCALAR);
    failing.axpy = failing_axpy;
    axpys_left = 0;
    fixture f = fixture_new();
    f.config.backend = &failing;
    f.config.schedule = SGD_SCHEDULE_BY_OP;
    fixture_create(&f);
    assert_fails(sgd_optimizer_step(f.optimizer, f.grads, 2, &f.error), SGD_ERROR_BACKEND, &f.error,
                 "backend cpu-scalar failed in param group 0: out of memory");
    sgd_optimizer_destroy(f.optimizer);
}

static void any_thread_count_may_be_asked_for(void **state)
{
    (void)state;
    static float param[1 << 16], grad[1 << 16];
    int64_t shape[1] = {1 << 16};
    DLTensor tensor = tensor_of(param, 32, shape), gradient = tensor_of(grad, 32, shape), *grads[1] = {&gradient};
    const uint32_t counts[] = {1, 3, 1000000, UINT32_MAX};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        sgd_options options = sgd_options_default();
        sgd_config config = sgd_config_default();
        sgd_optimizer *optimizer;
        options.lr = 1;
        config.threads = counts[i];
        for (size_t k = 0; k < 1 << 16; k++) {
            param[k] = 0;
            grad[k] = (float)k;
        }
        assert_int_equal(sgd_optimizer_create(&options, &config, &tensor, 1, &optimizer, NULL), SGD_OK);
        assert_int_equal(sgd_optimizer_step(optimizer, grads, 1, NULL), SGD_OK);
        for (size_t k = 0; k < 1 << 16; k++)
            assert_true(param[k] == -(float)k);
        sgd_optimizer_destroy(optimizer);
    }
}

static void empty_tensors_step_and_get_buffers(void **state)
{
    (void)state;
    for (int schedule = 0; schedule < 2; schedule++) {
        fixture f = fixture_new();
        f.shape[0] = 0;
        f.options.momentum = 0.9;
        f.options.weight_decay = 0.1;
        f.options.maximize = true;
        f.config.schedule = (sgd_schedule)schedule;
        fixture_create(&f);
        DLTensor buffer;
        assert_int_equal(sgd_optimizer_step(f.optimizer, f.grads, 2, NULL), SGD_OK);
        assert_int_equal(sgd_optimizer_step(f.optimizer, f.grads, 2, NULL), SGD_OK);
        assert_int_equal(sgd_optimizer_momentum_buffer(f.optimizer, 1, &buffer, NULL), SGD_OK);
        assert_non_null(buffer.data);
        sgd_optimizer_destroy(f.optimizer);
    }
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
    backend.abi_version = SGD_BACKEND_ABI_VERSION + 1;
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
        cmocka_unit_test(a_backend_that_fails_in_the_middle_is_told_from_an_error_that_changes_nothing),
        cmocka_unit_test(any_thread_count_may_be_asked_for),
        cmocka_unit_test(empty_tensors_step_and_get_buffers),
        cmocka_unit_test(a_backend_is_used_only_for_what_it_offers),
        cmocka_unit_test(names_of_what_does_not_exist_are_null),
    };
    return cmocka_run_group_tests_name("optimizer", tests, NULL, NULL);
}
