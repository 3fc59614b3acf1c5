/* strided.c - operations on tensors that are not contiguous: sgd_backend.run_strided.
 *
 * The tensors are cut into boxes, which threads share.  In a box a tensor is walked as it lies where its rows are contiguous,
 * else gathered into scratch that the second-level cache holds, and scattered from there.  A row then goes through all
 * operations in runs that the first-level cache holds; what decides an element's rounding is its number in PyTorch's walk.
 */
#include <omp.h>
#include <string.h>

#include "strided.h"

#define SHARE_BYTES (64 * 1024) /* of params: a thread's share is not smaller */

static int64_t at_most(int64_t value, int64_t limit) { return value < limit ? value : limit; }

/* ---- a run: consecutive elements, in all operations -------------------------------------------------------------------------- */

/* A box in one thread's hands: where each tensor is and which number each operation's element has, and how both move along
 * the box's dimensions, those being merged where all allow it. */
enum { LINES = SGD_ROLE_COUNT + SGD_STRIDED_OPS };
typedef struct frame {
    const strided_plan *plan;
    char *scratch;
    int32_t ndim;
    int64_t extent[STRIDED_DIMS];
    int64_t at[LINES]; /* in elements, from the tensors' starts or those of their areas */
    int64_t step[LINES][STRIDED_DIMS];
    /* From element to element of a thread's share: the segment of each operation that it last was in. */
    segment segments[SGD_STRIDED_OPS];
    size_t segment_begin[SGD_STRIDED_OPS];
    int64_t repeated[SGD_ROLE_COUNT]; /* where the value came from that fills the area; -1: nowhere yet */
} frame;

static char *element(const frame *frame, int role, size_t offset)
{
    const strided_plan *plan = frame->plan;
    const strided_operand *operand = &plan->operands[role];
    switch (operand->way) {
    case IN_PLACE: return (char *)plan->strided->data[role] + (frame->at[role] + (int64_t)offset) * plan->size;
    case GATHERED: return frame->scratch + operand->area + (frame->at[role] + (int64_t)offset) * plan->size;
    case ABSENT: return NULL;
    default: return frame->scratch + operand->area;
    }
}

/* The rounding of element `number`, and how many elements from there on, `count` at most, share it. */
static rounding rounding_at(frame *frame, size_t i, size_t number, size_t *count)
{
    const strided_op *op = &frame->plan->ops[i];
    if (!op->of->index)
        return frame->segments[i].rounding;
    if (number < frame->segment_begin[i] || number >= frame->segments[i].end) {
        frame->segments[i] = segment_of(op->segmenting, op->of->operation, number);
        frame->segment_begin[i] = number;
    }
    size_t left = frame->segments[i].end - number;
    *count = left < *count ? left : *count;
    return frame->segments[i].rounding;
}

static void run_operation(frame *frame, size_t i, size_t from, size_t count)
{
    const strided_plan *plan = frame->plan;
    const strided_op *op = &plan->ops[i];
    const sgd_strided_op *of = op->of;
    char *out = element(frame, (int)of->out, from), *x = element(frame, (int)of->x, from);
    char *y = of->y < SGD_ROLE_COUNT ? element(frame, (int)of->y, from) : NULL;
    size_t number = (size_t)frame->at[SGD_ROLE_COUNT + i] + (of->index ? from : 0);
    if (!op->kernel) {
        memcpy(out, x, count * (size_t)plan->size);
        return;
    }
    for (size_t done = 0; done < count;) {
        size_t part = count - done, bytes = done * (size_t)plan->size;
        operand_run run = {.rounding = rounding_at(frame, i, number + done, &part),
                           .out = out + bytes,
                           .x = x + bytes,
                           .y = y ? y + bytes : NULL};
        run.count = part;
        op->kernel(&op->scalars, 1, &run);
        done += part;
    }
}

static void run_step(frame *frame, size_t from, size_t count)
{
    const strided_plan *plan = frame->plan;
    size_t number = (size_t)frame->at[SGD_ROLE_COUNT] + (plan->ops[0].of->index ? from : 0);
    char *param = element(frame, SGD_ROLE_PARAM, from), *grad = element(frame, SGD_ROLE_GRAD, from);
    char *buffer = element(frame, SGD_ROLE_BUFFER, from);
    for (size_t done = 0; done < count;) {
        size_t part = count - done, bytes = done * (size_t)plan->size;
        rounding rounding = rounding_at(frame, 0, number + done, &part);
        step_run run = {.axpy = rounding,
                        .scale = rounding,
                        .addcmul = rounding,
                        .param = param + bytes,
                        .grad = grad + bytes,
                        .buffer = buffer ? buffer + bytes : NULL,
                        .count = part,
                        .first = plan->strided->first,
                        .write_grad = plan->strided->write_grad};
        plan->step(&plan->step_scalars, 1, &run);
        done += part;
    }
}

/* The row's one value, as often as a run is long. */
static void repeat_value(frame *frame, int role)
{
    const strided_plan *plan = frame->plan;
    if (frame->repeated[role] == frame->at[role])
        return;
    frame->repeated[role] = frame->at[role];
    const int64_t count = (int64_t)STRIDED_RUN_BYTES / plan->size, one = 1, none = 0;
    copy_strided((size_t)plan->size, 1, &count, element(frame, role, 0), &one,
                 (const char *)plan->strided->data[role] + frame->at[role] * plan->size, &none);
}

static void run_row(frame *frame, size_t count)
{
    const strided_plan *plan = frame->plan;
    for (int role = 0; role < SGD_ROLE_COUNT; role++)
        if (plan->operands[role].way == REPEATED)
            repeat_value(frame, role);
    for (size_t from = 0, part; from < count; from += part) {
        part = count - from < plan->run ? count - from : plan->run;
        if (plan->step) {
            run_step(frame, from, part);
            continue;
        }
        for (size_t i = 0; i < plan->strided->op_count; i++)
            run_operation(frame, i, from, part);
    }
}

/* ---- a box --------------------------------------------------------------------------------------------------------------------- */

static bool mergeable(const frame *frame, int32_t inner, int32_t outer)
{
    for (int line = 0; line < LINES; line++)
        if (frame->step[line][outer] != frame->extent[inner] * frame->step[line][inner])
            return false;
    return true;
}

static void merge(frame *frame)
{
    int32_t last = 0;
    for (int32_t d = 1; d < frame->ndim; d++) {
        bool merged = mergeable(frame, last, d) || frame->extent[d] == 1;
        if (merged) {
            frame->extent[last] *= frame->extent[d];
            continue;
        }
        last++;
        frame->extent[last] = frame->extent[d];
        for (int line = 0; line < LINES; line++)
            frame->step[line][last] = frame->step[line][d];
    }
    frame->ndim = last + 1;
}

static void move(frame *frame, int32_t d, int64_t times)
{
    for (int line = 0; line < LINES; line++)
        frame->at[line] += times * frame->step[line][d];
}

static void run_rows(frame *frame)
{
    int64_t index[STRIDED_DIMS] = {0};
    for (int32_t d = 0; d < frame->ndim;) {
        run_row(frame, (size_t)frame->extent[0]);
        for (d = 1; d < frame->ndim; d++) { /* the next index: a counter with a digit per dimension */
            move(frame, d, 1);
            if (++index[d] < frame->extent[d])
                break;
            move(frame, d, -frame->extent[d]);
            index[d] = 0;
        }
    }
}

/* Between a tensor and its area. */
static void copy_box(const frame *frame, int role, const int64_t *extent, int64_t corner, bool back)
{
    const strided_plan *plan = frame->plan;
    const sgd_strided *strided = plan->strided;
    char *area = frame->scratch + plan->operands[role].area;
    char *tensor = (char *)strided->data[role] + corner * plan->size;
    if (back)
        copy_strided((size_t)plan->size, strided->ndim, extent, tensor, strided->strides[role], area, plan->pitch);
    else
        copy_strided((size_t)plan->size, strided->ndim, extent, area, plan->pitch, tensor, strided->strides[role]);
}

/* How line `line` moves: NULL where it does not. */
static const int64_t *steps_of(const strided_plan *plan, int line)
{
    if (line >= SGD_ROLE_COUNT)
        return (size_t)line < SGD_ROLE_COUNT + plan->strided->op_count ? plan->strided->ops[line - SGD_ROLE_COUNT].index : NULL;
    strided_way way = plan->operands[line].way;
    return way == GATHERED ? plan->pitch : way == IN_PLACE || way == REPEATED ? plan->strided->strides[line] : NULL;
}

static void run_box(frame *frame, int64_t number)
{
    const strided_plan *plan = frame->plan;
    const sgd_strided *strided = plan->strided;
    int64_t extent[STRIDED_DIMS], corner[SGD_ROLE_COUNT] = {0};
    memset(frame->at, 0, sizeof frame->at);
    frame->ndim = strided->ndim;
    for (int32_t d = 0; d < strided->ndim; d++) {
        int64_t along = (strided->shape[d] + plan->box[d] - 1) / plan->box[d], from = number % along * plan->box[d];
        number /= along;
        frame->extent[d] = extent[d] = at_most(strided->shape[d] - from, plan->box[d]);
        for (int line = 0; line < LINES; line++) {
            const int64_t *steps = steps_of(plan, line);
            frame->step[line][d] = steps ? steps[d] : 0;
            if (line >= SGD_ROLE_COUNT || plan->operands[line].way != GATHERED)
                frame->at[line] += from * frame->step[line][d];
            else
                corner[line] += from * strided->strides[line][d];
        }
    }
    for (int role = 0; role < SGD_ROLE_COUNT; role++)
        if (plan->operands[role].way == GATHERED && plan->operands[role].read)
            copy_box(frame, role, extent, corner[role], false);
    merge(frame);
    run_rows(frame);
    for (int role = 0; role < SGD_ROLE_COUNT; role++)
        if (plan->operands[role].way == GATHERED && plan->operands[role].written)
            copy_box(frame, role, extent, corner[role], true);
}

static void run_boxes(const strided_plan *plan, char *scratch, int64_t begin, int64_t end)
{
    frame frame;
    frame.plan = plan;
    frame.scratch = scratch;
    for (size_t i = 0; i < plan->strided->op_count; i++) {
        frame.segments[i] = segment_of(plan->ops[i].segmenting, plan->ops[i].of->operation, 0);
        frame.segment_begin[i] = 0;
    }
    for (int role = 0; role < SGD_ROLE_COUNT; role++)
        frame.repeated[role] = -1;
    for (int64_t i = begin; i < end; i++)
        run_box(&frame, i);
}

/* ---- the whole ------------------------------------------------------------------------------------------------------------------ */

static size_t threads_of(const strided_plan *plan, const sgd_arithmetic *arithmetic)
{
    const sgd_strided *strided = plan->strided;
    size_t threads = threads_asked(arithmetic);
    size_t limits[] = {strided->numel * (size_t)plan->size / SHARE_BYTES + 1, (size_t)plan->boxes,
                       strided->scratch_size / STRIDED_THREAD_BYTES};
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++)
        threads = limits[i] < threads ? limits[i] : threads;
    return threads;
}

sgd_status run_strided(void *context, const sgd_arithmetic *arithmetic, const sgd_hyper *hyper, const sgd_strided *strided)
{
    strided_plan plan;
    if (strided->ndim < 1 || strided->ndim > STRIDED_DIMS || strided->op_count > SGD_STRIDED_OPS ||
        strided->scratch_size < STRIDED_THREAD_BYTES)
        return SGD_ERROR_ARGUMENT;
    strided_plan_make(context, arithmetic, hyper, strided, &plan);
    size_t threads = threads_of(&plan, arithmetic);
    if (threads == 1) {
        run_boxes(&plan, strided->scratch, 0, plan.boxes);
        return SGD_OK;
    }
#pragma omp parallel num_threads((int)threads)
    {
        int64_t share = plan.boxes / omp_get_num_threads() + 1, begin = share * omp_get_thread_num();
        run_boxes(&plan, (char *)strided->scratch + (size_t)omp_get_thread_num() * STRIDED_THREAD_BYTES, begin,
                  at_most(begin + share, plan.boxes));
    }
    return SGD_OK;
}

size_t strided_scratch(void *context, const sgd_arithmetic *arithmetic)
{
    (void)context;
    return STRIDED_THREAD_BYTES * threads_asked(arithmetic);
}
