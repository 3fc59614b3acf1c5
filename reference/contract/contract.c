/* contract.c - names.def and rules.def as tables, and the look-ups over them. */
#include "contract.h"

#include <string.h>

#include "sets.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *const dtype_names[] = {
#define DTYPE(id, name, bytes, torch) name,
#include "names.def"
};
static const size_t dtype_sizes[] = {
#define DTYPE(id, name, bytes, torch) bytes,
#include "names.def"
};
static const char *const path_names[] = {
#define PATH(id, name, what) name,
#include "names.def"
};
static const char *const path_descriptions[] = {
#define PATH(id, name, what) what,
#include "names.def"
};
static const char *const contract_names[] = {
#define CONTRACT(id, name, what) name,
#include "names.def"
};
static const char *const contract_descriptions[] = {
#define CONTRACT(id, name, what) what,
#include "names.def"
};
static const char *const stage_names[] = {"unscale",      "store grad",   "negate", "decay",    "negate+decay",
                                          "decay tensor", "first buffer", "scale",  "momentum", "nesterov",
                                          "param",        "param tensor", "store"};
static const char *const segment_names[] = {"any", "body", "tail", "group"};
static const char *const narrow_names[] = {"sign and top payload bits, quieted", "sign | 0x7E00", "0xFFFF", "0x7FC0"};
static const char *const inner_names[] = {"contiguous", "one input with stride 0", "what alpha multiplies with stride 0",
                                          "strided, to a new result", "strided, in place"};
_Static_assert(COUNT(stage_names) == SGD_STAGE_COUNT && COUNT(segment_names) == SGD_SEGMENT_COUNT &&
                   COUNT(narrow_names) == SGD_NARROW_COUNT && COUNT(inner_names) == SGD_INNER_COUNT,
               "every value has a name");

static const char *name_of(const char *const *names, size_t count, size_t value)
{
    return value < count ? names[value] : NULL;
}

static bool parse(const char *const *names, size_t count, const char *name, size_t *out)
{
    for (size_t i = 0; name && i < count; i++)
        if (!strcmp(names[i], name)) {
            *out = i;
            return true;
        }
    return false;
}

const char *sgd_dtype_name(sgd_dtype dtype) { return name_of(dtype_names, COUNT(dtype_names), dtype); }
const char *sgd_path_name(sgd_path path) { return name_of(path_names, COUNT(path_names), path); }
const char *sgd_path_description(sgd_path path) { return name_of(path_descriptions, COUNT(path_descriptions), path); }
const char *sgd_contract_name(sgd_contract contract) { return name_of(contract_names, COUNT(contract_names), contract); }
const char *sgd_contract_description(sgd_contract contract)
{
    return name_of(contract_descriptions, COUNT(contract_descriptions), contract);
}
const char *sgd_stage_name(sgd_stage stage) { return name_of(stage_names, COUNT(stage_names), stage); }
const char *sgd_segment_name(sgd_segment segment) { return name_of(segment_names, COUNT(segment_names), segment); }
const char *sgd_inner_name(sgd_inner inner) { return name_of(inner_names, COUNT(inner_names), inner); }
const char *sgd_narrow_name(sgd_narrow narrow) { return name_of(narrow_names, COUNT(narrow_names), narrow); }

size_t sgd_dtype_size(sgd_dtype dtype) { return (size_t)dtype < COUNT(dtype_sizes) ? dtype_sizes[dtype] : 0; }

bool sgd_dtype_parse(const char *name, sgd_dtype *out)
{
    size_t value;
    if (!parse(dtype_names, COUNT(dtype_names), name, &value))
        return false;
    *out = (sgd_dtype)value;
    return true;
}

bool sgd_path_parse(const char *name, sgd_path *out)
{
    size_t value;
    if (!parse(path_names, COUNT(path_names), name, &value))
        return false;
    *out = (sgd_path)value;
    return true;
}

bool sgd_contract_parse(const char *name, sgd_contract *out)
{
    size_t value;
    if (!parse(contract_names, COUNT(contract_names), name, &value))
        return false;
    *out = (sgd_contract)value;
    return true;
}

/* ---- rules ------------------------------------------------------------------------------------------------------- */

static const sgd_rule torch_rules[] = {
#define RULE(contracts, paths, dtypes, segment, stage, nan, text) \
    {contracts, paths, dtypes, SGD_SEGMENT_##segment, SGD_STAGE_##stage, SGD_NAN_##nan, text},
#include "rules.def"
};
static const sgd_width torch_widths[] = {
#define WIDTH(paths, dtypes, lanes, chunk, defect, storage) {paths, dtypes, lanes, chunk, defect, storage, 0},
#include "rules.def"
};
static const sgd_narrowing torch_narrowings[] = {
#define NARROW(contracts, dtypes, segment, nan_becomes) \
    {contracts, dtypes, SGD_SEGMENT_##segment, SGD_NARROW_##nan_becomes},
#include "rules.def"
};
static const sgd_tail_group torch_groups[] = {
#define GROUP(contracts, dtypes, stages, inner, begin, block) \
    {contracts, dtypes, stages, SGD_INNER_##inner, begin, block},
#include "rules.def"
};
static const sgd_product torch_products[] = {
#define PRODUCT(name, re, im) {name, {re, im}},
#include "rules.def"
};
static const sgd_rulebook torch_book = {torch_rules,      COUNT(torch_rules),      torch_widths, COUNT(torch_widths),
                                        torch_narrowings, COUNT(torch_narrowings), torch_groups, COUNT(torch_groups),
                                        torch_products,   COUNT(torch_products)};

const sgd_rulebook *sgd_rulebook_torch(void) { return &torch_book; }

static bool segment_matches(sgd_segment rule, sgd_segment asked) { return rule == SGD_SEGMENT_ANY || rule == asked; }

const sgd_rule *sgd_rulebook_rule(const sgd_rulebook *book, sgd_contract contract, sgd_path path, sgd_dtype dtype,
                                  sgd_segment segment, sgd_stage stage)
{
    for (const sgd_rule *rule = book->rules; rule < book->rules + book->rule_count; rule++)
        if (rule->stage == stage && (rule->contracts & SET_OF(contract)) && (rule->paths & SET_OF(path)) &&
            (rule->dtypes & SET_OF(dtype)) && segment_matches(rule->segment, segment))
            return rule;
    return NULL;
}

bool sgd_rulebook_has(const sgd_rulebook *book, sgd_contract contract, sgd_path path, sgd_dtype dtype)
{
    return sgd_rulebook_rule(book, contract, path, dtype, SGD_SEGMENT_TAIL, SGD_STAGE_PARAM) &&
           sgd_rulebook_width(book, path, dtype);
}

const sgd_width *sgd_rulebook_width(const sgd_rulebook *book, sgd_path path, sgd_dtype dtype)
{
    for (const sgd_width *width = book->widths; width < book->widths + book->width_count; width++)
        if ((width->paths & SET_OF(path)) && (width->dtypes & SET_OF(dtype)))
            return width;
    return NULL;
}

const sgd_narrowing *sgd_rulebook_narrowing(const sgd_rulebook *book, sgd_contract contract, sgd_dtype dtype,
                                            sgd_segment segment)
{
    for (const sgd_narrowing *line = book->narrowings; line < book->narrowings + book->narrowing_count; line++)
        if ((line->contracts & SET_OF(contract)) && (line->dtypes & SET_OF(dtype)) && segment_matches(line->segment, segment))
            return line;
    return NULL;
}

const sgd_tail_group *sgd_rulebook_group(const sgd_rulebook *book, sgd_contract contract, sgd_dtype dtype, sgd_stage stage,
                                    sgd_inner inner)
{
    for (const sgd_tail_group *group = book->groups; group < book->groups + book->group_count; group++)
        if ((group->contracts & SET_OF(contract)) && (group->dtypes & SET_OF(dtype)) && (group->stages & SET_OF(stage)) &&
            group->inner == inner)
            return group;
    return NULL;
}

size_t sgd_tail_group_end(const sgd_tail_group *group, size_t length)
{
    return length > group->begin ? group->begin + (length - group->begin) / group->block * group->block : group->begin;
}

sgd_nan sgd_rulebook_nan(const sgd_rulebook *book, sgd_contract contract, sgd_path path, sgd_dtype dtype)
{
    for (int segment = SGD_SEGMENT_BODY; segment < SGD_SEGMENT_COUNT; segment++) {
        const sgd_narrowing *line = sgd_rulebook_narrowing(book, contract, dtype, segment);
        if (line && (line->narrow == SGD_NARROW_ALL_ONES || line->narrow == SGD_NARROW_X_7FC0))
            continue;
        for (int stage = 0; stage < SGD_STAGE_COUNT; stage++) {
            const sgd_rule *rule = sgd_rulebook_rule(book, contract, path, dtype, segment, stage);
            if (rule && rule->nan == SGD_NAN_CLASS)
                return SGD_NAN_CLASS;
        }
    }
    return SGD_NAN_EXACT;
}
