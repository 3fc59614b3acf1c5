/* fixture.h - an optimizer over two small tensors made by hand, for the tests of the public API. */
#ifndef SGD_TESTS_FIXTURE_H
#define SGD_TESTS_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sgd/sgd.h>

static inline DLTensor tensor_of(void *data, uint8_t bits, int64_t *shape)
{
    return (DLTensor){.data = data,
                      .device = {.device_type = kDLCPU},
                      .ndim = 1,
                      .dtype = {.code = kDLFloat, .bits = bits, .lanes = 1},
                      .shape = shape};
}

/* Two float32 parameters of three elements, and an optimizer over them. */
typedef struct fixture {
    float param[2][3], grad[2][3];
    int64_t shape[1];
    DLTensor params[2], grad_tensors[2];
    DLTensor *grads[2];
    sgd_options options;
    sgd_config config;
    sgd_optimizer *optimizer;
    sgd_error error;
} fixture;

static inline fixture fixture_new(void)
{
    fixture f = {.param = {{1, 2, 3}, {4, 5, 6}}, .grad = {{1, 1, 1}, {2, 2, 2}}, .shape = {3}};
    f.options = sgd_options_default();
    f.options.lr = 0.5;
    f.config = sgd_config_default();
    return f;
}

/* Pointers are set where the fixture lies for good. */
static inline void fixture_link(fixture *f)
{
    for (int i = 0; i < 2; i++) {
        f->params[i] = tensor_of(f->param[i], 32, f->shape);
        f->grad_tensors[i] = tensor_of(f->grad[i], 32, f->shape);
        f->grads[i] = &f->grad_tensors[i];
    }
}

static inline void fixture_create(fixture *f)
{
    fixture_link(f);
    if (sgd_optimizer_create(&f->options, &f->config, f->params, 2, &f->optimizer, &f->error))
        fail_msg("%s", f->error.message);
}

static inline void assert_fails(sgd_status status, sgd_status expected, const sgd_error *error, const char *text)
{
    assert_int_equal(status, expected);
    assert_int_equal(error->status, expected);
    assert_string_equal(error->message, text);
}

#endif
