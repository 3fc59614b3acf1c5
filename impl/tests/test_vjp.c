/* test_vjp.c - the derivative of a step against difference quotients of sgd_step, exactly, and what it refuses.
 *
 * After a few steps params and buffers are polynomials in everything that went in: of degree 1 in each param, gradient and
 * buffer, of degree 4 at most in an option over three steps.  The five-point forward formula is exact up to degree 4, and
 * with numbers of few bits nothing in it is rounded.  So the quotients are the derivatives, to the last bit.
 */
#include "fixture.h"

#include <string.h>

#include <sgd/vjp.h>

enum { STEPS = 3, N = 4, OPTIONS = 4 };

/* All that goes into a run of one parameter, and the weights that make one number, the loss, of what comes out. */
typedef struct run {
    double param[N], buffer[N], grad[STEPS][N];
    sgd_options options;
    bool has_buffer;
    double param_weight[N], buffer_weight[N];
} run;

static run run_new(void)
{
    run r = {.param = {1, -2, 3, 0.5},
             .buffer = {-1, 0.5, 2, 1},
             .grad = {{1, 2, -1, 3}, {-2, 1, 0.5, 1}, {3, -1, 1, -2}},
             .options = sgd_options_default(),
             .has_buffer = true,
             .param_weight = {1, -1, 2, 3},
             .buffer_weight = {2, 1, -1, 1}};
    r.options.lr = 0.5;
    return r;
}

typedef struct record {
    double param[N], buffer[N];
    bool has_buffer;
} record;

static double forward(const run *r, record records[STEPS])
{
    int64_t shape[1] = {N};
    double param[N], buffer[N] = {0}, grad[N], loss = 0;
    memcpy(param, r->param, sizeof param);
    if (r->has_buffer)
        memcpy(buffer, r->buffer, sizeof buffer);
    DLTensor p = tensor_of(param, 64, shape), b = tensor_of(buffer, 64, shape), g = tensor_of(grad, 64, shape);
    sgd_item item = {.param = &p, .grad = &g, .buffer = r->options.momentum != 0 ? &b : NULL, .has_buffer = r->has_buffer};
    for (int step = 0; step < STEPS; step++) {
        if (records) {
            memcpy(records[step].param, param, sizeof param);
            memcpy(records[step].buffer, buffer, sizeof buffer);
            records[step].has_buffer = item.has_buffer;
        }
        memcpy(grad, r->grad[step], sizeof grad);
        assert_int_equal(sgd_step(NULL, &r->options, &item, 1, NULL, NULL, NULL), SGD_OK);
    }
    for (int i = 0; i < N; i++)
        loss += r->param_weight[i] * param[i] + (item.buffer ? r->buffer_weight[i] * buffer[i] : 0);
    return loss;
}

typedef struct derivative {
    double param[N], buffer[N], grad[STEPS][N];
    bool has_buffer;
    sgd_vjp_options options;
} derivative;

static derivative backward(const run *r)
{
    int64_t shape[1] = {N};
    record records[STEPS];
    forward(r, records);
    derivative d = {0};
    memcpy(d.param, r->param_weight, sizeof d.param);
    memcpy(d.buffer, r->buffer_weight, sizeof d.buffer);
    DLTensor d_param = tensor_of(d.param, 64, shape), d_buffer = tensor_of(d.buffer, 64, shape);
    sgd_vjp_item item = {.d_param = &d_param, .d_buffer = &d_buffer, .has_d_buffer = r->options.momentum != 0};
    for (int step = STEPS - 1; step >= 0; step--) {
        double grad[N];
        memcpy(grad, r->grad[step], sizeof grad);
        DLTensor p = tensor_of(records[step].param, 64, shape), b = tensor_of(records[step].buffer, 64, shape);
        DLTensor g = tensor_of(grad, 64, shape), d_grad = tensor_of(d.grad[step], 64, shape);
        item.param = &p;
        item.grad = &g;
        item.buffer = records[step].has_buffer ? &b : NULL;
        item.d_grad = &d_grad;
        assert_int_equal(sgd_step_vjp(&r->options, &item, 1, &d.options, NULL), SGD_OK);
    }
    d.has_buffer = item.has_d_buffer;
    return d;
}

/* The derivative of the loss by *x, a number within *r. */
static double quotient(run *r, double *x)
{
    static const double weights[] = {-25, 48, -36, 16, -3};
    const double h = 0.125, at = *x;
    double sum = 0;
    for (int i = 0; i < 5; i++) {
        *x = at + i * h;
        sum += weights[i] * forward(r, NULL);
    }
    *x = at;
    return sum / (12 * h);
}

static void assert_equals(double got, double expected, const char *what, int step, int i)
{
    if (got != expected)
        fail_msg("derivative by %s (step %d, element %d): %.17g, the difference quotient is %.17g", what, step, i, got,
                 expected);
}

static void check_run(run *r)
{
    derivative d = backward(r);
    bool detached = r->options.momentum != 0 && !r->has_buffer;
    for (int i = 0; i < N; i++) {
        if (!detached)
            assert_equals(d.param[i], quotient(r, &r->param[i]), "param", 0, i);
        for (int step = detached; step < STEPS; step++)
            assert_equals(d.grad[step][i], quotient(r, &r->grad[step][i]), "gradient", step, i);
        if (r->has_buffer)
            assert_equals(d.buffer[i], quotient(r, &r->buffer[i]), "momentum buffer", 0, i);
    }
    assert_int_equal(d.has_buffer, r->has_buffer);
    assert_equals(d.options.lr, quotient(r, &r->options.lr), "lr", -1, -1);
    if (detached)
        return;
    assert_equals(d.options.weight_decay, quotient(r, &r->options.weight_decay), "weight_decay", -1, -1);
    if (r->options.momentum != 0)
        assert_equals(d.options.momentum, quotient(r, &r->options.momentum), "momentum", -1, -1);
    if (r->options.momentum != 0 && !r->options.nesterov)
        assert_equals(d.options.dampening, quotient(r, &r->options.dampening), "dampening", -1, -1);
}

static void derivatives_are_difference_quotients(void **state)
{
    (void)state;
    for (int bits = 0; bits < 32; bits++) {
        run r = run_new();
        r.options.maximize = bits & 1;
        r.options.weight_decay = bits & 2 ? 0.5 : 0;
        r.options.momentum = bits & 4 ? 0.75 : 0;
        r.options.dampening = (bits & 12) == 12 ? 0.25 : 0;
        r.options.nesterov = (bits & 20) == 20 && !(bits & 8);
        r.has_buffer = r.options.momentum != 0;
        check_run(&r);
    }
}

/* With a first buffer the loss is still a polynomial, but what PyTorch detaches is no part of the derivative: weight decay 0
 * leaves only the derivatives by lr and by later gradients as quotients. */
static void a_first_buffer_is_detached(void **state)
{
    (void)state;
    for (int nesterov = 0; nesterov < 2; nesterov++) {
        run r = run_new();
        r.options.momentum = 0.75;
        r.options.nesterov = nesterov;
        r.has_buffer = false;
        check_run(&r);
        /* of the first gradient: all of what goes to it by way of nesterov, nothing by way of the buffer */
        derivative d = backward(&r);
        for (int i = 0; i < N; i++)
            assert_equals(d.grad[0][i], nesterov ? -0.5 * r.param_weight[i] : 0, "first gradient", 0, i);
    }
}

/* ---- what one call leaves alone, and refuses ------------------------------------------------------------------------------- */

/* One parameter of three float32 elements with momentum. */
typedef struct single {
    float values[6][3];
    int64_t shape[1];
    DLTensor tensors[6]; /* param, grad, buffer, d_param, d_buffer, d_grad */
    sgd_options options;
    sgd_vjp_item item;
    sgd_vjp_options sums;
    sgd_error error;
} single;

static void single_set(single *s)
{
    memset(s, 0, sizeof *s);
    s->shape[0] = 3;
    for (int i = 0; i < 6; i++) {
        for (int j = 0; j < 3; j++)
            s->values[i][j] = (float)(i + j + 1);
        s->tensors[i] = tensor_of(s->values[i], 32, s->shape);
    }
    s->options = sgd_options_default();
    s->options.momentum = 0.5;
    DLTensor *t = s->tensors;
    s->item = (sgd_vjp_item){.param = t, .grad = t + 1, .buffer = t + 2, .d_param = t + 3, .d_buffer = t + 4, .d_grad = t + 5};
    s->item.has_d_buffer = true;
}

static void refused(single *s, sgd_status expected, const char *text)
{
    single before = *s;
    sgd_vjp_item items[2];
    single good;
    single_set(&good);
    items[0] = good.item; /* one that could be done comes before the one that cannot */
    items[1] = s->item;
    float untouched = good.values[3][0];
    assert_fails(sgd_step_vjp(&s->options, items, 2, &s->sums, &s->error), expected, &s->error, text);
    assert_memory_equal(s->values, before.values, sizeof s->values);
    assert_memory_equal(&s->sums, &before.sums, sizeof s->sums);
    assert_true(good.values[3][0] == untouched);
}

static void what_cannot_be_differentiated_is_refused_whole(void **state)
{
    (void)state;
    single s;
    single_set(&s);
    s.tensors[0].dtype.bits = 16;
    refused(&s, SGD_ERROR_DTYPE, "parameter 1 is f16; a step is differentiated in f64 and f32");
    single_set(&s);
    s.tensors[0].dtype = (DLDataType){.code = kDLComplex, .bits = 64, .lanes = 1};
    refused(&s, SGD_ERROR_DTYPE, "parameter 1 is c64; a step is differentiated in f64 and f32");
    single_set(&s);
    s.tensors[3].dtype.bits = 16;
    refused(&s, SGD_ERROR_DTYPE, "derivative by parameter 1 is f16, its parameter f32");
    single_set(&s);
    int64_t two = 2;
    s.tensors[5].shape = &two;
    refused(&s, SGD_ERROR_SHAPE, "derivative by gradient 1 does not have its parameter's shape");
    single_set(&s);
    s.tensors[2].strides = &two;
    refused(&s, SGD_ERROR_LAYOUT, "momentum buffer 1 is not contiguous");
    single_set(&s);
    s.item.d_buffer = NULL;
    refused(&s, SGD_ERROR_ARGUMENT, "derivative by momentum buffer 1 is NULL");
    single_set(&s);
    s.options.momentum = -1;
    refused(&s, SGD_ERROR_VALUE, "Invalid momentum value: -1.0");
    single_set(&s);
    assert_fails(sgd_step_vjp(&s.options, NULL, 1, NULL, &s.error), SGD_ERROR_ARGUMENT, &s.error, "items is NULL");
}

static void an_item_without_a_gradient_is_left_alone(void **state)
{
    (void)state;
    single s, before;
    single_set(&s);
    s.item.grad = NULL;
    before = s;
    assert_int_equal(sgd_step_vjp(&s.options, &s.item, 1, &s.sums, &s.error), SGD_OK);
    assert_memory_equal(s.values, before.values, sizeof s.values);
    assert_memory_equal(&s.sums, &before.sums, sizeof s.sums);
    assert_true(s.item.has_d_buffer);
}

static void sums_are_added_to_and_outputs_may_be_left_out(void **state)
{
    (void)state;
    single s;
    single_set(&s);
    assert_int_equal(sgd_step_vjp(&s.options, &s.item, 1, &s.sums, &s.error), SGD_OK);
    single t;
    single_set(&t);
    t.sums.lr = 100; /* small integers and halves: adding is exact */
    t.item.d_grad = NULL;
    assert_int_equal(sgd_step_vjp(&t.options, &t.item, 1, &t.sums, &t.error), SGD_OK);
    assert_true(t.sums.lr == s.sums.lr + 100 && s.sums.lr != 0);
    assert_memory_equal(t.values, s.values, 5 * sizeof s.values[0]);
    single_set(&t);
    assert_int_equal(sgd_step_vjp(&t.options, &t.item, 1, NULL, &t.error), SGD_OK);
    assert_memory_equal(t.values, s.values, sizeof s.values);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(derivatives_are_difference_quotients),
        cmocka_unit_test(a_first_buffer_is_detached),
        cmocka_unit_test(what_cannot_be_differentiated_is_refused_whole),
        cmocka_unit_test(an_item_without_a_gradient_is_left_alone),
        cmocka_unit_test(sums_are_added_to_and_outputs_may_be_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
