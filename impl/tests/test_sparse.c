/* test_sparse.c - sparse gradients through sgd_step: what is refused, who owns what, and allocations that fail. */
#include <stdlib.h>
#include <string.h>

#include "fixture.h"

/* ---- allocations that fail: the library's malloc, calloc and aligned_alloc are these ------------------------------------- */

#if defined(__has_feature)
#define SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

static long allocations_left = -1; /* below 0: all succeed */

#if !SANITIZED /* sanitizers bring their own */
#define LIBRARY_SEES __attribute__((visibility("default")))
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

static bool refused(void) { return allocations_left >= 0 && allocations_left-- == 0; }

LIBRARY_SEES void *malloc(size_t size) { return refused() ? NULL : __libc_malloc(size); }
LIBRARY_SEES void *calloc(size_t count, size_t size) { return refused() ? NULL : __libc_calloc(count, size); }
LIBRARY_SEES void *aligned_alloc(size_t alignment, size_t size) { return refused() ? NULL : __libc_memalign(alignment, size); }
#endif

/* ---- a param of 4 x 2, and a gradient with entries in rows 2, 0, 2 --------------------------------------------------------- */

typedef struct sparse_fixture {
    float param[8], values[6];
    int64_t shape[2], rows[3], index_shape[2], value_shape[2];
    DLTensor param_tensor;
    sgd_sparse grad, buffer;
    sgd_item item;
    sgd_options options;
    sgd_error error;
} sparse_fixture;

static void make(sparse_fixture *f)
{
    *f = (sparse_fixture){.param = {1, 2, 3, 4, 5, 6, 7, 8}, .values = {1, 2, 3, 4, 5, 6}, .shape = {4, 2}, .rows = {2, 0, 2},
                          .index_shape = {1, 3}, .value_shape = {3, 2}};
    f->param_tensor = tensor_of(f->param, 32, f->shape);
    f->param_tensor.ndim = 2;
    f->grad = (sgd_sparse){.indices = tensor_of(f->rows, 64, f->index_shape), .values = tensor_of(f->values, 32, f->value_shape),
                           .ndim = 2, .shape = f->shape};
    f->grad.indices.dtype.code = kDLInt;
    f->grad.indices.ndim = f->grad.values.ndim = 2;
    f->item = (sgd_item){.param = &f->param_tensor, .sparse_grad = &f->grad, .sparse_buffer = &f->buffer};
    f->options = sgd_options_default();
    f->options.lr = 0.5;
}

static sgd_status step(sparse_fixture *f) { return sgd_step(NULL, &f->options, &f->item, 1, NULL, NULL, &f->error); }

static void assert_unchanged(const sparse_fixture *f)
{
    const float start[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    assert_memory_equal(f->param, start, sizeof start);
    assert_false(f->item.has_buffer);
    assert_null(f->buffer.owned);
}

/* ---- tests ----------------------------------------------------------------------------------------------------------------- */

static void entries_of_one_row_are_all_applied(void **state)
{
    (void)state;
    sparse_fixture f;
    make(&f);
    assert_int_equal(step(&f), SGD_OK);
    const float expected[8] = {1 - 1.5f, 2 - 2, 3, 4, 5 - 0.5f - 2.5f, 6 - 1 - 3, 7, 8};
    assert_memory_equal(f.param, expected, sizeof expected);
    assert_null(f.grad.owned);
}

static void a_momentum_buffer_is_a_clone_and_then_a_merge(void **state)
{
    (void)state;
    sparse_fixture f;
    make(&f);
    f.options.momentum = 0.5;
    assert_int_equal(step(&f), SGD_OK);
    assert_true(f.item.has_buffer);
    assert_memory_equal(f.buffer.values.data, f.values, sizeof f.values);
    assert_ptr_not_equal(f.buffer.values.data, f.values);
    f.grad.values.shape[0] = f.grad.indices.shape[1] = 1;
    assert_int_equal(step(&f), SGD_OK);
    const float expected[6] = {0.5f + 1, 1 + 2, 1.5f, 2, 2.5f, 3};
    assert_int_equal(f.buffer.values.shape[0], 3);
    assert_memory_equal(f.buffer.values.data, expected, sizeof expected);
    sgd_sparse_destroy(&f.buffer);
    assert_null(f.buffer.owned);
    sgd_sparse_destroy(&f.buffer);
    sgd_sparse_destroy(NULL);
}

static void foreach_with_nesterov_replaces_the_gradient(void **state)
{
    (void)state;
    sparse_fixture f;
    make(&f);
    f.options.foreach = SGD_TRUE;
    f.options.momentum = 0.5;
    f.options.nesterov = true;
    assert_int_equal(step(&f), SGD_OK);
    assert_non_null(f.grad.owned);
    const float expected[6] = {1.5f, 3, 4.5f, 6, 7.5f, 9};
    assert_memory_equal(f.grad.values.data, expected, sizeof expected);
    assert_int_equal(f.values[0], 1); /* the caller's memory is not written */
    sgd_sparse_destroy(&f.grad);
    sgd_sparse_destroy(&f.buffer);
}

static void assert_refused(sparse_fixture *f, sgd_status status, const char *text)
{
    f->options.momentum = 0.5;
    assert_fails(step(f), status, &f->error, text);
    assert_unchanged(f);
    make(f);
}

static void a_malformed_gradient_changes_nothing(void **state)
{
    (void)state;
    sparse_fixture f;
    make(&f);
    f.rows[1] = -3;
    assert_refused(&f, SGD_ERROR_RUNTIME, "found negative index -3 for dim 0");
    f.rows[1] = 4;
    assert_refused(&f, SGD_ERROR_RUNTIME, "size is inconsistent with indices: for dim 0, size is 4 but found index 4");
    f.index_shape[1] = 2;
    assert_refused(&f, SGD_ERROR_SHAPE, "gradient 0: indices, values and shape do not fit each other");
    f.value_shape[1] = 3;
    assert_refused(&f, SGD_ERROR_SHAPE, "gradient 0: indices, values and shape do not fit each other");
    f.grad.indices.ndim = 1;
    assert_refused(&f, SGD_ERROR_SHAPE, "gradient 0: indices must be of shape (sparse dims, entries)");
    f.grad.indices.dtype.bits = 32;
    assert_refused(&f, SGD_ERROR_DTYPE, "gradient 0: indices must be int64");
    f.grad.indices.data = NULL;
    assert_refused(&f, SGD_ERROR_ARGUMENT, "gradient 0 has no data");
    f.grad.values.data = NULL;
    assert_refused(&f, SGD_ERROR_ARGUMENT, "gradient 0 has no data");
    f.grad.indices.byte_offset = 4;
    assert_refused(&f, SGD_ERROR_ARGUMENT, "gradient 0: indices are not aligned to 8 bytes");
    f.grad.indices.device.device_type = kDLCUDA;
    assert_refused(&f, SGD_ERROR_DEVICE, "gradient 0: sparse tensors must be in host memory");
    f.grad.values.dtype.bits = 16;
    assert_refused(&f, SGD_ERROR_DTYPE, "gradient 0 is f16, its parameter is f32");
    f.param_tensor.shape = (int64_t[]){2, 2};
    assert_refused(&f, SGD_ERROR_SHAPE, "gradient 0 and its parameter differ in shape");
    f.grad.shape = NULL;
    assert_refused(&f, SGD_ERROR_ARGUMENT, "gradient 0 has no shape, or more than 63 dimensions");
    f.item.sparse_buffer = NULL;
    assert_refused(&f, SGD_ERROR_ARGUMENT, "sparse momentum buffer 0 is NULL");
}

static void what_pytorch_refuses_is_refused_in_its_words(void **state)
{
    (void)state;
    sparse_fixture f;
    make(&f);
    f.options.weight_decay = 0.1;
    assert_refused(&f, SGD_ERROR_RUNTIME, "add(sparse, dense) is not supported. Use add(dense, sparse) instead.");
    f.options.fused = SGD_TRUE;
    assert_refused(&f, SGD_ERROR_RUNTIME, "`_fused_sgd` does not support sparse gradients");
    f.options.lr = 1e39;
    assert_refused(&f, SGD_ERROR_RUNTIME, "value cannot be converted to type float without overflow");
}

static void a_malformed_momentum_buffer_changes_nothing(void **state)
{
    (void)state;
    sparse_fixture f;
    make(&f);
    f.options.momentum = 0.5;
    assert_int_equal(step(&f), SGD_OK);
    float after[8];
    memcpy(after, f.param, sizeof after);
    int64_t *indices = f.buffer.indices.data;
    indices[0] = 9;
    assert_fails(step(&f), SGD_ERROR_RUNTIME, &f.error,
                 "size is inconsistent with indices: for dim 0, size is 4 but found index 9");
    assert_memory_equal(f.param, after, sizeof after);
    sgd_sparse_destroy(&f.buffer);
}

static void a_dense_gradient_does_not_meet_a_sparse_buffer(void **state)
{
    (void)state;
    sparse_fixture f;
    make(&f);
    f.options.momentum = 0.5;
    assert_int_equal(step(&f), SGD_OK);
    float grad[8] = {0};
    DLTensor dense = tensor_of(grad, 32, f.shape);
    dense.ndim = 2;
    f.item.grad = &dense;
    f.item.sparse_grad = NULL;
    assert_fails(step(&f), SGD_ERROR_RUNTIME, &f.error, "add(sparse, dense) is not supported. Use add(dense, sparse) instead.");
    f.options.fused = SGD_TRUE;
    assert_fails(step(&f), SGD_ERROR_NOT_IMPLEMENTED, &f.error,
                 "Could not run 'aten::_fused_sgd_' with arguments from the 'SparseCPU' backend.");
    sgd_sparse_destroy(&f.buffer);
}

static void a_clone_is_checked_and_stands_alone(void **state)
{
    (void)state;
    sparse_fixture f;
    sgd_sparse clone;
    make(&f);
    assert_int_equal(sgd_sparse_clone(&f.grad, NULL, NULL), SGD_ERROR_ARGUMENT);
    f.grad.coalesced = true;
    assert_int_equal(sgd_sparse_clone(&f.grad, &clone, NULL), SGD_OK);
    assert_true(clone.coalesced);
    assert_memory_equal(clone.values.data, f.values, sizeof f.values);
    assert_memory_equal(clone.indices.data, f.rows, sizeof f.rows);
    sgd_sparse_destroy(&clone);
    f.rows[0] = 7;
    assert_int_equal(sgd_sparse_clone(&f.grad, &clone, NULL), SGD_ERROR_RUNTIME);
}

/* A second step of a strided parameter, with nesterov: every kind of memory that a step takes. */
static void any_allocation_that_fails_leaves_everything_as_it_was(void **state)
{
    (void)state;
    if (SANITIZED)
        skip();
    sparse_fixture f;
    make(&f);
    int64_t strides[2] = {1, 4};
    f.param_tensor.strides = strides;
    f.options.momentum = 0.5;
    f.options.nesterov = f.options.maximize = true;
    assert_int_equal(step(&f), SGD_OK);
    sparse_fixture before = f;
    long failures = 0;
    for (sgd_status status = SGD_ERROR_MEMORY; status; failures++) {
        allocations_left = failures;
        status = step(&f);
        allocations_left = -1;
        if (!status)
            break;
        assert_int_equal(status, SGD_ERROR_MEMORY);
        assert_memory_equal(f.param, before.param, sizeof f.param);
        assert_memory_equal(&f.buffer, &before.buffer, sizeof f.buffer);
    }
    assert_true(failures > 8);
    assert_int_equal(f.buffer.values.shape[0], 3);
    sgd_sparse_destroy(&f.buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(entries_of_one_row_are_all_applied),
                                       cmocka_unit_test(a_momentum_buffer_is_a_clone_and_then_a_merge),
                                       cmocka_unit_test(foreach_with_nesterov_replaces_the_gradient),
                                       cmocka_unit_test(a_malformed_gradient_changes_nothing),
                                       cmocka_unit_test(what_pytorch_refuses_is_refused_in_its_words),
                                       cmocka_unit_test(a_malformed_momentum_buffer_changes_nothing),
                                       cmocka_unit_test(a_dense_gradient_does_not_meet_a_sparse_buffer),
                                       cmocka_unit_test(a_clone_is_checked_and_stands_alone),
                                       cmocka_unit_test(any_allocation_that_fails_leaves_everything_as_it_was)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
