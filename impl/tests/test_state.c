/* test_state.c - state, state_dict and load_state_dict beside torch/optim/optimizer.py. */
#include <math.h>
#include <string.h>

#include "fixture.h"

static sgd_state *state_of(sgd_optimizer *optimizer)
{
    sgd_state *state;
    sgd_error error;
    if (sgd_optimizer_state_dict(optimizer, &state, &error))
        fail_msg("%s", error.message);
    return state;
}

static const float *buffer_of(const sgd_optimizer *optimizer, size_t tensor)
{
    DLTensor buffer;
    assert_int_equal(sgd_optimizer_momentum_buffer(optimizer, tensor, &buffer, NULL), SGD_OK);
    return buffer.data;
}

/* An optimizer over [p], [q] with momentum, stepped once. */
static void create_stepped(fixture *f)
{
    *f = fixture_new();
    f->options.momentum = 0.5;
    fixture_link(f);
    assert_int_equal(sgd_optimizer_create(&f->options, &f->config, f->params, 1, &f->optimizer, NULL), SGD_OK);
    assert_int_equal(sgd_optimizer_add_group(f->optimizer, NULL, &f->params[1], 1, NULL), SGD_OK);
    assert_int_equal(sgd_optimizer_step(f->optimizer, f->grads, 2, NULL), SGD_OK);
}

/* ---- state[p] --------------------------------------------------------------------------------------------------------------- */

static int held;
static void hold(void *object) { (void)object, held++; }
static void let_go(void *object) { (void)object, held--; }
static const sgd_object_type counted = {.struct_size = sizeof counted, .retain = hold, .release = let_go};

static void the_buffer_in_the_state_is_the_one_that_is_used(void **state)
{
    (void)state;
    fixture f;
    create_stepped(&f);
    float own[3] = {8, 8, 8};
    DLTensor tensor = tensor_of(own, 32, f.shape);
    sgd_value value = {.kind = SGD_VALUE_TENSOR, .tensor = {.tensor = &tensor}, .object = own, .type = &counted};
    sgd_dict *dict;
    held = 0;
    assert_int_equal(sgd_optimizer_state(f.optimizer, 1, &dict, NULL), SGD_OK);
    assert_int_equal(sgd_dict_set(dict, "momentum_buffer", &value, NULL), SGD_OK);
    assert_int_equal(held, 1);
    assert_int_equal(sgd_optimizer_step(f.optimizer, f.grads, 2, NULL), SGD_OK);
    assert_true(own[0] == 8 * 0.5f + 2);
    assert_true(sgd_dict_remove(dict, "momentum_buffer")); /* the next step is a first one */
    assert_int_equal(held, 0);
    assert_int_equal(sgd_optimizer_step(f.optimizer, f.grads, 2, NULL), SGD_OK);
    assert_true(buffer_of(f.optimizer, 1)[0] == 2 && own[0] == 6);
    sgd_optimizer_drop_state(f.optimizer, 1);
    assert_false(sgd_optimizer_has_state(f.optimizer, 1));
    assert_null(buffer_of(f.optimizer, 1));
    sgd_optimizer_destroy(f.optimizer);
}

static void memory_that_the_host_lends_becomes_the_buffer(void **state)
{
    (void)state;
    fixture f = fixture_new();
    f.options.momentum = 0.5;
    fixture_create(&f);
    float own[3] = {NAN, NAN, NAN};
    DLTensor tensor = tensor_of(own, 32, f.shape);
    sgd_value memory[2] = {{.kind = SGD_VALUE_NONE},
                           {.kind = SGD_VALUE_TENSOR, .tensor = {.tensor = &tensor}, .object = own, .type = &counted}};
    sgd_gradient grads[2] = {{.dense = f.grads[0]}, {.dense = f.grads[1]}};
    sgd_step_arguments arguments = {.struct_size = sizeof arguments, .grads = grads, .count = 2, .memory = memory};
    held = 0;
    f.grad_tensors[0].dtype.bits = 64; /* a step that fails takes nothing */
    assert_int_equal(sgd_optimizer_step_with(f.optimizer, &arguments, NULL, NULL), SGD_ERROR_DTYPE);
    assert_int_equal(held, 0);
    assert_false(sgd_optimizer_has_state(f.optimizer, 0) || sgd_optimizer_has_state(f.optimizer, 1));
    f.grad_tensors[0].dtype.bits = 32;
    assert_int_equal(sgd_optimizer_step_with(f.optimizer, &arguments, NULL, NULL), SGD_OK);
    assert_int_equal(held, 1);
    assert_ptr_equal(buffer_of(f.optimizer, 1), own);
    assert_true(own[0] == 2 && buffer_of(f.optimizer, 0)[0] == 1);
    sgd_optimizer_destroy(f.optimizer);
    assert_int_equal(held, 0);
}

static void a_new_buffer_lies_as_pytorchs_would(void **state)
{
    (void)state;
    float param[6] = {0}, grad[6] = {0, 1, 2, 3, 4, 5};
    int64_t shape[2] = {2, 3}, strides[2] = {1, 2};
    DLTensor tensor = tensor_of(param, 32, shape), gradient = tensor_of(grad, 32, shape), *grads[1] = {&gradient}, buffer;
    tensor.ndim = gradient.ndim = 2;
    tensor.strides = gradient.strides = strides;
    sgd_options options = sgd_options_default();
    options.momentum = 0.5;
    sgd_optimizer *optimizer;
    assert_int_equal(sgd_optimizer_create(&options, NULL, &tensor, 1, &optimizer, NULL), SGD_OK);
    assert_int_equal(sgd_optimizer_step(optimizer, grads, 1, NULL), SGD_OK);
    assert_int_equal(sgd_optimizer_momentum_buffer(optimizer, 0, &buffer, NULL), SGD_OK);
    assert_non_null(buffer.strides);
    assert_memory_equal(buffer.strides, strides, sizeof strides);
    assert_memory_equal(buffer.data, grad, sizeof grad);
    sgd_optimizer_destroy(optimizer);
}

/* ---- out ---------------------------------------------------------------------------------------------------------------------- */

static void a_state_dict_shows_the_state_and_outlives_it(void **state)
{
    (void)state;
    fixture f;
    create_stepped(&f);
    sgd_dict *dict;
    sgd_value value = {.kind = SGD_VALUE_STRING, .string = "kept"}, key = {.kind = SGD_VALUE_STRING, .string = "other"};
    assert_int_equal(sgd_optimizer_other_state_add(f.optimizer, &key, &dict, NULL), SGD_OK);
    assert_int_equal(sgd_dict_set(dict, "what", &value, NULL), SGD_OK);
    sgd_state *saved = state_of(f.optimizer);
    size_t count;
    assert_int_equal(sgd_state_group_count(saved), 2);
    assert_int_equal(sgd_state_group_ids(saved, 1, &count)[0], 1);
    assert_int_equal(count, 1);
    assert_int_equal(sgd_dict_count(sgd_state_group(saved, 0)), 9);
    assert_int_equal(sgd_state_entry_count(saved), 3);
    assert_int_equal(sgd_state_entry(saved, 1, &key, &dict, NULL), SGD_OK);
    assert_int_equal(key.integer, 1);
    assert_true(sgd_dict_get(dict, "momentum_buffer", &value));
    const float *data = value.tensor.tensor->data;
    assert_true(data[0] == 2);
    assert_int_equal(sgd_optimizer_step(f.optimizer, f.grads, 2, NULL), SGD_OK);
    assert_true(data[0] == 3); /* not a copy */
    sgd_optimizer_destroy(f.optimizer);
    assert_true(data[0] == 3);
    assert_int_equal(sgd_state_entry(saved, 2, &key, &dict, NULL), SGD_OK);
    assert_string_equal(key.string, "other");
    assert_int_equal(sgd_state_entry(saved, 3, &key, &dict, NULL), SGD_ERROR_ARGUMENT);
    sgd_state_destroy(saved);
}

static void a_tensor_that_is_there_twice_has_its_last_places_id(void **state)
{
    (void)state;
    fixture f = fixture_new();
    fixture_link(&f);
    DLTensor params[3] = {f.params[0], f.params[1], f.params[0]}, *grads[3] = {f.grads[0], f.grads[1], f.grads[0]};
    f.options.momentum = 0.5;
    sgd_dict *defaults, *dict;
    assert_int_equal(sgd_dict_create(&defaults, NULL), SGD_OK);
    assert_int_equal(sgd_options_to_dict(&f.options, defaults, NULL), SGD_OK);
    sgd_group group = {.struct_size = sizeof group, .params = params, .count = 3};
    unsigned warnings;
    assert_int_equal(sgd_optimizer_create_groups(defaults, NULL, &group, 1, &f.optimizer, &warnings, NULL), SGD_OK);
    assert_int_equal(sgd_optimizer_step(f.optimizer, grads, 3, NULL), SGD_OK);
    sgd_state *saved = state_of(f.optimizer);
    const int64_t expected[3] = {2, 1, 2};
    sgd_value key;
    assert_memory_equal(sgd_state_group_ids(saved, 0, NULL), expected, sizeof expected);
    assert_int_equal(sgd_state_entry_count(saved), 2);
    assert_int_equal(sgd_state_entry(saved, 0, &key, &dict, NULL), SGD_OK);
    assert_int_equal(key.integer, 2);
    sgd_optimizer_drop_state(f.optimizer, 0);
    assert_int_equal(sgd_optimizer_load_state_dict(f.optimizer, saved, NULL), SGD_OK);
    assert_true(buffer_of(f.optimizer, 0)[0] == 1 && buffer_of(f.optimizer, 2)[0] == 1);
    sgd_state_destroy(saved);
    sgd_optimizer_destroy(f.optimizer);
    sgd_dict_destroy(defaults);
}

/* ---- in ----------------------------------------------------------------------------------------------------------------------- */

static void loading_takes_over_options_and_copies_buffers(void **state)
{
    (void)state;
    fixture f, g;
    create_stepped(&f);
    create_stepped(&g);
    sgd_value initial = {.kind = SGD_VALUE_DOUBLE, .number = 3}, lr = {.kind = SGD_VALUE_DOUBLE, .number = 0.125}, value;
    sgd_dict_set(sgd_optimizer_group(f.optimizer, 0), "initial_lr", &initial, NULL);
    sgd_dict_set(sgd_optimizer_group(f.optimizer, 0), "lr", &lr, NULL);
    sgd_dict *live = sgd_optimizer_group(g.optimizer, 0);
    sgd_dict_remove(sgd_optimizer_group(f.optimizer, 1), "foreach"); /* as an older version wrote it */
    sgd_dict_remove(sgd_optimizer_group(f.optimizer, 1), "nesterov");
    assert_int_equal(sgd_optimizer_step(f.optimizer, f.grads, 1, NULL), SGD_ERROR_SHAPE);
    sgd_state *saved = state_of(f.optimizer);
    assert_int_equal(sgd_optimizer_load_state_dict(g.optimizer, saved, NULL), SGD_OK);
    assert_ptr_equal(live, sgd_optimizer_group(g.optimizer, 0));
    assert_true(sgd_dict_get(live, "initial_lr", &value) && value.number == 3);
    assert_true(sgd_dict_get(live, "lr", &value) && value.number == 0.125);
    live = sgd_optimizer_group(g.optimizer, 1);
    assert_true(sgd_dict_get(live, "foreach", &value) && value.kind == SGD_VALUE_NONE);
    assert_true(sgd_dict_get(live, "nesterov", &value) && value.kind == SGD_VALUE_BOOL && !value.boolean);
    assert_true(buffer_of(g.optimizer, 1)[0] == 2);
    assert_ptr_not_equal(buffer_of(g.optimizer, 1), buffer_of(f.optimizer, 1));
    assert_int_equal(sgd_optimizer_step(g.optimizer, g.grads, 2, NULL), SGD_OK);
    assert_true(g.param[0][0] == 0.5f - 0.125f * 1.5f);
    assert_true(buffer_of(g.optimizer, 1)[0] == 3 && buffer_of(f.optimizer, 1)[0] == 2);
    sgd_state_destroy(saved);
    sgd_optimizer_destroy(f.optimizer);
    sgd_optimizer_destroy(g.optimizer);
}

static void a_state_for_another_model_changes_nothing(void **state)
{
    (void)state;
    fixture f, g = fixture_new();
    create_stepped(&f);
    sgd_state *saved = state_of(f.optimizer);
    fixture_create(&g); /* one group of two */
    assert_fails(sgd_optimizer_load_state_dict(g.optimizer, saved, &g.error), SGD_ERROR_VALUE, &g.error,
                 "loaded state dict has a different number of parameter groups");
    assert_int_equal(sgd_optimizer_add_group(g.optimizer, NULL, NULL, 0, NULL), SGD_OK);
    assert_fails(sgd_optimizer_load_state_dict(g.optimizer, saved, &g.error), SGD_ERROR_VALUE, &g.error,
                 "loaded state dict contains a parameter group that doesn't match the size of optimizer's group");
    sgd_optimizer_destroy(g.optimizer);
    int64_t shorter[1] = {2};
    g.params[1].shape = shorter;
    g.options.lr = 0.25;
    assert_int_equal(sgd_optimizer_create(&g.options, NULL, g.params, 1, &g.optimizer, NULL), SGD_OK);
    assert_int_equal(sgd_optimizer_add_group(g.optimizer, NULL, &g.params[1], 1, NULL), SGD_OK);
    assert_fails(sgd_optimizer_load_state_dict(g.optimizer, saved, &g.error), SGD_ERROR_SHAPE, &g.error,
                 "loaded momentum buffer of parameter 1 has another shape than the parameter");
    sgd_options options;
    assert_int_equal(sgd_optimizer_get_options(g.optimizer, 0, &options, NULL), SGD_OK);
    assert_true(options.lr == 0.25 && !sgd_optimizer_has_state(g.optimizer, 0));
    sgd_state_destroy(saved);
    sgd_optimizer_destroy(f.optimizer);
    sgd_optimizer_destroy(g.optimizer);
}

static void names_of_the_optimizer_stay_where_the_state_has_none(void **state)
{
    (void)state;
    fixture f = fixture_new(), g;
    create_stepped(&g);
    fixture_link(&f);
    const char *names[] = {"weight"}, *others[] = {"loaded"};
    sgd_dict *defaults;
    sgd_value value;
    assert_int_equal(sgd_dict_create(&defaults, NULL), SGD_OK);
    assert_int_equal(sgd_options_to_dict(&f.options, defaults, NULL), SGD_OK);
    sgd_group groups[2] = {{.struct_size = sizeof *groups, .params = f.params, .count = 1, .names = names},
                           {.struct_size = sizeof *groups, .params = f.params + 1, .count = 1, .names = names}};
    assert_int_equal(sgd_optimizer_create_groups(defaults, NULL, groups, 2, &f.optimizer, NULL, NULL), SGD_OK);
    sgd_state *saved = state_of(g.optimizer);
    value = (sgd_value){.kind = SGD_VALUE_STRINGS, .strings = {others, 1}};
    assert_int_equal(sgd_dict_set(sgd_state_group(saved, 1), "param_names", &value, NULL), SGD_OK);
    assert_int_equal(sgd_optimizer_load_state_dict(f.optimizer, saved, NULL), SGD_OK);
    assert_true(sgd_dict_get(sgd_optimizer_group(f.optimizer, 0), "param_names", &value));
    assert_string_equal(value.strings.items[0], "weight");
    assert_true(sgd_dict_get(sgd_optimizer_group(f.optimizer, 1), "param_names", &value));
    assert_string_equal(value.strings.items[0], "loaded");
    sgd_state_destroy(saved);
    sgd_dict_destroy(defaults);
    sgd_optimizer_destroy(f.optimizer);
    sgd_optimizer_destroy(g.optimizer);
}

static void state_of_unknown_ids_is_kept(void **state)
{
    (void)state;
    fixture f;
    create_stepped(&f);
    sgd_state *saved = state_of(f.optimizer);
    sgd_value key = {.kind = SGD_VALUE_INT, .integer = 17}, what = {.kind = SGD_VALUE_INT, .integer = 4};
    sgd_dict *dict;
    assert_int_equal(sgd_state_add_entry(saved, &key, &dict, NULL), SGD_OK);
    assert_int_equal(sgd_dict_set(dict, "what", &what, NULL), SGD_OK);
    assert_int_equal(sgd_optimizer_load_state_dict(f.optimizer, saved, NULL), SGD_OK);
    assert_int_equal(sgd_optimizer_other_state_count(f.optimizer), 1);
    assert_int_equal(sgd_optimizer_other_state(f.optimizer, 0, &key, &dict, NULL), SGD_OK);
    assert_true(key.integer == 17 && sgd_dict_get(dict, "what", &what) && what.integer == 4);
    sgd_optimizer_other_state_clear(f.optimizer);
    assert_int_equal(sgd_optimizer_other_state_count(f.optimizer), 0);
    sgd_state_destroy(saved);
    sgd_optimizer_destroy(f.optimizer);
}

/* ---- casts ---------------------------------------------------------------------------------------------------------------------- */

/* Loads one buffer into the state of a param of another dtype and gives its memory back. */
static const void *cast(DLDataType from, void *data, int64_t count, DLDataType to, sgd_optimizer **optimizer)
{
    static double memory[8];
    int64_t shape[1] = {count};
    DLTensor param = tensor_of(memory, 32, shape), buffer = tensor_of(data, 32, shape);
    param.dtype = to;
    buffer.dtype = from;
    sgd_options options = sgd_options_default();
    sgd_state *saved;
    sgd_dict *dict;
    sgd_value key = {.kind = SGD_VALUE_INT}, value = {.kind = SGD_VALUE_TENSOR, .tensor = {.tensor = &buffer}};
    assert_int_equal(sgd_optimizer_create(&options, NULL, &param, 1, optimizer, NULL), SGD_OK);
    saved = state_of(*optimizer);
    assert_int_equal(sgd_state_add_entry(saved, &key, &dict, NULL), SGD_OK);
    assert_int_equal(sgd_dict_set(dict, "momentum_buffer", &value, NULL), SGD_OK);
    assert_int_equal(sgd_optimizer_load_state_dict(*optimizer, saved, NULL), SGD_OK);
    sgd_state_destroy(saved);
    DLTensor out;
    assert_int_equal(sgd_optimizer_momentum_buffer(*optimizer, 0, &out, NULL), SGD_OK);
    assert_int_equal(out.dtype.bits, to.bits);
    return out.data;
}

/* Values by torch.Tensor.to: a double goes to 16 bits by way of float, an integer is rounded once. */
static void buffers_are_cast_to_the_dtype_of_their_param(void **state)
{
    (void)state;
    const DLDataType f64 = {kDLFloat, 64, 1}, f32 = {kDLFloat, 32, 1}, f16 = {kDLFloat, 16, 1}, bf16 = {kDLBfloat, 16, 1},
                     i64 = {kDLInt, 64, 1}, u8 = {kDLUInt, 8, 1};
    sgd_optimizer *optimizer;
    double wide[4] = {1 + 0x1p-11 + 0x1p-40, -0.0, INFINITY, 1 + 0x1p-8 + 0x1p-40};
    const uint16_t half[4] = {0x3C00, 0x8000, 0x7C00, 0x3C04}, brain[4] = {0x3F80, 0x8000, 0x7F80, 0x3F80};
    assert_memory_equal(cast(f64, wide, 4, f16, &optimizer), half, sizeof half);
    sgd_optimizer_destroy(optimizer);
    assert_memory_equal(cast(f64, wide, 4, bf16, &optimizer), brain, sizeof brain);
    sgd_optimizer_destroy(optimizer);
    int64_t integers[2] = {((int64_t)1 << 53) + 1 + ((int64_t)1 << 29), -3};
    const float singles[2] = {0x1p53f + 0x1p30f, -3};
    assert_memory_equal(cast(i64, integers, 2, f32, &optimizer), singles, sizeof singles);
    sgd_optimizer_destroy(optimizer);
    uint8_t bytes[2] = {255, 0};
    const double doubles[2] = {255, 0};
    assert_memory_equal(cast(u8, bytes, 2, f64, &optimizer), doubles, sizeof doubles);
    sgd_optimizer_destroy(optimizer);
    float nan = NAN;
    assert_true(isnan(*(const double *)cast(f32, &nan, 1, f64, &optimizer)));
    sgd_optimizer_destroy(optimizer);
    uint32_t payload = 0x7FA12345; /* without a cast every bit stays */
    assert_memory_equal(cast(f32, &payload, 1, f32, &optimizer), &payload, sizeof payload);
    sgd_optimizer_destroy(optimizer);
}

static sgd_status refuse_to_convert(void *object, const DLTensor *param, sgd_value *out, sgd_error *error)
{
    (void)object, (void)param, (void)out, (void)error;
    return SGD_ERROR_CALLBACK;
}

static void a_hosts_buffer_stays_the_object_that_it_is(void **state)
{
    (void)state;
    fixture f;
    create_stepped(&f);
    sgd_object_type type = counted;
    float own[3] = {1, 2, 3};
    DLTensor tensor = tensor_of(own, 32, f.shape);
    sgd_value key = {.kind = SGD_VALUE_INT, .integer = 1},
              value = {.kind = SGD_VALUE_TENSOR, .tensor = {.tensor = &tensor}, .object = own, .type = &type};
    sgd_state *saved;
    sgd_dict *dict;
    held = 0;
    sgd_optimizer_drop_state(f.optimizer, 1);
    saved = state_of(f.optimizer);
    assert_int_equal(sgd_state_add_entry(saved, &key, &dict, NULL), SGD_OK);
    assert_int_equal(sgd_dict_set(dict, "momentum_buffer", &value, NULL), SGD_OK);
    assert_int_equal(sgd_optimizer_load_state_dict(f.optimizer, saved, NULL), SGD_OK);
    assert_ptr_equal(buffer_of(f.optimizer, 1), own);
    type.convert = refuse_to_convert;
    assert_fails(sgd_optimizer_load_state_dict(f.optimizer, saved, &f.error), SGD_ERROR_CALLBACK, &f.error,
                 "converting an object failed: a hook or a closure failed");
    sgd_state_destroy(saved);
    sgd_optimizer_destroy(f.optimizer);
    assert_int_equal(held, 0);
}

/* ---- host states --------------------------------------------------------------------------------------------------------------- */

static sgd_status read_host(void *object, sgd_state *state, sgd_error *error)
{
    sgd_dict *dict;
    const int64_t ids[2] = {5, 6};
    sgd_options options = sgd_options_default();
    options.lr = *(double *)object;
    sgd_status status = options.lr < 0 ? SGD_ERROR_KEY : sgd_state_add_group(state, ids, 2, &dict, error);
    return status ? status : sgd_options_to_dict(&options, dict, error);
}

static void a_hosts_state_dict_is_read_when_it_is_needed(void **state)
{
    (void)state;
    static const sgd_object_type type = {.struct_size = sizeof type};
    fixture f = fixture_new();
    fixture_create(&f);
    double lr = 0.75;
    sgd_state *host;
    sgd_options options;
    sgd_value object = {.kind = SGD_VALUE_OBJECT, .object = &lr, .type = &type};
    assert_int_equal(sgd_state_create(&host, NULL), SGD_OK);
    assert_int_equal(sgd_state_set_host(host, &object, read_host, NULL), SGD_OK);
    assert_ptr_equal(sgd_state_host(host), &lr);
    for (int i = 0; i < 2; i++) { /* `host` itself stays empty */
        assert_int_equal(sgd_optimizer_load_state_dict(f.optimizer, host, NULL), SGD_OK);
        assert_int_equal(sgd_optimizer_get_options(f.optimizer, 0, &options, NULL), SGD_OK);
        assert_true(options.lr == 0.75 && sgd_state_group_count(host) == 0);
    }
    lr = -1;
    assert_fails(sgd_optimizer_load_state_dict(f.optimizer, host, &f.error), SGD_ERROR_KEY, &f.error,
                 "reading the state failed: missing entry (KeyError)");
    sgd_state_destroy(host);
    sgd_optimizer_destroy(f.optimizer);
}

/* ---- sparse buffers, skipped steps ------------------------------------------------------------------------------------------------ */

/* A gradient of 2 at row 1, twice, in a tensor of three. */
typedef struct coo {
    int64_t rows[2], at[2], nnz[1], shape[1];
    float values[2];
    sgd_sparse sparse;
} coo;

static void coo_make(coo *c)
{
    *c = (coo){.rows = {1, 1}, .at = {1, 2}, .nnz = {2}, .shape = {3}, .values = {2, 2}};
    c->sparse = (sgd_sparse){.indices = tensor_of(c->rows, 64, c->at), .values = tensor_of(c->values, 32, c->nnz), .ndim = 1,
                             .shape = c->shape};
    c->sparse.indices.ndim = 2;
    c->sparse.indices.dtype.code = kDLInt;
}

static void step_sparse(sgd_optimizer *optimizer, coo *grad)
{
    sgd_error error;
    sgd_gradient grads[2] = {{.sparse = &grad->sparse}};
    sgd_step_arguments arguments = {.struct_size = sizeof arguments, .grads = grads, .count = 2};
    if (sgd_optimizer_step_with(optimizer, &arguments, NULL, &error))
        fail_msg("%s", error.message);
}

static void a_sparse_buffer_is_state_that_another_optimizer_goes_on_with(void **state)
{
    (void)state;
    fixture f = fixture_new(), g;
    f.options.momentum = 0.5;
    g = f;
    fixture_create(&f);
    coo grad;
    coo_make(&grad);
    step_sparse(f.optimizer, &grad);
    assert_true(f.param[0][1] == 2 - 0.5f * 4 && f.param[0][0] == 1);
    sgd_state *saved = state_of(f.optimizer);
    sgd_dict *dict;
    sgd_value key, value;
    assert_int_equal(sgd_state_entry_count(saved), 1);
    assert_int_equal(sgd_state_entry(saved, 0, &key, &dict, NULL), SGD_OK);
    assert_true(sgd_dict_get(dict, "momentum_buffer", &value) && value.kind == SGD_VALUE_SPARSE);
    assert_null(buffer_of(f.optimizer, 0)); /* no dense one */
    memcpy(g.param, f.param, sizeof g.param);
    fixture_create(&g);
    assert_int_equal(sgd_optimizer_load_state_dict(g.optimizer, saved, NULL), SGD_OK);
    for (int i = 0; i < 2; i++) {
        step_sparse(f.optimizer, &grad);
        step_sparse(g.optimizer, &grad);
    }
    assert_true(f.param[0][1] == 0 - 0.5f * (0.5f * 4 + 4) - 0.5f * (0.5f * 6 + 4));
    assert_memory_equal(f.param, g.param, sizeof f.param);
    sgd_optimizer_destroy(f.optimizer);
    assert_int_equal(value.sparse->values.dtype.bits, 32); /* the state still holds it */
    sgd_state_destroy(saved);
    sgd_optimizer_destroy(g.optimizer);
}

static void a_sparse_buffer_of_the_hosts_is_read_and_then_replaced(void **state)
{
    (void)state;
    fixture f = fixture_new();
    f.options.momentum = 0.5;
    fixture_create(&f);
    coo grad, buffer;
    coo_make(&grad);
    coo_make(&buffer);
    sgd_dict *dict;
    sgd_value value = {.kind = SGD_VALUE_SPARSE, .sparse = &buffer.sparse, .object = &buffer, .type = &counted};
    held = 0;
    assert_int_equal(sgd_optimizer_state(f.optimizer, 0, &dict, NULL), SGD_OK);
    assert_int_equal(sgd_dict_set(dict, "momentum_buffer", &value, NULL), SGD_OK);
    step_sparse(f.optimizer, &grad);
    assert_true(f.param[0][1] == 2 - 0.5f * (0.5f * 4 + 4));
    assert_true(buffer.values[0] == 2 && held == 0);
    assert_true(sgd_dict_get(dict, "momentum_buffer", &value) && value.sparse != &buffer.sparse);
    assert_int_equal(sgd_dict_count(dict), 1);
    f.options.weight_decay = 1; /* sparse + dense: refused, and the buffer stays */
    assert_int_equal(sgd_optimizer_set_options(f.optimizer, 0, &f.options, NULL), SGD_OK);
    sgd_gradient grads[2] = {{.sparse = &grad.sparse}};
    sgd_step_arguments arguments = {.struct_size = sizeof arguments, .grads = grads, .count = 2};
    const sgd_sparse *before = value.sparse;
    assert_fails(sgd_optimizer_step_with(f.optimizer, &arguments, NULL, &f.error), SGD_ERROR_RUNTIME, &f.error,
                 "add(sparse, dense) is not supported. Use add(dense, sparse) instead.");
    assert_true(sgd_dict_get(dict, "momentum_buffer", &value) && value.sparse == before);
    sgd_optimizer_destroy(f.optimizer);
}

static void a_skipped_first_step_leaves_no_buffer(void **state)
{
    (void)state;
    fixture f = fixture_new();
    f.options.momentum = 0.5;
    f.options.fused = SGD_TRUE;
    fixture_create(&f);
    float scale = 2, inf = 1;
    DLTensor grad_scale = tensor_of(&scale, 32, NULL), found_inf = tensor_of(&inf, 32, NULL);
    grad_scale.ndim = found_inf.ndim = 0;
    sgd_scaling scaling = {&grad_scale, &found_inf};
    sgd_gradient grads[2] = {{.dense = f.grads[0]}, {.dense = f.grads[1]}};
    sgd_step_arguments arguments = {.struct_size = sizeof arguments, .grads = grads, .count = 2, .scaling = &scaling};
    assert_int_equal(sgd_optimizer_step_with(f.optimizer, &arguments, NULL, NULL), SGD_OK);
    assert_true(f.param[0][0] == 1 && !sgd_optimizer_has_state(f.optimizer, 0));
    inf = 0;
    assert_int_equal(sgd_optimizer_step_with(f.optimizer, &arguments, NULL, NULL), SGD_OK);
    assert_true(f.param[0][0] == 0.75f && f.grad[0][0] == 0.5f && buffer_of(f.optimizer, 0)[0] == 0.5f);
    sgd_optimizer_destroy(f.optimizer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_buffer_in_the_state_is_the_one_that_is_used),
        cmocka_unit_test(memory_that_the_host_lends_becomes_the_buffer),
        cmocka_unit_test(a_new_buffer_lies_as_pytorchs_would),
        cmocka_unit_test(a_state_dict_shows_the_state_and_outlives_it),
        cmocka_unit_test(a_tensor_that_is_there_twice_has_its_last_places_id),
        cmocka_unit_test(loading_takes_over_options_and_copies_buffers),
        cmocka_unit_test(a_state_for_another_model_changes_nothing),
        cmocka_unit_test(names_of_the_optimizer_stay_where_the_state_has_none),
        cmocka_unit_test(state_of_unknown_ids_is_kept),
        cmocka_unit_test(buffers_are_cast_to_the_dtype_of_their_param),
        cmocka_unit_test(a_hosts_buffer_stays_the_object_that_it_is),
        cmocka_unit_test(a_hosts_state_dict_is_read_when_it_is_needed),
        cmocka_unit_test(a_sparse_buffer_is_state_that_another_optimizer_goes_on_with),
        cmocka_unit_test(a_sparse_buffer_of_the_hosts_is_read_and_then_replaced),
        cmocka_unit_test(a_skipped_first_step_leaves_no_buffer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
