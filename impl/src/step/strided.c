/* strided.c - items whose tensors do not lie in one common order, for backends that take them as they lie.
 *
 * A step is written down as operations on the item's tensors: one for all, or PyTorch's, each with the number that an element
 * has in its walk, where that decides bits.  The dimensions are put into an order that suits the tensors and leaves these numbers
 * in rows, and the backend goes through all of it at once (sgd_backend.run_strided).
 */
#include "strided.h"

#include <stdlib.h>
#include <string.h>

bool strided_offered(const sgd_backend *backend) { return backend->run_strided && backend->strided_scratch; }

/* ---- operations ---------------------------------------------------------------------------------------------------------- */

/* Whether an element's number decides a bit of an operation: see kernels/cpu/segments.h. */
static bool number_decides(sgd_dtype dtype, const sgd_strided_op *op)
{
    if (op->operation == SGD_OP_COPY || op->inner == SGD_INNER_STRIDED_IN_PLACE)
        return false;
    if (dtype == SGD_F64 || dtype == SGD_F32)
        return op->inner == SGD_INNER_BROADCAST_OTHER;
    return op->inner != SGD_INNER_STRIDED || dtype == SGD_C64;
}

void strided_append(strided_program *program, sgd_dtype dtype, sgd_strided_op op, int32_t ndim, const int64_t *index)
{
    size_t i = program->count++;
    memcpy(program->index[i], index, (size_t)ndim * sizeof *index);
    program->decides[i] = number_decides(dtype, &op);
    program->ops[i] = op;
}

/* ---- the order of the dimensions ------------------------------------------------------------------------------------------ */

/* The tensors' strides by their own dimensions. */
typedef struct places {
    const int64_t *strides[SGD_ROLE_COUNT];
    int64_t room[SGD_ROLE_COUNT][LAYOUT_DIMS];
} places;

static void find_places(const step_item *item, const int64_t *result_strides, places *out)
{
    out->strides[SGD_ROLE_PARAM] = tensor_view_strides(&item->param, out->room[SGD_ROLE_PARAM]);
    out->strides[SGD_ROLE_GRAD] = tensor_view_strides(&item->grad, out->room[SGD_ROLE_GRAD]);
    out->strides[SGD_ROLE_BUFFER] =
        item->buffer.data ? tensor_view_strides(&item->buffer, out->room[SGD_ROLE_BUFFER]) : NULL;
    out->strides[SGD_ROLE_RESULT] = result_strides;
}

/* Dimensions of two and more elements by their strides, smallest first; returns how many there are. */
static int32_t sort_dimensions(const step_item *item, const int64_t *strides, int32_t order[LAYOUT_DIMS])
{
    int32_t count = 0;
    for (int32_t d = item->param.ndim - 1; d >= 0; d--) {
        if (item->param.shape[d] < 2)
            continue;
        int32_t at = count++;
        for (; at > 0 && llabs(strides[order[at - 1]]) > llabs(strides[d]); at--)
            order[at] = order[at - 1];
        order[at] = d;
    }
    return count;
}

/* How many times tensors are gathered or scattered where dimension `inner` is the innermost one. */
static int copies(const step_item *item, const places *places, int32_t inner)
{
    const int times[SGD_ROLE_COUNT] = {2, 1 + item->write_grad, 2 - item->first, 1};
    int sum = 0;
    for (int role = 0; role < SGD_ROLE_COUNT; role++)
        if (places->strides[role] && places->strides[role][inner] != 0 && places->strides[role][inner] != 1)
            sum += times[role];
    return sum;
}

/* The order in which the fewest copies are made. */
static int32_t cheapest_order(const step_item *item, const places *places, int32_t order[LAYOUT_DIMS])
{
    int least = INT32_MAX;
    int32_t count = 0;
    for (int role = 0; role < SGD_ROLE_COUNT; role++) {
        int32_t candidate[LAYOUT_DIMS];
        if (!places->strides[role] || layout_overlaps(item->param.ndim, item->param.shape, places->strides[role]))
            continue;
        count = sort_dimensions(item, places->strides[role], candidate);
        int cost = count ? copies(item, places, candidate[0]) : 0;
        if (cost < least) {
            least = cost;
            memcpy(order, candidate, sizeof candidate);
        }
    }
    return count;
}

/* False where two operations whose numbers decide bits run along different dimensions. */
static bool order_dimensions(const step_item *item, const strided_program *program, const places *places,
                             int32_t order[LAYOUT_DIMS], int32_t *count)
{
    size_t first = 0;
    while (first < program->count && !program->decides[first])
        first++;
    if (first == program->count) {
        *count = cheapest_order(item, places, order);
        return true;
    }
    *count = sort_dimensions(item, program->index[first], order);
    for (size_t i = first; i < program->count && *count; i++)
        if (program->decides[i] && program->index[i][order[0]] != 1)
            return false;
    return true;
}

bool strided_possible(const step_item *item, const strided_program *program)
{
    places places;
    int32_t order[LAYOUT_DIMS], count;
    find_places(item, NULL, &places);
    return order_dimensions(item, program, &places, order, &count);
}

/* ---- the call ---------------------------------------------------------------------------------------------------------------- */

/* What moves along the dimensions: tensors and numbers. */
enum { LINES = SGD_ROLE_COUNT + SGD_STRIDED_OPS };
typedef struct walk {
    int32_t ndim;
    int64_t shape[LAYOUT_DIMS];
    int64_t steps[LINES][LAYOUT_DIMS];
} walk;

static bool mergeable(const walk *walk, const int64_t *const lines[LINES], int32_t d)
{
    int32_t inner = walk->ndim - 1;
    for (int line = 0; line < LINES; line++)
        if (lines[line] && lines[line][d] != walk->shape[inner] * walk->steps[line][inner])
            return false;
    return true;
}

static void make_walk(const step_item *item, const int64_t *const lines[LINES], int32_t count, const int32_t *order,
                      walk *out)
{
    out->ndim = 0;
    for (int32_t i = 0; i < count; i++) {
        int64_t size = item->param.shape[order[i]];
        if (i > 0 && mergeable(out, lines, order[i])) {
            out->shape[out->ndim - 1] *= size;
            continue;
        }
        for (int line = 0; line < LINES; line++)
            out->steps[line][out->ndim] = lines[line] ? lines[line][order[i]] : 0;
        out->shape[out->ndim++] = size;
    }
    if (out->ndim > 0)
        return;
    out->ndim = 1; /* a single element */
    out->shape[0] = 1;
    for (int line = 0; line < LINES; line++)
        out->steps[line][0] = 1;
}

sgd_status strided_operate(const strided_call *call, const step_item *item, const strided_program *program)
{
    places places;
    walk walk;
    int32_t order[LAYOUT_DIMS], count;
    const int64_t *lines[LINES] = {NULL};
    find_places(item, call->result_strides, &places);
    if (!order_dimensions(item, program, &places, order, &count))
        return SGD_ERROR_UNSUPPORTED;
    memcpy(lines, places.strides, sizeof places.strides);
    for (size_t i = 0; i < program->count; i++)
        lines[SGD_ROLE_COUNT + i] = program->decides[i] ? program->index[i] : NULL;
    make_walk(item, lines, count, order, &walk);
    sgd_strided strided = {.dtype = item->param.dtype,
                           .first = item->first,
                           .write_grad = item->write_grad,
                           .numel = item->param.numel,
                           .ndim = walk.ndim,
                           .shape = walk.shape,
                           .data = {item->param.data, item->grad.data, item->buffer.data, call->result},
                           .op_count = program->count,
                           .scratch = call->scratch,
                           .scratch_size = call->scratch_size};
    for (int role = 0; role < SGD_ROLE_COUNT; role++)
        strided.strides[role] = walk.steps[role];
    for (size_t i = 0; i < program->count; i++) {
        strided.ops[i] = program->ops[i];
        strided.ops[i].index = program->decides[i] ? walk.steps[SGD_ROLE_COUNT + i] : NULL;
    }
    return call->backend->run_strided(call->backend->context, call->arithmetic, call->hyper, &strided);
}

/* Fused, the tail of f64 and f32, at the tensor's end in its own order, rounds otherwise than the rest. */
sgd_status strided_step(const strided_call *call, const step_item *item)
{
    strided_program program = {.count = 1};
    program.ops[0] = (sgd_strided_op){.operation = SGD_OP_STEP, .y = SGD_ROLE_COUNT};
    program.decides[0] = call->arithmetic->path == SGD_FUSED && (item->param.dtype == SGD_F64 || item->param.dtype == SGD_F32);
    layout_contiguous(item->param.ndim, item->param.shape, program.index[0]);
    return strided_operate(call, item, &program);
}
