/* sparse_values.c - the sparse oracle's arithmetic: lines of sparse_rules.def and rules.def over elements in a row. */
#include <stdlib.h>
#include <string.h>

#include "iterate.h"
#include "sets.h"
#include "sparse_parts.h"

typedef struct entry_rule {
    uint32_t contracts, dtypes;
    sgd_segment segment;
    const char *text;
} entry_rule;

static const entry_rule entry_rules[] = {
#define ENTRY(contracts, dtypes, segment, text) {contracts, dtypes, SGD_SEGMENT_##segment, text},
#include "sparse_rules.def"
};

typedef struct scale_rule {
    uint32_t dtypes;
    coo_scale what;
    const char *text;
} scale_rule;

static const scale_rule scale_rules[] = {
#define SCALE(dtypes, what, text) {dtypes, what, text},
#include "sparse_rules.def"
};

/* ---- one text over elements in a row ------------------------------------------------------------------------------------ */

/* The variable `target` is `out` before and after, the gradient is `x` where that is not NULL. */
static bool run_text(const coo_step *step, sgd_contract contract, sgd_segment segment, const char *text, double scalar,
                     variable target, char *out, const char *x, size_t count)
{
    expression program;
    sgd_oracle_options options = *step->options;
    expression_context context = {0};
    if (count == 0)
        return true;
    options.contract = contract;
    options.momentum = scalar; /* "m" */
    block_open(step->oracle, &options, step->dtype, segment, &context);
    if (!expression_parse(text, &step->oracle->products, &program))
        return coo_refuse(step, "sparse_rules.def: '%s' is not of the language", text);
    for (size_t at = 0; at < count; at += context.count) {
        context.count = count - at < EXPRESSION_BLOCK ? count - at : EXPRESSION_BLOCK;
        block_load(&context, target, (block_place){out, at, 1});
        if (x)
            block_load(&context, VARIABLE_G, (block_place){(void *)x, at, 1});
        expression_run(&program, &context);
        if (!block_store(&context, target, (block_place){out, at, 1}))
            return coo_refuse(step, "'%s' leaves a value unrounded", text);
    }
    return true;
}

static const char *entry_text(const coo_step *step, sgd_contract contract, sgd_segment segment)
{
    for (size_t i = 0; i < sizeof entry_rules / sizeof entry_rules[0]; i++) {
        const entry_rule *rule = &entry_rules[i];
        if ((rule->contracts & SET_OF(contract)) && (rule->dtypes & SET_OF(step->dtype)) &&
            (rule->segment == SGD_SEGMENT_ANY || rule->segment == segment))
            return rule->text;
    }
    return "";
}

bool coo_add_entry(const coo_step *step, sgd_contract contract, double alpha, void *out, const void *x, size_t count)
{
    const sgd_rulebook *book = step->oracle->book;
    const sgd_tail_group *pairs = sgd_rulebook_group(book, contract, step->dtype, SGD_STAGE_PARAM, SGD_INNER_STRIDED);
    size_t end = pairs ? sgd_tail_group_end(pairs, count) : 0, bytes = end * step->size;
    return run_text(step, contract, SGD_SEGMENT_GROUP, entry_text(step, contract, SGD_SEGMENT_GROUP), alpha, VARIABLE_P, out, x,
                    end) &&
           run_text(step, contract, SGD_SEGMENT_TAIL, entry_text(step, contract, SGD_SEGMENT_TAIL), alpha, VARIABLE_P,
                    (char *)out + bytes, (const char *)x + bytes, count - end);
}

/* ---- operations on all values, which PyTorch's vectorised loops take ------------------------------------------------------ */

/* A stage of rules.def in place. */
static bool run_stage(const coo_step *step, sgd_path path, sgd_segment segment, sgd_stage stage, double scalar, variable target,
                      char *out, size_t count)
{
    sgd_oracle_options options = *step->options;
    expression_context context = {0};
    options.momentum = scalar;
    block_open(step->oracle, &options, step->dtype, segment, &context);
    for (size_t at = 0; at < count; at += context.count) {
        context.count = count - at < EXPRESSION_BLOCK ? count - at : EXPRESSION_BLOCK;
        block_load(&context, target, (block_place){out, at, 1});
        if (!block_run(step->oracle, options.contract, path, segment, stage, &context) ||
            !block_store(&context, target, (block_place){out, at, 1}))
            return coo_refuse(step, "rules.def has no line for an operation on sparse values");
    }
    return true;
}

/* An operation and the segment that its elements are in. */
typedef struct whole {
    const coo_step *step;
    const char *text; /* NULL: the stage's rule */
    sgd_path path;
    sgd_stage stage;
    sgd_inner inner;
    size_t row; /* 0: all in one */
    double scalar;
    variable target;
} whole;

static bool run_segment(const whole *whole, sgd_segment segment, char *values, size_t begin, size_t end)
{
    const coo_step *step = whole->step;
    char *out = values + begin * step->size;
    return begin >= end ||
           (whole->text ? run_text(step, step->options->contract, segment, whole->text, whole->scalar, whole->target, out, NULL,
                                   end - begin)
                        : run_stage(step, whole->path, segment, whole->stage, whole->scalar, whole->target, out, end - begin));
}

/* A row, or what a thread's chunk has of it. */
static bool run_row(const whole *whole, char *values, size_t at, size_t end)
{
    const coo_step *step = whole->step;
    const sgd_rulebook *book = step->oracle->book;
    const sgd_width *width = sgd_rulebook_width(book, SGD_FORLOOP, step->dtype);
    const sgd_tail_group *group = sgd_rulebook_group(book, step->options->contract, step->dtype, whole->stage, whole->inner);
    bool vectorised = whole->inner == SGD_INNER_CONTIGUOUS || whole->inner == SGD_INNER_BROADCAST;
    size_t tail = vectorised ? at + segments_body(width, SGD_DEFECTS_FIX, end - at) : at, from = tail, to = tail;
    if (group && sgd_tail_group_end(group, end - tail) > group->begin) {
        from = tail + group->begin;
        to = tail + sgd_tail_group_end(group, end - tail);
    }
    return run_segment(whole, SGD_SEGMENT_BODY, values, at, tail) && run_segment(whole, SGD_SEGMENT_TAIL, values, tail, from) &&
           run_segment(whole, SGD_SEGMENT_GROUP, values, from, to) && run_segment(whole, SGD_SEGMENT_TAIL, values, to, end);
}

static bool run_whole(const whole *whole, char *values, size_t count)
{
    const coo_step *step = whole->step;
    const sgd_width *width = sgd_rulebook_width(step->oracle->book, SGD_FORLOOP, step->dtype);
    size_t chunk = segments_row(width, step->options->torch_threads, count), row = whole->row ? whole->row : count;
    bool done = true;
    for (size_t at = 0, end; done && at < count; at = end) {
        size_t row_end = at - at % row + row, chunk_end = at - at % chunk + chunk;
        end = row_end < chunk_end ? row_end : chunk_end;
        end = end < count ? end : count;
        done = run_row(whole, values, at, end);
    }
    return done;
}

static whole scaling(const coo_step *step, coo_scale what, double alpha)
{
    whole whole = {.step = step,
                   .path = what == BUFFER ? SGD_FOREACH : SGD_FORLOOP,
                   .stage = SGD_STAGE_SCALE,
                   .inner = SGD_INNER_BROADCAST,
                   .scalar = alpha,
                   .target = VARIABLE_B};
    for (size_t i = 0; i < sizeof scale_rules / sizeof scale_rules[0]; i++)
        if ((scale_rules[i].dtypes & SET_OF(step->dtype)) && scale_rules[i].what == what)
            whole.text = scale_rules[i].text;
    return whole;
}

bool coo_scale_values(const coo_step *step, coo_scale what, double alpha, void *values, size_t count)
{
    whole whole = scaling(step, what, alpha);
    return run_whole(&whole, values, count);
}

/* Element i of the walk, to and from memory. */
static void copy_walk(const coo_step *step, const iteration *iteration, char *memory, char *walk, bool back)
{
    for (size_t i = 0; i < step->numel; i++) {
        char *element = memory + step->size * iterate_offset(iteration, 0, i), *place = walk + step->size * i;
        memcpy(back ? element : place, back ? place : element, step->size);
    }
}

bool coo_scale_dense(const coo_step *step, coo_scale what, double alpha, void *memory, const int64_t *strides)
{
    iteration iteration;
    int64_t result[SGD_ORACLE_DIMS];
    iterate_plan(&(operation){.ndim = step->ndim, .shape = step->shape, .operands = 2, .strides = {strides, strides},
                              .has_scalar = true, .in_place = true},
                 result, &iteration);
    char *walk = malloc(step->numel * step->size + 1);
    if (!walk)
        return coo_refuse(step, "out of memory");
    whole whole = scaling(step, what, alpha);
    whole.inner = iteration.inner;
    whole.row = iteration.ndim ? (size_t)iteration.shape[0] : 0;
    copy_walk(step, &iteration, memory, walk, false);
    bool done = run_whole(&whole, walk, step->numel);
    copy_walk(step, &iteration, memory, walk, true);
    free(walk);
    return done;
}

bool coo_negate_values(const coo_step *step, void *values, size_t count)
{
    return run_whole(&(whole){.step = step,
                              .path = SGD_FORLOOP,
                              .stage = SGD_STAGE_NEGATE,
                              .inner = SGD_INNER_CONTIGUOUS,
                              .target = VARIABLE_G},
                     values, count);
}
