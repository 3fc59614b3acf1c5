/* value.c - values that own what they point to, and ordered dicts of them. */
#include <stdlib.h>
#include <string.h>

#include "dict.h"

sgd_status no_memory(sgd_error *error) { return sgd_error_set(error, SGD_ERROR_MEMORY, "out of memory"); }

char *text_copy(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = malloc(size);
    return copy ? memcpy(copy, text, size) : NULL;
}

/* ---- copies ---------------------------------------------------------------------------------------------------------------- */

static size_t descriptor_bytes(const DLTensor *tensor)
{
    return sizeof *tensor + 2 * (size_t)tensor->ndim * sizeof(int64_t);
}

/* Writes a descriptor with its shape and strides to `at` and returns what comes behind it. */
static char *descriptor_write(const DLTensor *tensor, char *at)
{
    DLTensor *copy = (DLTensor *)at;
    size_t bytes = (size_t)tensor->ndim * sizeof(int64_t);
    *copy = *tensor;
    copy->shape = (int64_t *)(copy + 1);
    copy->strides = tensor->strides ? copy->shape + tensor->ndim : NULL;
    if (bytes)
        memcpy(copy->shape, tensor->shape, bytes);
    if (bytes && tensor->strides)
        memcpy(copy->strides, tensor->strides, bytes);
    return at + descriptor_bytes(tensor);
}

static bool copy_string(stored *out)
{
    out->value.string = out->block = text_copy(out->value.string);
    return out->block != NULL;
}

/* The pointers first, then the texts. */
static bool copy_strings(stored *out)
{
    sgd_strings from = out->value.strings;
    size_t bytes = from.count * sizeof *from.items;
    for (size_t i = 0; i < from.count; i++)
        bytes += strlen(from.items[i]) + 1;
    char **items = out->block = malloc(bytes + 1);
    if (!items)
        return false;
    char *at = (char *)(items + from.count);
    for (size_t i = 0; i < from.count; i++) {
        size_t size = strlen(from.items[i]) + 1;
        items[i] = memcpy(at, from.items[i], size);
        at += size;
    }
    out->value.strings.items = (const char *const *)items;
    return true;
}

static bool copy_tensor(stored *out)
{
    const DLTensor *from = out->value.tensor.tensor;
    out->block = malloc(descriptor_bytes(from));
    if (!out->block)
        return false;
    descriptor_write(from, out->block);
    out->value.tensor.tensor = out->block;
    return true;
}

/* Of a host's sparse tensor; the library's own travels with its object, which a step changes in place. */
static bool copy_sparse(stored *out)
{
    const sgd_sparse *from = out->value.sparse;
    if (owned_sparse(&out->value))
        return true;
    size_t shape_bytes = (size_t)from->ndim * sizeof(int64_t);
    size_t bytes = sizeof *from + descriptor_bytes(&from->indices) + descriptor_bytes(&from->values) + shape_bytes;
    sgd_sparse *copy = out->block = malloc(bytes);
    if (!copy)
        return false;
    *copy = *from;
    copy->owned = NULL;
    char *at = (char *)(copy + 1);
    DLTensor *indices = (DLTensor *)at, *values = (DLTensor *)(at = descriptor_write(&from->indices, at));
    at = descriptor_write(&from->values, at);
    copy->indices = *indices;
    copy->values = *values;
    copy->shape = (int64_t *)at;
    if (shape_bytes)
        memcpy(copy->shape, from->shape, shape_bytes);
    out->value.sparse = copy;
    return true;
}

static bool tensor_is_sound(const DLTensor *tensor) { return tensor && tensor->ndim >= 0 && (!tensor->ndim || tensor->shape); }

static bool is_sound(const sgd_value *value)
{
    switch (value->kind) {
    case SGD_VALUE_STRING: return value->string != NULL;
    case SGD_VALUE_STRINGS:
        for (size_t i = 0; i < value->strings.count; i++)
            if (!value->strings.items || !value->strings.items[i])
                return false;
        return true;
    case SGD_VALUE_TENSOR: return tensor_is_sound(value->tensor.tensor);
    case SGD_VALUE_SPARSE:
        return value->sparse && tensor_is_sound(&value->sparse->indices) && tensor_is_sound(&value->sparse->values) &&
               value->sparse->ndim >= 0 && (!value->sparse->ndim || value->sparse->shape);
    case SGD_VALUE_OBJECT: return value->type != NULL;
    default: return (unsigned)value->kind <= SGD_VALUE_OBJECT;
    }
}

sgd_status stored_copy(const sgd_value *value, stored *out, sgd_error *error)
{
    if (!value || !is_sound(value) || (value->object && !value->type))
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "value is NULL or not what its kind says");
    if (value->type && value->type->struct_size != sizeof(sgd_object_type))
        return sgd_error_set(error, SGD_ERROR_ABI, "object type: struct_size %zu, this library's is %zu",
                             value->type->struct_size, sizeof(sgd_object_type));
    stored copy = {.value = *value};
    bool copied = true;
    switch (value->kind) {
    case SGD_VALUE_STRING: copied = copy_string(&copy); break;
    case SGD_VALUE_STRINGS: copied = copy_strings(&copy); break;
    case SGD_VALUE_TENSOR: copied = copy_tensor(&copy); break;
    case SGD_VALUE_SPARSE: copied = copy_sparse(&copy); break;
    case SGD_VALUE_OBJECT: break;
    default: copy.value.object = NULL; break;
    }
    if (!copied)
        return no_memory(error);
    if (copy.value.object && copy.value.type->retain)
        copy.value.type->retain(copy.value.object);
    *out = copy;
    return SGD_OK;
}

void stored_clear(stored *stored)
{
    const sgd_value value = stored->value;
    free(stored->block);
    *stored = (struct stored){.block = NULL};
    if (value.object && value.type->release)
        value.type->release(value.object);
}

/* ---- dicts ----------------------------------------------------------------------------------------------------------------- */

sgd_status sgd_dict_create(sgd_dict **out, sgd_error *error)
{
    if (!out)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "out is NULL");
    sgd_dict *dict = calloc(1, sizeof *dict);
    if (!dict)
        return no_memory(error);
    *out = dict;
    return SGD_OK;
}

void dict_clear(sgd_dict *dict)
{
    sgd_dict old = *dict;
    *dict = (sgd_dict){.holds = old.holds};
    for (size_t i = 0; i < old.count; i++) {
        free(old.entries[i].key);
        stored_clear(&old.entries[i].stored);
    }
    free(old.entries);
}

void sgd_dict_destroy(sgd_dict *dict)
{
    if (!dict)
        return;
    dict_clear(dict);
    free(dict);
}

stored *dict_find(const sgd_dict *dict, const char *key, size_t hint)
{
    if (hint < dict->count && !strcmp(dict->entries[hint].key, key))
        return &dict->entries[hint].stored;
    for (size_t i = 0; i < dict->count; i++)
        if (!strcmp(dict->entries[i].key, key))
            return &dict->entries[i].stored;
    return NULL;
}

bool dict_reserve(sgd_dict *dict)
{
    if (dict->count < dict->capacity)
        return true;
    size_t capacity = dict->capacity ? 2 * dict->capacity : 1;
    dict_entry *entries = realloc(dict->entries, capacity * sizeof *entries);
    if (!entries)
        return false;
    dict->entries = entries;
    dict->capacity = capacity;
    return true;
}

void dict_append(sgd_dict *dict, char *key, stored value) { dict->entries[dict->count++] = (dict_entry){key, value}; }

sgd_status dict_copy(const sgd_dict *from, sgd_dict *out, sgd_error *error)
{
    sgd_dict copy = {0};
    sgd_status status = SGD_OK;
    for (size_t i = 0; i < from->count && !status; i++)
        status = sgd_dict_set(&copy, from->entries[i].key, &from->entries[i].stored.value, error);
    if (status)
        dict_clear(&copy);
    else
        *out = copy;
    return status;
}

size_t sgd_dict_count(const sgd_dict *dict) { return dict ? dict->count : 0; }

const char *sgd_dict_key(const sgd_dict *dict, size_t index)
{
    return dict && index < dict->count ? dict->entries[index].key : NULL;
}

bool sgd_dict_get(const sgd_dict *dict, const char *key, sgd_value *out)
{
    const stored *found = dict && key ? dict_find(dict, key, 0) : NULL;
    if (found && out)
        *out = found->value;
    return found != NULL;
}

static void changes(const sgd_dict *dict)
{
    if (dict->holds)
        *dict->holds = false;
}

sgd_status sgd_dict_set(sgd_dict *dict, const char *key, const sgd_value *value, sgd_error *error)
{
    if (!dict || !key)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "%s is NULL", dict ? "key" : "dict");
    stored copy, *place = dict_find(dict, key, 0);
    sgd_status status = stored_copy(value, &copy, error);
    if (status)
        return status;
    changes(dict);
    if (place) {
        stored old = *place;
        *place = copy;
        stored_clear(&old);
        return SGD_OK;
    }
    char *name = dict_reserve(dict) ? text_copy(key) : NULL;
    if (!name) {
        stored_clear(&copy);
        return no_memory(error);
    }
    dict_append(dict, name, copy);
    return SGD_OK;
}

bool sgd_dict_remove(sgd_dict *dict, const char *key)
{
    stored *found = dict && key ? dict_find(dict, key, 0) : NULL;
    if (!found)
        return false;
    changes(dict);
    dict_entry *entry = (dict_entry *)((char *)found - offsetof(dict_entry, stored)), old = *entry;
    memmove(entry, entry + 1, (size_t)(dict->entries + dict->count - (entry + 1)) * sizeof *entry);
    dict->count--;
    free(old.key);
    stored_clear(&old.stored);
    return true;
}
