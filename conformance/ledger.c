/* ledger.c - see ledger.h. */
#include "ledger.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define SCHEMA "exactsgd-defects"
#define SCHEMA_VERSION 1

typedef struct reader {
    const char *file;
    size_t defect; /* number of the defect that is being read */
    conform_error *error;
} reader;

static bool wrong(const reader *from, const char *member, const char *reason)
{
    return conform_fail(from->error, "%s: defects[%zu].%s: %s", from->file, from->defect, member, reason);
}

static bool read_text(const reader *from, const json_t *object, const char *member, char **out)
{
    const char *text = json_string_value(json_object_get(object, member));
    if (!text || !*text)
        return wrong(from, member, "is no string");
    *out = strdup(text);
    return *out || wrong(from, member, "out of memory");
}

static bool contract_bit(const char *name, uint32_t *set)
{
    sgd_contract value;
    bool known = sgd_contract_parse(name, &value);
    if (known)
        *set |= 1u << value;
    return known;
}

static bool path_bit(const char *name, uint32_t *set)
{
    sgd_path value;
    bool known = sgd_path_parse(name, &value);
    if (known)
        *set |= 1u << value;
    return known;
}

static bool dtype_bit(const char *name, uint32_t *set)
{
    sgd_dtype value;
    bool known = sgd_dtype_parse(name, &value);
    if (known)
        *set |= 1u << value;
    return known;
}

static bool read_set(const reader *from, const json_t *cells, const char *member,
                     bool (*set_bit)(const char *, uint32_t *), uint32_t *out)
{
    const json_t *names = json_object_get(cells, member), *name;
    size_t i;
    if (!json_is_array(names) || !json_array_size(names))
        return wrong(from, member, "is no list of names in \"cells\"");
    json_array_foreach(names, i, name)
    {
        const char *text = json_string_value(name);
        if (!text || !set_bit(text, out))
            return wrong(from, member, "holds an unknown name");
    }
    return true;
}

static bool read_defect(const reader *from, const json_t *object, ledger_defect *out)
{
    const json_t *cells = json_object_get(object, "cells"), *only = json_object_get(cells, "only");
    out->only = only != NULL;
    if (only && !json_is_string(only))
        return wrong(from, "only", "is no string");
    return read_text(from, object, "id", &out->id) && read_text(from, object, "link", &out->link) &&
           read_text(from, object, "title", &out->title) &&
           read_set(from, cells, "contracts", contract_bit, &out->contracts) &&
           read_set(from, cells, "paths", path_bit, &out->paths) &&
           read_set(from, cells, "dtypes", dtype_bit, &out->dtypes);
}

static bool read_ledger(const char *file, const json_t *root, ledger *out, conform_error *error)
{
    const char *schema = json_string_value(json_object_get(root, "schema"));
    const json_t *version = json_object_get(root, "schema_version"), *defects = json_object_get(root, "defects");
    if (!schema || strcmp(schema, SCHEMA) != 0)
        return conform_fail(error, "%s: schema: is not \"%s\"", file, SCHEMA);
    if (!json_is_integer(version) || json_integer_value(version) != SCHEMA_VERSION)
        return conform_fail(error, "%s: schema_version: this program reads %d", file, SCHEMA_VERSION);
    if (!json_is_array(defects))
        return conform_fail(error, "%s: defects: is no list", file);

    size_t count = json_array_size(defects);
    out->defects = calloc(count ? count : 1, sizeof *out->defects);
    if (!out->defects)
        return conform_fail(error, "%s: defects: out of memory", file);
    out->count = count;
    for (size_t i = 0; i < count; i++) {
        reader from = {file, i, error};
        if (!read_defect(&from, json_array_get(defects, i), &out->defects[i]))
            return false;
    }
    return true;
}

ledger *ledger_load(const char *file, conform_error *error)
{
    json_error_t reason;
    json_t *root = json_load_file(file, JSON_REJECT_DUPLICATES, &reason);
    if (!root) {
        if (reason.line > 0)
            conform_fail(error, "%s: line %d: %s", file, reason.line, reason.text);
        else
            conform_fail(error, "%s: file: %s", file, strerror(errno));
        return NULL;
    }
    ledger *loaded = calloc(1, sizeof *loaded);
    bool done = loaded ? read_ledger(file, root, loaded, error) : conform_fail(error, "%s: file: out of memory", file);
    json_decref(root);
    if (done)
        return loaded;
    ledger_free(loaded);
    return NULL;
}

void ledger_free(ledger *ledger)
{
    if (!ledger)
        return;
    for (size_t i = 0; i < ledger->count; i++) {
        free(ledger->defects[i].id);
        free(ledger->defects[i].link);
        free(ledger->defects[i].title);
    }
    free(ledger->defects);
    free(ledger);
}

const ledger_defect *ledger_find(const ledger *ledger, sgd_contract contract, sgd_path path, sgd_dtype dtype)
{
    for (size_t i = 0; i < ledger->count; i++) {
        const ledger_defect *defect = &ledger->defects[i];
        if (!defect->only && defect->contracts >> contract & 1 && defect->paths >> path & 1 && defect->dtypes >> dtype & 1)
            return defect;
    }
    return NULL;
}

const ledger_defect *ledger_find_id(const ledger *ledger, const char *id)
{
    for (size_t i = 0; i < ledger->count; i++)
        if (strcmp(ledger->defects[i].id, id) == 0)
            return &ledger->defects[i];
    return NULL;
}
