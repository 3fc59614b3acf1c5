/* cmd_contract.c - sgd-conform contract: the rules of rules.def, for a person or as JSON. */
#include <argp.h>
#include <fnmatch.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "contract.h"

#define SCHEMA "exactsgd-contract"
#define SCHEMA_VERSION 1
#define NAME_SIZE 64
#define LABEL_WIDTH 13
#define COLUMN_WIDTH 42

/* One contract, path and dtype. */
typedef struct cell {
    sgd_contract contract;
    sgd_path path;
    sgd_dtype dtype;
} cell;

static void cell_name(cell which, char *name)
{
    snprintf(name, NAME_SIZE, "%s/%s/%s", sgd_contract_name(which.contract), sgd_path_name(which.path),
             sgd_dtype_name(which.dtype));
}

static const char *rule_text(cell which, sgd_segment segment, sgd_stage stage)
{
    const sgd_rule *rule =
        sgd_rulebook_rule(sgd_rulebook_torch(), which.contract, which.path, which.dtype, segment, stage);
    return rule ? rule->text : NULL;
}

static const char *narrow_text(cell which, sgd_segment segment)
{
    const sgd_narrowing *narrowing = sgd_rulebook_narrowing(sgd_rulebook_torch(), which.contract, which.dtype, segment);
    return narrowing ? sgd_narrow_name(narrowing->narrow) : NULL;
}

static bool belongs(const sgd_tail_group *group, cell which)
{
    return which.path != SGD_FUSED && group->contracts >> which.contract & group->dtypes >> which.dtype & 1;
}

/* The rule of a stage's group, NULL where no tail of that stage has one. */
static const char *group_text(cell which, sgd_stage stage)
{
    const sgd_rulebook *book = sgd_rulebook_torch();
    for (const sgd_tail_group *group = book->groups; group < book->groups + book->group_count; group++)
        if (belongs(group, which) && group->stages >> stage & 1)
            return rule_text(which, SGD_SEGMENT_GROUP, stage);
    return NULL;
}

static bool nan_exact(cell which)
{
    return sgd_rulebook_nan(sgd_rulebook_torch(), which.contract, which.path, which.dtype) == SGD_NAN_EXACT;
}

/* ---- for a person -------------------------------------------------------------------------------------------------- */

static const char legend[] =
    "Stages     in this order: unscale with grad_scale (what it stores to p.grad: store grad), negate\n"
    "           with maximize, decay with weight_decay (negate+decay in place of both where a segment has\n"
    "           it and there is no grad_scale); with momentum: first buffer while there is none, then\n"
    "           scale, momentum, nesterov (without it g = b), and store after param.  decay tensor and\n"
    "           param tensor where weight_decay or lr is a tensor that requires grad.  A stage that a\n"
    "           segment does not have is skipped there.\n"
    "Values     p param, g gradient, b buffer, lr, wd weight decay, m momentum, c = 1 - dampening,\n"
    "           s grad_scale.  Scalars are cast to float (f64 and c128: stay double); with 16 appended,\n"
    "           then to the dtype.  Beside complex values a is (a, 0).\n"
    "Roundings  mul, div, add, sub, fma(x,y,z) = x*y + z, fms(x,y,z) = x*y - z, fnma(x,y,z) = z - x*y\n"
    "           round once, in float (f64 and c128: double).  R rounds to 16 bits, neg changes the\n"
    "           value's sign, flip the stored sign bit; pair(b) is the float whose bits are two\n"
    "           neighbours in b.  Of complex values each takes part by part.\n"
    "NaN        the first operand that is a NaN passes, quieted: reference/contract/rules.def.\n"
    "Products   of complex values:\n";

static void print_legend(void)
{
    fputs(legend, stdout);
    const sgd_rulebook *book = sgd_rulebook_torch();
    for (const sgd_product *product = book->products; product < book->products + book->product_count; product++)
        printf("  %-8s re = %s\n  %-8s im = %s\n", product->name, product->parts[0], "", product->parts[1]);
}

static void print_line(const char *label, const char *body, const char *tail)
{
    if (!body && !tail)
        return;
    if (body && tail && strcmp(body, tail) == 0)
        printf("  %-*s%s\n", LABEL_WIDTH, label, body);
    else
        printf("  %-*s%-*s %s\n", LABEL_WIDTH, label, COLUMN_WIDTH, body ? body : "-", tail ? tail : "-");
}

static bool same(const char *a, const char *b) { return a == b || (a && b && strcmp(a, b) == 0); }

/* Whether it makes no difference in which segment a contiguous tensor's element lies. */
static bool all_alike(cell which)
{
    bool alike = same(narrow_text(which, SGD_SEGMENT_BODY), narrow_text(which, SGD_SEGMENT_TAIL));
    for (int stage = 0; stage < SGD_STAGE_COUNT; stage++)
        alike &= same(rule_text(which, SGD_SEGMENT_BODY, (sgd_stage)stage),
                      rule_text(which, SGD_SEGMENT_TAIL, (sgd_stage)stage));
    return alike;
}

static void print_segments(cell which, const sgd_width *width)
{
    if (all_alike(which)) {
        printf("  all elements of contiguous tensors alike\n");
        return;
    }
    char body[NAME_SIZE];
    snprintf(body, sizeof body, "body: whole blocks of %u", width->lanes);
    printf("  %-*s%-*s tail: the other elements\n", LABEL_WIDTH, "", COLUMN_WIDTH, body);
}

/* The stages that have such groups. */
static void print_group(const sgd_tail_group *group)
{
    printf("  A group is each block of %u from a tail's element %u on (%s):\n   ", group->block, group->begin,
           sgd_inner_name(group->inner));
    for (int stage = 0; stage < SGD_STAGE_COUNT; stage++)
        if (group->stages >> stage & 1)
            printf(" %s", sgd_stage_name((sgd_stage)stage));
    putchar('\n');
}

static void print_groups(cell which, const sgd_width *width)
{
    const sgd_rulebook *book = sgd_rulebook_torch();
    bool titled = false;
    for (int stage = 0; stage < SGD_STAGE_COUNT; stage++) {
        const char *text = group_text(which, (sgd_stage)stage);
        if (text && !titled)
            printf("  Groups in a tail, which is what whole blocks of %u leave, and all of a strided row:\n", width->lanes);
        titled |= text != NULL;
        print_line(sgd_stage_name((sgd_stage)stage), text, text);
    }
    for (const sgd_tail_group *group = book->groups; group < book->groups + book->group_count; group++)
        if (belongs(group, which))
            print_group(group);
}

static void print_notes(cell which, const sgd_width *width)
{
    if (width->chunk && !all_alike(which))
        printf("  From %u elements on, each thread's chunk has a body and a tail of its own.\n", width->chunk);
    if (width->defect)
        printf("  The body is the defect %s; defects=fix gives all elements the tail's rules.\n", width->defect);
    if (width->storage)
        printf("  Memory is taken as it lies, whatever the strides: the defect %s.\n", width->storage);
}

static void print_cell(cell which)
{
    char name[NAME_SIZE];
    const sgd_width *width = sgd_rulebook_width(sgd_rulebook_torch(), which.path, which.dtype);
    cell_name(which, name);
    printf("%s\n", name);
    print_segments(which, width);
    for (int stage = 0; stage < SGD_STAGE_COUNT; stage++)
        print_line(sgd_stage_name((sgd_stage)stage), rule_text(which, SGD_SEGMENT_BODY, (sgd_stage)stage),
                   rule_text(which, SGD_SEGMENT_TAIL, (sgd_stage)stage));
    print_line("R of a NaN", narrow_text(which, SGD_SEGMENT_BODY), narrow_text(which, SGD_SEGMENT_TAIL));
    printf("  %-*s%s\n", LABEL_WIDTH, "NaNs compare",
           nan_exact(which) ? "bit for bit" : "as a class: any NaN equals any NaN");
    print_groups(which, width);
    print_notes(which, width);
    putchar('\n');
}

/* ---- for programs -------------------------------------------------------------------------------------------------- */

/* Nothing where no segment has it. */
static void add_texts(json_t *object, const char *name, const char *body, const char *tail, const char *group)
{
    if (!body && !tail && !group)
        return;
    json_t *texts = json_pack("{s:s?, s:s?}", "body", body, "tail", tail);
    if (group)
        json_object_set_new(texts, "group", json_string(group));
    json_object_set_new(object, name, texts);
}

static json_t *groups_json(cell which)
{
    const sgd_rulebook *book = sgd_rulebook_torch();
    json_t *list = json_array();
    for (const sgd_tail_group *group = book->groups; group < book->groups + book->group_count; group++) {
        if (!belongs(group, which))
            continue;
        json_t *stages = json_array();
        for (int stage = 0; stage < SGD_STAGE_COUNT; stage++)
            if (group->stages >> stage & 1)
                json_array_append_new(stages, json_string(sgd_stage_name((sgd_stage)stage)));
        json_array_append_new(list, json_pack("{s:s, s:o, s:i, s:i}", "inner", sgd_inner_name(group->inner), "stages",
                                              stages, "begin", (int)group->begin, "block", (int)group->block));
    }
    return list;
}

static json_t *cell_json(cell which)
{
    char name[NAME_SIZE];
    const sgd_width *width = sgd_rulebook_width(sgd_rulebook_torch(), which.path, which.dtype);
    cell_name(which, name);
    json_t *stages = json_object();
    for (int stage = 0; stage < SGD_STAGE_COUNT; stage++)
        add_texts(stages, sgd_stage_name((sgd_stage)stage), rule_text(which, SGD_SEGMENT_BODY, (sgd_stage)stage),
                  rule_text(which, SGD_SEGMENT_TAIL, (sgd_stage)stage), group_text(which, (sgd_stage)stage));
    json_t *object = json_pack("{s:s, s:s, s:i, s:i, s:s?, s:s?, s:o, s:o}", "name", name, "nan",
                               nan_exact(which) ? "exact" : "class", "lanes", (int)width->lanes, "chunk",
                               (int)width->chunk, "defect", width->defect, "storage_defect", width->storage, "stages",
                               stages, "groups", groups_json(which));
    add_texts(object, "narrow_nan", narrow_text(which, SGD_SEGMENT_BODY), narrow_text(which, SGD_SEGMENT_TAIL), NULL);
    return object;
}

static json_t *products_json(void)
{
    const sgd_rulebook *book = sgd_rulebook_torch();
    json_t *list = json_object();
    for (const sgd_product *product = book->products; product < book->products + book->product_count; product++)
        json_object_set_new(list, product->name,
                            json_pack("{s:s, s:s}", "re", product->parts[0], "im", product->parts[1]));
    return list;
}

static bool print_json(json_t *cells)
{
    json_t *root = json_pack("{s:s, s:i, s:o, s:o}", "schema", SCHEMA, "schema_version", SCHEMA_VERSION, "products",
                             products_json(), "contracts", cells);
    bool done = root && json_dumpf(root, stdout, JSON_INDENT(2)) == 0;
    putchar('\n');
    json_decref(root);
    return done;
}

/* ---- the command --------------------------------------------------------------------------------------------------- */

typedef struct contract_arguments {
    bool json;
    const char *glob;
} contract_arguments;

static const struct argp_option options[] = {{"json", 'j', NULL, 0, "Print JSON", 0}, {0}};

static error_t parse_option(int key, char *value, struct argp_state *state)
{
    contract_arguments *arguments = state->input;
    switch (key) {
    case 'j': arguments->json = true; return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num)
            argp_error(state, "one glob is enough");
        arguments->glob = value;
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp parser = {
    .options = options,
    .parser = parse_option,
    .args_doc = "[GLOB]",
    .doc = "Prints the numeric contract: every rounding of a step, in the order it is made.\v"
           "GLOB chooses contracts by name, such as 'torch-2.13/cpu-fma/fused/*'."};

/* The number of cells that the glob matches, each shown. */
static size_t show_cells(const char *glob, json_t *list)
{
    size_t shown = 0;
    cell which;
    for (int contract = 0; contract < SGD_CONTRACT_COUNT; contract++)
        for (int path = 0; path < SGD_PATH_COUNT; path++)
            for (int dtype = 0; dtype < SGD_DTYPE_COUNT; dtype++) {
                char name[NAME_SIZE];
                which = (cell){(sgd_contract)contract, (sgd_path)path, (sgd_dtype)dtype};
                cell_name(which, name);
                if (!sgd_rulebook_has(sgd_rulebook_torch(), which.contract, which.path, which.dtype) ||
                    fnmatch(glob, name, 0) != 0)
                    continue;
                shown++;
                if (list)
                    json_array_append_new(list, cell_json(which));
                else
                    print_cell(which);
            }
    return shown;
}

int command_contract(int argc, char **argv)
{
    static char name[] = "sgd-conform contract";
    contract_arguments arguments = {.glob = "*"};
    conform_error error;
    argv[0] = name;
    argp_parse(&parser, argc, argv, 0, NULL, &arguments);

    json_t *list = arguments.json ? json_array() : NULL;
    if (!show_cells(arguments.glob, list)) {
        json_decref(list);
        conform_fail(&error, "%s: no such contract", arguments.glob);
        return bad_input(&error);
    }
    if (!arguments.json)
        print_legend();
    else if (!print_json(list) && !ferror(stdout)) { /* main speaks for stdout */
        conform_fail(&error, "contract: cannot be printed");
        return bad_input(&error);
    }
    return EXIT_CONFORMS;
}
