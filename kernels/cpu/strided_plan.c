/* strided_plan.c - how operations on strided tensors go: boxes, ways and scalars; see strided.c. */
#include <stdlib.h>

#include "strided.h"

#define ROW_BYTES 256 /* shorter rows are gathered, to go in one run with their neighbours */
#define GAPS_BYTES 16384 /* of a box that is only gathered to be contiguous: the first-level cache holds it */
#define SIDE_BYTES 1024 /* of a box that one tensor walks along another dimension than the others */

static strided_op op_of(const cpu_kernels *kernels, const sgd_arithmetic *arithmetic, const sgd_strided *strided,
                        const sgd_strided_op *of)
{
    operand_kernel *const *table = kernels_of_operation(kernels, of->operation);
    return (strided_op){.of = of,
                        .kernel = table ? table[strided->dtype] : NULL,
                        .scalars = scalars_for_operation(arithmetic->path, of->operation, strided->dtype, of->alpha, of->value),
                        .segmenting = segmenting_of(arithmetic, strided->dtype, of->inner, of->row, strided->numel)};
}

/* What the operations read before they write it, and what they write. */
static void mark_used(strided_plan *plan)
{
    const sgd_strided *strided = plan->strided;
    strided_operand *all = plan->operands;
    for (size_t i = 0; i < strided->op_count; i++) {
        const sgd_strided_op *of = &strided->ops[i];
        if (of->operation == SGD_OP_STEP) {
            all[SGD_ROLE_PARAM] = (strided_operand){.read = true, .written = true};
            all[SGD_ROLE_GRAD] = (strided_operand){.read = true, .written = strided->write_grad};
            all[SGD_ROLE_BUFFER] = (strided_operand){.read = !strided->first, .written = true};
            continue;
        }
        all[of->x].read |= !all[of->x].written;
        if (of->y < SGD_ROLE_COUNT)
            all[of->y].read |= !all[of->y].written;
        all[of->out].written = true;
    }
}

static bool is_dense(const strided_plan *plan, const int64_t *strides)
{
    for (int32_t d = 0; d < plan->strided->ndim; d++)
        if (plan->box[d] > 1 && strides[d] != plan->pitch[d])
            return false;
    return true;
}

static strided_way way_of(const strided_plan *plan, int role)
{
    const sgd_strided *strided = plan->strided;
    const strided_operand *operand = &plan->operands[role];
    const int64_t *strides = strided->strides[role];
    bool long_rows = plan->box[0] * plan->size >= ROW_BYTES;
    if (!operand->read && !operand->written)
        return ABSENT;
    if (!strided->data[role])
        return role == SGD_ROLE_RESULT ? LOCAL : ABSENT;
    if ((strides[0] == 1 && long_rows) || is_dense(plan, strides))
        return IN_PLACE;
    return strides[0] == 0 && !operand->written && long_rows ? REPEATED : GATHERED;
}

/* A dimension along which a tensor that does not run along the innermost one does; 0: all tensors run along that. */
static int32_t crossing_dim(const strided_plan *plan)
{
    const sgd_strided *strided = plan->strided;
    int32_t best = 0;
    int64_t step = INT64_MAX;
    for (int role = 0; role < SGD_ROLE_COUNT; role++) {
        const int64_t *strides = strided->strides[role];
        if (!strided->data[role] || !strides || strides[0] == 0 || strides[0] == 1)
            continue;
        for (int32_t d = 1; d < strided->ndim; d++)
            if (strides[d] != 0 && llabs(strides[d]) < llabs(strides[0]) && llabs(strides[d]) < step) {
                step = llabs(strides[d]);
                best = d;
            }
    }
    return best;
}

static int64_t at_most(int64_t value, int64_t limit) { return value < limit ? value : limit; }

/* Whether a tensor is neither contiguous along the innermost dimension nor the same. */
static bool has_gaps(const sgd_strided *strided)
{
    for (int role = 0; role < SGD_ROLE_COUNT; role++)
        if (strided->data[role] && strided->strides[role][0] != 0 && strided->strides[role][0] != 1)
            return true;
    return false;
}

static void choose_boxes(strided_plan *plan)
{
    const sgd_strided *strided = plan->strided;
    int32_t crossing = crossing_dim(plan);
    int64_t room = (!crossing && has_gaps(strided) ? GAPS_BYTES : STRIDED_BOX_BYTES) / plan->size, pitch = 1;
    for (int32_t d = 0; d < strided->ndim; d++)
        plan->box[d] = 1;
    if (crossing) {
        plan->box[0] = at_most(strided->shape[0], SIDE_BYTES / plan->size);
        plan->box[crossing] = at_most(strided->shape[crossing], room / plan->box[0]);
        room /= plan->box[crossing];
    }
    for (int32_t d = 0; d < strided->ndim; d++) {
        if (!crossing || d != crossing)
            plan->box[d] = at_most(strided->shape[d], room);
        room /= d == crossing && crossing ? 1 : plan->box[d];
    }
    plan->boxes = 1;
    for (int32_t d = 0; d < strided->ndim; d++) {
        plan->pitch[d] = pitch;
        pitch *= plan->box[d];
        plan->boxes *= (strided->shape[d] + plan->box[d] - 1) / plan->box[d];
    }
}

static void choose_ways(strided_plan *plan)
{
    size_t area = 0;
    bool by_runs = false;
    for (int role = 0; role < SGD_ROLE_COUNT; role++) {
        strided_operand *operand = &plan->operands[role];
        operand->way = way_of(plan, role);
        operand->area = area;
        if (operand->way == GATHERED)
            area += (size_t)STRIDED_BOX_BYTES;
        else if (operand->way == REPEATED || operand->way == LOCAL)
            area += STRIDED_RUN_BYTES;
        by_runs |= operand->way == REPEATED || operand->way == LOCAL;
    }
    plan->run = by_runs || plan->strided->op_count > 1 ? STRIDED_RUN_BYTES / (size_t)plan->size : SIZE_MAX;
}

void strided_plan_make(const cpu_kernels *kernels, const sgd_arithmetic *arithmetic, const sgd_hyper *hyper,
                       const sgd_strided *strided, strided_plan *out)
{
    *out = (strided_plan){.strided = strided, .size = (int64_t)sgd_dtype_size(strided->dtype)};
    for (size_t i = 0; i < strided->op_count; i++)
        out->ops[i] = op_of(kernels, arithmetic, strided, &strided->ops[i]);
    if (strided->ops[0].operation == SGD_OP_STEP) {
        out->step = kernels_of_step(kernels, arithmetic->path, hyper)[strided->dtype];
        out->step_scalars = scalars_for_step(arithmetic->path, hyper, strided->dtype);
    }
    mark_used(out);
    choose_boxes(out);
    choose_ways(out);
}
