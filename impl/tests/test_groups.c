/* test_groups.c - add_param_group beside torch/optim/optimizer.py: order and words of its checks, names, duplicates, keys of
 * anybody's, repr. */
#include <math.h>
#include <string.h>

#include "fixture.h"

static sgd_value number(double value) { return (sgd_value){.kind = SGD_VALUE_DOUBLE, .number = value}; }
static sgd_value integer(int64_t value) { return (sgd_value){.kind = SGD_VALUE_INT, .integer = value}; }

static sgd_group group_of(const DLTensor *params, size_t count)
{
    return (sgd_group){.struct_size = sizeof(sgd_group), .params = params, .count = count};
}

static sgd_dict *defaults_of(const sgd_options *options)
{
    sgd_dict *dict;
    assert_int_equal(sgd_dict_create(&dict, NULL), SGD_OK);
    assert_int_equal(sgd_options_to_dict(options, dict, NULL), SGD_OK);
    return dict;
}

/* ---- dicts ------------------------------------------------------------------------------------------------------------------ */

static void a_dict_keeps_order_and_kinds(void **state)
{
    (void)state;
    sgd_dict *dict;
    sgd_value value;
    sgd_error error;
    const char *names[] = {"a", "b"};
    assert_int_equal(sgd_dict_create(&dict, NULL), SGD_OK);
    const sgd_value values[] = {{.kind = SGD_VALUE_NONE},
                                {.kind = SGD_VALUE_BOOL, .boolean = true},
                                integer(7),
                                number(7),
                                {.kind = SGD_VALUE_STRING, .string = "seven"},
                                {.kind = SGD_VALUE_STRINGS, .strings = {names, 2}}};
    const char *keys[] = {"z", "y", "x", "w", "v", "u"};
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(sgd_dict_set(dict, keys[i], &values[i], NULL), SGD_OK);
    names[0] = "changed";
    for (size_t i = 0; i < 6; i++) {
        assert_string_equal(sgd_dict_key(dict, i), keys[i]);
        assert_true(sgd_dict_get(dict, keys[i], &value));
        assert_int_equal(value.kind, values[i].kind);
    }
    assert_string_equal(value.strings.items[0], "a");
    assert_int_equal(sgd_dict_set(dict, "y", &values[4], NULL), SGD_OK);
    assert_string_equal(sgd_dict_key(dict, 1), "y");
    assert_true(sgd_dict_remove(dict, "z"));
    assert_false(sgd_dict_remove(dict, "z"));
    assert_false(sgd_dict_get(dict, "z", NULL));
    assert_string_equal(sgd_dict_key(dict, 0), "y");
    assert_int_equal(sgd_dict_count(dict), 5);
    assert_null(sgd_dict_key(dict, 5));
    assert_fails(sgd_dict_set(dict, "t", &(sgd_value){.kind = SGD_VALUE_STRING}, &error), SGD_ERROR_ARGUMENT, &error,
                 "value is NULL or not what its kind says");
    sgd_dict_destroy(dict);
    sgd_dict_destroy(NULL);
}

static void options_that_a_step_cannot_use_are_told_by_name(void **state)
{
    (void)state;
    sgd_error error;
    sgd_options options = sgd_options_default(), read;
    options.foreach = SGD_FALSE;
    options.momentum = 0.9;
    sgd_dict *dict = defaults_of(&options);
    sgd_value lr = integer(2);
    assert_int_equal(sgd_dict_set(dict, "lr", &lr, NULL), SGD_OK);
    assert_int_equal(sgd_options_from_dict(dict, &read, NULL), SGD_OK);
    assert_true(read.lr == 2 && read.momentum == 0.9 && read.foreach == SGD_FALSE && read.fused == SGD_NONE);
    lr = (sgd_value){.kind = SGD_VALUE_STRING, .string = "0.1"};
    assert_int_equal(sgd_dict_set(dict, "lr", &lr, NULL), SGD_OK);
    assert_fails(sgd_options_from_dict(dict, &read, &error), SGD_ERROR_TYPE, &error,
                 "option lr is of no type that a step can use");
    sgd_dict_remove(dict, "lr");
    assert_fails(sgd_options_from_dict(dict, &read, &error), SGD_ERROR_KEY, &error, "'lr'");
    sgd_dict_destroy(dict);
}

/* ---- the constructor ---------------------------------------------------------------------------------------------------------- */

static void the_constructors_checks_come_in_pytorchs_order(void **state)
{
    (void)state;
    fixture f = fixture_new();
    fixture_link(&f);
    f.options.lr = -1;
    f.options.fused = SGD_TRUE;
    f.options.differentiable = true;
    sgd_dict *defaults = defaults_of(&f.options);
    sgd_group groups[2] = {group_of(f.params, 2), group_of(f.params, 1)};
    sgd_value minus = integer(-1), one = integer(1);
    int64_t two = 2;
    DLTensor lr = tensor_of(f.param[0], 32, &two);
    sgd_value vector = {.kind = SGD_VALUE_TENSOR, .tensor = {.tensor = &lr}};
    assert_fails(sgd_optimizer_create_groups(defaults, NULL, groups, 2, &f.optimizer, NULL, &f.error), SGD_ERROR_VALUE,
                 &f.error, "Invalid learning rate: -1.0");
    sgd_dict_set(defaults, "lr", &minus, NULL);
    assert_fails(sgd_optimizer_create_groups(defaults, NULL, groups, 2, &f.optimizer, NULL, &f.error), SGD_ERROR_VALUE,
                 &f.error, "Invalid learning rate: -1");
    sgd_dict_set(defaults, "lr", &vector, NULL);
    assert_fails(sgd_optimizer_create_groups(defaults, NULL, groups, 2, &f.optimizer, NULL, &f.error), SGD_ERROR_VALUE,
                 &f.error, "Tensor lr must be 1-element");
    sgd_dict_set(defaults, "lr", &one, NULL);
    sgd_dict_set(defaults, "weight_decay", &minus, NULL);
    assert_fails(sgd_optimizer_create_groups(defaults, NULL, groups, 2, &f.optimizer, NULL, &f.error), SGD_ERROR_VALUE,
                 &f.error, "Invalid weight_decay value: -1");
    sgd_dict_set(defaults, "weight_decay", &one, NULL);
    assert_fails(sgd_optimizer_create_groups(defaults, NULL, groups, 0, &f.optimizer, NULL, &f.error), SGD_ERROR_VALUE,
                 &f.error, "optimizer got an empty parameter list");
    assert_fails(sgd_optimizer_create_groups(defaults, NULL, groups, 2, &f.optimizer, NULL, &f.error), SGD_ERROR_VALUE,
                 &f.error, "some parameters appear in more than one parameter group");
    assert_fails(sgd_optimizer_create_groups(defaults, NULL, groups, 1, &f.optimizer, NULL, &f.error), SGD_ERROR_RUNTIME,
                 &f.error, "`fused` does not support `differentiable`");
    sgd_dict_destroy(defaults);
}

static void ints_stay_ints_and_what_a_group_lacks_comes_from_the_defaults(void **state)
{
    (void)state;
    fixture f = fixture_new();
    fixture_link(&f);
    sgd_dict *defaults = defaults_of(&f.options), *own;
    sgd_value zero = integer(0), initial = number(0.5), value;
    sgd_dict_set(defaults, "momentum", &zero, NULL);
    assert_int_equal(sgd_dict_create(&own, NULL), SGD_OK);
    sgd_dict_set(own, "initial_lr", &initial, NULL);
    sgd_group group = group_of(f.params, 2);
    group.values = own;
    assert_int_equal(sgd_optimizer_create_groups(defaults, NULL, &group, 1, &f.optimizer, NULL, NULL), SGD_OK);
    sgd_dict_destroy(own);
    sgd_dict_destroy(defaults);
    sgd_dict *live = sgd_optimizer_group(f.optimizer, 0);
    assert_int_equal(sgd_dict_count(live), 10);
    assert_string_equal(sgd_dict_key(live, 0), "initial_lr");
    assert_string_equal(sgd_dict_key(live, 1), "lr");
    assert_true(sgd_dict_get(live, "momentum", &value) && value.kind == SGD_VALUE_INT);
    assert_true(sgd_dict_get(sgd_optimizer_defaults(f.optimizer), "momentum", &value) && value.kind == SGD_VALUE_INT);
    assert_null(sgd_optimizer_group(f.optimizer, 1));
    assert_int_equal(sgd_optimizer_group_size(f.optimizer, 0), 2);

    sgd_value lr = number(1); /* a scheduler's group["lr"] = 1 */
    assert_int_equal(sgd_dict_set(live, "lr", &lr, NULL), SGD_OK);
    assert_int_equal(sgd_optimizer_step(f.optimizer, f.grads, 2, NULL), SGD_OK);
    assert_true(f.param[0][0] == 0);
    f.options.lr = 0.25; /* set_options leaves foreign keys and the int alone */
    assert_int_equal(sgd_optimizer_set_options(f.optimizer, 0, &f.options, NULL), SGD_OK);
    assert_true(sgd_dict_get(live, "momentum", &value) && value.kind == SGD_VALUE_INT);
    assert_true(sgd_dict_get(live, "initial_lr", &value) && value.number == 0.5);
    assert_true(sgd_dict_get(live, "lr", &value) && value.number == 0.25);
    sgd_dict_remove(live, "dampening");
    assert_fails(sgd_optimizer_step(f.optimizer, f.grads, 2, &f.error), SGD_ERROR_KEY, &f.error, "'dampening'");
    assert_true(f.param[0][0] == 0);
    sgd_optimizer_destroy(f.optimizer);
}

/* ---- the checks of add_param_group ------------------------------------------------------------------------------------------- */

static void names_are_for_all_params_or_for_none(void **state)
{
    (void)state;
    fixture f = fixture_new();
    fixture_link(&f);
    const char *names[] = {"weight", NULL}, *both[] = {"weight", "bias"};
    sgd_group group = group_of(f.params, 2);
    sgd_dict *defaults = defaults_of(&f.options);
    group.names = names;
    assert_fails(sgd_optimizer_create_groups(defaults, NULL, &group, 1, &f.optimizer, NULL, &f.error), SGD_ERROR_VALUE,
                 &f.error, "all optimizer params should be with/without names. Some param names are missing");
    group.names = both;
    assert_int_equal(sgd_optimizer_create_groups(defaults, NULL, &group, 1, &f.optimizer, NULL, NULL), SGD_OK);
    float more[3] = {0};
    DLTensor third = tensor_of(more, 32, f.shape);
    sgd_group unnamed = group_of(&third, 1);
    assert_fails(sgd_optimizer_add_param_group(f.optimizer, &unnamed, NULL, &f.error), SGD_ERROR_VALUE, &f.error,
                 "all optimizer param groups should be with/without names. cannot add param group without names to the "
                 "optimizer");
    sgd_value value;
    assert_true(sgd_dict_get(sgd_optimizer_group(f.optimizer, 0), "param_names", &value));
    assert_int_equal(value.strings.count, 2);
    assert_string_equal(value.strings.items[1], "bias");
    assert_int_equal(sgd_optimizer_group_count(f.optimizer), 1);
    sgd_optimizer_destroy(f.optimizer);
    sgd_dict_destroy(defaults);
    fixture_create(&f);
    unnamed.names = both;
    assert_fails(sgd_optimizer_add_param_group(f.optimizer, &unnamed, NULL, &f.error), SGD_ERROR_VALUE, &f.error,
                 "all optimizer param groups should be with/without names. cannot add param group with names to the optimizer");
    sgd_optimizer_destroy(f.optimizer);
}

static void a_non_leaf_is_refused_before_all_that_comes_later(void **state)
{
    (void)state;
    fixture f = fixture_new();
    fixture_create(&f);
    const bool non_leaf[] = {false, true};
    sgd_group group = group_of(f.params, 2); /* both are in a group already */
    group.non_leaf = non_leaf;
    assert_fails(sgd_optimizer_add_param_group(f.optimizer, &group, NULL, &f.error), SGD_ERROR_VALUE, &f.error,
                 "can't optimize a non-leaf Tensor");
    sgd_value yes = {.kind = SGD_VALUE_BOOL, .boolean = true};
    sgd_dict_set(sgd_optimizer_defaults(f.optimizer), "differentiable", &yes, NULL);
    assert_fails(sgd_optimizer_add_param_group(f.optimizer, &group, NULL, &f.error), SGD_ERROR_VALUE, &f.error,
                 "some parameters appear in more than one parameter group");
    sgd_optimizer_destroy(f.optimizer);
}

static void hosts_tell_tensors_by_their_objects(void **state)
{
    (void)state;
    fixture f = fixture_new();
    fixture_link(&f);
    f.params[1] = f.params[0]; /* two objects over one memory are two tensors, one object is one wherever it lies */
    int one, other;
    const void *two_objects[] = {&one, &other}, *same[] = {&other};
    sgd_dict *defaults = defaults_of(&f.options);
    sgd_group group = group_of(f.params, 2), again = group_of(&f.params[0], 1);
    group.identities = two_objects;
    again.identities = same;
    assert_int_equal(sgd_optimizer_create_groups(defaults, NULL, &group, 1, &f.optimizer, NULL, NULL), SGD_OK);
    assert_fails(sgd_optimizer_add_param_group(f.optimizer, &again, NULL, &f.error), SGD_ERROR_VALUE, &f.error,
                 "some parameters appear in more than one parameter group");
    sgd_optimizer_destroy(f.optimizer);
    sgd_dict_destroy(defaults);
}

static void hosts_may_have_tensors_that_no_step_takes(void **state)
{
    (void)state;
    fixture f = fixture_new();
    fixture_link(&f);
    f.params[0].dtype = (DLDataType){kDLInt, 64, 1};
    f.params[1] = (DLTensor){.dtype = {kDLFloat, 32, 1}, .device = {99, 0}, .ndim = 0};
    sgd_dict *defaults = defaults_of(&f.options);
    sgd_group group = group_of(f.params, 2);
    assert_int_equal(sgd_optimizer_create_groups(defaults, NULL, &group, 1, &f.optimizer, NULL, NULL), SGD_ERROR_DTYPE);
    group.check_later = true;
    assert_int_equal(sgd_optimizer_create_groups(defaults, NULL, &group, 1, &f.optimizer, NULL, NULL), SGD_OK);
    assert_int_equal(sgd_optimizer_step(f.optimizer, f.grads, 2, NULL), SGD_ERROR_DTYPE);
    f.params[0] = tensor_of(f.param[0], 32, f.shape); /* p.data = ... */
    f.params[1] = tensor_of(f.param[1], 32, f.shape);
    assert_int_equal(sgd_optimizer_set_params(f.optimizer, f.params, 2, NULL), SGD_OK);
    assert_int_equal(sgd_optimizer_step(f.optimizer, f.grads, 2, NULL), SGD_OK);
    assert_true(f.param[0][0] == 0.5f);
    assert_int_equal(sgd_optimizer_set_params(f.optimizer, f.params, 1, NULL), SGD_ERROR_SHAPE);
    sgd_optimizer_destroy(f.optimizer);
    sgd_dict_destroy(defaults);
}

/* ---- duplicates ---------------------------------------------------------------------------------------------------------------- */

static void a_duplicate_is_a_warning_for_who_sees_it_and_an_error_for_who_does_not(void **state)
{
    (void)state;
    fixture f = fixture_new();
    fixture_link(&f);
    f.params[1] = f.params[0];
    sgd_dict *defaults = defaults_of(&f.options);
    sgd_group group = group_of(f.params, 2), single = group_of(f.params, 1);
    unsigned warnings = 99;
    assert_fails(sgd_optimizer_create_groups(defaults, NULL, &group, 1, &f.optimizer, NULL, &f.error), SGD_ERROR_VALUE,
                 &f.error, "parameters 0 and 1 of one group are the same");
    assert_int_equal(sgd_optimizer_create_groups(defaults, NULL, &single, 1, &f.optimizer, &warnings, NULL), SGD_OK);
    assert_int_equal(warnings, 0);
    sgd_optimizer_destroy(f.optimizer);
    assert_int_equal(sgd_optimizer_create_groups(defaults, NULL, &group, 1, &f.optimizer, &warnings, NULL), SGD_OK);
    assert_int_equal(warnings, SGD_WARNING_DUPLICATES);
    assert_string_equal(sgd_warning_text(SGD_WARNING_DUPLICATES),
                        "optimizer contains a parameter group with duplicate parameters; in future, this will cause an error; "
                        "see github.com/pytorch/pytorch/issues/40967 for more information");
    sgd_optimizer_destroy(f.optimizer);
    sgd_dict_destroy(defaults);
}

/* [p, q, p] with lr 0.5, momentum 0.5: values computed by torch.optim.SGD's for-loop; fused gives the same. */
static void a_duplicate_is_stepped_twice(void **state)
{
    (void)state;
    for (int fused = 0; fused < 2; fused++) {
        fixture f = fixture_new();
        fixture_link(&f);
        DLTensor params[3] = {f.params[0], f.params[1], f.params[0]}, *grads[3] = {f.grads[0], f.grads[1], f.grads[0]};
        f.options.momentum = 0.5;
        f.options.fused = fused ? SGD_TRUE : SGD_NONE;
        sgd_dict *defaults = defaults_of(&f.options);
        sgd_group group = group_of(params, 3);
        unsigned warnings;
        assert_int_equal(sgd_optimizer_create_groups(defaults, NULL, &group, 1, &f.optimizer, &warnings, NULL), SGD_OK);
        assert_int_equal(sgd_optimizer_step(f.optimizer, grads, 3, NULL), SGD_OK);
        assert_true(f.param[0][0] == 0 && f.param[1][0] == 3); /* twice 0.5 * 1, both buffers being the gradient */
        DLTensor one, other;
        assert_int_equal(sgd_optimizer_momentum_buffer(f.optimizer, 0, &one, NULL), SGD_OK);
        assert_int_equal(sgd_optimizer_momentum_buffer(f.optimizer, 2, &other, NULL), SGD_OK);
        assert_ptr_equal(one.data, other.data);
        assert_int_equal(sgd_optimizer_step(f.optimizer, grads, 3, NULL), SGD_OK);
        assert_true(((float *)one.data)[0] == 1.75f); /* 1.5 for the first, then 0.5 * 1.5 + 1 */
        assert_true(f.param[0][0] == -0.5f * 1.5f - 0.5f * 1.75f);
        sgd_optimizer_destroy(f.optimizer);
        sgd_dict_destroy(defaults);
    }
}

static void foreach_over_a_duplicate_is_refused_by_the_step(void **state)
{
    (void)state;
    fixture f = fixture_new();
    fixture_link(&f);
    f.params[1] = f.params[0];
    f.options.foreach = SGD_TRUE;
    sgd_dict *defaults = defaults_of(&f.options);
    sgd_group group = group_of(f.params, 2);
    unsigned warnings;
    assert_int_equal(sgd_optimizer_create_groups(defaults, NULL, &group, 1, &f.optimizer, &warnings, NULL), SGD_OK);
    assert_fails(sgd_optimizer_step(f.optimizer, f.grads, 2, &f.error), SGD_ERROR_UNSUPPORTED, &f.error,
                 "foreach over a param group with the same tensor twice is not offered");
    assert_true(f.param[0][0] == 1);
    sgd_optimizer_destroy(f.optimizer);
    sgd_dict_destroy(defaults);
}

/* ---- replacing groups ---------------------------------------------------------------------------------------------------------- */

static void state_stays_with_a_tensor_whatever_group_it_is_in(void **state)
{
    (void)state;
    fixture f = fixture_new();
    f.options.momentum = 0.5;
    fixture_create(&f);
    assert_int_equal(sgd_optimizer_step(f.optimizer, f.grads, 2, NULL), SGD_OK);
    DLTensor before, after;
    assert_int_equal(sgd_optimizer_momentum_buffer(f.optimizer, 1, &before, NULL), SGD_OK);
    sgd_group group = group_of(&f.params[1], 1), wrong = {0};
    sgd_dict *values = defaults_of(&f.options);
    group.values = values;
    assert_int_equal(sgd_optimizer_set_groups(f.optimizer, &wrong, 1, NULL), SGD_ERROR_ABI);
    assert_int_equal(sgd_optimizer_tensor_count(f.optimizer), 2);
    assert_int_equal(sgd_optimizer_set_groups(f.optimizer, &group, 1, NULL), SGD_OK);
    assert_int_equal(sgd_optimizer_tensor_count(f.optimizer), 1);
    assert_int_equal(sgd_optimizer_momentum_buffer(f.optimizer, 0, &after, NULL), SGD_OK);
    assert_ptr_equal(before.data, after.data);
    assert_int_equal(sgd_optimizer_step(f.optimizer, &f.grads[1], 1, NULL), SGD_OK);
    assert_true(f.param[0][0] == 0.5f && f.param[1][0] == 4 - 1 - 1.5f);
    assert_int_equal(sgd_optimizer_set_groups(f.optimizer, NULL, 0, NULL), SGD_OK);
    assert_int_equal(sgd_optimizer_step(f.optimizer, NULL, 0, NULL), SGD_OK);
    sgd_dict_destroy(values);
    sgd_optimizer_destroy(f.optimizer);
}

/* ---- text ------------------------------------------------------------------------------------------------------------------------ */

static size_t object_text(void *object, char *out, size_t size)
{
    const char *text = object;
    if (size) {
        strncpy(out, text, size - 1);
        out[size - 1] = '\0';
    }
    return strlen(text);
}

static void repr_is_pythons(void **state)
{
    (void)state;
    static const sgd_object_type type = {.struct_size = sizeof type, .text = object_text};
    static const char expected[] = "SGD (\nParameter Group 0\n    dampening: 0\n    differentiable: False\n    foreach: None\n"
                                   "    fused: None\n    initial_lr: 1e-05\n    lr: 0.1\n    maximize: False\n"
                                   "    momentum: 0.9\n    nesterov: True\n    note: it's\n    object: <it>\n"
                                   "    param_names: ['a', \"b'\"]\n    weight_decay: 0.25\n)";
    fixture f = fixture_new();
    fixture_link(&f);
    f.options.lr = 0.1;
    f.options.momentum = 0.9;
    f.options.nesterov = true;
    double decay = 0.25;
    DLTensor scalar = tensor_of(&decay, 64, NULL);
    scalar.ndim = 0;
    const char *names[] = {"a", "b'"};
    sgd_value values[] = {integer(0), number(1e-5), {.kind = SGD_VALUE_STRING, .string = "it's"},
                          {.kind = SGD_VALUE_OBJECT, .object = "<it>", .type = &type},
                          {.kind = SGD_VALUE_TENSOR, .tensor = {.tensor = &scalar}}};
    const char *keys[] = {"dampening", "initial_lr", "note", "object", "weight_decay"};
    sgd_dict *defaults = defaults_of(&f.options);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(sgd_dict_set(defaults, keys[i], &values[i], NULL), SGD_OK);
    sgd_group group = group_of(f.params, 2);
    group.names = names;
    assert_int_equal(sgd_optimizer_create_groups(defaults, NULL, &group, 1, &f.optimizer, NULL, NULL), SGD_OK);
    char text[512], cut[8];
    assert_int_equal(sgd_optimizer_text(f.optimizer, NULL, text, sizeof text), strlen(expected));
    assert_string_equal(text, expected);
    assert_int_equal(sgd_optimizer_text(f.optimizer, "Mine", cut, sizeof cut), strlen(expected) + 1);
    assert_string_equal(cut, "Mine (\n");
    assert_int_equal(sgd_optimizer_text(f.optimizer, NULL, NULL, 0), strlen(expected));
    sgd_optimizer_destroy(f.optimizer);
    sgd_dict_destroy(defaults);
}

static void refusals_are_pytorchs(void **state)
{
    (void)state;
    sgd_error error;
    assert_fails(sgd_refuse(SGD_REFUSAL_HOOK_RESULT, "<function SGD.step>", "%s5", &error), SGD_ERROR_RUNTIME, &error,
                 "<function SGD.step> must return None or a tuple of (new_args, new_kwargs), but got %s5.");
    assert_fails(sgd_refuse(SGD_REFUSAL_NOT_A_TENSOR, "int", NULL, &error), SGD_ERROR_TYPE, &error,
                 "optimizer can only optimize Tensors, but one of the params is int");
    assert_fails(sgd_refuse(SGD_REFUSAL_PARAMS_IN_SET, NULL, NULL, &error), SGD_ERROR_TYPE, &error,
                 "optimizer parameters need to be organized in ordered collections, but the ordering of tensors in sets will "
                 "change between runs. Please use a list instead.");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_dict_keeps_order_and_kinds),
        cmocka_unit_test(options_that_a_step_cannot_use_are_told_by_name),
        cmocka_unit_test(the_constructors_checks_come_in_pytorchs_order),
        cmocka_unit_test(ints_stay_ints_and_what_a_group_lacks_comes_from_the_defaults),
        cmocka_unit_test(names_are_for_all_params_or_for_none),
        cmocka_unit_test(a_non_leaf_is_refused_before_all_that_comes_later),
        cmocka_unit_test(hosts_tell_tensors_by_their_objects),
        cmocka_unit_test(hosts_may_have_tensors_that_no_step_takes),
        cmocka_unit_test(a_duplicate_is_a_warning_for_who_sees_it_and_an_error_for_who_does_not),
        cmocka_unit_test(a_duplicate_is_stepped_twice),
        cmocka_unit_test(foreach_over_a_duplicate_is_refused_by_the_step),
        cmocka_unit_test(state_stays_with_a_tensor_whatever_group_it_is_in),
        cmocka_unit_test(repr_is_pythons),
        cmocka_unit_test(refusals_are_pytorchs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
