/* expression.c - a recursive-descent parser and a tree walk; see expression.h. */
#include "expression.h"

#include <ctype.h>
#include <string.h>

enum {
    OP_MUL, OP_DIV, OP_ADD, OP_SUB, OP_FMA, OP_FMS, OP_FNMA, OP_APART, OP_NEG, OP_FLIP, OP_ROUND, OP_PAIR, OP_COUNT,
    OP_PRODUCT, LEAF_VARIABLE, LEAF_OPERAND, LEAF_SCALAR
};

static const struct {
    const char *name;
    uint8_t arity;
} operators[OP_COUNT] = {{"mul", 2},   {"div", 2}, {"add", 2},  {"sub", 2}, {"fma", 3}, {"fms", 3}, {"fnma", 3},
                         {"apart", 3}, {"neg", 1}, {"flip", 1}, {"R", 1},   {"pair", 1}};

static const char *const variable_names[VARIABLE_COUNT] = {"p", "g", "b"};
static const char *const operand_names[4] = {"x.re", "x.im", "y.re", "y.im"};
static const char *const scalar_names[SCALAR_COUNT] = {"lr", "wd", "m", "c", "s", "0", "1", "cf"};

size_t expression_parts(sgd_dtype dtype) { return dtype == SGD_C64 || dtype == SGD_C128 ? 2 : 1; }

/* ---- parsing ------------------------------------------------------------------------------------------------------- */

#define WORD_SIZE 16

typedef struct parser {
    const char *at;
    const expression_products *products; /* NULL in the definition of one */
    expression_term *out;
} parser;

static void skip_blanks(parser *parser)
{
    while (*parser->at == ' ')
        parser->at++;
}

static bool accept(parser *parser, char wanted)
{
    skip_blanks(parser);
    if (*parser->at != wanted)
        return false;
    parser->at++;
    return true;
}

static bool read_word(parser *parser, char word[WORD_SIZE])
{
    skip_blanks(parser);
    size_t length = 0;
    while (length + 1 < WORD_SIZE &&
           (isalnum((unsigned char)*parser->at) || *parser->at == '.' || (length == 0 && *parser->at == '-')))
        word[length++] = *parser->at++;
    word[length] = 0;
    return length > 0;
}

static int find(const char *const *names, int count, const char *word)
{
    for (int i = 0; i < count; i++)
        if (!strcmp(names[i], word))
            return i;
    return -1;
}

static bool find_function(const parser *parser, const char *word, expression_node *node)
{
    for (uint8_t i = 0; i < OP_COUNT; i++)
        if (!strcmp(operators[i].name, word)) {
            *node = (expression_node){.op = i};
            return true;
        }
    for (uint8_t i = 0; parser->products && i < parser->products->count; i++)
        if (!strcmp(parser->products->lines[i].name, word)) {
            *node = (expression_node){.op = OP_PRODUCT, .index = i};
            return true;
        }
    return false;
}

static uint8_t arity(const expression_node *node) { return node->op == OP_PRODUCT ? 2 : operators[node->op].arity; }

/* A variable (in a product's definition: a part of an operand), or a scalar with or without "-" before and "16" behind it. */
static bool parse_leaf(const parser *parser, char *word, expression_node *node)
{
    int index = parser->products ? find(variable_names, VARIABLE_COUNT, word) : find(operand_names, 4, word);
    if (index >= 0) {
        *node = (expression_node){.op = parser->products ? LEAF_VARIABLE : LEAF_OPERAND, .index = (uint8_t)index};
        return true;
    }
    bool negative = word[0] == '-';
    word += negative;
    size_t length = strlen(word);
    bool rounded = length > 2 && !strcmp(word + length - 2, "16");
    if (rounded)
        word[length - 2] = 0;
    index = find(scalar_names, SCALAR_COUNT, word);
    *node = (expression_node){.op = LEAF_SCALAR, .index = (uint8_t)index, .rounded = rounded, .negative = negative};
    return index >= 0 && parser->products;
}

static bool parse_node(parser *parser, uint8_t *out)
{
    char word[WORD_SIZE];
    expression_node node;
    if (!read_word(parser, word))
        return false;
    if (!find_function(parser, word, &node)) {
        if (!parse_leaf(parser, word, &node))
            return false;
    } else {
        for (uint8_t i = 0; i < arity(&node); i++)
            if (!accept(parser, i ? ',' : '(') || !parse_node(parser, &node.operands[i]))
                return false;
        if (!accept(parser, ')'))
            return false;
    }
    if (parser->out->node_count == EXPRESSION_NODES)
        return false;
    *out = parser->out->node_count++;
    parser->out->nodes[*out] = node;
    return true;
}

/* What is left of the text, as one value. */
static bool parse_term(parser *parser)
{
    memset(parser->out, 0, sizeof *parser->out);
    if (!parse_node(parser, &parser->out->root))
        return false;
    skip_blanks(parser);
    return *parser->at == 0;
}

bool expression_parse_products(const sgd_product *lines, size_t count, expression_products *out, size_t *wrong)
{
    *wrong = count;
    if (count > EXPRESSION_PRODUCTS)
        return false;
    *out = (expression_products){.count = count, .lines = lines};
    for (size_t i = 0; i < count; i++)
        for (int part = 0; part < 2; part++)
            if (!parse_term(&(parser){lines[i].parts[part], NULL, &out->parts[i][part]})) {
                *wrong = i;
                return false;
            }
    return true;
}

bool expression_parse(const char *text, const expression_products *products, expression *out)
{
    parser parser = {text, products, &out->value};
    char word[WORD_SIZE];
    int target = read_word(&parser, word) ? find(variable_names, VARIABLE_COUNT, word) : -1;
    if (target < 0 || !accept(&parser, '='))
        return false;
    out->target = (variable)target;
    out->products = products;
    return parse_term(&parser);
}

/* ---- evaluation ---------------------------------------------------------------------------------------------------- */

/* What a term is evaluated in: a rule's names, or the operands of a product beside them. */
typedef struct scope {
    const expression_context *context;
    const expression_products *products;
    const block_value *operands; /* x.re, x.im, y.re, y.im */
} scope;

static bool is_half(const expression_context *context) { return context->dtype == SGD_F16 || context->dtype == SGD_BF16; }

static size_t working_bytes(const expression_context *context) { return working_of(context->dtype) == WORKING_F64 ? 8 : 4; }

static void widen(const expression_context *context, block_value *value)
{
    for (size_t i = 0; value->stored && is_half(context) && i < context->count; i++)
        value->bits[i] = rounding_widen(context->dtype, value->bits[i]);
    value->stored = false;
}

static void narrow(const expression_context *context, block_value *value)
{
    widen(context, value); /* a stored NaN changes all the same */
    for (size_t i = 0; is_half(context) && i < context->count; i++)
        value->bits[i] = rounding_narrow(context->dtype, context->nan_becomes, value->bits[i]);
    value->stored = true;
}

static void flip(const expression_context *context, block_value *value)
{
    size_t bytes = value->stored && is_half(context) ? 2 : working_bytes(context);
    for (size_t i = 0; i < context->count; i++)
        value->bits[i] = rounding_flip(bytes, value->bits[i]);
}

static void arithmetic(const expression_context *context, uint8_t op, block_value x[3])
{
    working format = working_of(context->dtype);
    for (uint8_t k = 0; k < operators[op].arity; k++)
        widen(context, &x[k]);
    for (size_t i = 0; i < context->count; i++) {
        uint64_t a = x[0].bits[i], b = x[1].bits[i];
        switch (op) {
        case OP_MUL: x[0].bits[i] = rounding_mul(format, a, b); break;
        case OP_DIV: x[0].bits[i] = rounding_div(format, a, b); break;
        case OP_ADD: x[0].bits[i] = rounding_add(format, a, b); break;
        case OP_SUB: x[0].bits[i] = rounding_sub(format, a, b); break;
        case OP_FMA: x[0].bits[i] = rounding_fma(format, a, b, x[2].bits[i]); break;
        case OP_APART: x[0].bits[i] = rounding_add(format, rounding_mul(format, a, b), x[2].bits[i]); break;
        case OP_FMS: x[0].bits[i] = rounding_fms(format, a, b, x[2].bits[i]); break;
        default: x[0].bits[i] = rounding_fnma(format, a, b, x[2].bits[i]); break;
        }
    }
}

/* A scalar is real: (a, 0). */
static void scalar_value(const expression_context *context, const expression_node *node, int part, block_value *out)
{
    uint64_t bits = part ? 0 : context->scalars[node->index][node->rounded];
    if (node->negative && !part)
        bits = rounding_flip(working_bytes(context), bits);
    out->stored = false;
    for (size_t i = 0; i < context->count; i++)
        out->bits[i] = bits;
}

static void evaluate(const scope *scope, const expression_term *term, uint8_t at, int part, block_value *out);

static void evaluate_product(const scope *scope_, const expression_term *term, const expression_node *node, int part,
                             block_value *out)
{
    block_value operands[4];
    for (int k = 0; k < 4; k++) {
        evaluate(scope_, term, node->operands[k / 2], k % 2, &operands[k]);
        widen(scope_->context, &operands[k]);
    }
    const expression_term *definition = &scope_->products->parts[node->index][part];
    evaluate(&(scope){scope_->context, NULL, operands}, definition, definition->root, 0, out);
}

static void evaluate(const scope *scope, const expression_term *term, uint8_t at, int part, block_value *out)
{
    const expression_node *node = &term->nodes[at];
    const expression_context *context = scope->context;
    block_value operands[3];
    switch (node->op) {
    case LEAF_VARIABLE: *out = context->variables[node->index][part]; return;
    case LEAF_OPERAND: *out = scope->operands[node->index]; return;
    case LEAF_SCALAR: scalar_value(context, node, part, out); return;
    case OP_PRODUCT: evaluate_product(scope, term, node, part, out); return;
    case OP_PAIR:
        out->stored = false;
        memcpy(out->bits, context->pairs, sizeof out->bits);
        return;
    default: break;
    }

    for (uint8_t k = 0; k < operators[node->op].arity; k++)
        evaluate(scope, term, node->operands[k], part, &operands[k]);
    switch (node->op) {
    case OP_ROUND: narrow(context, &operands[0]); break;
    case OP_NEG:
        widen(context, &operands[0]);
        flip(context, &operands[0]);
        break;
    case OP_FLIP: flip(context, &operands[0]); break;
    default: arithmetic(context, node->op, operands);
    }
    *out = operands[0];
}

void expression_run(const expression *expression, expression_context *context)
{
    const scope scope = {context, expression->products, NULL};
    block_value result[2];
    int parts = (int)expression_parts(context->dtype);
    for (int part = 0; part < parts; part++)
        evaluate(&scope, &expression->value, expression->value.root, part, &result[part]);
    for (int part = 0; part < parts; part++)
        context->variables[expression->target][part] = result[part];
}
