/* test_options.c - creating an optimizer: PyTorch's checks in PyTorch's words, tensors that do not fit, the choice of the path. */
#define _DEFAULT_SOURCE /* setenv */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "fixture.h"

/* ---- the constructor ---------------------------------------------------------------------------------------------------- */

static void check(sgd_options options, sgd_status expected, const char *text)
{
    sgd_error error;
    assert_fails(sgd_options_check(&options, &error), expected, &error, text);
}

static void constructor_errors_are_pytorchs(void **state)
{
    (void)state;
    sgd_options o = sgd_options_default();
    o.lr = -0.1;
    o.momentum = -1;
    check(o, SGD_ERROR_VALUE, "Invalid learning rate: -0.1");
    o.lr = -1e-7;
    check(o, SGD_ERROR_VALUE, "Invalid learning rate: -1e-07");
    o.lr = -123456789.125;
    check(o, SGD_ERROR_VALUE, "Invalid learning rate: -123456789.125");
    o.lr = -INFINITY;
    check(o, SGD_ERROR_VALUE, "Invalid learning rate: -inf");
    o.lr = -1e16;
    check(o, SGD_ERROR_VALUE, "Invalid learning rate: -1e+16");
    o.lr = 0;
    check(o, SGD_ERROR_VALUE, "Invalid momentum value: -1.0");
    o.momentum = 0;
    o.weight_decay = -5e-324;
    check(o, SGD_ERROR_VALUE, "Invalid weight_decay value: -5e-324");
    o.weight_decay = 0;
    o.nesterov = true;
    check(o, SGD_ERROR_VALUE, "Nesterov momentum requires a momentum and zero dampening");
    o.momentum = 0.9;
    o.dampening = 0.1;
    check(o, SGD_ERROR_VALUE, "Nesterov momentum requires a momentum and zero dampening");
    o.dampening = 0;
    o.fused = o.foreach = SGD_TRUE;
    o.differentiable = true;
    check(o, SGD_ERROR_RUNTIME, "`fused` does not support `differentiable`");
    o.differentiable = false;
    check(o, SGD_ERROR_RUNTIME, "`fused` and `foreach` cannot be `True` together.");
    o.struct_size = 8;
    check(o, SGD_ERROR_ABI, "options: struct_size 8, this library's is 120");
}

static void what_pytorch_accepts_is_accepted(void **state)
{
    (void)state;
    sgd_options o = sgd_options_default();
    o.lr = NAN;
    o.momentum = NAN;
    o.weight_decay = INFINITY;
    o.dampening = -3;
    assert_int_equal(sgd_options_check(&o, NULL), SGD_OK);
    o.lr = -0.0;
    o.nesterov = true;
    o.dampening = 0;
    assert_int_equal(sgd_options_check(&o, NULL), SGD_OK); /* NaN is not <= 0 */
    o.fused = SGD_TRUE;
    o.foreach = SGD_FALSE;
    assert_int_equal(sgd_options_check(&o, NULL), SGD_OK);
}

static void nothing_is_created_from_bad_arguments(void **state)
{
    (void)state;
    fixture f = fixture_new();
    fixture_link(&f);
    sgd_optimizer *untouched = (sgd_optimizer *)&f;
    assert_int_equal(sgd_optimizer_create(NULL, NULL, f.params, 2, &untouched, &f.error), SGD_ERROR_ARGUMENT);
    assert_int_equal(sgd_optimizer_create(&f.options, NULL, f.params, 2, NULL, NULL), SGD_ERROR_ARGUMENT);
    assert_int_equal(sgd_optimizer_create(&f.options, NULL, NULL, 2, &untouched, NULL), SGD_ERROR_ARGUMENT);
    assert_fails(sgd_optimizer_create(&f.options, NULL, NULL, 0, &untouched, &f.error), SGD_ERROR_VALUE, &f.error,
                 "optimizer got an empty parameter list");
    sgd_options conflict = f.options; /* SGD.__init__ looks at the params first */
    conflict.fused = conflict.foreach = SGD_TRUE;
    assert_int_equal(sgd_optimizer_create(&conflict, NULL, NULL, 0, &untouched, NULL), SGD_ERROR_VALUE);
    assert_int_equal(sgd_optimizer_create(&conflict, NULL, f.params, 2, &untouched, NULL), SGD_ERROR_RUNTIME);
    f.config.contract = (sgd_contract)7;
    assert_int_equal(sgd_optimizer_create(&f.options, &f.config, f.params, 2, &untouched, NULL), SGD_ERROR_ARGUMENT);
    f.config = sgd_config_default();
    f.config.torch_threads = 0;
    assert_int_equal(sgd_optimizer_create(&f.options, &f.config, f.params, 2, &untouched, NULL), SGD_ERROR_ARGUMENT);
    f.config = sgd_config_default();
    f.config.struct_size = 1;
    assert_int_equal(sgd_optimizer_create(&f.options, &f.config, f.params, 2, &untouched, NULL), SGD_ERROR_ABI);
    assert_ptr_equal(untouched, &f);
}

static void check_tensor(DLTensor tensor, sgd_status expected, const char *text)
{
    sgd_options options = sgd_options_default();
    sgd_optimizer *optimizer = NULL;
    sgd_error error;
    assert_fails(sgd_optimizer_create(&options, NULL, &tensor, 1, &optimizer, &error), expected, &error, text);
    assert_null(optimizer);
}

static void tensors_that_do_not_fit_are_named(void **state)
{
    (void)state;
    _Alignas(8) float data[8] = {0};
    int64_t shape[2] = {2, 3}, strides[2] = {-3, 1}, huge[2] = {INT64_MAX, 4}, negative[1] = {-1};
    DLTensor good = tensor_of(data, 32, shape), bad = good;
    good.ndim = bad.ndim = 2;
    bad.dtype = (DLDataType){kDLInt, 32, 1};
    check_tensor(bad, SGD_ERROR_DTYPE, "parameter 0: DLPack dtype code 0, 32 bits, 1 lanes is none of f64, f32, f16, bf16, c64, c128");
    bad = good;
    bad.device.device_type = kDLCUDA;
    char refused[128];
    snprintf(refused, sizeof refused, "parameter 0 is on DLPack device type 2, backend cpu-%s takes type 1",
             sgd_isa_name(sgd_isa_best()));
    check_tensor(bad, SGD_ERROR_DEVICE, refused);
    bad = good;
    bad.strides = strides;
    check_tensor(bad, SGD_ERROR_LAYOUT, "parameter 0 has a negative stride");
    bad = good;
    bad.data = NULL;
    check_tensor(bad, SGD_ERROR_ARGUMENT, "parameter 0 has no data");
    bad = good;
    bad.byte_offset = 2;
    check_tensor(bad, SGD_ERROR_ARGUMENT, "parameter 0 is not aligned to its element size of 4");
    bad = good;
    bad.shape = huge;
    check_tensor(bad, SGD_ERROR_SHAPE, "parameter 0: more than 64 dimensions, a negative extent, or more elements than memory has");
    bad.shape = negative;
    bad.ndim = 1;
    check_tensor(bad, SGD_ERROR_SHAPE, "parameter 0: more than 64 dimensions, a negative extent, or more elements than memory has");
    bad.shape = NULL;
    check_tensor(bad, SGD_ERROR_ARGUMENT, "parameter 0 has no shape");
}

/* ---- path ---------------------------------------------------------------------------------------------------------------- */

static void the_path_is_pytorchs_choice(void **state)
{
    (void)state;
    const struct {
        sgd_tristate foreach, fused;
        sgd_path path;
    } rows[] = {{SGD_NONE, SGD_NONE, SGD_FORLOOP},  {SGD_TRUE, SGD_NONE, SGD_FOREACH}, {SGD_NONE, SGD_TRUE, SGD_FUSED},
                {SGD_FALSE, SGD_NONE, SGD_FORLOOP}, {SGD_FALSE, SGD_TRUE, SGD_FUSED},  {SGD_TRUE, SGD_FALSE, SGD_FOREACH},
                {SGD_NONE, SGD_FALSE, SGD_FORLOOP}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        fixture f = fixture_new();
        f.options.foreach = rows[i].foreach;
        f.options.fused = rows[i].fused;
        fixture_create(&f);
        sgd_path path;
        assert_int_equal(sgd_optimizer_path(f.optimizer, 0, &path, NULL), SGD_OK);
        assert_int_equal(path, rows[i].path);
        sgd_optimizer_destroy(f.optimizer);
    }
}

static void the_environment_caps_the_instruction_set(void **state)
{
    (void)state;
    fixture f = fixture_new();
    assert_int_equal(setenv("SGD_ISA", "scalar", 1), 0);
    assert_int_equal(sgd_isa_best(), SGD_ISA_SCALAR);
    fixture_create(&f);
    sgd_optimizer_destroy(f.optimizer);
    assert_int_equal(setenv("SGD_ISA", "avx1024", 1), 0);
    assert_fails(sgd_optimizer_create(&f.options, NULL, f.params, 2, &f.optimizer, &f.error), SGD_ERROR_VALUE, &f.error,
                 "environment variable SGD_ISA: no instruction set is called avx1024");
    assert_int_equal(unsetenv("SGD_ISA"), 0);
    assert_true(sgd_isa_available(sgd_isa_best()));
}

/* A param that its gradient's absence leaves alone need not be in memory: PyTorch's subclasses and meta tensors are not. */
static void a_parameter_without_a_gradient_may_be_nowhere(void **state)
{
    (void)state;
    int64_t shape[1] = {3};
    DLTensor param = tensor_of(NULL, 32, shape);
    sgd_item item = {.param = &param};
    sgd_options options = sgd_options_default();
    assert_int_equal(sgd_step(NULL, &options, &item, 1, NULL, NULL, NULL), SGD_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(constructor_errors_are_pytorchs),
        cmocka_unit_test(what_pytorch_accepts_is_accepted),
        cmocka_unit_test(nothing_is_created_from_bad_arguments),
        cmocka_unit_test(tensors_that_do_not_fit_are_named),
        cmocka_unit_test(the_path_is_pytorchs_choice),
        cmocka_unit_test(the_environment_caps_the_instruction_set),
        cmocka_unit_test(a_parameter_without_a_gradient_may_be_nowhere),
    };
    return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
