/* test_vectors_tables.c - layouts, options of steps and sparse tensors that are out of range are refused, with their place. */
#include "refused.h"
#include "vector_maker.h"

static int set_up(void **state)
{
    *state = made_vectors();
    return 0;
}

static int tear_down(void **state)
{
    made_vectors_free(*state);
    return 0;
}

/* Adds a layout of at most two dimensions; with one size it has one. */
static uint32_t add_layout(vectors *made, uint64_t rows, uint64_t columns, uint64_t row_stride, uint64_t column_stride)
{
    size_t row = made->layout.count++, dim = made->dim.count;
    made->layout.dim_begin[row] = (uint32_t)dim;
    made->layout.ndim[row] = 2;
    made->dim.size[dim] = rows;
    made->dim.stride[dim] = row_stride;
    made->dim.size[dim + 1] = columns;
    made->dim.stride[dim + 1] = column_stride;
    made->dim.count += 2;
    return (uint32_t)row;
}

/* Tensor 0 is 3 x 3, its gradients (the first is None) and buffers too. */
static void layouts_out_of_range_are_refused(void **state)
{
    vectors *made = *state;
    conform_error error;
    uint32_t transposed = add_layout(made, 3, 3, 1, 3), other = add_layout(made, 9, 1, 1, 1);
    made->tensor.layout[0] = made->grad.layout[1] = transposed;
    for (size_t i = 0; i < 4; i++) /* the outcomes of tensor 0 in cases 0 and 1, beside those of tensor 1 */
        made->outcome.buffer_layout[made->cases.outcome_begin[i / 2] + i % 2 * 2] = transposed;
    if (!vectors_check(made, &error))
        fail_msg("%s", error.text);
    ASSERT_REFUSED_WITH(made->layout.ndim[0], 65, "layout/ndim[0]: 65 dimensions");
    ASSERT_REFUSED_WITH(made->layout.ndim[1], 3, "layout/dim_begin[1]");
    ASSERT_REFUSED_WITH(made->layout.dim_begin[0], VECTORS_NONE, "layout/dim_begin[0]");
    ASSERT_REFUSED_WITH(made->layout.offset[0], VECTORS_NONE, "layout/offset[0]: 4294967295 lies beyond the memory");
    ASSERT_REFUSED_WITH(made->dim.size[1], UINT64_MAX, "dim/size[1]");
    ASSERT_REFUSED_WITH(made->dim.size[0], VECTORS_MAX_NUMEL, "dim/size[1]: 3 makes more elements");
    ASSERT_REFUSED_WITH(made->dim.stride[1], UINT64_MAX / 2, "dim/stride[1]");
    ASSERT_REFUSED_WITH(made->dim.stride[0], VECTORS_MAX_NUMEL / 2, "dim/stride[0]");
    ASSERT_REFUSED_WITH(made->dim.stride[1], 0, "tensor/layout[0]: 0 holds an element twice");
    ASSERT_REFUSED_WITH(made->tensor.layout[0], 2, "tensor/layout[0]: 2 is no row of layout");
    ASSERT_REFUSED_WITH(made->tensor.layout[1], transposed, "tensor/layout[1]: 0 is a layout of another number of elements");
    ASSERT_REFUSED_WITH(made->tensor.layout[0], VECTORS_NONE, "grad/layout[1]: 0 is a layout of another shape");
    ASSERT_REFUSED_WITH(made->grad.layout[1], other, "grad/layout[1]: 1 is a layout of another shape");
    ASSERT_REFUSED_WITH(made->grad.layout[1], 2, "grad/layout[1]: 2 is no row of layout");
    ASSERT_REFUSED_WITH(made->grad.layout[1], VECTORS_NONE, "is the layout of one dimension, which its tensor does not have");
    made->dim.stride[1] = 4;
    ASSERT_REFUSED_WITH(made->cases.path[0], SGD_FUSED, "case/path[0]: 2 is not for tensors with gaps in memory");
    made->dim.stride[1] = 3;
    ASSERT_REFUSED_WITH(made->outcome.buffer_layout[2], other, "outcome/buffer_layout[2]: 1 is a layout of another shape");
    ASSERT_REFUSED_WITH(made->outcome.buffer_layout[2], 99, "outcome/buffer_layout[2]: 99 is no row of layout");
}

static void options_of_steps_out_of_range_are_refused(void **state)
{
    vectors *made = *state;
    conform_error error;
    made->option.count = made->scaling.count = 2;
    made->scalar.count = 1;
    made->group.option_begin[0] = 0;
    made->group.lr_scalar[0] = made->group.momentum_scalar[0] = 0;
    made->group.dampening_scalar[0] = made->group.weight_decay_scalar[0] = 0;
    if (!vectors_check(made, &error))
        fail_msg("%s", error.text);
    ASSERT_REFUSED_WITH(made->option.nesterov[1], 2, "option/nesterov[1]: 2 is neither 0 nor 1");
    ASSERT_REFUSED_WITH(made->option.maximize[1], 2, "option/maximize[1]: 2 is neither 0 nor 1");
    ASSERT_REFUSED_WITH(made->scalar.dtype[0], 16, "scalar/dtype[0]: 16 is no dtype");
    ASSERT_REFUSED_WITH(made->scalar.dtype[0], SGD_C64, "scalar/dtype[0]: 4 is no dtype of a hyper-parameter");
    ASSERT_REFUSED_WITH(made->scalar.ndim[0], 9, "scalar/ndim[0]: 9 dimensions");
    ASSERT_REFUSED_WITH(made->scalar.requires_grad[0], 2, "scalar/requires_grad[0]: 2 is neither");
    ASSERT_REFUSED_WITH(made->scaling.has_grad_scale[0], 2, "scaling/has_grad_scale[0]: 2 is neither");
    ASSERT_REFUSED_WITH(made->scaling.has_found_inf[1], 2, "scaling/has_found_inf[1]: 2 is neither");
    ASSERT_REFUSED_WITH(made->group.option_begin[0], 1, "group/option_begin[0]: 1 with the problem's steps");
    ASSERT_REFUSED_WITH(made->group.lr_scalar[0], 1, "group/lr_scalar[0]: 1 is no row of scalar");
    ASSERT_REFUSED_WITH(made->group.momentum_scalar[0], 1, "group/momentum_scalar[0]: 1 is no row of scalar");
    ASSERT_REFUSED_WITH(made->group.dampening_scalar[0], 1, "group/dampening_scalar[0]: 1 is no row of scalar");
    ASSERT_REFUSED_WITH(made->group.weight_decay_scalar[0], 1, "group/weight_decay_scalar[0]: 1 is no row of scalar");
    ASSERT_REFUSED_WITH(made->problem.scaling_begin[0], 1, "problem/scaling_begin[0]: 1 with the problem's steps");
    ASSERT_REFUSED_WITH(made->problem.scaling_begin[0], 0, "case/path[0]: 0 does not take grad_scale and found_inf");
    ASSERT_REFUSED_WITH(made->problem.feature[0], VECTORS_FEATURE_COUNT, "problem/feature[0]: 8 is no feature");
    made->option.lr[0] = 0.1;
    ASSERT_REFUSED_WITH(made->scalar.dtype[0], SGD_F32, "group/lr_scalar[0]: 0 is a tensor of a dtype that has no 0.1");
    ASSERT_REFUSED_WITH(made->scalar.dtype[0], SGD_BF16, "group/lr_scalar[0]: 0 is a tensor of a dtype that has no 0.1");
}

/* Tensor 0, of 9 elements, has a gradient with a 4 and a 9 in it where it was None. */
static void sparse_tensors_out_of_range_are_refused(void **state)
{
    vectors *made = *state;
    conform_error error;
    uint32_t indices = (uint32_t)made->array.count++, values = (uint32_t)made->array.count++;
    made->array.dtype[indices] = VECTORS_I64;
    made->array.dtype[values] = SGD_F32;
    made->array.numel[indices] = made->array.numel[values] = 2;
    made->array.where[indices] = made->u64.count;
    made->u64.elements[made->u64.count++] = 4;
    made->u64.elements[made->u64.count++] = 8;
    made->layout.count = made->dim.count = made->sparse.count = 1;
    made->layout.ndim[0] = 1;
    made->dim.size[0] = 9;
    made->dim.stride[0] = 1;
    made->sparse.sparse_dim[0] = 1;
    made->sparse.nnz[0] = 2;
    made->sparse.indices[0] = indices;
    made->sparse.values[0] = values;
    made->grad.sparse[0] = 0;
    for (size_t i = 0; i < 2; i++)
        made->outcome.grad_sparse[made->cases.outcome_begin[i]] = made->outcome.buffer_sparse[made->cases.outcome_begin[i]] = 0;
    if (!vectors_check(made, &error))
        fail_msg("%s", error.text);
    ASSERT_REFUSED_WITH(made->sparse.layout[0], 1, "sparse/layout[0]: 1 is no row of layout");
    ASSERT_REFUSED_WITH(made->sparse.sparse_dim[0], 0, "sparse/sparse_dim[0]: 0 is no number");
    ASSERT_REFUSED_WITH(made->sparse.sparse_dim[0], 2, "sparse/sparse_dim[0]: 2 is no number");
    ASSERT_REFUSED_WITH(made->sparse.coalesced[0], 2, "sparse/coalesced[0]: 2 is neither 0 nor 1");
    ASSERT_REFUSED_WITH(made->sparse.nnz[0], UINT64_MAX, "sparse/nnz[0]");
    ASSERT_REFUSED_WITH(made->sparse.nnz[0], 3, "sparse/indices[0]");
    ASSERT_REFUSED_WITH(made->sparse.indices[0], values, "is no array of sparse_dim * nnz indices");
    ASSERT_REFUSED_WITH(made->sparse.indices[0], VECTORS_NONE, "sparse/indices[0]");
    ASSERT_REFUSED_WITH(made->sparse.values[0], indices, "sparse/values[0]");
    ASSERT_REFUSED_WITH(made->sparse.values[0], VECTORS_NONE, "sparse/values[0]");
    ASSERT_REFUSED_WITH(made->array.kind[indices], VECTORS_GENERATED, "is not for integers");
    ASSERT_REFUSED_WITH(made->array.dtype[values], SGD_F64, "has values of another dtype");
    ASSERT_REFUSED_WITH(made->u64.elements[made->u64.count - 1], 9, "holds an index beyond the tensor");
    ASSERT_REFUSED_WITH(made->dim.size[0], 10, "grad/sparse[0]: 0 is a sparse tensor of another shape");
    ASSERT_REFUSED_WITH(made->grad.sparse[0], 1, "grad/sparse[0]: 1 is no row of sparse");
    ASSERT_REFUSED_WITH(made->grad.sparse[1], 0, "grad/sparse[1]: 0 stands beside a dense gradient");
    ASSERT_REFUSED_WITH(made->outcome.buffer_sparse[2], 0, "outcome/buffer_sparse[2]: 0 stands beside a dense array");
    ASSERT_REFUSED_WITH(made->outcome.buffer_sparse[0], 1, "outcome/buffer_sparse[0]: 1 is no row of sparse");
    ASSERT_REFUSED_WITH(made->outcome.grad_sparse[0], VECTORS_NONE, "is None after a step that had a gradient");
    ASSERT_REFUSED_WITH(made->outcome.grad_sparse[2], 0, "outcome/grad_sparse[2]: 0 stands beside a dense array");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(layouts_out_of_range_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(options_of_steps_out_of_range_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(sparse_tensors_out_of_range_are_refused, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
