/* expression.c - a recursive-descent parser and a tree walk; see expression.h. */
#include "expression.h"

#include <ctype.h>
#include <string.h>

enum { OP_MUL, OP_ADD, OP_FMA, OP_FMS, OP_FNMA, OP_APART, OP_NEG, OP_FLIP, OP_ROUND, OP_PAIR, OP_COUNT, LEAF_VARIABLE, LEAF_SCALAR };

static const struct {
    const char *name;
    uint8_t arity;
} operators[OP_COUNT] = {{"mul", 2}, {"add", 2}, {"fma", 3}, {"fms", 3}, {"fnma", 3},
                         {"apart", 3}, {"neg", 1}, {"flip", 1}, {"R", 1},  {"pair", 1}};

static const char *const variable_names[VARIABLE_COUNT] = {"p", "g", "b"};
static const char *const scalar_names[SCALAR_COUNT] = {"lr", "-lr", "wd", "m", "c", "cf"};

/* ---- parsing ------------------------------------------------------------------------------------------------------- */

#define WORD_SIZE 16

typedef struct parser {
    const char *at;
    expression *out;
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
    while (length + 1 < WORD_SIZE && (isalnum((unsigned char)*parser->at) || (length == 0 && *parser->at == '-')))
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

static int find_operator(const char *word)
{
    for (int i = 0; i < OP_COUNT; i++)
        if (!strcmp(operators[i].name, word))
            return i;
    return -1;
}

/* A variable, or a scalar with or without "16" behind it. */
static bool parse_leaf(char *word, expression_node *node)
{
    int index = find(variable_names, VARIABLE_COUNT, word);
    if (index >= 0) {
        *node = (expression_node){.op = LEAF_VARIABLE, .index = (uint8_t)index};
        return true;
    }
    size_t length = strlen(word);
    bool rounded = length > 2 && !strcmp(word + length - 2, "16");
    if (rounded)
        word[length - 2] = 0;
    index = find(scalar_names, SCALAR_COUNT, word);
    *node = (expression_node){.op = LEAF_SCALAR, .index = (uint8_t)index, .rounded = rounded};
    return index >= 0;
}

static bool parse_term(parser *parser, uint8_t *out)
{
    char word[WORD_SIZE];
    expression_node node;
    if (!read_word(parser, word))
        return false;
    int op = find_operator(word);
    if (op < 0) {
        if (!parse_leaf(word, &node))
            return false;
    } else {
        node = (expression_node){.op = (uint8_t)op};
        for (uint8_t i = 0; i < operators[op].arity; i++)
            if (!accept(parser, i ? ',' : '(') || !parse_term(parser, &node.operands[i]))
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

bool expression_parse(const char *text, expression *out)
{
    parser parser = {text, out};
    char word[WORD_SIZE];
    memset(out, 0, sizeof *out);
    int target = read_word(&parser, word) ? find(variable_names, VARIABLE_COUNT, word) : -1;
    if (target < 0 || !accept(&parser, '=') || !parse_term(&parser, &out->root))
        return false;
    out->target = (variable)target;
    skip_blanks(&parser);
    return *parser.at == 0;
}

/* ---- evaluation ---------------------------------------------------------------------------------------------------- */

static bool is_half(const expression_context *context) { return context->dtype == SGD_F16 || context->dtype == SGD_BF16; }

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

static void flip(const expression_context *context, block_value *value, size_t bytes)
{
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
        case OP_ADD: x[0].bits[i] = rounding_add(format, a, b); break;
        case OP_FMA: x[0].bits[i] = rounding_fma(format, a, b, x[2].bits[i]); break;
        case OP_APART: x[0].bits[i] = rounding_add(format, rounding_mul(format, a, b), x[2].bits[i]); break;
        case OP_FMS: x[0].bits[i] = rounding_fms(format, a, b, x[2].bits[i]); break;
        default: x[0].bits[i] = rounding_fnma(format, a, b, x[2].bits[i]); break;
        }
    }
}

static void evaluate(const expression *expression, uint8_t at, const expression_context *context, block_value *out)
{
    const expression_node *node = &expression->nodes[at];
    size_t working_bytes = working_of(context->dtype) == WORKING_F64 ? 8 : 4;
    if (node->op == LEAF_VARIABLE) {
        *out = context->variables[node->index];
        return;
    }
    if (node->op == LEAF_SCALAR) {
        out->stored = false;
        for (size_t i = 0; i < context->count; i++)
            out->bits[i] = context->scalars[node->index][node->rounded];
        return;
    }
    if (node->op == OP_PAIR) {
        out->stored = false;
        memcpy(out->bits, context->pairs, sizeof out->bits);
        return;
    }

    block_value operands[3];
    for (uint8_t k = 0; k < operators[node->op].arity; k++)
        evaluate(expression, node->operands[k], context, &operands[k]);
    switch (node->op) {
    case OP_ROUND:
        narrow(context, &operands[0]);
        break;
    case OP_NEG:
        widen(context, &operands[0]);
        flip(context, &operands[0], working_bytes);
        break;
    case OP_FLIP:
        flip(context, &operands[0], operands[0].stored ? sgd_dtype_size(context->dtype) : working_bytes);
        break;
    default:
        arithmetic(context, node->op, operands);
    }
    *out = operands[0];
}

void expression_run(const expression *expression, expression_context *context)
{
    block_value result;
    evaluate(expression, expression->root, context, &result);
    context->variables[expression->target] = result;
}
