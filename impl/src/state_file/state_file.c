/* state_file.c - a state dict to and from a file, schema "exactsgd-state" version 1 (state_file.h). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "state_file_hdf5.h"

/* ---- names ----------------------------------------------------------------------------------------------------------------------- */

/* The name of a key's object. */
static char *encode(session *s, const char *key)
{
    char *name = take_memory(s, 3 * strlen(key) + 2), *at = name;
    if (!name)
        return NULL;
    if (!*key || !strcmp(key, "params"))
        *at++ = '%';
    for (; *key; key++) {
        const char *code = *key == '%' ? "%25" : *key == '/' ? "%2F" : *key == '.' ? "%2E" : NULL;
        if (code) {
            memcpy(at, code, 3);
            at += 3;
        } else {
            *at++ = *key;
        }
    }
    *at = '\0';
    return name;
}

/* ---- dicts: written --------------------------------------------------------------------------------------------------------------- */

static void write_sparse(session *s, node where, const char *name, const sgd_sparse *sparse)
{
    node group = group_create(s, where, name);
    if (group < 0)
        return;
    write_text(s, group, true, "tensor", "coo");
    write_numbers(s, group, true, "shape", sparse->ndim, sparse->shape);
    write_bool(s, group, true, "coalesced", sparse->coalesced);
    write_tensor(s, group, "indices", &sparse->indices, false);
    write_tensor(s, group, "values", &sparse->values, false);
    node_close(s, group, NODE_GROUP);
}

static void write_value(session *s, node where, const char *key, const sgd_value *value)
{
    char *name = encode(s, key);
    if (!name || s->status) {
        free(name);
        return;
    }
    switch (value->kind) {
    case SGD_VALUE_NONE: write_none(s, where, name); break;
    case SGD_VALUE_BOOL: write_bool(s, where, false, name, value->boolean); break;
    case SGD_VALUE_INT: write_numbers(s, where, false, name, -1, &value->integer); break;
    case SGD_VALUE_DOUBLE: write_double(s, where, name, value->number); break;
    case SGD_VALUE_STRING: write_text(s, where, false, name, value->string); break;
    case SGD_VALUE_STRINGS: write_texts(s, where, false, name, value->strings.items, value->strings.count); break;
    case SGD_VALUE_TENSOR: write_tensor(s, where, name, value->tensor.tensor, value->tensor.requires_grad); break;
    case SGD_VALUE_SPARSE: write_sparse(s, where, name, value->sparse); break;
    default: stop(s, SGD_ERROR_UNSUPPORTED, "an object has no place in a state file: ", key); break;
    }
    free(name);
}

static void write_dict(session *s, node where, const sgd_dict *dict)
{
    size_t count = sgd_dict_count(dict);
    const char **keys = take_memory(s, count * sizeof *keys);
    for (size_t i = 0; i < count && keys; i++)
        keys[i] = sgd_dict_key(dict, i);
    if (keys)
        write_texts(s, where, true, "keys", keys, count);
    for (size_t i = 0; i < count && !s->status; i++) {
        sgd_value value;
        sgd_dict_get(dict, keys[i], &value);
        write_value(s, where, keys[i], &value);
    }
    free(keys);
}

/* ---- dicts: read ------------------------------------------------------------------------------------------------------------------ */

static void let_go(const sgd_value *value)
{
    if (value->object)
        value->type->release(value->object);
}

static void read_part(session *s, node group, const char *name, sgd_value *out)
{
    node dataset = node_open(s, group, name, NODE_DATASET);
    char **what = read_text(s, dataset, true, "tensor", NULL);
    if (what)
        read_tensor(s, dataset, what[0], name, out);
    free(what);
    node_close(s, dataset, NODE_DATASET);
}

/* Whether indices and values belong together; the step that uses them looks further. */
static bool parts_fit(const DLTensor *indices, const DLTensor *values, size_t ndim)
{
    return indices->dtype.code == kDLInt && indices->dtype.bits == 64 && indices->ndim == 2 && values->ndim >= 1 &&
           indices->shape[1] == values->shape[0] && (size_t)indices->shape[0] + (size_t)values->ndim - 1 == ndim;
}

static void read_sparse(session *s, node where, const char *name, sgd_value *out)
{
    sgd_value indices = {.kind = SGD_VALUE_NONE}, values = {.kind = SGD_VALUE_NONE};
    size_t ndim = 0;
    node group = node_open(s, where, name, NODE_GROUP);
    char **what = read_text(s, group, true, "tensor", NULL);
    if (what && strcmp(what[0], "coo"))
        wrong(s, name);
    int64_t *shape = read_numbers(s, group, true, "shape", &ndim);
    bool coalesced = read_bool(s, group, "coalesced");
    read_part(s, group, "indices", &indices);
    read_part(s, group, "values", &values);
    if (!s->status && !parts_fit(indices.tensor.tensor, values.tensor.tensor, ndim))
        wrong(s, name);
    if (!s->status)
        s->status = sgd_sparse_create(&indices, &values, (int32_t)ndim, shape, coalesced, out, s->error);
    let_go(&indices);
    let_go(&values);
    free(shape);
    free(what);
    node_close(s, group, NODE_GROUP);
}

static void read_dataset(session *s, node where, const char *name, sgd_dict *dict, const char *key)
{
    sgd_value value = {.kind = SGD_VALUE_NONE};
    char **texts = NULL, **what = NULL;
    size_t count = 1;
    bool list;
    node dataset = node_open(s, where, name, NODE_DATASET);
    if (!s->status && has_attribute(dataset, "tensor")) {
        what = read_text(s, dataset, true, "tensor", NULL);
        if (what)
            read_tensor(s, dataset, what[0], key, &value);
    } else if (!read_scalar(s, where, name, &value, &list)) {
        texts = read_text(s, where, false, name, list ? &count : NULL);
        value = list ? (sgd_value){.kind = SGD_VALUE_STRINGS, .strings = {(const char *const *)texts, count}}
                     : (sgd_value){.kind = SGD_VALUE_STRING, .string = texts ? texts[0] : NULL};
    }
    if (!s->status)
        s->status = sgd_dict_set(dict, key, &value, s->error);
    let_go(&value);
    free(texts);
    free(what);
    node_close(s, dataset, NODE_DATASET);
}

static void read_value(session *s, node where, sgd_dict *dict, const char *key)
{
    char *name = encode(s, key);
    if (name && node_is_group(s, where, name)) {
        sgd_value value = {.kind = SGD_VALUE_NONE};
        read_sparse(s, where, name, &value);
        if (!s->status)
            s->status = sgd_dict_set(dict, key, &value, s->error);
        let_go(&value);
    } else if (name && !s->status) {
        read_dataset(s, where, name, dict, key);
    }
    free(name);
}

static void read_dict(session *s, node where, sgd_dict *dict)
{
    size_t count = 0;
    char **keys = read_text(s, where, true, "keys", &count);
    for (size_t i = 0; i < count && keys && !s->status; i++)
        read_value(s, where, dict, keys[i]);
    free(keys);
}

/* ---- the whole -------------------------------------------------------------------------------------------------------------------- */

#define NUMBER_SIZE 24

static const char *number_name(size_t number, char name[NUMBER_SIZE])
{
    snprintf(name, NUMBER_SIZE, "%zu", number);
    return name;
}

static void write_groups(session *s, node file, const sgd_state *state)
{
    char name[NUMBER_SIZE];
    node groups = group_create(s, file, "groups");
    for (size_t g = 0; g < sgd_state_group_count(state) && !s->status; g++) {
        size_t count;
        const int64_t *ids = sgd_state_group_ids(state, g, &count);
        node group = group_create(s, groups, number_name(g, name));
        write_dict(s, group, sgd_state_group(state, g));
        write_numbers(s, group, false, "params", (long)count, ids);
        node_close(s, group, NODE_GROUP);
    }
    node_close(s, groups, NODE_GROUP);
}

static void write_entries(session *s, node file, const sgd_state *state)
{
    char name[NUMBER_SIZE];
    node entries = group_create(s, file, "state");
    for (size_t i = 0; i < sgd_state_entry_count(state) && !s->status; i++) {
        sgd_value key;
        sgd_dict *dict;
        sgd_state_entry(state, i, &key, &dict, NULL);
        node entry = group_create(s, entries, number_name(i, name));
        if (key.kind == SGD_VALUE_INT)
            write_numbers(s, entry, true, "id", -1, &key.integer);
        else if (key.kind == SGD_VALUE_STRING)
            write_text(s, entry, true, "id", key.string);
        else
            stop(s, SGD_ERROR_UNSUPPORTED, "an object has no place in a state file: ", "a key of the state");
        write_dict(s, entry, dict);
        node_close(s, entry, NODE_GROUP);
    }
    node_close(s, entries, NODE_GROUP);
}

sgd_status sgd_state_write(const sgd_state *state, const char *path, sgd_error *error)
{
    char *temporary;
    if (!state || !path)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "%s is NULL", state ? "path" : "state");
    sgd_status status = frame_create(path, &temporary, error);
    if (status)
        return status;
    session s = {.path = path, .error = error};
    quiet before = quiet_begin();
    node file = file_create(&s, temporary);
    write_text(&s, file, true, "format", "exactsgd-state");
    write_numbers(&s, file, true, "version", -1, &(int64_t){SGD_STATE_FILE_VERSION});
    write_groups(&s, file, state);
    write_entries(&s, file, state);
    node_close(&s, file, NODE_FILE);
    quiet_end(before);
    status = s.status ? s.status : frame_seal(temporary, path, error);
    if (status)
        unlink(temporary);
    free(temporary);
    return status;
}

static void read_groups(session *s, node file, sgd_state *state)
{
    char name[NUMBER_SIZE];
    node groups = node_open(s, file, "groups", NODE_GROUP);
    for (size_t g = 0, total = node_children(s, groups); g < total && !s->status; g++) {
        size_t count = 0;
        sgd_dict *dict;
        node group = node_open(s, groups, number_name(g, name), NODE_GROUP);
        int64_t *ids = read_numbers(s, group, false, "params", &count);
        if (!s->status)
            s->status = sgd_state_add_group(state, ids, count, &dict, s->error);
        if (!s->status)
            read_dict(s, group, dict);
        free(ids);
        node_close(s, group, NODE_GROUP);
    }
    node_close(s, groups, NODE_GROUP);
}

static void read_entries(session *s, node file, sgd_state *state)
{
    char name[NUMBER_SIZE];
    node entries = node_open(s, file, "state", NODE_GROUP);
    for (size_t i = 0, total = node_children(s, entries); i < total && !s->status; i++) {
        sgd_dict *dict;
        node entry = node_open(s, entries, number_name(i, name), NODE_GROUP);
        int64_t id = 0;
        bool is_number = read_id(s, entry, &id);
        char **text = is_number ? NULL : read_text(s, entry, true, "id", NULL);
        sgd_value key = is_number ? (sgd_value){.kind = SGD_VALUE_INT, .integer = id}
                                  : (sgd_value){.kind = SGD_VALUE_STRING, .string = text ? text[0] : NULL};
        if (!s->status)
            s->status = sgd_state_add_entry(state, &key, &dict, s->error);
        if (!s->status)
            read_dict(s, entry, dict);
        free(text);
        node_close(s, entry, NODE_GROUP);
    }
    node_close(s, entries, NODE_GROUP);
}

sgd_status sgd_state_read(const char *path, sgd_state **out, sgd_error *error)
{
    if (!path || !out)
        return sgd_error_set(error, SGD_ERROR_ARGUMENT, "%s is NULL", path ? "out" : "path");
    session s = {.path = path, .status = frame_check(path, error), .error = error};
    sgd_state *state = NULL;
    if (!s.status)
        s.status = sgd_state_create(&state, error);
    if (s.status)
        return s.status;
    quiet before = quiet_begin();
    node file = file_open(&s, path);
    read_groups(&s, file, state);
    read_entries(&s, file, state);
    node_close(&s, file, NODE_FILE);
    quiet_end(before);
    if (s.status)
        sgd_state_destroy(state);
    else
        *out = state;
    return s.status;
}
