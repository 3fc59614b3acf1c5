/* text.c - repr(optimizer) (torch/optim/optimizer.py __repr__), values as Python prints them in an f-string. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"

/* A text as long as it is, of which the first `size` bytes are kept. */
typedef struct text {
    char *out;
    size_t size, length;
} text;

static void put_bytes(text *text, const char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++, text->length++)
        if (text->length + 1 < text->size)
            text->out[text->length] = bytes[i];
}

static void put(text *text, const char *string) { put_bytes(text, string, strlen(string)); }

static void put_format(text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void put_format(text *text, const char *format, ...)
{
    char part[64];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(part, sizeof part, format, arguments);
    va_end(arguments);
    put(text, part);
}

/* repr of a str that has no more than ASCII's control characters to escape. */
static void put_quoted(text *text, const char *string)
{
    char quote = strchr(string, '\'') && !strchr(string, '"') ? '"' : '\'';
    put_bytes(text, &quote, 1);
    for (const char *c = string; *c; c++) {
        unsigned char byte = (unsigned char)*c;
        if (*c == quote || *c == '\\')
            put_format(text, "\\%c", *c);
        else if (*c == '\n' || *c == '\r' || *c == '\t')
            put(text, *c == '\n' ? "\\n" : *c == '\r' ? "\\r" : "\\t");
        else if (byte < 0x20 || byte == 0x7F)
            put_format(text, "\\x%02x", byte);
        else
            put_bytes(text, c, 1);
    }
    put_bytes(text, &quote, 1);
}

static void put_strings(text *text, sgd_strings strings)
{
    put(text, "[");
    for (size_t i = 0; i < strings.count; i++) {
        put(text, i ? ", " : "");
        put_quoted(text, strings.items[i]);
    }
    put(text, "]");
}

/* One without dimensions prints as its number. */
static void put_tensor(text *text, const sgd_tensor_option *tensor)
{
    char digits[FLOAT_TEXT_SIZE];
    double number;
    size_t numel = 0;
    if (tensor_numel(tensor->tensor, &numel, NULL) || numel != 1 || number_read(tensor, &number, NULL)) {
        put(text, "<tensor>");
        return;
    }
    bool whole = tensor->tensor->dtype.code == kDLInt || tensor->tensor->dtype.code == kDLUInt;
    put(text, tensor->tensor->ndim ? "tensor([" : "");
    if (whole)
        put_format(text, "%.0f", number);
    else
        put(text, python_text(number, digits));
    put(text, tensor->tensor->ndim ? "])" : "");
}

static void put_object(text *text, const sgd_value *value)
{
    bool room = text->length < text->size;
    text->length += value->type->text(value->object, room ? text->out + text->length : NULL, room ? text->size - text->length : 0);
}

static void put_value(text *text, const sgd_value *value)
{
    char digits[FLOAT_TEXT_SIZE];
    if (value->object && value->type->text) {
        put_object(text, value);
        return;
    }
    switch (value->kind) {
    case SGD_VALUE_NONE: put(text, "None"); break;
    case SGD_VALUE_BOOL: put(text, value->boolean ? "True" : "False"); break;
    case SGD_VALUE_INT: put_format(text, "%lld", (long long)value->integer); break;
    case SGD_VALUE_DOUBLE: put(text, python_text(value->number, digits)); break;
    case SGD_VALUE_STRING: put(text, value->string); break;
    case SGD_VALUE_STRINGS: put_strings(text, value->strings); break;
    case SGD_VALUE_TENSOR: put_tensor(text, &value->tensor); break;
    case SGD_VALUE_SPARSE: put(text, "<sparse tensor>"); break;
    default: put(text, "<object>"); break;
    }
}

/* The key that follows `last` in Python's order of strings, which for UTF-8 is that of the bytes. */
static const dict_entry *next_entry(const sgd_dict *dict, const char *last)
{
    const dict_entry *next = NULL;
    for (size_t i = 0; i < dict->count; i++) {
        const dict_entry *entry = &dict->entries[i];
        if ((!last || strcmp(entry->key, last) > 0) && (!next || strcmp(entry->key, next->key) < 0))
            next = entry;
    }
    return next;
}

size_t sgd_optimizer_text(const sgd_optimizer *optimizer, const char *class_name, char *out, size_t size)
{
    text text = {.out = out, .size = out ? size : 0};
    put(&text, class_name ? class_name : "SGD");
    put(&text, " (");
    for (size_t g = 0; optimizer && g < optimizer->members.group_count; g++) {
        const sgd_dict *values = &optimizer->members.groups[g]->values;
        put_format(&text, "\nParameter Group %zu\n", g);
        for (const dict_entry *entry = next_entry(values, NULL); entry; entry = next_entry(values, entry->key)) {
            put(&text, "    ");
            put(&text, entry->key);
            put(&text, ": ");
            put_value(&text, &entry->stored.value);
            put(&text, "\n");
        }
    }
    put(&text, ")");
    if (text.size)
        out[text.length < text.size ? text.length : text.size - 1] = '\0';
    return text.length;
}
