/* feature_maker.c - small golden vectors of every feature; see vector_maker.h. */
#include "vector_maker.h"

#define STEPS 3

static void begin(vectors *made, vectors_feature feature, double momentum, double weight_decay, bool nesterov)
{
    maker_add_problem(made, 1, STEPS, 0);
    made->problem.feature[made->problem.count - 1] = (uint8_t)feature;
    maker_add_group(made, momentum, weight_decay, nesterov);
}

/* Lays the latest tensor and its gradients out. */
static void lay_out(vectors *made, uint32_t layout, uint32_t grad_layout)
{
    size_t tensor = made->tensor.count - 1;
    made->tensor.layout[tensor] = layout;
    for (size_t s = 0; s < STEPS; s++)
        made->grad.layout[made->tensor.grad_begin[tensor] + s] = grad_layout;
}

/* A gradient with one column for all has the values of that. */
static void repeat_column(vectors *made, size_t rows, size_t columns)
{
    for (size_t s = 0; s < STEPS; s++) {
        uint32_t *grad = (uint32_t *)(uintptr_t)vectors_stored(made, made->grad.array[made->grad.count - STEPS + s]);
        for (size_t i = 0; i < rows * columns; i++)
            grad[i] = grad[i - i % columns];
    }
}

static void add_layouts(vectors *made)
{
    static const uint64_t small[] = {3, 5}, wide[] = {2, 17};
    static const uint64_t gaps[] = {1, 4}, column[] = {1, 0}, rows[] = {17, 1}, transposed[] = {1, 2};
    begin(made, VECTORS_LAYOUT, 0.9, 0.01, false);
    maker_add_tensor(made, SGD_F32, 15, STEPS, false);
    lay_out(made, maker_add_layout(made, 2, small, gaps), maker_add_layout(made, 2, small, column));
    made->layout.offset[made->tensor.layout[made->tensor.count - 1]] = 3;
    repeat_column(made, 3, 5);
    maker_add_case(made, SGD_FORLOOP, VECTORS_AVX2, 1);

    begin(made, VECTORS_LAYOUT, 0.9, 0.01, false);
    maker_add_tensor(made, SGD_F32, 34, STEPS, false);
    lay_out(made, maker_add_layout(made, 2, wide, rows), maker_add_layout(made, 2, wide, transposed));
    maker_add_case(made, SGD_FUSED, VECTORS_AVX2, 1);

    begin(made, VECTORS_LAYOUT, 0.9, 0.01, false);
    maker_add_tensor(made, SGD_F16, 34, STEPS, false);
    uint32_t both = maker_add_layout(made, 2, wide, transposed);
    lay_out(made, both, both);
    maker_add_case(made, SGD_FUSED, VECTORS_AVX2, 1);
}

static void add_scaling(vectors *made)
{
    static const float scales[STEPS] = {8, 2, 0}, infs[STEPS] = {0, 1, 0};
    begin(made, VECTORS_AMP, 0.9, 0.01, true);
    maker_add_tensor(made, SGD_F32, 11, STEPS, false);
    made->problem.scaling_begin[made->problem.count - 1] = (uint32_t)made->scaling.count;
    for (size_t s = 0; s < STEPS; s++) {
        size_t row = made->scaling.count++;
        made->scaling.has_grad_scale[row] = made->scaling.has_found_inf[row] = s < 2;
        made->scaling.grad_scale[row] = scales[s];
        made->scaling.found_inf[row] = infs[s];
    }
    maker_add_case(made, SGD_FUSED, VECTORS_DEFAULT, 1);
}

static void add_scalars(vectors *made)
{
    begin(made, VECTORS_TENSOR_LR, 0.5, 0.01, false);
    maker_add_tensor(made, SGD_F64, 5, STEPS, false);
    size_t group = made->group.count - 1, lr = made->scalar.count++, momentum = made->scalar.count++;
    made->scalar.dtype[lr] = SGD_F32;
    made->scalar.requires_grad[lr] = 1;
    made->scalar.dtype[momentum] = SGD_F16;
    made->group.lr[group] = 0.125;
    made->group.lr_scalar[group] = (uint32_t)lr;
    made->group.momentum_scalar[group] = (uint32_t)momentum;
    made->group.option_begin[group] = (uint32_t)made->option.count;
    for (size_t s = 0; s < STEPS; s++) {
        size_t row = made->option.count++;
        made->option.lr[row] = 0.125 / (double)(1 + s);
        made->option.lr[row] = (double)(float)made->option.lr[row];
        made->option.momentum[row] = s == 2 ? 0.75 : 0.5;
        made->option.weight_decay[row] = 0.01;
    }
    maker_add_case(made, SGD_FORLOOP, VECTORS_AVX2, 1);
}

vectors *made_feature_vectors(void)
{
    vectors *made = maker_begin();
    add_layouts(made);
    add_scaling(made);
    add_scalars(made);

    begin(made, VECTORS_COMPLEX, 0.9, 0.01, false);
    maker_add_tensor(made, SGD_C64, 13, STEPS, false);
    maker_add_case(made, SGD_FOREACH, VECTORS_DEFAULT, 1);

    begin(made, VECTORS_MIXED, 0.9, 0.01, false);
    made->group.tensor_count[made->group.count - 1] = 2;
    maker_add_tensor(made, SGD_F32, 7, STEPS, false);
    maker_add_tensor(made, SGD_F32, 5, STEPS, true);
    maker_add_case(made, SGD_FOREACH, VECTORS_AVX2, 1);

    begin(made, VECTORS_PLAIN, 0.9, 0.01, false);
    maker_add_tensor(made, SGD_F32, 3, STEPS, false);
    maker_add_case(made, SGD_FUSED, VECTORS_AVX2, 1);
    made->cases.capability[made->cases.count - 1] = VECTORS_CUDA_SM90;
    return made;
}
